//! Connections on their way from the door to [`Server::accept`](crate::Server::accept).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::Connection;
use crate::accepted::Accepted;
use crate::connection::now;

/// The two sides of a queue of connections that wait to be accepted, for so many that live at a time.
pub(crate) fn hand_out(connections: usize) -> (HandOut, Arrivals) {
    let waiting = Arc::new(Mutex::new(Accepted::new(connections)));
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let hand_out = HandOut {
        waiting: Arc::clone(&waiting),
        arrived,
    };
    (hand_out, Arrivals { waiting, arrivals })
}

/// The door's side. A clone for each connection that may still arrive.
#[derive(Clone)]
pub(crate) struct HandOut {
    waiting: Arc<Mutex<Accepted<Connection>>>,
    /// One message for each connection that waits.
    arrived: mpsc::UnboundedSender<()>,
}

/// The side of the calls that accept.
pub(crate) struct Arrivals {
    waiting: Arc<Mutex<Accepted<Connection>>>,
    arrivals: mpsc::UnboundedReceiver<()>,
}

impl HandOut {
    /// Puts a connection into the queue.
    pub(crate) fn push(&self, connection: Connection) {
        let dropped = lock(&self.waiting).push(connection, now());
        if dropped.is_none() {
            // Fails only when the server was dropped, which ends the connection anyway.
            let _ = self.arrived.send(());
        }
    }
}

impl Arrivals {
    /// The next connection; `None` when none comes any more. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Connection> {
        self.arrivals.recv().await?;
        lock(&self.waiting).pop()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
