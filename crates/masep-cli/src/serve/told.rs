//! The connection that an id means to those who read the events.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use masep::{Connection, ConnectionId, PeerId};
use tokio::sync::Notify;

/// The connections that were told of, by their ids. One has an id until its end was told: only then can
/// the next one with the same id be told of, however slowly the events are read. So `closed` never comes
/// behind the `connected` of another connection with that id, and never without its own.
#[derive(Debug, Default)]
pub(super) struct Told {
    entries: Mutex<HashMap<PeerId, Entry>>,
    released: Notify,
}

#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    /// True if its beginning was told.
    is_connected: bool,
}

impl Told {
    /// Waits until the connection has its id for itself. Cancel safe.
    pub(super) async fn claim(&self, connection: &Connection) {
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if self.try_claim(connection) {
                return;
            }
            released.await;
        }
    }

    fn try_claim(&self, connection: &Connection) -> bool {
        let entry = || Entry {
            connection: connection.id(),
            is_connected: false,
        };
        let mut entries = self.lock();
        let entry = entries
            .entry(connection.peer().clone())
            .or_insert_with(entry);
        entry.connection == connection.id()
    }

    /// Notes that the beginning of a connection that has its id was told.
    pub(super) fn set_connected(&self, connection: &Connection) {
        if let Some(entry) = self.lock().get_mut(connection.peer()) {
            entry.is_connected = true;
        }
    }

    /// True if the beginning of a connection that has its id was told.
    pub(super) fn is_connected(&self, connection: &Connection) -> bool {
        let entries = self.lock();
        entries
            .get(connection.peer())
            .is_some_and(|entry| entry.is_connected)
    }

    /// Gives the id back.
    pub(super) fn release(&self, connection: &Connection) {
        self.lock().remove(connection.peer());
        self.released.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
