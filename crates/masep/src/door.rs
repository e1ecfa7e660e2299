//! The server's door: accepts streams and carries out the decisions of
//! [`masep_proto::admission::Admission`].

mod tasks;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use masep_proto::protocol2::Welcome;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout_at;

use crate::admitting::{Admits, DoorParts, DoorSettings, Visit};
use crate::connection::{Shared, now};
use crate::handle::SharedConnection as _;
use crate::sync::Notify;
use crate::{Connection, Registry};

pub(crate) use tasks::ServerTask;

/// One for each server.
pub(crate) struct Door {
    parts: DoorParts<Shared>,
    /// Places for connections whose header of the PROXY protocol is to come, where one is expected.
    prefaces: Arc<Semaphore>,
    pub(crate) registry: Registry,
    /// A deadline may be earlier than before.
    changed: Notify,
    stopped: watch::Sender<bool>,
}

impl Door {
    pub(crate) fn new(settings: DoorSettings) -> io::Result<Arc<Self>> {
        let most = settings.most().min(Semaphore::MAX_PERMITS);
        let door = Arc::new(Self {
            parts: DoorParts::new(settings),
            prefaces: Arc::new(Semaphore::new(most)),
            registry: Registry::default(),
            changed: Notify::new(),
            stopped: watch::channel(false).0,
        });
        door.settings().subscribe(&door)?;
        Ok(door)
    }

    /// Stops accepting. Connections that were not admitted yet are refused.
    pub(crate) fn stop(self: &Arc<Self>) {
        self.stop_admitting();
        self.stopped.send_replace(true);
    }

    /// Settles what has waited for too long, for ever.
    async fn settle(self: &Arc<Self>) -> Infallible {
        loop {
            let changed = self.changed.notified();
            match self.keep_time() {
                None => changed.await,
                Some(deadline) => {
                    let _ = timeout_at(deadline.into(), changed).await;
                }
            }
        }
    }
}

impl Admits for Door {
    type Connection = Shared;

    fn now() -> std::time::Instant {
        now()
    }

    fn parts(&self) -> &DoorParts<Shared> {
        &self.parts
    }

    fn admit(&self, connection: &Arc<Shared>, welcome: Option<Welcome>) {
        if !self.registry.add(Connection::new(connection.clone())) {
            return connection.refuse_stopped();
        }
        let mut locked = connection.lock();
        locked.core.admit_with(welcome, now());
        let has_failed = locked.core.failure().is_some();
        drop(locked);
        if has_failed {
            // It may have left the registry before it came in.
            self.registry.remove(&connection.info);
        }
    }

    fn hurry(&self) {
        self.changed.notify_one();
    }
}

/// The part of a connection in its server or client, until its end.
pub(crate) struct Membership {
    registry: Registry,
    visit: Option<Visit<Door>>,
    /// The server has not ended as long as there is one of these.
    alive: Option<mpsc::Sender<Infallible>>,
}

impl Membership {
    pub(crate) const fn of_client(registry: Registry) -> Self {
        Self {
            registry,
            visit: None,
            alive: None,
        }
    }

    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The connection has a reason to end.
    pub(crate) fn ending(&self) {
        self.visit.iter().for_each(Visit::begin_to_end);
    }

    /// The peer was told of the end: the place at the server is free.
    pub(crate) fn close(&self) {
        self.visit.iter().for_each(Visit::close);
    }

    /// Frees the id.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.registry.remove(&connection.shared.info);
        self.visit.iter().for_each(Visit::leave);
    }

    /// The server need not wait any longer.
    pub(crate) fn end(&mut self) {
        self.alive = None;
    }
}
