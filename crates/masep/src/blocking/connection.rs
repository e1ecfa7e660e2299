//! The handle of a live connection.

#[cfg(not(masep_model))]
mod aside;
mod gathering;
mod receiving;
mod sending;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use masep_proto::connection::{Config, Connection as Core};
use masep_proto::protocol2::Bye;
use masep_proto::{Limits, PeerId};

use super::shared::{DropGuard, Shared};
use super::{Registry, TimedOut};
use crate::handle::{Owner, SharedConnection as _, handle_calls, handle_traits};
use crate::sync::{self, Instant};
use crate::transport::{self, Socket};
use crate::{CloseReason, SocketOptions};

#[cfg(not(masep_model))]
pub(super) use aside::FromAside;

/// A connection to a peer that has said hello: a handle, cheap to clone, usable from any thread.
///
/// Reading and writing go on at the same time. Of several threads that read, each gets whole frames
/// one after the other; frames of several threads that write are never mixed.
///
/// Dropping the last handle ends the connection, with a `BYE`. It does not block: a background thread
/// writes the bytes that the socket does not take at once, for up to a second. To be sure that all
/// arrives, call [`bye`](Self::bye).
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    owner: Owner<DropGuard>,
}

impl Connection {
    pub(super) fn of(guard: Arc<DropGuard>) -> Self {
        Self {
            shared: guard.shared().clone(),
            owner: Owner::Guard(guard),
        }
    }

    /// A handle that does not keep the connection alive, but whose clones do.
    pub(super) fn lend(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            owner: self.owner.lend(),
        }
    }

    /// The connection on a stream on which both sides have said hello already, or that has none. The
    /// peer is known by the id given here.
    ///
    /// The stream is a [`TcpStream`](std::net::TcpStream), a
    /// [`UnixStream`](std::os::unix::net::UnixStream) or another connected stream socket; it is set to block. Nobody
    /// else may read or write it from now on.
    ///
    /// # Errors
    /// The error of the system for an option of the socket.
    pub fn over(
        stream: impl Into<OwnedFd>,
        peer: impl Into<PeerId>,
        limits: &Limits,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let (stream, address) = Socket::new(stream)?;
        stream.set_nonblocking(false)?;
        transport::prepare(&stream, limits, options)?;
        let config = Config::new("", limits.clone()).map(Arc::new);
        let config = config.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let core = Core::established(config.clone(), peer.into(), sync::now());
        let owner = (Registry::default(), None, false);
        let shared = Shared::new(core, stream, address, config, options.busy_poll, owner);
        Ok(Self::of(DropGuard::new(shared)))
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    handle_calls!();

    /// Another handle of the socket, a [`TcpStream`](std::net::TcpStream) or a
    /// [`UnixStream`](std::os::unix::net::UnixStream) by what it is, for its options, its addresses, or to wait until it is readable
    /// in an event loop: then [`try_recv`](Self::try_recv) may have something. The socket is open as
    /// long as it is, but of no use when the connection has ended.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the connection has ended, or what the system
    /// says.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        let state = self.shared().lock();
        match &state.stream {
            Some(stream) if !state.core.is_closed() || state.keeps_socket() => {
                stream.0.as_fd().try_clone_to_owned()
            }
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends the rest, then `BYE`. Returns when the system has sent the `BYE`, with the
    /// reason for which the connection ended: [`CloseReason::LocalBye`], unless something else
    /// ended it before.
    ///
    /// Nothing that was sent before is lost, as long as the peer takes it within
    /// [`Limits::write_time`]: so long this blocks at most, and then the peer is cut off and the
    /// reason is [`CloseReason::WriteTimeout`]. Other threads that receive are told of the end.
    pub fn bye(&self) -> CloseReason {
        self.shared().begin_end(CloseReason::LocalBye);
        self.wait_for_bye()
    }

    /// [`bye`](Self::bye) that tells the peer why, by a code for programs and a text for people, and whether it may come
    /// back: its [`CloseReason::words`]. To a peer of pymasep's protocol it is a plain `BYE`.
    pub fn bye_with(&self, bye: Bye) -> CloseReason {
        self.shared().begin_end_with(bye);
        self.wait_for_bye()
    }

    fn wait_for_bye(&self) -> CloseReason {
        let _ = self.shared().wait_closed(None);
        let reason = self.close_reason().cloned();
        reason.unwrap_or(CloseReason::LocalBye)
    }

    /// The reason why the connection ended, if it has and a call has noticed: the end of the peer is noticed
    /// by the calls that receive, or by sending in vain.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shared().close_reason()
    }

    /// Blocks until the connection has ended and the [`SocketHandler`](super::SocketHandler), if it
    /// has one, was told. Without a handler some thread has to receive, or nobody notices. In the connection's own handler,
    /// which is told when its call has returned, it blocks until the peer was told; it reads nothing meanwhile, so that an
    /// end by the peer that was not read yet is not noticed.
    pub fn closed(&self) -> CloseReason {
        self.closed_until(None).unwrap_or(CloseReason::Aborted)
    }

    pub(super) fn closed_until(&self, until: Option<Instant>) -> Result<CloseReason, TimedOut> {
        self.shared().wait_told(until)?;
        let reason = self.shared().settled_reason().cloned();
        Ok(reason.unwrap_or(CloseReason::Aborted))
    }
}

handle_traits!(Connection);
