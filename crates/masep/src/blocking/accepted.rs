//! Connections on their way from the door to [`Server::accept`](super::Server::accept).

use std::sync::PoisonError;

use super::shared::wait_while;
use super::{Connection, TimedOut};
use crate::accepted::Accepted;
use crate::sync::{self, Condvar, Instant, Mutex, MutexGuard};

/// Connections that wait to be accepted, and those that may still come.
#[derive(Debug)]
pub(super) struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Accepted<Connection>,
    /// The number of connections that are still shaking hands.
    arriving: usize,
    /// True if no more arrive than these.
    closed: bool,
    /// Nobody takes any more.
    is_over: bool,
    /// Calls that wait.
    calls: usize,
}

impl Arrivals {
    /// `connections`: the most that live at a time.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Accepted::new(connections),
                arriving: 0,
                closed: false,
                is_over: false,
                calls: 0,
            }),
            changed: Condvar::default(),
        }
    }

    /// One more may come, which [arrives](Self::arrive) or [leaves](Self::leave).
    pub(super) fn expect(&self) {
        self.lock().arriving += 1;
    }

    /// The next connection; `None` when none comes any more.
    pub(super) fn next(&self, until: Option<Instant>) -> Result<Option<Connection>, TimedOut> {
        let mut state = self.lock();
        state.calls += 1;
        let waited = wait_while(&self.changed, state, until, |state| {
            state.waiting.is_empty() && !(state.closed && state.arriving == 0)
        });
        let is_late = waited.is_none();
        let mut state = waited.unwrap_or_else(|| self.lock());
        state.calls -= 1;
        if is_late {
            return Err(TimedOut);
        }
        Ok(state.waiting.pop())
    }

    /// Expects no more; those that wait, or have been promised our hello, can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn arrive(&self, connection: Connection) {
        let mut state = self.lock();
        let dropped = if state.is_over {
            Some(connection)
        } else {
            state.waiting.push(connection, sync::now())
        };
        drop(state);
        drop(dropped);
        self.leave();
    }

    /// One that was expected does not come any more.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.arriving -= 1;
        let has_calls = state.calls > 0;
        drop(state);
        if has_calls {
            self.changed.notify_all();
        }
    }

    /// Drops those that wait, and those that come later: nobody takes them any more. They would keep each other, for they have
    /// the door, which has this.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let waiting = state.waiting.take_all();
        drop(state);
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
