//! Connections on their way from the door to [`Server::accept`](super::Server::accept).

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::readiness::wait_while;
use super::{Connection, TimedOut};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

/// Connections that wait to be accepted. Never more than there are places for connections: those that
/// have ended have none any more, and make room for others, the oldest first.
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
    /// How many are still shaking hands.
    arriving: usize,
    /// Whether no more arrive than these.
    closed: bool,
}

/// A connection that shakes hands.
#[derive(Debug)]
pub(super) struct Arrival {
    accepted: Arc<Accepted>,
}

impl Accepted {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places,
            state: Mutex::default(),
            changed: Condvar::default(),
        }
    }

    pub(super) fn expect(self: &Arc<Self>) -> Arrival {
        self.lock().arriving += 1;
        Arrival {
            accepted: self.clone(),
        }
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    pub(super) fn arrive(self, connection: Connection) {
        let mut state = self.accepted.lock();
        let oldest = if state.waiting.len() < self.accepted.places {
            None
        } else {
            let ended = |waiting: &Connection| waiting.shared().is_leaving();
            state.waiting.iter().position(ended)
        };
        let ended = oldest.and_then(|oldest| state.waiting.remove(oldest));
        state.waiting.push_back(connection);
        // It may be the last handle.
        drop(state);
        drop(ended);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.accepted.lock().arriving -= 1;
        self.accepted.changed.notify_all();
    }
}
