//! The parts of a connection that its handles share: the core under its lock, and the threads around it.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use masep_proto::admission::GRACE;
use masep_proto::connection::{Batch, Config, Connection as Core, Event};

use super::Registry;
use super::door::Door;
use super::drive::Roles;
use super::seen::Seen;
use super::stream::Stream;
use crate::admitting::Visit;
use crate::handle::{ConnectionInfo, SharedConnection};
use crate::hearing::Hearing;
use crate::sync::thread::ThreadId;
use crate::sync::{self, Condvar, Instant, Mutex, MutexGuard, OnceLock};
use crate::transport::{Socket, Stream as _};
use crate::{Address, CloseReason};

/// One connection, shared by its handles, the thread in the background, and the server's door.
pub(super) struct Shared {
    pub(super) info: ConnectionInfo,
    pub(super) config: Arc<Config>,
    pub(super) busy_poll: Duration,
    pub(super) registry: Registry,
    /// At the door of a server, if it is a server's.
    pub(super) visit: Option<Visit<Door>>,
    /// True if a handler is told of the end.
    pub(super) handled: bool,
    /// From the end on.
    pub(super) ended: OnceLock<CloseReason>,
    /// In place of that: the reason for which a frame that was taken out is lost.
    pub(super) lost: OnceLock<CloseReason>,
    state: Mutex<State>,
    /// For threads that wait for each other.
    pub(super) changed: Condvar,
    /// For threads that wait for the end, and do nothing for it.
    pub(super) gone: Condvar,
}

pub(super) struct State {
    /// The time of the last look at the clock, which each call that begins or has waited makes.
    pub(super) now: Instant,
    pub(super) core: Core,
    /// Frames that were taken out of the core together.
    pub(super) batch: Batch,
    /// `None` when it is closed.
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) roles: Roles,
    /// From the time on when the end was told to the peer, until the stream is closed, if it is awaited that the peer does so.
    pub(super) hearing: Option<Hearing>,
    pub(super) seen: Seen,
    /// True if the end was told to the handler too.
    pub(super) is_told: bool,
    /// The thread that calls the handler.
    pub(super) handler_thread: Option<ThreadId>,
    /// The guard of the first handle, from the verdict until somebody gets it.
    pub(super) first: Option<Arc<DropGuard>>,
    /// Somebody else goes on with the stream, of which the door knows.
    pub(super) is_given_away: bool,
}

/// Ends the connection when it is dropped. The handles that keep the connection alive share it.
pub(super) struct DropGuard(Arc<Shared>);

impl DropGuard {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(shared))
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Deref for DropGuard {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.lock().roles.event_loop = None;
        // It may have been put in when all was told.
        self.0.registry.remove(&self.0.info);
        self.0.end(CloseReason::LocalBye);
    }
}

impl Shared {
    pub(super) fn new(
        mut core: Core,
        socket: Socket,
        address: Address,
        config: Arc<Config>,
        busy_poll: Duration,
        owner: (Registry, Option<Visit<Door>>, bool),
    ) -> Arc<Self> {
        let (registry, visit, handled) = owner;
        // Threads that wait for these are woken by the one that has read or written.
        for event in [Event::Frames, Event::SendRoom, Event::Written(0)] {
            core.silence(event);
        }
        core.set_gathering(true);
        if handled {
            core.set_handler();
        }
        let this = Self {
            info: ConnectionInfo::new(address),
            config,
            busy_poll,
            registry,
            visit,
            handled,
            ended: OnceLock::new(),
            lost: OnceLock::new(),
            state: Mutex::new(State {
                now: sync::now(),
                core,
                batch: Batch::new(),
                stream: Some(Arc::new(Stream(socket))),
                roles: Roles::default(),
                hearing: None,
                seen: Seen::default(),
                is_told: false,
                handler_thread: None,
                first: None,
                is_given_away: false,
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

    /// True if the connection has ended, whether or not its user can know.
    pub(super) fn is_ended(&self) -> bool {
        self.settled_reason().is_some()
    }

    /// The reason for which the connection has ended, whether or not its user can know.
    pub(super) fn settled_reason(&self) -> Option<&CloseReason> {
        let reason = self.ended.get()?;
        Some(self.lost.get().unwrap_or(reason))
    }

    pub(super) fn note_peer(&self, state: &State) {
        let stream = state.stream.as_ref().map(|stream| &stream.0);
        self.info.note_peer(&state.core, stream);
    }

    /// False if the connection has ended, or is being ended, as far as its user can know.
    pub(super) fn is_live(&self) -> bool {
        let state = self.lock();
        state.core.is_open() || state.has_unseen_end()
    }

    /// The reason for which the connection ended, when its user can know.
    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        let reason = self.settled_reason()?;
        (!self.lock().has_unseen_end()).then_some(reason)
    }

    /// Changes the core, and does all work that follows and needs no wait.
    pub(super) fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = state.tick();
        let result = change(&mut state, now);
        self.unlock(state);
        result
    }
}

impl SharedConnection for Shared {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn look_at<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock().core)
    }

    fn end_by(self: &Arc<Self>, end: impl FnOnce(&mut Core, Instant)) {
        self.change(|state, now| {
            state.note_own_end();
            end(&mut state.core, now);
            // Another reason than it told of: frames were lost behind an end.
            if let (Some(told), Some(reason)) = (self.ended.get(), state.core.reason())
                && told != reason
            {
                let _ = self.lost.set(reason.clone());
            }
        });
    }

    fn look(self: &Arc<Self>) {
        self.read_in_background(GRACE);
    }
}

impl State {
    /// Has the core know what a layer of the stream says after a call of it. With the lock, so that what is told last is the
    /// latest.
    pub(super) fn note_layer(&mut self) {
        if let Some(layer) = self.stream.as_ref().and_then(|stream| stream.0.layer()) {
            self.core.note_layer(layer);
        }
    }

    /// True if frames have arrived that nobody has.
    pub(super) fn has_frames(&self) -> bool {
        self.core.frames() > 0 || !self.batch.is_empty()
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
