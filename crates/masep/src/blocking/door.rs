//! The door of a server: [`Admission`](masep_proto::admission::Admission), a thread that accepts, and the threads of handlers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use masep_proto::admission::Entrance;
use masep_proto::connection::{Connection as Core, HelloFailure};
use masep_proto::protocol2::Welcome;
use masep_proto::{Limit, LimitExceeded};

#[cfg(feature = "unstable-bindings")]
use super::bindings::{Detached, relay::Relays};
use super::handler::guarded;
use super::handler_threads::HandlerThreads;
use super::keeper;
use super::pipe::Pipe;
use super::prefaces::Prefaces;
use super::shared::{DropGuard, Shared};
use super::stream::{WOKEN, after, poll_fd, readiness, wait_for};
use super::{Connection, Registry, SocketHandler, spawn, warn_of_scarcity};
use crate::accepted::Arrivals;
use crate::accepting::AcceptErrors;
use crate::admitting::{Admits, DoorParts, DoorSettings, Visit};
use crate::server::FAR;
use crate::sync::earlier;
use crate::transport::{ListeningSocket, Socket};
use crate::{Address, Bye, CloseReason, RejectReason, WhenFull};

/// The door, for the thread that accepts and the connections.
pub(super) struct Door {
    parts: DoorParts<Shared>,
    pub(super) registry: Registry,
    pub(super) handler: Option<Arc<dyn SocketHandler>>,
    threads: Arc<HandlerThreads>,
    pub(super) accepted: Arrivals<Connection>,
    _keeper: keeper::Hold,
    /// Wakes the thread that accepts.
    pipe: Pipe,
    is_stopped: AtomicBool,
    #[cfg(feature = "unstable-bindings")]
    pub(super) relays: Arc<Relays>,
}

impl Door {
    pub(super) fn new(
        settings: DoorSettings,
        handler: Option<Arc<dyn SocketHandler>>,
    ) -> io::Result<Arc<Self>> {
        let hold = keeper::hold()?;
        let door = Arc::new(Self {
            registry: Registry::default(),
            handler,
            threads: Arc::default(),
            accepted: Arrivals::new(settings.most()),
            _keeper: hold,
            pipe: Pipe::new()?,
            is_stopped: AtomicBool::new(false),
            #[cfg(feature = "unstable-bindings")]
            relays: Arc::default(),
            parts: DoorParts::new(settings),
        });
        door.settings().subscribe(&door)?;
        Ok(door)
    }

    /// Has the thread stop, which closes the port.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.hurry();
    }

    /// Refuses those that were not taken yet.
    pub(super) fn close(self: &Arc<Self>) {
        self.stop_admitting();
        // It was expected itself.
        self.accepted.leave();
        self.threads.close();
    }

    /// Accepts until the server is stopped.
    pub(super) fn run(self: &Arc<Self>, listeners: &[(Entrance, ListeningSocket)]) {
        let mut prefaces = Prefaces::default();
        let mut errors = AcceptErrors::new();
        let id = &self.settings().server.endpoint.id;
        tracing::info!(?id, "listening");
        let mut rests_until = None;
        while !self.is_stopped.load(Ordering::SeqCst) {
            let deadline = self.keep_time();
            let mut asked = vec![poll_fd(&self.pipe, WOKEN)];
            asked.extend(prefaces.waiting());
            if rests_until.is_none() {
                asked.extend(
                    listeners
                        .iter()
                        .map(|(_, listener)| poll_fd(listener, WOKEN)),
                );
            }
            let until = earlier(earlier(deadline, rests_until), prefaces.deadline());
            let waited = wait_for(&mut asked, until);
            let is_woken = readiness(&asked[0]).reads;
            prefaces.read(self);
            if is_woken {
                self.pipe.take_out();
                continue;
            }
            if rests_until.is_some_and(|until| until > Instant::now()) {
                continue;
            }
            let rest = match waited {
                Ok(()) => self.accept_each(listeners, &mut prefaces, &mut errors),
                Err(kind) => errors.rest(&kind.into(), Instant::now()),
            };
            rests_until = rest.and_then(after);
        }
        tracing::info!(?id, "stopped accepting");
    }

    /// Takes one connection of each listener that has some. Gives the time for which accepting rests, if one has failed.
    fn accept_each(
        self: &Arc<Self>,
        listeners: &[(Entrance, ListeningSocket)],
        prefaces: &mut Prefaces,
        errors: &mut AcceptErrors,
    ) -> Option<Duration> {
        let mut rest = None;
        for (entrance, listener) in listeners {
            match listener.accept() {
                Ok((socket, address)) if self.settings().expects_preface(*entrance) => {
                    prefaces.add(self, socket, address);
                }
                Ok((socket, address)) => self.greet(socket, *entrance, address),
                Err(error) => rest = errors.rest(&error, Instant::now()).or(rest),
            }
        }
        rest
    }

    pub(super) fn greet(self: &Arc<Self>, socket: Socket, entrance: Entrance, address: Address) {
        if self.prepare(&socket).is_err() {
            return self.reject(&address, &RejectReason::ClosedBeforeHello);
        }
        let (config, acceptor) = self.settings().at(entrance);
        let socket = match acceptor {
            Some(acceptor) => acceptor.wrap_socket(socket),
            None => socket,
        };
        let busy_poll = self.settings().server.endpoint.socket_options.busy_poll;
        // First: it may be refused at once, by another thread.
        self.accepted.expect();
        let from = address.clone();
        let (_, shared, is_heard) = self.arrive(&from, entrance, |visit| {
            let core = Core::accept(config.clone(), Instant::now());
            let owner = (self.registry.clone(), Some(visit), self.handler.is_some());
            Shared::new(core, socket, address, config.clone(), busy_poll, owner)
        });
        if is_heard {
            keeper::hear(&shared);
        }
    }

    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        if cfg!(not(target_os = "linux")) {
            // Other systems hand the listener's mode on.
            socket.set_nonblocking(false)?;
        }
        self.settings().prepare(socket)
    }

    fn reject(self: &Arc<Self>, address: &Address, reason: &RejectReason) {
        self.tell_of_refusal(address, reason, false);
        let Some(handler) = self.handler.clone() else {
            return;
        };
        let Some(telling) = self.begin_to_tell() else {
            return;
        };
        let (address, reason) = (address.clone(), reason.clone());
        // Without a thread nobody is told.
        let _ = spawn("reject", move || {
            guarded(|| handler.on_reject(address, &reason));
            drop(telling);
        });
    }
}

impl Admits for Door {
    type Connection = Shared;

    fn now() -> Instant {
        Instant::now()
    }

    fn parts(&self) -> &DoorParts<Shared> {
        &self.parts
    }

    fn admit(&self, connection: &Arc<Shared>, welcome: Option<Welcome>) {
        connection.admit(welcome);
    }

    fn hurry(&self) {
        self.pipe.wake();
    }

    #[cfg(feature = "unstable-bindings")]
    fn give_up(
        self: &Arc<Self>,
        ticket: masep_proto::admission::Ticket,
    ) -> Option<io::Result<Detached>> {
        self.detach(ticket)
    }
}

impl Shared {
    /// Has the keeper read the frames that arrive if a policy for a full queue drops frames or ends the connection:
    /// only a reader knows that the queue is full.
    pub(super) fn read_for_policy(self: &Arc<Self>) {
        if self.config.policy() != WhenFull::Wait {
            self.read_in_background(FAR);
        }
    }

    pub(super) fn read_in_background(self: &Arc<Self>, time: Duration) {
        let mut state = self.lock();
        if state.has_event_loop() {
            // It is read as it comes.
            return;
        }
        state.roles.looks_until = state.roles.looks_until.max(after(time));
        drop(state);
        keeper::watch(self);
    }
}

impl Visit<Door> {
    /// Hands a connection out that is open: to the handler, or to a call of accept.
    pub(super) fn open(&self, first: Arc<DropGuard>) {
        let connection = Connection::of(first);
        let Some(handler) = &self.door.handler else {
            self.tell_host(Ok(()));
            connection.shared().read_for_policy();
            self.door.accepted.push(connection, Instant::now());
            return self.door.accepted.leave();
        };
        self.door.accepted.leave();
        match self.door.threads.run(connection.clone(), handler) {
            Ok(()) => self.tell_host(Ok(())),
            Err(error) => self.end_unhandled(&connection, &error),
        }
    }

    /// There is no thread for the handler: no call tells of the connection, and the client is told why it ends.
    fn end_unhandled(&self, connection: &Connection, error: &io::Error) {
        warn_of_scarcity("no thread for a connection", error);
        let connections = self.door.registry.connections().len();
        let reason = RejectReason::TooManyConnections(LimitExceeded {
            limit: Limit::Connections,
            actual: connections,
            allowed: connections.saturating_sub(1),
        });
        let bye = Bye::new(reason.as_str(), "the server has no thread for it");
        // Before its end is told of.
        self.tell_host(Err(reason));
        connection.shared().begin_end_with(bye.may_return(true));
        connection.shared().told();
    }

    /// The connection was never open.
    pub(super) fn fail(
        &self,
        shared: &Arc<Shared>,
        refusal: Option<RejectReason>,
        failure: Option<HelloFailure>,
    ) {
        self.door.accepted.leave();
        let cut_off = || shared.abort(CloseReason::Aborted);
        let reason = self.reject_reason(refusal, failure, cut_off);
        self.tell_host(Err(reason.clone()));
        self.door.reject(&shared.info.address, &reason);
    }
}
