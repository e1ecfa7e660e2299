//! Sockets, and the calls of the system on them. None of these calls waits, whatever the socket is set to.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, connect_unspec};
use socket2::{Domain, SockAddr, SockRef, Socket as RawSocket, Type};

#[cfg(feature = "tls")]
use super::tls::Layer;
use super::{Stream, TcpOptions, tcp, unix};
use crate::{Address, sync};
#[cfg(feature = "tls")]
use masep_proto::tls::LayerState;

/// A connected stream socket, of TCP or of another kind, such as a Unix socket.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    is_tcp: bool,
    #[cfg(feature = "tls")]
    layer: Option<Box<Layer>>,
}

impl Socket {
    /// A socket that is connected, and the address of its peer.
    ///
    /// # Errors
    /// The system's error for that address.
    pub(crate) fn new(descriptor: impl Into<OwnedFd>) -> io::Result<(Self, Address)> {
        let descriptor = descriptor.into();
        let peer = SockRef::from(&descriptor).peer_addr()?;
        let address = address_of(&peer).unwrap_or_else(|| Address::unix(""));
        Ok((Self::known(descriptor, &address), address))
    }

    /// A socket of which is known what it is connected to.
    pub(super) fn known(descriptor: OwnedFd, address: &Address) -> Self {
        Self {
            descriptor,
            is_tcp: matches!(address, Address::Tcp(_)),
            #[cfg(feature = "tls")]
            layer: None,
        }
    }

    /// Puts TLS between the socket and a connection.
    #[cfg(feature = "tls")]
    pub(crate) fn with_layer(self, layer: Layer) -> Self {
        Self {
            layer: Some(Box::new(layer)),
            ..self
        }
    }

    /// The layer that reads of this socket go through.
    #[cfg(feature = "tls")]
    fn reading_layer(&self) -> Option<&Layer> {
        self.layer.as_deref().filter(|layer| !layer.is_plain())
    }

    /// The layer that writes to this socket go through.
    #[cfg(feature = "tls")]
    fn writing_layer(&self) -> Option<&Layer> {
        self.layer
            .as_deref()
            .filter(|layer| !layer.writes_plainly())
    }

    #[cfg(feature = "tls")]
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        send_one(self.as_fd(), bytes)
    }

    /// Sends what is followed by the end of the stream.
    #[cfg(feature = "tls")]
    fn send_last(&self, bytes: &[u8]) -> io::Result<usize> {
        send(self.as_fd(), &[IoSlice::new(bytes)], MORE_FOLLOWS)
    }

    /// Reads as [`Stream::try_read`] does, and waits where that would not. The socket is one that is set to block.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.reading_layer() {
            let recv = &mut |buffer: &mut Vec<u8>| recv(self.as_fd(), buffer, RecvFlags::empty());
            return layer.read(buffer, true, recv, &|bytes| self.send_now(bytes));
        }
        recv(self.as_fd(), buffer, RecvFlags::empty())
    }

    /// Resets the connection at once, though others may still hold the socket, where there is such a thing; otherwise
    /// ends it.
    pub(crate) fn reset(&self) {
        self.reset_on_drop();
        if connect_unspec(&self.descriptor).is_err() {
            let _ = self.shutdown(Shutdown::Both);
        }
    }

    /// The size of the buffer in which the system keeps what is written, or 0 if it does not say.
    pub(crate) fn send_buffer_size(&self) -> usize {
        let size = SockRef::from(&self.descriptor).send_buffer_size();
        size.unwrap_or_default()
    }

    /// Asks the system for a buffer in which so many written bytes have room, as far as it lets anybody. Not for TCP, whose
    /// buffers the system sizes by itself as long as nobody does.
    #[cfg(feature = "unstable-bindings")]
    pub(crate) fn widen_send_buffer(&self, bytes: usize) {
        if !self.is_tcp && bytes > self.send_buffer_size() {
            let _ = SockRef::from(&self.descriptor).set_send_buffer_size(bytes);
        }
    }

    /// Sets the time after which a read that waits is given up; `None` for never.
    pub(crate) fn set_read_time(&self, time: impl Into<Option<Duration>>) -> io::Result<()> {
        SockRef::from(&self.descriptor).set_read_timeout(time.into())
    }

    /// Sets whether calls on the socket wait, also those of others.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        SockRef::from(&self.descriptor).set_nonblocking(nonblocking)
    }
}

impl Stream for Socket {
    #[inline]
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.reading_layer() {
            let recv = &mut |buffer: &mut Vec<u8>| recv(self.as_fd(), buffer, RecvFlags::DONTWAIT);
            return layer.read(buffer, false, recv, &|bytes| self.send_now(bytes));
        }
        recv(self.as_fd(), buffer, RecvFlags::DONTWAIT)
    }

    #[inline]
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.writing_layer() {
            return layer.write(buffers, &|bytes| self.send_now(bytes));
        }
        send(self.as_fd(), buffers, SendFlags::empty())
    }

    #[inline]
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.writing_layer() {
            return layer.write(&[IoSlice::new(bytes)], &|bytes| self.send_now(bytes));
        }
        send_one(self.as_fd(), bytes)
    }

    #[cfg(feature = "tls")]
    fn layer(&self) -> Option<LayerState> {
        self.layer.as_deref().map(Layer::state)
    }

    #[cfg(feature = "tls")]
    fn try_flush(&self) -> io::Result<()> {
        match &self.layer {
            Some(layer) => layer.flush(&|bytes| self.send_now(bytes)),
            None => Ok(()),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.reading_layer().filter(|_| how != Shutdown::Read) {
            layer.close(&|bytes| self.send_last(bytes));
        }
        shut(self.as_fd(), how)
    }

    /// A Unix socket has no reset but one: closed with bytes unread, its peer finds an error behind what it was sent.
    fn reset_on_drop(&self) {
        reset_on_close(self.as_fd());
    }

    fn tcp(&self) -> Option<&dyn TcpOptions> {
        self.is_tcp.then_some(self as &dyn TcpOptions)
    }
}

impl TcpOptions for Socket {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(layer) = self.writing_layer() {
            return layer.write(buffers, &|bytes| self.send_now(bytes));
        }
        send(self.as_fd(), buffers, END_OF_SEGMENT)
    }

    fn acknowledge(&self) {
        // Their knowledge of a peer is of pymasep's protocol.
        #[cfg(feature = "tls")]
        if self.reading_layer().is_some() {
            return;
        }
        tcp::rearm_quickack(&self.descriptor);
    }

    fn withhold_acknowledgement(&self) {
        // Their knowledge of a peer is of pymasep's protocol.
        #[cfg(feature = "tls")]
        if self.reading_layer().is_some() {
            return;
        }
        tcp::withhold_acknowledgement(&self.descriptor);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Appends what has arrived to the spare capacity of `buffer`.
#[inline]
pub(super) fn recv(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let (bytes, _) = sync::recv(socket, spare_capacity(buffer), flags)?;
    Ok(bytes)
}

/// Linux appends nothing to a segment with this mark (the end of a record), also not when it has to wait, or to be sent
/// again.
#[cfg(target_os = "linux")]
pub(super) const END_OF_SEGMENT: SendFlags = SendFlags::EOR;
#[cfg(not(target_os = "linux"))]
pub(super) const END_OF_SEGMENT: SendFlags = SendFlags::empty();

/// Keeps what is written for a moment, in which more is written or the stream ends. Of a Unix socket it means nothing.
#[cfg(target_os = "linux")]
pub(super) const MORE_FOLLOWS: SendFlags = SendFlags::MORE;
#[cfg(not(target_os = "linux"))]
pub(super) const MORE_FOLLOWS: SendFlags = SendFlags::empty();

/// No write waits, or raises a signal. Where there is no flag for that, the standard library has set the option.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;

/// Writes what there is room for, from one buffer.
#[inline]
pub(super) fn send_one(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SEND)?)
}

/// Writes what there is room for.
#[inline]
pub(super) fn send(
    socket: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    more: SendFlags,
) -> io::Result<usize> {
    let flags = SEND | more;
    if let [buffer] = buffers {
        return Ok(rustix::net::send(socket, buffer, flags)?);
    }
    let mut control = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(socket, buffers, &mut control, flags)?)
}

pub(super) fn shut(socket: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    SockRef::from(&socket).shutdown(how)
}

/// Lets the close be a reset, where there is such a thing.
pub(super) fn reset_on_close(socket: BorrowedFd<'_>) {
    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// The address of a socket as the system gives it, if it has one.
pub(super) fn address_of(address: &SockAddr) -> Option<Address> {
    match address.as_socket() {
        Some(address) => Some(Address::canonical(address)),
        None => address.as_pathname().map(Address::unix),
    }
}

/// Connects, and waits for that no longer than `limit`. The socket is set to block.
pub(crate) fn connect_blocking(address: &Address, limit: Duration) -> io::Result<Socket> {
    let descriptor = match address {
        Address::Tcp(address) => connect_tcp(*address, limit)?.into(),
        Address::Unix(path) => unix::connect(path, limit)?.into(),
    };
    Ok(Socket::known(descriptor, address))
}

fn connect_tcp(address: SocketAddr, limit: Duration) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    tcp::begin_unpaced(&socket, address);
    socket.connect_timeout(&address.into(), limit)?;
    Ok(socket)
}

/// True if the system says that what was asked for would have to wait.
pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(Errno::AGAIN.raw_os_error())
}
