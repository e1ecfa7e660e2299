//! The parts of a connection that its handles share: the core under its lock, and the threads around it.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

#[cfg(feature = "unstable-bindings")]
use masep_proto::Pieces;
use masep_proto::connection::{
    Batch, Config, Connection as Core, Event, PushError, Pushed, Want, WhenFull,
};
use masep_proto::protocol2::{Bye, Notice, Rejected, Welcome};
use masep_proto::{Encoding, Frame, Limit, LimitExceeded, PeerId};

#[cfg(feature = "unstable-bindings")]
use super::Offer;
use super::door::Place;
use super::drive::{Awaits, Roles};
use super::stream::{Stream, Waker};
use super::{Registry, TimedOut};
use crate::hearing::Hearing;
use crate::sync::{self, Condvar, Instant, Mutex, MutexGuard, OnceLock};
use crate::transport::Socket;
use crate::{Address, CloseReason, ConnectionId, RejectReason, SendError};

/// The send buffer of a Unix socket has room for so many bytes, and for larger frames in one piece only if it is asked for.
#[cfg(feature = "unstable-bindings")]
const WIDEN_FROM: usize = 128 * 1024;

/// One connection, shared by its handles, the thread in the background, and the server's door.
pub(super) struct Shared {
    pub(super) id: ConnectionId,
    pub(super) address: Address,
    pub(super) config: Arc<Config>,
    pub(super) busy_poll: Duration,
    pub(super) registry: Registry,
    /// The place at the door of a server, if it is a server's.
    place: Option<Place>,
    /// True if a handler is told of the end.
    handled: bool,
    /// From the peer's hello on.
    peer: OnceLock<PeerId>,
    /// From the end on.
    pub(super) ended: OnceLock<CloseReason>,
    state: Mutex<State>,
    /// For threads that wait for each other.
    pub(super) changed: Condvar,
    /// For threads that wait for the end, and do nothing for it.
    gone: Condvar,
}

pub(super) struct State {
    /// The time of the last look at the clock, which each call that begins or has waited makes.
    pub(super) now: Instant,
    pub(super) core: Core,
    /// Frames that were taken out of the core together.
    batch: Batch,
    /// `None` when it is closed.
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) roles: Roles,
    /// True if the end was told to the peer, and then to the handler.
    pub(super) is_closed: bool,
    /// From then on until the stream is closed, if it is awaited that the peer does so.
    hearing: Option<Hearing>,
    /// A call was made on it. Until then its socket can be had, though the end may have come with the hello.
    pub(super) is_used: bool,
    /// It has ended, and frames were still to be received then.
    end_is_behind: bool,
    /// A call has told the user so, or has ended the connection.
    end_is_seen: bool,
    is_told: bool,
    /// A notice has arrived of which a handler was not told.
    has_notice: bool,
    /// The reason for which the door refuses the peer.
    refusal: Option<RejectReason>,
    /// The first handle, from the verdict until somebody gets it.
    first: Option<Arc<Handle>>,
}

/// The owner of a connection: the last handle ends it.
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(shared))
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Deref for Handle {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end(CloseReason::LocalBye);
    }
}

/// A thing for a handler.
pub(super) enum Next {
    Frame(Frame),
    /// There is a notice that can be taken.
    Notice,
}

/// The events since the last look.
#[derive(Default)]
pub(super) struct News {
    hello: bool,
    open: bool,
    failed: bool,
    ended: bool,
    closed: bool,
    over: bool,
    /// A thread is to be woken that waits for bytes.
    pub(super) wake: Option<Arc<Stream>>,
    pub(super) sleepers: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(
        mut core: Core,
        socket: Socket,
        address: Address,
        config: Arc<Config>,
        busy_poll: Duration,
        owner: (Registry, Option<Place>, bool),
    ) -> Arc<Self> {
        let (registry, place, handled) = owner;
        // Threads that wait for these are woken by the one that has read or written.
        for event in [Event::Frames, Event::SendRoom, Event::Written(0)] {
            core.silence(event);
        }
        let this = Self {
            id: ConnectionId::next(),
            address,
            config,
            busy_poll,
            registry,
            place,
            handled,
            peer: OnceLock::new(),
            ended: OnceLock::new(),
            state: Mutex::new(State {
                now: sync::now(),
                core,
                batch: Batch::new(),
                stream: Some(Arc::new(Stream(socket))),
                roles: Roles::default(),
                is_closed: false,
                hearing: None,
                is_used: false,
                end_is_behind: false,
                end_is_seen: false,
                is_told: false,
                has_notice: false,
                refusal: None,
                first: None,
            }),
            changed: Condvar::new(),
            gone: Condvar::new(),
        };
        this.note_peer(&this.lock());
        Arc::new(this)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn peer(&self) -> &PeerId {
        self.peer
            .get()
            .expect("handles are of those that have said hello")
    }

    fn note_peer(&self, state: &State) {
        if let (Some(peer), None) = (state.core.peer(), self.peer.get()) {
            let _ = self.peer.set(peer.clone());
        }
    }

    /// False if the connection has ended, or is being ended, as far as its user can know.
    pub(super) fn is_live(&self) -> bool {
        let state = self.lock();
        state.core.is_open() || state.has_unseen_end()
    }

    /// The reason for which the connection ended, when its user can know.
    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        let reason = self.ended.get()?;
        (!self.lock().has_unseen_end()).then_some(reason)
    }

    /// Changes the core, and does all work that follows and needs no wait.
    pub(super) fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = state.tick();
        let result = change(&mut state, now);
        self.leave(state);
        result
    }
}

/// Sending.
impl Shared {
    /// The form of messages.
    pub(super) fn encoding(&self) -> Encoding {
        self.lock().core.encoding()
    }

    /// Sends the frame, and returns when it is written.
    pub(super) fn send(self: &Arc<Self>, frame: Frame) -> Result<(), SendError> {
        tracing::trace!(connection = %self.id, bytes = frame.size(), "sending");
        let (mut frame, mut last) = (Some(frame), None);
        let sent = self.drive(None, Awaits::Room, |state| {
            if let Some(next) = &frame
                && last.is_none()
            {
                if state.core.is_end(next) {
                    return Some(Ok(Sent::End));
                }
                // A frame that waits for room is not accepted yet: it is not sent if the connection ends.
                if state.core.is_open() && state.is_blocked() {
                    return None;
                }
                match state.core.send(&mut frame, WhenFull::Wait, state.now) {
                    Ok(_) => last = Some(state.core.accepted()),
                    Err(PushError::Full(_)) => return None,
                    Err(error) => {
                        if matches!(error, PushError::Closed(_)) {
                            state.see_end();
                        }
                        return Some(Err(error.into()));
                    }
                }
            }
            let written = state.is_written(last?)?;
            Some(written.map(|()| Sent::Frame))
        });
        if sent.unwrap_or(Ok(Sent::Frame))? == Sent::End {
            self.begin_end(CloseReason::LocalBye);
            let _ = self.wait_closed(None);
        }
        Ok(())
    }

    /// Sends the frame if nothing waits for room. Returns true if all of it is written.
    pub(super) fn offer(self: &Arc<Self>, frame: Frame) -> Result<bool, SendError> {
        let size = frame.size();
        let mut state = self.write_now();
        state.is_used = true;
        if state.core.is_end(&frame) {
            let now = state.now;
            state.end_is_seen = true;
            state.core.end(CloseReason::LocalBye, now);
            self.leave(state);
            self.hasten();
            return Ok(true);
        }
        if state.core.is_open() && state.is_blocked() {
            let socket = state.stream.as_ref();
            let allowed = socket.map_or(0, |stream| stream.0.send_buffer_size());
            return Err(SendError::Full(LimitExceeded {
                limit: Limit::QueueBytes,
                actual: allowed + size,
                allowed,
            }));
        }
        tracing::trace!(connection = %self.id, bytes = size, "sending");
        let now = state.now;
        let pushed = state.core.send(&mut Some(frame), WhenFull::Wait, now);
        let last = state.core.accepted();
        if matches!(pushed, Err(PushError::Closed(_))) {
            state.see_end();
        }
        drop(state);
        let _: Pushed = pushed?;
        Ok(self.write_now().core.written() >= last)
    }

    /// [`offer`](Self::offer) of a frame in pieces, of which nothing is used any more when it returns.
    #[cfg(feature = "unstable-bindings")]
    pub(super) fn offer_pieces(self: &Arc<Self>, pieces: Pieces) -> Result<Offer, SendError> {
        let size = pieces.size();
        let mut state = self.write_now();
        state.is_used = true;
        let now = state.now;
        let transmit = match state.core.send_pieces(pieces, now) {
            Ok(Ok(transmit)) => transmit,
            Ok(Err(frame)) => {
                drop(state);
                return match self.offer(frame.clone()) {
                    Ok(true) => Ok(Offer::Sent),
                    Ok(false) => Ok(Offer::Rest),
                    Err(SendError::Full(_)) => Ok(Offer::NoRoom(frame)),
                    Err(error) => Err(error),
                };
            }
            Err(error) => {
                if matches!(error, PushError::Closed(_)) {
                    state.see_end();
                }
                return Err(error.into());
            }
        };
        tracing::trace!(connection = %self.id, bytes = size, "sending");
        let last = state.core.accepted();
        if size > WIDEN_FROM
            && let Some(stream) = &state.stream
        {
            // What has no room there is copied.
            stream.0.widen_send_buffer(size);
        }
        drop(self.transmit(state, transmit));
        let is_sent = self.write_now().core.written() >= last;
        Ok(if is_sent { Offer::Sent } else { Offer::Rest })
    }

    /// Queues a frame by a policy that does not wait, and writes what the socket takes.
    pub(super) fn push(
        self: &Arc<Self>,
        frame: Frame,
        when_full: WhenFull,
    ) -> Result<(), SendError> {
        let mut state = self.write_now();
        state.is_used = true;
        let now = state.now;
        let pushed = state.core.send(&mut Some(frame), when_full, now);
        match &pushed {
            Err(PushError::Closed(_)) => state.see_end(),
            // The policy has ended it.
            Err(PushError::Full(_)) => state.end_is_seen = true,
            _ => {}
        }
        drop(state);
        self.leave(self.write_now());
        pushed.map(drop).map_err(SendError::from)
    }

    /// Tells the peer of something that was not accepted.
    pub(super) fn notice(self: &Arc<Self>, notice: Notice) -> Result<(), SendError> {
        let mut state = self.lock();
        let now = state.tick();
        let pushed = state.core.notice(notice, now);
        drop(state);
        self.leave(self.write_now());
        pushed.map(drop).map_err(SendError::from)
    }

    /// Asks the peer for a sign of life; whether it does.
    pub(super) fn ping(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        let now = state.tick();
        let asks = state.core.ping(now);
        drop(state);
        self.leave(self.write_now());
        asks
    }

    /// Waits until all that was accepted is written.
    pub(super) fn flush(self: &Arc<Self>) -> Result<(), SendError> {
        let mut state = self.lock();
        if !state.core.is_open() {
            state.see_end();
            return Err(SendError::Closed(state.core.end_reason()));
        }
        let last = state.core.accepted();
        drop(state);
        self.drive(None, Awaits::Room, |state| state.is_written(last))
            .unwrap_or(Ok(()))
    }

    /// Writes what the socket takes now. Returns true if nothing is left.
    pub(super) fn try_flush(self: &Arc<Self>) -> Result<bool, SendError> {
        let mut state = self.write_now();
        while state.core.is_open() && state.is_being_written() {
            // By another thread, which does not wait for room in that.
            state = self.wait_for_others(state, None);
        }
        if state.core.is_open() {
            Ok(state.core.written() == state.core.accepted())
        } else {
            let reason = state.core.end_reason();
            state.see_end();
            self.leave(state);
            Err(SendError::Closed(reason))
        }
    }

    /// Has the rest written, though no call waits for that.
    pub(super) fn write_in_background(self: &Arc<Self>) {
        self.leave(self.lock());
    }
}

/// The thing that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Frame,
    /// The end of the connection.
    End,
}

impl State {
    /// True if the connection has ended and nobody was told so: frames that came before were still to be received.
    pub(super) const fn has_unseen_end(&self) -> bool {
        self.end_is_behind && !self.end_is_seen
    }

    pub(super) const fn end_is_seen(&self) -> bool {
        self.end_is_seen
    }

    /// True if the socket can still be asked for, though the connection has ended.
    pub(super) const fn keeps_socket(&self) -> bool {
        !self.end_is_seen && (self.end_is_behind || !self.is_used)
    }

    /// The user is told that the connection has ended.
    fn see_end(&mut self) {
        self.is_used = true;
        self.end_is_seen = true;
        if self.core.is_over() {
            self.stream = None;
        }
    }

    /// True if something waits for room in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.core.wants().write == Want::Ready
    }

    /// True if another thread is in a write.
    fn is_being_written(&self) -> bool {
        self.core.wants().write == Want::Nothing && self.core.written() < self.core.accepted()
    }

    /// The outcome of a frame, when it has one.
    pub(super) fn is_written(&mut self, last: u64) -> Option<Result<(), SendError>> {
        if self.core.written() >= last {
            Some(Ok(()))
        } else if let Some(reason) = self.core.reason().cloned() {
            self.see_end();
            Some(Err(SendError::Closed(reason)))
        } else {
            let is_over = self.core.is_over();
            is_over.then_some(Err(SendError::Closed(CloseReason::Aborted)))
        }
    }

    /// The next thing for a handler, or `None` within when there will be none.
    pub(super) fn next_for_handler(&mut self) -> Option<Option<Next>> {
        if std::mem::take(&mut self.has_notice) {
            return Some(Some(Next::Notice));
        }
        self.next_frame().map(|frame| frame.map(Next::Frame))
    }

    /// The next frame, or `None` within when there will be none.
    pub(super) fn next_frame(&mut self) -> Option<Option<Frame>> {
        self.is_used = true;
        match self.core.next_frame(&mut self.batch, self.now) {
            Some(frame) => Some(Some(frame)),
            None if self.core.reason().is_some() || self.core.is_over() => {
                self.see_end();
                Some(None)
            }
            None => None,
        }
    }
}

/// Ending.
impl Shared {
    /// Ends the connection for this reason, without a wait.
    pub(super) fn end(self: &Arc<Self>, reason: CloseReason) {
        self.begin_end(reason);
        self.hasten();
    }

    /// Leaves to the keeper the part of the end that could not be done at once.
    fn hasten(self: &Arc<Self>) {
        self.change(|state, now| state.core.hasten(now));
    }

    /// Ends the connection for this reason. Frames in the queue are written as long as the peer takes some of them.
    pub(super) fn begin_end(self: &Arc<Self>, reason: CloseReason) {
        self.change(|state, now| {
            state.end_is_seen = true;
            state.core.end(reason, now);
        });
    }

    /// The same as a call asks for it, with words for a peer that can be told some.
    pub(super) fn begin_end_with(self: &Arc<Self>, bye: Bye) {
        self.change(|state, now| {
            state.end_is_seen = true;
            state.core.end_with(bye, now);
        });
    }

    pub(super) fn abort(self: &Arc<Self>, reason: CloseReason) {
        self.change(|state, now| {
            state.end_is_seen = true;
            state.core.abort(reason, now);
        });
    }

    /// Waits until the peer was told of the end, and drives the connection there.
    pub(super) fn wait_closed(self: &Arc<Self>, until: Option<Instant>) -> Result<(), TimedOut> {
        self.drive(until, Awaits::Room, |state| {
            let is_closed = state.is_closed || state.core.is_over();
            is_closed.then(|| state.see_end())
        })
    }

    /// Waits until the end was told to the handler too, and does nothing for it.
    pub(super) fn wait_told(&self, until: Option<Instant>) -> Result<(), TimedOut> {
        let waits = |state: &mut State| !state.is_told;
        wait_while(&self.gone, self.lock(), until, waits)
            .map(drop)
            .ok_or(TimedOut)
    }

    /// The handler, if there is one, was told of the end.
    pub(super) fn told(self: &Arc<Self>) {
        self.registry.remove(self.peer(), self.id);
        if let Some(place) = &self.place {
            place.gone();
        }
        self.lock().is_told = true;
        self.gone.notify_all();
    }
}

/// The verdict of the door, and the reports to the door.
impl Shared {
    /// The peer is taken: it gets our hello, and one of protocol 2 what the host says to it.
    pub(super) fn admit(self: &Arc<Self>, welcome: Option<Welcome>) {
        // In the registry before the peer can know.
        let first = Handle::new(self.clone());
        self.registry.replace(&first);
        let late = self.change(|state, now| {
            if state.core.failure().is_some() {
                return Some(first);
            }
            state.first = Some(first);
            match welcome {
                Some(welcome) => state.core.admit_with(welcome, now),
                None => state.core.admit(now),
            }
            None
        });
        if late.is_some() {
            self.registry.remove(self.peer(), self.id);
        }
    }

    pub(super) fn refuse(self: &Arc<Self>, reason: RejectReason, at_once: bool) {
        self.change(|state, now| {
            if at_once {
                state.core.abort(CloseReason::Aborted, now);
            } else {
                state.core.refuse_with(Rejected::from(&reason), now);
            }
            state.refusal = Some(reason);
        });
    }

    /// Takes the events of the core, and their consequences for the threads of this connection.
    pub(super) fn poll_news(&self, state: &mut State) -> Option<News> {
        let mut news = None;
        while let Some(event) = state.core.poll_event() {
            let news = news.get_or_insert_with(News::default);
            match event {
                Event::Hello => {
                    self.note_peer(state);
                    news.hello = true;
                }
                Event::Open => {
                    self.note_peer(state);
                    news.open = true;
                }
                Event::Failed => news.failed = true,
                Event::Ended => {
                    let reason = state.core.reason().cloned();
                    let _ = self.ended.set(reason.unwrap_or(CloseReason::Aborted));
                    news.ended = true;
                    state.end_is_behind = state.core.frames() > 0 || !state.batch.is_empty();
                    news.sleepers = std::mem::take(&mut state.roles.sleepers);
                    if state.roles.sleeps {
                        state.roles.is_shut = true;
                        news.wake.clone_from(&state.stream);
                    }
                }
                Event::Closed => {
                    state.is_closed = true;
                    news.closed = true;
                    state.hearing = Hearing::begin();
                    // Of a stream that is shut the end of the peer's side cannot be heard any more.
                    if state.roles.is_shut || state.hearing.is_none() {
                        state.core.stop_hearing();
                    }
                }
                Event::Over => {
                    state.hearing = None;
                    news.over = true;
                }
                Event::Notice => state.has_notice = true,
                Event::Frames | Event::Control | Event::SendRoom | Event::Written(_) => {}
            }
        }
        news
    }

    /// Tells the door and the log.
    pub(super) fn tell(self: &Arc<Self>, news: &News) {
        if news.hello
            && let Some(place) = &self.place
        {
            place.hello(self);
        }
        if news.open {
            tracing::info!(connection = %self.id, peer = ?self.peer(), address = %self.address, "connected");
            let first = self.lock().first.take();
            if let (Some(place), Some(first)) = (&self.place, first) {
                place.open(first);
            }
        }
        if news.failed
            && let Some(place) = &self.place
        {
            let mut state = self.lock();
            let (refusal, first) = (state.refusal.take(), state.first.take());
            let failure = state.core.failure().cloned();
            drop(state);
            if first.is_some() {
                self.registry.remove(self.peer(), self.id);
            }
            drop(first);
            place.failed(self, refusal, failure);
        }
        if news.ended {
            self.tell_end();
        }
        if news.closed {
            if let Some(place) = &self.place {
                place.closed();
            }
            if !self.handled {
                self.told();
            }
        }
        if news.over
            && self.ended.get().is_none()
            && let Some(place) = &self.place
        {
            place.gone();
        }
    }

    fn tell_end(&self) {
        if let Some(place) = &self.place {
            place.ending();
        }
        if let Some(reason) = self.ended.get() {
            tracing::info!(
                connection = %self.id,
                peer = ?self.peer(),
                address = %self.address,
                reason = reason.as_str(),
                "connection ended: {reason}"
            );
        }
    }
}

/// Waits for other threads as long as `waits` holds. `None` if it still does at the deadline.
pub(super) fn wait_while<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Option<Instant>,
    waits: impl FnMut(&mut T) -> bool,
) -> Option<MutexGuard<'a, T>> {
    let Some(until) = until else {
        let waited = changed.wait_while(guard, waits);
        return Some(waited.unwrap_or_else(PoisonError::into_inner));
    };
    let left = until.saturating_duration_since(sync::now());
    let (guard, result) = changed
        .wait_timeout_while(guard, left, waits)
        .unwrap_or_else(PoisonError::into_inner);
    (!result.timed_out()).then_some(guard)
}
