//! The network under a connection.
//!
//! [`Stream`] says how bytes move, for connections with and without async; [`TcpOptions`] is beside it. Waiting for a
//! stream is different in each: [`Transport`] is a stream that tasks wait for, and threads wait for descriptors.
//! [`SocketTransport`] is the stream of TCP and of Unix sockets. [`memory`] is a network without sockets, for tests.
//!
//! [`ServerBuilder::bind`](crate::ServerBuilder::bind) and
//! [`ClientBuilder::connect`](crate::ClientBuilder::connect) take sockets; other transports begin at
//! [`ServerBuilder::serve_over`](crate::ServerBuilder::serve_over),
//! [`ClientBuilder::connect_with`](crate::ClientBuilder::connect_with) and
//! [`ClientBuilder::connect_over`](crate::ClientBuilder::connect_over).
//!
//! Not stable: behind the feature `unstable-transport`, these may change in any release.

mod listening;
#[cfg(feature = "unstable-transport")]
pub mod memory;
mod readiness;
mod registered;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod unix;

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use masep_proto::Limits;
use masep_proto::connection::{Action, Transmit, Write};
use masep_proto::tls::LayerState;

use crate::{Address, SocketOptions};

pub(crate) use listening::ListeningSocket;
pub use registered::{SocketListener, connect};
pub(crate) use socket::{Socket, connect_blocking};
#[cfg(feature = "unstable-transport")]
pub use {readiness::UnixTransport, registered::SocketTransport};

/// A connected stream of bytes in both directions, as a socket is one. No call of it waits.
///
/// Dropping a stream closes it. In order, if all that had arrived was read: the other side reads what was written,
/// and then the end of the stream.
pub trait Stream: Send + Sync + 'static {
    /// Appends what has arrived to the spare capacity of `buffer`, which is not grown. 0 at the end
    /// of the stream, or if there is no capacity.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing has; others are the end of the connection,
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the other side reset it and
    /// [`TimedOut`](io::ErrorKind::TimedOut) if it is known to be gone.
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;

    /// Takes as many of the bytes, from one buffer after the other, as there is room for, at least one.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room; others as for
    /// [`try_read`](Self::try_read), and [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the stream was
    /// shut for writing.
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// [`try_write_vectored`](Self::try_write_vectored) from one buffer.
    ///
    /// # Errors
    /// As there.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Shuts one direction or both. The other side reads the end of the stream behind what was
    /// written; this side, behind what has arrived.
    ///
    /// # Errors
    /// A connection ignores them: it is about to leave the stream.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Lets the drop be a reset, where there is such a thing: the other side finds an error, not the end of the
    /// stream.
    fn reset_on_drop(&self);

    /// The state of a layer of this stream, such as TLS, after a call of it. A stream has one from the beginning, or never.
    /// By default it has none.
    fn layer(&self) -> Option<LayerState> {
        None
    }

    /// Writes what the [layer](Self::layer) owes. By default that is nothing.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room for all of it; others as for
    /// [`try_write_vectored`](Self::try_write_vectored).
    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// The options that only TCP has. By default it is none.
    fn tcp(&self) -> Option<&dyn TcpOptions> {
        None
    }
}

/// The options of a stream of TCP. By default they are those of its [socket](Self::socket), or none.
pub trait TcpOptions {
    /// The socket of the system of which these are the options, if there is one. By default there is none.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Sets what the bounds and options ask of the network itself, such as keep-alive. Called once, before anything else.
    ///
    /// # Errors
    /// The stream is of no use then, and is dropped.
    fn prepare(&self, limits: &Limits, options: &SocketOptions) -> io::Result<()> {
        self.socket()
            .map_or(Ok(()), |socket| tcp::set_options(&socket, limits, options))
    }

    /// True if [`prepare`](Self::prepare) has nothing to do, as on a stream whose options are those of the socket that
    /// listened.
    fn is_prepared(&self, limits: &Limits) -> bool {
        self.socket()
            .is_some_and(|socket| tcp::has_options(&socket, limits))
    }

    /// Has the system make its pauses again between what it sends, if the stream has begun without.
    fn send_paced(&self) {
        self.socket().iter().for_each(tcp::send_paced);
    }

    /// Takes as [`Stream::try_write_vectored`] does, and begins a new segment behind these bytes, where the system has that:
    /// for a peer that takes the end of a segment for the end of a frame.
    ///
    /// # Errors
    /// As there.
    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Takes what is followed by the end of the stream at once: both can go in one segment then, where the system has that.
    /// By default they do not.
    ///
    /// # Errors
    /// As [`try_write_apart`](Self::try_write_apart).
    #[cfg_attr(
        not(feature = "tls"),
        allow(dead_code, reason = "the last thing before an end is that of TLS")
    )]
    fn try_write_last(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_apart(&[IoSlice::new(bytes)])
    }

    /// Asks for prompt acknowledgements of what arrives next (`TCP_QUICKACK`), for a peer that waits for them.
    fn acknowledge(&self) {
        self.socket().iter().for_each(tcp::rearm_quickack);
    }

    /// Lets what arrives next wait for its acknowledgement, until it is answered or for as long as the system
    /// does (40 ms on Linux).
    fn withhold_acknowledgement(&self) {
        self.socket().iter().for_each(tcp::withhold_acknowledgement);
    }

    /// From here on the stream is writable when all that was written has been sent, so that closing loses nothing of
    /// it. False if the system has no such option.
    fn tell_when_sent(&self) -> bool {
        self.socket()
            .is_some_and(|socket| tcp::tell_when_sent(&socket))
    }
}

/// A stream that tasks wait for.
///
/// To move bytes, try, and wait when there is [`WouldBlock`](io::ErrorKind::WouldBlock): so no buffer is
/// taken before there is something to put into it, and giving up a wait loses nothing. Both waits may
/// end too early, and must end when a try would give an error or the end of the stream. Tasks take
/// turns with it: of those that have polled for the same, the last is woken.
pub trait Transport: Stream {
    /// Ready when there is something to read; if not, this task is woken when there may be.
    ///
    /// # Errors
    /// Only when the wait itself is of no use, as in a runtime that has been shut down.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when there is room to write; if not, this task is woken when there may be.
    ///
    /// # Errors
    /// As [`poll_readable`](Self::poll_readable).
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// As [`try_read`](Stream::try_read), but asks the system also when nothing is known to have arrived, and
    /// up to so many times: for those who spin. By default the same, once.
    ///
    /// # Errors
    /// As [`try_read`](Stream::try_read).
    fn try_read_eagerly(&self, buffer: &mut Vec<u8>, times: usize) -> io::Result<usize> {
        let _ = times;
        self.try_read(buffer)
    }

    /// Ready when all that was written has been sent, so that closing loses nothing of it; if not, this task
    /// is woken as by [`poll_writable`](Self::poll_writable) when it may be. Asked before the stream is
    /// shut for writing. By default what was written counts as sent, as on a Unix socket.
    ///
    /// # Errors
    /// As [`try_write_vectored`](Stream::try_write_vectored): nothing more will be sent.
    fn poll_sent(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The source of a server's connections.
pub trait Listener: Send + Sync + 'static {
    /// The transport under each connection.
    type Transport: Transport;

    /// The address that it listens on. It is shown to people and told to those who search the LAN.
    ///
    /// # Errors
    /// If there is none any more.
    fn local_address(&self) -> io::Result<Address>;

    /// The next connection, and the peer's address. Work that takes time with one peer, such as a
    /// handshake, belongs into the transport's first reads and writes: this call serves them all.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), [`ConnectionReset`](io::ErrorKind::ConnectionReset)
    /// and [`Interrupted`](io::ErrorKind::Interrupted) concern one connection, which is gone; after any
    /// other error the server rests for a moment and tries again.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Transport, Address)>> + Send;
}

/// Sets what the bounds and options ask of the network.
pub(crate) fn prepare(
    stream: &(impl Stream + ?Sized),
    limits: &Limits,
    options: &SocketOptions,
) -> io::Result<()> {
    stream
        .tcp()
        .map_or(Ok(()), |tcp| tcp.prepare(limits, options))
}

/// As [`prepare`], on a stream that was accepted.
pub(crate) fn prepare_accepted(
    stream: &(impl Stream + ?Sized),
    limits: &Limits,
    options: &SocketOptions,
) -> io::Result<()> {
    match stream.tcp() {
        Some(tcp) if !tcp.is_prepared(limits) => tcp.prepare(limits, options),
        _ => Ok(()),
    }
}

/// The peer has said hello. `splits_frames`: it writes header and body apart, see
/// [`peer_splits_frames`](masep_proto::connection::Connection::peer_splits_frames).
///
/// A large frame that is sent without the pauses of a congestion control arrives in pieces more often, which pymasep's reader
/// does not endure.
pub(crate) fn note_peer(stream: &(impl Stream + ?Sized), splits_frames: bool) {
    if splits_frames && let Some(tcp) = stream.tcp() {
        tcp.send_paced();
    }
}

/// Does to a stream what its connection wants done. A close is left to the owner of the stream.
pub(crate) fn act(stream: &(impl Stream + ?Sized), action: Action) {
    match (action, stream.tcp()) {
        (Action::QuickAck, Some(tcp)) => tcp.acknowledge(),
        (Action::DelayAck, Some(tcp)) => tcp.withhold_acknowledgement(),
        (Action::HalfClose, _) => drop(stream.shutdown(Shutdown::Write)),
        (Action::Reset, _) => stream.reset_on_drop(),
        (Action::Close, _) | (_, None) => {}
    }
}

/// One write.
#[inline(always)]
pub(crate) fn write(stream: &(impl Stream + ?Sized), transmit: &Transmit) -> Write {
    if let Some(bytes) = transmit.as_slice()
        && !transmit.fresh_segment()
        && !bytes.is_empty()
    {
        return stream.try_write(bytes).into();
    }
    write_pieces(stream, transmit)
}

fn write_pieces(stream: &(impl Stream + ?Sized), transmit: &Transmit) -> Write {
    if transmit.is_empty() {
        return match stream.try_flush() {
            Ok(()) => Write::Bytes(0),
            Err(error) => Err(error).into(),
        };
    }
    let mut slices = [IoSlice::new(&[]); Transmit::MOST_SLICES];
    let used = transmit.slices(&mut slices);
    let slices = &slices[..used];
    match stream.tcp() {
        Some(tcp) if transmit.fresh_segment() => tcp.try_write_apart(slices).into(),
        _ => stream.try_write_vectored(slices).into(),
    }
}
