//! Sockets that tasks wait for.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use masep_proto::Limits;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

use super::readiness::UnixTransport;
use super::socket::{recv, send, would_block};
use super::unix::SocketFile;
use super::{Listener, ListeningSocket, Stream, TcpOptions, Transport, socket, tcp};
use crate::error::ListenError;
use crate::{Address, SocketOptions, Target};

/// The pause after which a Unix socket is asked again that has many connections to accept: the system tells nobody when
/// there is room.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// A socket that the tokio runtime watches.
#[derive(Debug)]
pub enum SocketTransport {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixTransport),
}

/// Connects a socket. The time that it takes has no bound.
///
/// Cancel safe: a call that is dropped leaves no connection.
///
/// # Errors
/// The system's error.
pub async fn connect(address: Address) -> io::Result<SocketTransport> {
    match &address {
        Address::Tcp(address) => {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            tcp::begin_unpaced(&socket, *address);
            socket.connect(*address).await.map(SocketTransport::Tcp)
        }
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await {
                Err(error) if would_block(&error) => sleep(FULL_PAUSE).await,
                connected => break unix(connected?),
            }
        },
    }
}

fn unix(stream: UnixStream) -> io::Result<SocketTransport> {
    UnixTransport::new(stream.into_std()?).map(SocketTransport::Unix)
}

impl SocketTransport {
    /// Makes a call of the system if the socket is known to be ready for it, and takes note if it is not.
    #[inline]
    fn try_io(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, call),
            Self::Unix(stream) if interest.is_writable() => stream.try_write(call),
            Self::Unix(stream) => stream.try_read(call),
        }
    }

    /// Sends so many bytes by a call.
    #[inline]
    fn try_send(
        &self,
        bytes: usize,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut sent_some = 0;
        // As for reads: one that was taken in part has filled the socket.
        let sent = self.try_io(Interest::WRITABLE, || {
            let sent = call(self.as_fd())?;
            if TOLD_BY_EDGES && 0 < sent && sent < bytes {
                sent_some = sent;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(sent)
        });
        if sent_some > 0 { Ok(sent_some) } else { sent }
    }
}

/// Bytes in all of them.
fn total(buffers: &[IoSlice<'_>]) -> usize {
    buffers.iter().map(|buffer| buffer.len()).sum()
}

impl AsFd for SocketTransport {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream for SocketTransport {
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let mut read_some = 0;
        // Where readiness is told by its edges, a read that leaves room has emptied the socket:
        // marking it so spares the read that would only find that out, a system call per frame.
        // The call knows the readiness from before the read, so that what arrives meanwhile
        // is not missed. A Unix socket may hold more behind a piece with which its peer has passed descriptors, which
        // no peer of this protocol does: that is read when something else arrives, or at the end.
        let filled = self.try_io(Interest::READABLE, || {
            let read = recv(self.as_fd(), buffer, RecvFlags::DONTWAIT)?;
            if TOLD_BY_EDGES && 0 < read && read < room {
                read_some = read;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        if read_some > 0 { Ok(read_some) } else { filled }
    }

    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_send(total(buffers), |socket| {
            send(socket, buffers, SendFlags::empty())
        })
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_send(bytes.len(), |socket| socket::send_one(socket, bytes))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        socket::shut(self.as_fd(), how)
    }

    fn reset_on_drop(&self) {
        socket::reset_on_close(self.as_fd());
    }

    fn tcp(&self) -> Option<&dyn TcpOptions> {
        match self {
            Self::Tcp(_) => Some(self),
            Self::Unix(_) => None,
        }
    }
}

impl Transport for SocketTransport {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_readable(context),
        }
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_writable(context),
        }
    }

    fn try_read_eagerly(&self, buffer: &mut Vec<u8>, times: usize) -> io::Result<usize> {
        // The readiness that tokio knows stays as it is: at worst it says too often that there is
        // something to read.
        let mut read = Err(io::ErrorKind::WouldBlock.into());
        for _ in 0..times {
            read = recv(self.as_fd(), buffer, RecvFlags::DONTWAIT);
            match &read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
        read
    }

    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // From here on the socket is writable when nothing is unsent.
        if !self.tcp().is_some_and(TcpOptions::tell_when_sent) {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.poll_writable(context))?;
            // The readiness that tokio knows is from before; this asks the system, and makes it tell the change.
            match self.try_io(Interest::WRITABLE, || tcp::is_writable(self).map(|()| 0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent.map(drop)),
            }
        }
    }
}

impl TcpOptions for SocketTransport {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_send(total(buffers), |socket| {
            send(socket, buffers, socket::END_OF_SEGMENT)
        })
    }

    fn try_write_last(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_send(bytes.len(), |socket| {
            send(socket, &[IoSlice::new(bytes)], socket::MORE_FOLLOWS)
        })
    }
}

/// True if the system tells changes of readiness alone (epoll, kqueue), as tokio goes by it.
const TOLD_BY_EDGES: bool = cfg!(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "openbsd",
));

/// A socket that listens, which the tokio runtime watches.
#[derive(Debug)]
pub struct SocketListener {
    kind: Kind,
    address: Address,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    // The file first, so that a path is free before nobody listens on it.
    Unix {
        _file: Option<SocketFile>,
        listener: UnixListener,
    },
}

impl SocketListener {
    /// Listens on a target, in the current tokio runtime, as [`ServerBuilder::bind`](crate::ServerBuilder::bind) does.
    ///
    /// Cancel safe: a call that is dropped listens nowhere.
    ///
    /// # Errors
    /// As there.
    pub async fn bind(target: &Target) -> io::Result<Self> {
        let addresses = target.resolve().await;
        let addresses = addresses.map_err(|error| ListenError::wrap(target, error))?;
        Self::watch(ListeningSocket::bind(&addresses)?)
    }

    /// Has the current tokio runtime watch a socket that listens, which is set not to block.
    ///
    /// # Errors
    /// The system's error.
    pub fn new(socket: impl Into<std::os::fd::OwnedFd>) -> io::Result<Self> {
        Self::watch(ListeningSocket::new(socket)?)
    }

    /// Has its connections begin with these options, see [`ListeningSocket::prepare`].
    pub(crate) fn prepare(&self, limits: &Limits, options: &SocketOptions) {
        if let (Kind::Tcp(listener), Address::Tcp(address)) = (&self.kind, &self.address) {
            let _ = tcp::set_options(listener, limits, options);
            tcp::begin_unpaced(listener, *address);
        }
    }

    fn watch(socket: ListeningSocket) -> io::Result<Self> {
        let (descriptor, address, file) = socket.into_parts();
        let kind = match &address {
            Address::Tcp(_) => Kind::Tcp(TcpListener::from_std(descriptor.into())?),
            Address::Unix(_) => Kind::Unix {
                _file: file,
                listener: UnixListener::from_std(descriptor.into())?,
            },
        };
        Ok(Self { kind, address })
    }
}

impl Listener for SocketListener {
    type Transport = SocketTransport;

    fn local_address(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }

    async fn accept(&self) -> io::Result<(SocketTransport, Address)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                tcp::note_origin(&stream, address.ip());
                Ok((SocketTransport::Tcp(stream), Address::canonical(address)))
            }
            // Its peer has none of its own.
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((unix(stream)?, self.address.clone()))
            }
        }
    }
}
