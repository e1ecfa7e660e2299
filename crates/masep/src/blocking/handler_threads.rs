//! The threads of a server's connections that have a handler.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::handler;
use super::shared::wait_while;
use super::stream::after;
use super::{Connection, SocketHandler, spawn};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The time for which a thread whose connection has ended stays for the next one. To begin one, with its stack and the
/// buffers that belong to it, takes as long as half the cryptography of a connection in TLS.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// The most threads that stay. Each has its stack, and may have buffers of 200 KiB.
const MOST_IDLE: usize = 8;

/// The threads of a server. Each has one connection at a time.
#[derive(Default)]
pub(super) struct HandlerThreads {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Default)]
struct State {
    /// The threads that wait for a connection.
    idle: usize,
    /// The connections for these, never more than there are threads.
    connections: VecDeque<Connection>,
    is_closed: bool,
}

impl HandlerThreads {
    /// Has a thread read a connection to its end, for a handler.
    ///
    /// # Errors
    /// The system's error, if there is no thread for it.
    pub(super) fn run(
        self: &Arc<Self>,
        connection: Connection,
        handler: &Arc<dyn SocketHandler>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if state.idle > state.connections.len() {
            state.connections.push_back(connection);
            drop(state);
            self.given.notify_one();
            return Ok(());
        }
        drop(state);
        let (this, handler) = (self.clone(), handler.clone());
        let started = spawn("connection", move || {
            let mut next = Some(connection);
            while let Some(connection) = next {
                handler::run(&connection, &*handler);
                drop(connection);
                next = this.next();
            }
        });
        started.map(drop)
    }

    /// No more connections come: threads that have none end.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.given.notify_all();
    }

    /// The next connection for this thread; `None` if it is to end.
    fn next(&self) -> Option<Connection> {
        let mut state = self.lock();
        if state.idle >= MOST_IDLE {
            return None;
        }
        state.idle += 1;
        let waits = |state: &mut State| state.connections.is_empty() && !state.is_closed;
        let waited = wait_while(&self.given, state, after(IDLE_TIME), waits);
        let mut state = waited.unwrap_or_else(|| self.lock());
        state.idle -= 1;
        state.connections.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
