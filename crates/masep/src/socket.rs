//! One TCP socket: its options, the hello, reading, and how it is left.

use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use masep_proto::{Handshake, HelloError, Limits, PeerId};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

/// The least and the most bytes asked for in one read.
const READ_CHUNKS: Range<usize> = 1024..64 * 1024;
/// What is read and thrown away at most before a socket is closed. See [`Wire::leave`].
pub(crate) const DRAIN_BYTES: usize = 64 * 1024;

pub(crate) const BYE: &[u8] = b"\x03\0BYE";

/// A connected socket that says its farewell when it is dropped.
///
/// A bare close makes an unmodified pymasep peer spin at 100 % of a core, and a close before the
/// hello kills its accept thread. So whatever ends a connection, even a cancelled task, first sends
/// what the peer is still owed, as far as the socket takes it at once.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Whole frames that are being written; the first may already be on its way in part.
    pub(crate) unsent: BytesMut,
    /// What the peer is owed at the end: a `BYE`, before the hello went out our hello first.
    pub(crate) farewell: Bytes,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, limits: &Limits, farewell: Bytes) -> io::Result<Self> {
        set_options(&stream, limits)?;
        Ok(Self {
            stream,
            unsent: BytesMut::new(),
            farewell,
        })
    }

    /// Says the farewell if the socket takes it now, and closes. Called by `Drop`.
    ///
    /// What the peer sent and we did not read is read and thrown away: closing with unread bytes
    /// makes the kernel send a reset, which can overtake the `BYE`.
    fn leave(&mut self) {
        self.unsent.extend_from_slice(&self.farewell);
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(written) if written > 0 => self.unsent.advance(written),
                _ => break,
            }
        }
        if !self.unsent.is_empty() {
            // It will never read a BYE, and must not find the bare end of the stream instead.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            return;
        }
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
        let mut rest = [0; 4096];
        let mut drained = 0;
        while drained < DRAIN_BYTES {
            match self.stream.try_read(&mut rest) {
                Ok(read) if read > 0 => drained += read,
                _ => break,
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.leave();
    }
}

pub(crate) fn set_options(stream: &impl AsFd, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(stream);
    // One write per frame and no Nagle: nothing of ours ever waits for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = limits.keepalive_time {
        let keepalive = TcpKeepalive::new().with_time(time);
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        let keepalive = keepalive
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    // Bytes that are never acknowledged (a cable pulled) end the connection as those never taken.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits.write_time))?;
    Ok(())
}

/// Reads from a socket into a buffer, and keeps a peer that writes header and body apart from
/// waiting for our acknowledgement in between.
///
/// Every pymasep peer does so, with Nagle's algorithm on: its body waits until the header is
/// acknowledged, which a Linux kernel puts off for 40 ms unless `TCP_QUICKACK` is set. The option
/// does not last, so it is set again after each read, for such peers only.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    half: ReadHalf<'a>,
    /// Bytes asked for in one read: more for a peer that fills them, less for one that does not.
    chunk: usize,
    peer_splits: bool,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(half: ReadHalf<'a>) -> Self {
        Self {
            half,
            chunk: READ_CHUNKS.start,
            peer_splits: false,
        }
    }

    /// Appends what has arrived, at least a byte; 0 at the end of the stream.
    /// Cancel safe: a call that is dropped has read nothing.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        // Memory is taken only now, so that a connection that waits holds none.
        self.half.readable().await?;
        buffer.reserve(self.chunk);
        let room = buffer.capacity() - buffer.len();
        let read = self.half.read_buf(buffer).await?;
        if read == room {
            self.chunk = (self.chunk * 2).min(READ_CHUNKS.end);
        } else if read < self.chunk / 4 {
            self.chunk = (self.chunk / 2).max(READ_CHUNKS.start);
        }
        Ok(read)
    }

    /// To be called with what is left in the buffer when all whole frames were taken out.
    pub(crate) fn acknowledge(&mut self, left: usize) {
        // A header without the first byte of its body: nobody who writes a frame at once is
        // likely to leave that.
        self.peer_splits |= left == 2;
        if self.peer_splits {
            rearm_quickack(self.half.as_ref());
        }
    }
}

/// Acknowledges what has arrived at once, and what arrives next, where the system has that.
pub(crate) fn rearm_quickack(stream: &impl AsFd) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// Why the peer's hello did not come.
pub(crate) enum HelloFailure {
    Closed,
    Bad(HelloError),
    Io(io::Error),
}

impl From<io::Error> for HelloFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Reads the peer's hello. What came after it stays in `buffer`.
pub(crate) async fn read_hello(
    wire: &mut Wire,
    handshake: &mut Handshake,
    buffer: &mut BytesMut,
) -> Result<PeerId, HelloFailure> {
    let mut reader = Reader::new(wire.stream.split().0);
    loop {
        if reader.read(buffer).await? == 0 {
            return Err(HelloFailure::Closed);
        }
        if let Some(peer) = handshake.handle(buffer).map_err(HelloFailure::Bad)? {
            return Ok(peer);
        }
        reader.acknowledge(buffer.len());
    }
}

/// Writes all of `bytes`. Not cancel safe: some of them may be written when it is dropped.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
