//! What a connection runs over.
//!
//! [`Transport`] and [`Listener`] say all that a connection and a server need of a network. TCP is
//! one, and the one of [`ServerBuilder::bind`](crate::ServerBuilder::bind) and
//! [`ClientBuilder::connect`](crate::ClientBuilder::connect); others begin at
//! [`ServerBuilder::serve`](crate::ServerBuilder::serve),
//! [`ClientBuilder::connect_with`](crate::ClientBuilder::connect_with) and
//! [`ClientBuilder::connect_over`](crate::ClientBuilder::connect_over). [`memory`] is a network
//! without sockets, for tests.
//!
//! Not stable: behind the feature `unstable-transport`, these may change in any release.

#[cfg(feature = "unstable-transport")]
pub mod memory;
mod tcp;

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};

use masep_proto::Limits;

use crate::SocketOptions;

pub(crate) use tcp::{rearm_quickack, set_options, withhold_acknowledgement};

/// A connected stream of bytes in both directions, as a non-blocking TCP socket is one.
///
/// To move bytes, try, and wait when there is [`WouldBlock`](io::ErrorKind::WouldBlock): so no buffer is
/// taken before there is something to put into it, and giving up a wait loses nothing. Both waits may
/// end too early, and must end when a try would give an error or the end of the stream. Tasks take
/// turns with it: of those that have polled for the same, the last is woken.
///
/// Dropping a transport closes it. In order, if all that had arrived was read: the other side reads
/// what was written, and then the end of the stream.
pub trait Transport: Send + Sync + 'static {
    /// Sets what the bounds and options ask of the network itself, such as TCP keep-alive. Called once, before
    /// anything else.
    ///
    /// # Errors
    /// The transport is of no use then, and is dropped.
    fn prepare(&self, limits: &Limits, options: &SocketOptions) -> io::Result<()>;

    /// Whether there is something to read; if not, this task is woken when there may be.
    ///
    /// # Errors
    /// Only when the wait itself is of no use, as in a runtime that has been shut down.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has arrived to the spare capacity of `buffer`, which is not grown. 0 at the end
    /// of the stream, or if there is no capacity.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing has; others are the end of the connection,
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the other side reset it and
    /// [`TimedOut`](io::ErrorKind::TimedOut) if it is known to be gone.
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;

    /// As [`try_read`](Self::try_read), but asks the system also when nothing is known to have arrived, and
    /// up to so many times: for those who spin. By default the same, once.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    fn try_read_eagerly(&self, buffer: &mut Vec<u8>, times: usize) -> io::Result<usize> {
        let _ = times;
        self.try_read(buffer)
    }

    /// Whether there is room to write; if not, this task is woken when there may be.
    ///
    /// # Errors
    /// As [`poll_readable`](Self::poll_readable).
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes as many of the bytes as there is room for, at least one.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room; others as for
    /// [`try_read`](Self::try_read), and [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the stream was
    /// shut for writing.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes from several buffers in order, as [`try_write`](Self::try_write) does from one. By
    /// default from the first that is not empty.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        first.map_or(Ok(0), |buffer| self.try_write(buffer))
    }

    /// Takes as [`try_write_vectored`](Self::try_write_vectored) does, and begins a new packet behind
    /// these bytes, where there is such a thing: for a peer that takes the end of a packet for the
    /// end of a frame. By default there is not.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(buffers)
    }

    /// Whether all that was written has been sent, so that closing loses nothing of it; if not, this task
    /// is woken as by [`poll_writable`](Self::poll_writable) when it may be. Asked before the stream is
    /// shut for writing. By default what was written counts as sent.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write): nothing more will be sent.
    fn poll_sent(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Asks for prompt acknowledgements of what arrives next, where there is such a thing:
    /// `TCP_QUICKACK`, for a peer that waits for them.
    fn acknowledge(&self) {}

    /// Lets what arrives next wait for its acknowledgement, until it is answered or for as long as the system
    /// does (40 ms on Linux), where there is such a thing.
    fn withhold_acknowledgement(&self) {}

    /// Shuts one direction or both. The other side reads the end of the stream behind what was
    /// written; this side, behind what has arrived.
    ///
    /// # Errors
    /// None that matters to a connection, which shuts what it is about to leave.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Lets the drop be a reset: the other side finds an error, not the end of the stream.
    fn reset_on_drop(&self);
}

/// Where the connections of a server come from.
pub trait Listener: Send + Sync + 'static {
    /// What a connection runs over.
    type Transport: Transport;

    /// The address that it listens on. It is shown to people and told to those who search the LAN.
    ///
    /// # Errors
    /// If there is none any more.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// The next connection, and where it comes from. Whatever takes time with one peer, such as a
    /// handshake, belongs into the transport's first reads and writes: this call serves them all.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), [`ConnectionReset`](io::ErrorKind::ConnectionReset)
    /// and [`Interrupted`](io::ErrorKind::Interrupted) concern one connection, which is gone; after any
    /// other error the server rests for a moment and tries again.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Transport, SocketAddr)>> + Send;
}
