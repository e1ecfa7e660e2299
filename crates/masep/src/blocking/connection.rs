//! The handle of a live connection.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use masep_proto::connection::{Config, Connection as Core, PeerLimits};
use masep_proto::protocol2::{Bye, Hello, Notice, Protocol, Welcome};
use masep_proto::{DecodeError, EncodeError, Frame, Limits, Message, PeerId};

use super::drive::Awaits;
use super::shared::{Handle, Next, Shared, State};
use super::stream::after;
use super::{Registry, TimedOut};
use crate::sync::{self, Instant};
use crate::transport::{self, Socket};
use crate::{
    Address, CloseReason, ConnectionId, RecvMessageError, RecvTimeoutError, SendError,
    SocketOptions, TryRecvError, WhenFull,
};

/// A connection to a peer that has said hello: a handle, cheap to clone, usable from any thread.
///
/// Reading and writing go on at the same time. Of several threads that read, each gets whole frames
/// one after the other; frames of several threads that write are never mixed.
///
/// Dropping the last handle ends the connection, with a `BYE`. It does not block: a background thread
/// writes the bytes that the socket does not take at once, for up to a second. To be sure that all
/// arrives, call [`bye`](Self::bye).
pub struct Connection {
    shared: Arc<Shared>,
    owner: Owner,
}

/// The part that a handle has in keeping the connection alive.
enum Owner {
    /// The connection lives as long as one of these does.
    Handle(Arc<Handle>),
    /// None, but a clone of this handle has one: of the connection that is lent to the handler of a client.
    Lent(Weak<Handle>),
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        let owner = match &self.owner {
            Owner::Handle(handle) => Owner::Handle(handle.clone()),
            Owner::Lent(handle) => match handle.upgrade() {
                Some(handle) => Owner::Handle(handle),
                // It has ended, or is about to.
                None => Owner::Lent(handle.clone()),
            },
        };
        Self {
            shared: self.shared.clone(),
            owner,
        }
    }
}

impl Connection {
    pub(super) fn of(handle: Arc<Handle>) -> Self {
        Self {
            shared: handle.shared().clone(),
            owner: Owner::Handle(handle),
        }
    }

    /// A handle that does not keep the connection alive, but whose clones do.
    pub(super) fn lend(&self) -> Self {
        let handle = match &self.owner {
            Owner::Handle(handle) => Arc::downgrade(handle),
            Owner::Lent(handle) => handle.clone(),
        };
        Self {
            shared: self.shared.clone(),
            owner: Owner::Lent(handle),
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
        Ok(Self::of(Handle::new(shared)))
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The number of this connection in this process.
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

    /// The generation of the protocol that is spoken on this connection.
    pub fn protocol(&self) -> Protocol {
        self.peer_limits().protocol
    }

    /// What the peer can be sent.
    pub fn peer_limits(&self) -> PeerLimits {
        self.shared().lock().core.peer_limits()
    }

    /// What the server said when it took this client (protocol 2): a seat, an instance, what it can do. `None` on a
    /// server's connection, and in pymasep's protocol, which has no such thing.
    pub fn welcome(&self) -> Option<Welcome> {
        self.shared().lock().core.welcome().cloned()
    }

    /// What the client said of itself in its HELLO (protocol 2): its role, game, seat, features. Access token, resume text
    /// and `make` are for the [verdict](crate::Request) and not kept. `None` on a client's connection, and in pymasep's
    /// protocol, which has no such thing.
    pub fn hello(&self) -> Option<Hello> {
        self.shared().lock().core.hello().cloned()
    }

    /// The time of the last round trip of a ping (protocol 2): one is sent by [`ping`](Self::ping), and by a call that
    /// waits after a heartbeat without anything else ([`Limits::heartbeat`]). `None` before the first. What calls that
    /// receive have read of the answer counts, so the time until such a call is in it.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared().lock().core.rtt()
    }

    /// Asks the peer for a sign of life, which gives [`rtt`](Self::rtt) when a call that receives has read it. False if
    /// none was asked for: in pymasep's protocol, where the connection has ended, and while another one is under way that is
    /// not a second old. Never blocks.
    pub fn ping(&self) -> bool {
        self.shared().ping()
    }

    /// Tells the peer of something that was not accepted, which is no end (protocol 2). It overtakes frames that wait.
    /// A peer of pymasep's protocol cannot be told, which is no error. Never blocks: a background thread writes what the
    /// socket has no room for.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason of the end, [`SendError::Full`] if the peer does not take those before it, and
    /// [`SendError::TooLarge`] for one of more than 4,096 bytes.
    pub fn notice(&self, notice: Notice) -> Result<(), SendError> {
        self.shared().notice(notice)
    }

    /// The oldest notice of the peer's that has arrived and was not taken: something that it did not accept, which is no
    /// end (protocol 2). They are read by the calls that receive frames, which they may have overtaken, so ask after one of
    /// those; a handler is told ([`SocketHandler::on_notice`](super::SocketHandler::on_notice)). The latest 16 are kept. Never blocks.
    pub fn try_notice(&self) -> Option<Notice> {
        self.shared().lock().core.poll_notice()
    }

    /// Sends a frame: header and body in one write, by this thread.
    ///
    /// Blocks while the socket has no room and while another thread waits for that. While it waits, it
    /// takes in the frames of the peer (up to [`Limits::queue_bytes`], for a later
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
    /// connection with a `BYE` and without the frames that wait.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Full`] when the connection was ended for it.
    pub fn send_or(&self, frame: impl Into<Frame>, when_full: WhenFull) -> Result<(), SendError> {
        match when_full {
            WhenFull::Wait => self.send(frame),
            policy => self.shared().push(frame.into(), policy),
        }
    }

    /// Has a background thread write the rest.
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

    /// [`flush`](Self::flush) that writes only as much as the socket takes now. True if nothing is left. Never
    /// blocks: while another thread waits for room, something is left.
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

    /// [Encodes](Self::encode) a message and sends it as [`send`](Self::send) does. For the same message to
    /// many connections, see [`Registry::broadcast_message`].
    ///
    /// # Errors
    /// [`SendError::Encode`] for a message that cannot be sent, else as [`send`](Self::send).
    pub fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send(self.encode(message)?)
    }

    /// A message as a frame for this connection, within its bounds.
    ///
    /// # Errors
    /// A message over one of the bounds of messages in [`Limits`], or with something that this peer cannot be sent.
    pub fn encode(&self, message: &Message) -> Result<Frame, EncodeError> {
        self.shared().encoding().encode(message)
    }

    /// The message in a frame of this connection, within its bounds. What handlers do with the frames that they get.
    ///
    /// # Errors
    /// A frame that is no message, or over one of the bounds of messages in [`Limits`]; with the position.
    pub fn decode(&self, frame: Frame) -> Result<Message, DecodeError> {
        self.shared().encoding().decode(frame)
    }

    /// The next frame, or the reason for which the connection has ended when all that came before was given:
    /// [`CloseReason::is_orderly`] tells whether that is as it should be.
    ///
    /// Blocks until one of both, reading the socket in this thread; when several threads call it,
    /// one reads and the others wait for their turn. With a [`SocketHandler`](super::SocketHandler)
    /// the frames are shared with that one: use [`closed`](Self::closed) instead.
    ///
    /// When this side ends the connection, frames of the peer that no call has given out are
    /// lost.
    ///
    /// # Errors
    /// The reason of the end, the same each time.
    pub fn recv(&self) -> Result<Frame, CloseReason> {
        let received = self.recv_until(None).unwrap_or_default();
        received.ok_or_else(|| self.end_reason())
    }

    /// [`recv`](Self::recv) that blocks no longer than `time`, whatever other threads do.
    /// Measured in milliseconds, rounded up. A frame that has arrived is given even with a time of
    /// zero.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`] if there was no frame in that time: nothing is lost, what has arrived of the
    /// next frame is kept. [`RecvTimeoutError::Closed`] at the end.
    pub fn recv_timeout(&self, time: Duration) -> Result<Frame, RecvTimeoutError> {
        let received = self.recv_until(after(time));
        self.in_time(received)
    }

    /// The next frame, if one has arrived and no other thread is reading. Never blocks.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none has, and [`TryRecvError::Closed`] with the reason of the end.
    pub fn try_recv(&self) -> Result<Frame, TryRecvError> {
        let received = self.recv_until(Some(sync::now()));
        self.in_time(received).map_err(|error| match error {
            RecvTimeoutError::TimedOut => TryRecvError::Empty,
            RecvTimeoutError::Closed(reason) => TryRecvError::Closed(reason),
        })
    }

    /// The next frame as a message: [`recv`](Self::recv), and then [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`RecvMessageError::Closed`] at the end. [`RecvMessageError::Decode`] for a frame that is no message; it has that
    /// frame, and the next call gives what came after it.
    pub fn recv_message(&self) -> Result<Message, RecvMessageError> {
        let frame = self.recv()?;
        RecvMessageError::decode(&self.shared().encoding(), frame)
    }

    fn in_time(
        &self,
        received: Result<Option<Frame>, TimedOut>,
    ) -> Result<Frame, RecvTimeoutError> {
        match received {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(RecvTimeoutError::Closed(self.end_reason())),
            Err(TimedOut) => Err(RecvTimeoutError::TimedOut),
        }
    }

    /// The reason of an end that a call has met.
    fn end_reason(&self) -> CloseReason {
        let reason = self.shared().ended.get().cloned();
        reason.unwrap_or(CloseReason::Aborted)
    }

    /// The next thing for a handler. Blocks as [`recv`](Self::recv).
    pub(super) fn next_for_handler(&self) -> Option<Next> {
        let shared = self.shared();
        let next = shared.drive(None, Awaits::Bytes, State::next_for_handler);
        let next = next.unwrap_or_default();
        if let Some(Next::Frame(frame)) = &next {
            tracing::trace!(connection = %shared.id, bytes = frame.size(), "received");
        }
        next
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
    /// [`recv`](Self::recv).
    ///
    /// This is for an agent that is slower than its engine: it gets the latest observation, but every `end`
    /// (pymasep's `wait_message(most_recent=True, keep_all=…)`). A peer that sends without pause
    /// cannot hold it up: it looks at no more than [`Limits::queue_bytes`].
    ///
    /// `keep` must not receive from this connection.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_newest(&self, keep: impl Fn(&Frame) -> bool) -> Result<Frame, CloseReason> {
        let received = self.newest_until(None, keep).unwrap_or_default();
        received.ok_or_else(|| self.end_reason())
    }

    /// [`recv_newest`](Self::recv_newest) that blocks no longer than `time`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_newest_timeout(
        &self,
        time: Duration,
        keep: impl Fn(&Frame) -> bool,
    ) -> Result<Frame, RecvTimeoutError> {
        let received = self.newest_until(after(time), keep);
        self.in_time(received)
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

    /// Sends the rest, then `BYE`. Returns when the system has sent the `BYE`, with the
    /// reason for which the connection ended: [`CloseReason::LocalBye`], unless something else
    /// ended it before.
    ///
    /// Nothing that was sent before is lost, as long as the peer takes it within
    /// [`Limits::write_time`]: so long this blocks at most, and then the peer is cut off and the
    /// reason is [`CloseReason::WriteTimeout`]. Other threads that receive are told of the end.
    pub fn bye(&self) -> CloseReason {
        self.shared().begin_end(CloseReason::LocalBye);
        let _ = self.shared().wait_closed(None);
        let reason = self.close_reason().cloned();
        reason.unwrap_or(CloseReason::LocalBye)
    }

    /// [`bye`](Self::bye) that tells the peer why, by a code for programs and a text for people, and whether it may come
    /// back: its [`CloseReason::words`]. To a peer of pymasep's protocol it is a plain `BYE`.
    pub fn bye_with(&self, bye: Bye) -> CloseReason {
        self.shared().begin_end_with(bye);
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
