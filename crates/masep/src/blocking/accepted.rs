//! Connections on their way from the door to [`Server::accept`](super::Server::accept).

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::shared::wait_while;
use super::{Connection, TimedOut};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

/// Connections that wait to be accepted. Never more than there are places for connections: those that
/// have ended have no place any more, and make room for others, the oldest first.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Places for connections.
    places: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Connection>,
    /// The number of connections that are still shaking hands.
    arriving: usize,
    /// True if no more arrive than these.
    closed: bool,
}

impl Accepted {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            state: Mutex::default(),
            changed: Condvar::default(),
        }
    }

    /// The places for connections.
    pub(super) const fn places(&self) -> usize {
        self.places
    }

    /// One more may come, which [arrives](Self::arrive) or [leaves](Self::leave).
    pub(super) fn expect(&self) {
        self.lock().arriving += 1;
    }

    /// The next connection; `None` when none comes any more.
    pub(super) fn next(&self, until: Option<Instant>) -> Result<Option<Connection>, TimedOut> {
        wait_while(&self.changed, self.lock(), until, |state| {
            state.waiting.is_empty() && !(state.closed && state.arriving == 0)
        })
        .map(|mut state| state.waiting.pop_front())
        .ok_or(TimedOut)
    }

    /// Expects no more; those that wait, or have been promised our hello, can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn arrive(&self, connection: Connection) {
        let mut state = self.lock();
        let oldest = if state.waiting.len() < self.places {
            None
        } else {
            let ended = |waiting: &Connection| waiting.shared().ended.get().is_some();
            state.waiting.iter().position(ended)
        };
        let ended = oldest.and_then(|oldest| state.waiting.remove(oldest));
        state.waiting.push_back(connection);
        // It may be the last handle.
        drop(state);
        drop(ended);
        self.leave();
    }

    /// One that was expected does not come any more.
    pub(super) fn leave(&self) {
        self.lock().arriving -= 1;
        self.changed.notify_all();
    }

    /// Drops those that wait.
    pub(super) fn clear(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
