//! The server's door: accepts streams and carries out the decisions of
//! [`masep_proto::admission::Admission`].

mod tasks;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masep_proto::access::Grant;
use masep_proto::admission::Admission;
use masep_proto::protocol2::Welcome;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::admitting::{Admits, Decided, DoorSettings, DoorState, Visit};
use crate::connection::{Shared, now};
use crate::sync::Notify;
use crate::{Connection, Registry};

pub(crate) use tasks::ServerTask;

/// One for each server.
pub(crate) struct Door {
    settings: DoorSettings,
    /// Places for connections whose header of the PROXY protocol is to come, where one is expected.
    prefaces: Arc<Semaphore>,
    pub(crate) registry: Registry,
    state: Mutex<DoorState<Shared>>,
    /// A deadline may be earlier than before.
    changed: Notify,
    /// The host is asked about a connection.
    requested: Notify,
    stopped: watch::Sender<bool>,
}

impl Door {
    pub(crate) fn new(settings: DoorSettings) -> io::Result<Arc<Self>> {
        let most = settings.most().min(Semaphore::MAX_PERMITS);
        let door = Arc::new(Self {
            state: Mutex::new(DoorState::new(&settings)),
            settings,
            prefaces: Arc::new(Semaphore::new(most)),
            registry: Registry::default(),
            changed: Notify::new(),
            requested: Notify::new(),
            stopped: watch::channel(false).0,
        });
        door.settings.subscribe(&door)?;
        Ok(door)
    }

    fn lock(&self) -> MutexGuard<'_, DoorState<Shared>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, connection: &Arc<Shared>, decided: Decided) {
        match decided {
            Decided::Admit(welcome, grant) => {
                self.admit(connection, welcome.map(|welcome| *welcome), grant);
            }
            Decided::Refuse(refusal) => connection.lock().core.turn_away(refusal, now()),
            Decided::Look => connection.look(),
            Decided::SendAway(reason) => connection.send_away(reason),
        }
    }

    /// Admits a connection. It is in the registry before its peer can know.
    fn admit(&self, connection: &Arc<Shared>, welcome: Option<Welcome>, grant: Option<Arc<Grant>>) {
        connection.info.note_grant(grant);
        self.registry.add(Connection::new(connection.clone()));
        connection.lock().core.admit_with(welcome, now());
    }

    /// Stops accepting. Connections that were not admitted yet are refused.
    pub(crate) fn stop(self: &Arc<Self>) {
        self.update(DoorState::stop);
        self.requested.notify_waiters();
        self.stopped.send_replace(true);
    }

    /// Settles what has waited for too long, for ever.
    async fn keep_time(self: &Arc<Self>) -> Infallible {
        loop {
            let changed = self.changed.notified();
            let deadline = self.lock().next_look();
            match deadline {
                None => changed.await,
                Some(deadline) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(Instant::from_std(deadline)) => {
                            self.ask(Admission::handle_timeout);
                        }
                    }
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

    fn settings(&self) -> &DoorSettings {
        &self.settings
    }

    fn requested(&self) -> &Notify {
        &self.requested
    }

    fn update<T>(self: &Arc<Self>, change: impl FnOnce(&mut DoorState<Shared>) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state);
        while let Some((connection, decided)) = state.next_decided(self) {
            self.carry_out(&connection, decided);
        }
        let news = state.take_news();
        drop(state);
        self.tell(news);
        answer
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
