//! Connections on their way from the door to [`Server::accept`](crate::Server::accept).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use masep_proto::admission::Pace;
use tokio::sync::mpsc;

use crate::Connection;

/// The queue of connections that wait to be accepted: never more than `connections`, the most that live at a time.
pub(crate) fn hand_out(connections: usize) -> (HandOut, Accepted) {
    let waiting = Arc::new(Mutex::default());
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let hand_out = HandOut {
        waiting: Arc::clone(&waiting),
        most: connections.max(1),
        log: Arc::new(Mutex::new(Pace::new(8, Duration::from_secs(60)))),
        arrived,
    };
    (hand_out, Accepted { waiting, arrivals })
}

/// The door's side. A clone for each connection that may still arrive.
#[derive(Clone)]
pub(crate) struct HandOut {
    waiting: Arc<Mutex<VecDeque<Connection>>>,
    most: usize,
    log: Arc<Mutex<Pace>>,
    /// One message for each connection that waits.
    arrived: mpsc::UnboundedSender<()>,
}

/// The side of the calls that accept.
pub(crate) struct Accepted {
    waiting: Arc<Mutex<VecDeque<Connection>>>,
    arrivals: mpsc::UnboundedReceiver<()>,
}

impl HandOut {
    /// Puts a connection into the queue. This must not wait for room: nobody would drive the connection meanwhile. If
    /// the queue is full, the oldest connection that has ended is dropped. There is one, because no more than `most`
    /// live, this one included.
    pub(crate) fn push(&self, connection: Connection) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= self.most {
            let ended = |waits: &Connection| waits.close_reason().is_some();
            let oldest = waiting.iter().position(ended).unwrap_or(0);
            if let Some(dropped) = waiting.remove(oldest) {
                waiting.push_back(connection);
                if let Some(skipped) = lock(&self.log).take(crate::connection::now()) {
                    let skipped = (skipped > 0).then_some(skipped);
                    tracing::warn!(
                        connection = %dropped.id(),
                        peer = ?dropped.peer(),
                        skipped,
                        "a connection that ended before it was accepted is dropped for a newer one"
                    );
                }
                return;
            }
        }
        waiting.push_back(connection);
        // Fails only when the server was dropped, which ends the connection anyway.
        let _ = self.arrived.send(());
    }
}

impl Accepted {
    /// The next connection; `None` when none comes any more. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Connection> {
        self.arrivals.recv().await?;
        lock(&self.waiting).pop_front()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
