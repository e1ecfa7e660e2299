//! The handle of a live connection.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use masep_proto::connection::{Config, Connection as Core};
use masep_proto::{Frame, Limits, Message, PeerId};

use super::drive::Awaits;
use super::shared::{Handle, Shared, State};
use super::stream::after;
use super::{Registry, TimedOut};
use crate::sync::{self, Instant};
use crate::transport::{self, Socket};
use crate::{Address, CloseReason, ConnectionId, SendError, SocketOptions, WhenFull};

/// A connection to a peer that has said hello: a handle, cheap to clone, usable from any thread.
///
/// Reading and writing go on at the same time. Of several threads that read, each gets whole frames
/// one after the other; frames of several threads that write are never mixed.
///
/// Dropping the last handle ends the connection, with a `BYE`. It does not block: what the socket
/// does not take at once is written for up to a second by a background thread. To be sure that all
/// arrives, call [`bye`](Self::bye).
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

impl Connection {
    pub(super) const fn of(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// The connection on a stream on which both sides have said hello already, or that has none. The
    /// peer is known by the id given here.
    ///
    /// The stream is a [`TcpStream`](std::net::TcpStream), a
    /// [`UnixStream`](std::os::unix::net::UnixStream) or another connected stream socket; it is set to block. Nobody
    /// else may read or write it from now on.
    ///
    /// # Errors
    /// What the system says of the socket's options.
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
        Ok(Self::of(Handle::new(shared)))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle
    }

    /// Which connection of this process it is.
    pub fn id(&self) -> ConnectionId {
        self.shared().id
    }

    /// The id that the peer gave in its hello.
    pub fn peer(&self) -> &PeerId {
        self.shared().peer()
    }

    /// The peer's address. A peer on a Unix socket is shown with the path of the server.
    pub fn address(&self) -> Address {
        self.shared().address.clone()
    }

    /// Sends a frame: header and body in one write, by this thread.
    ///
    /// Blocks while the socket has no room and while another thread waits for that. Waiting, it
    /// takes in what the peer sends (up to [`Limits::queue_bytes`], for a later
    /// [`recv`](Self::recv)), so that two sides that only write do not wait for each other. A peer
    /// that takes no byte for [`Limits::write_time`] is given up: the connection ends with
    /// [`CloseReason::WriteTimeout`].
    ///
    /// Sending a `BYE` frame is [`bye`](Self::bye).
    ///
    /// # Errors
    /// [`SendError::TooLarge`] with size and limit, after which the connection lives on, and
    /// [`SendError::Closed`] with the reason for which it ended; the peer may have got a part of
    /// the frame then.
    pub fn send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.shared().send(frame.into())
    }

    /// Sends a frame if the socket has room for its first bytes now. Never blocks.
    ///
    /// A frame that was accepted counts as sent, also if the socket took only a part of it or nothing yet. A background
    /// thread writes the rest, under the same bound as [`send`](Self::send), unless another call is faster:
    /// [`flush`](Self::flush) to know when it is done.
    ///
    /// # Errors
    /// [`SendError::Full`] without room, or while another thread waits for it: nothing of the frame
    /// was sent. The limit in it is the size of the socket's buffer. Else as [`send`](Self::send).
    pub fn try_send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        if !self.shared().offer(frame.into())? {
            self.write_in_background();
        }
        Ok(())
    }

    /// Sends a frame by a policy for a full queue: [`Wait`](WhenFull::Wait) is [`send`](Self::send). The
    /// others never block: a frame for which the socket has no room waits for a background thread, and when
    /// [`Limits::queue_messages`] or [`Limits::queue_bytes`] wait already, [`NewestWins`](WhenFull::NewestWins)
    /// drops the oldest that are not yet on their way, and [`Disconnect`](WhenFull::Disconnect) ends the
    /// connection with a `BYE` and without what waits.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Full`] when the connection was ended for it.
    pub fn send_or(&self, frame: impl Into<Frame>, when_full: WhenFull) -> Result<(), SendError> {
        match when_full {
            WhenFull::Wait => self.send(frame),
            policy => self.shared().push(frame.into(), policy),
        }
    }

    /// [`try_send`](Self::try_send) for callers who see to the rest themselves, by
    /// [`flush`](Self::flush) right after it: without the background thread. Whether there is no rest.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[doc(hidden)]
    pub fn offer(&self, frame: impl Into<Frame>) -> Result<bool, SendError> {
        self.shared().offer(frame.into())
    }

    /// Has what is unsent written by a background thread.
    pub(super) fn write_in_background(&self) {
        self.shared().write_in_background();
    }

    /// Writes the rest of a frame that [`try_send`](Self::try_send) left; returns when the socket
    /// has taken all of it. Blocks as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason for which the connection ended.
    pub fn flush(&self) -> Result<(), SendError> {
        self.shared().flush()
    }

    /// [`flush`](Self::flush) that writes what the socket takes now; whether nothing is left. Never
    /// blocks: where another thread waits for room, something is left.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason for which the connection ended.
    pub fn try_flush(&self) -> Result<bool, SendError> {
        self.shared().try_flush()
    }

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
            Some(stream) if !state.is_closed || state.keeps_socket() => {
                stream.0.as_fd().try_clone_to_owned()
            }
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Encodes a message and sends it as [`send`](Self::send) does. For the same message to many
    /// connections, encode once with [`Message::to_frame`], or use [`Registry::broadcast`].
    ///
    /// # Errors
    /// [`SendError::Encode`] for a message that cannot be sent, else as [`send`](Self::send).
    pub fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send(message.to_frame()?)
    }

    /// The next frame, or `None` when the connection has ended and all that came before was given.
    ///
    /// Blocks until one of both, reading the socket in this thread; when several threads call it,
    /// one reads and the others wait for their turn. With a [`SocketHandler`](super::SocketHandler)
    /// the frames are shared with that one: use [`closed`](Self::closed) instead.
    ///
    /// When this side ends the connection, what the peer has sent and no call has given out is
    /// lost.
    pub fn recv(&self) -> Option<Frame> {
        self.recv_until(None).unwrap_or_default()
    }

    /// [`recv`](Self::recv) that blocks no longer than `time`, whatever other threads do.
    /// Measured in milliseconds, rounded up. A frame that has arrived is given even with a time of
    /// zero.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no frame in that time. Nothing is lost: what has arrived of the
    /// next frame is kept.
    pub fn recv_timeout(&self, time: Duration) -> Result<Option<Frame>, TimedOut> {
        self.recv_until(after(time))
    }

    /// The next frame, if one has arrived and no other thread is reading. Never blocks. `None` also
    /// when the connection has ended, which [`close_reason`](Self::close_reason) tells.
    pub fn try_recv(&self) -> Option<Frame> {
        self.recv_until(Some(sync::now())).unwrap_or_default()
    }

    fn recv_until(&self, until: Option<Instant>) -> Result<Option<Frame>, TimedOut> {
        let shared = self.shared();
        let frame = shared.drive(until, Awaits::Bytes, State::next_frame)?;
        if let Some(frame) = &frame {
            tracing::trace!(connection = %shared.id, bytes = frame.size(), "received");
        }
        Ok(frame)
    }

    /// The newest frame that has arrived, or the next that comes; older ones are dropped, but never
    /// one for which `keep` holds: then that one is given, and what came after it stays. Blocks as
    /// [`recv`](Self::recv), and `None` as there.
    ///
    /// What an agent wants that is slower than its engine: the latest observation, but every `end`
    /// (pymasep's `wait_message(most_recent=True, keep_all=…)`). A peer that sends without pause
    /// cannot hold it up: it looks at no more than [`Limits::queue_bytes`].
    ///
    /// `keep` must not receive from this connection.
    pub fn recv_newest(&self, keep: impl Fn(&Frame) -> bool) -> Option<Frame> {
        self.newest_until(None, keep).unwrap_or_default()
    }

    /// [`recv_newest`](Self::recv_newest) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no frame in that time; nothing is lost.
    pub fn recv_newest_timeout(
        &self,
        time: Duration,
        keep: impl Fn(&Frame) -> bool,
    ) -> Result<Option<Frame>, TimedOut> {
        self.newest_until(after(time), keep)
    }

    fn newest_until(
        &self,
        until: Option<Instant>,
        keep: impl Fn(&Frame) -> bool,
    ) -> Result<Option<Frame>, TimedOut> {
        let Some(mut newest) = self.recv_until(until)? else {
            return Ok(None);
        };
        let mut seen = newest.size();
        while !keep(&newest) && seen < self.shared().config.limits().queue_bytes {
            match self.recv_until(Some(sync::now())) {
                Ok(Some(newer)) => newest = newer,
                Ok(None) | Err(TimedOut) => break,
            }
            // An empty frame has a header too.
            seen += newest.size() + 2;
        }
        Ok(Some(newest))
    }

    /// Sends what is unsent, then `BYE`. Returns when the system has sent the `BYE`, with the
    /// reason for which the connection ended: [`CloseReason::LocalBye`], unless something else
    /// ended it before.
    ///
    /// Nothing that was sent before is lost, as long as the peer takes it within
    /// [`Limits::write_time`]: so long this blocks at most, and then the peer is cut off and the
    /// reason is [`CloseReason::WriteTimeout`]. Other threads that receive get `None`.
    pub fn bye(&self) -> CloseReason {
        self.shared().begin_end(CloseReason::LocalBye);
        let _ = self.shared().wait_closed(None);
        let reason = self.close_reason().cloned();
        reason.unwrap_or(CloseReason::LocalBye)
    }

    /// Why the connection ended, if it has and a call has noticed: the end of the peer is noticed
    /// by the calls that receive, or by sending in vain.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shared().close_reason()
    }

    /// Blocks until the connection has ended and the [`SocketHandler`](super::SocketHandler), if it
    /// has one, was told. Without a handler some thread has to receive, or nobody notices.
    ///
    /// To be called from anywhere but the connection's own handler.
    pub fn closed(&self) -> CloseReason {
        self.closed_until(None).unwrap_or(CloseReason::Aborted)
    }

    pub(super) fn closed_until(&self, until: Option<Instant>) -> Result<CloseReason, TimedOut> {
        self.shared().wait_told(until)?;
        let reason = self.shared().ended.get().cloned();
        Ok(reason.unwrap_or(CloseReason::Aborted))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("peer", self.peer())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
