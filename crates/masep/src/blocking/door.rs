//! The door of a server: [`Admission`], a thread that accepts, and the threads of handlers.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use masep_proto::access::{Grant, Grants, Subject};
use masep_proto::admission::{
    Admission, Decision, DoorEvent, Entrance, GRACE, Greet, Pace, Ticket, Verdict,
};
use masep_proto::connection::{Config, Connection as Core, HelloFailure, Protocols};
use masep_proto::protocol2::Welcome;
use masep_proto::{Limits, PeerId};

use super::accepted::Accepted;
#[cfg(feature = "unstable-bindings")]
use super::detached::{Away, Detached};
use super::handler::{self, guarded};
use super::keeper;
use super::prefaces::Prefaces;
#[cfg(feature = "unstable-bindings")]
use super::relay::Relays;
use super::shared::{Handle, Shared, wait_while};
use super::stream::{WOKEN, after, earlier, poll_fd, readiness, wait_for};
use super::{Connection, Registry, SocketHandler, TimedOut};
use crate::access::{AccessRequest, Gate, Renews};
use crate::door::{ACCEPT_REST, concerns_one_connection};
use crate::request::{Decides, Peer, Request, Requests};
use crate::server::FAR;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::tls::Acceptor;
use crate::transport::{self, ListeningSocket, Socket};
use crate::{Address, CloseReason, RejectReason, SocketOptions, WhenFull};

/// The door, for the thread that accepts and the connections.
pub(super) struct Door {
    itself: Weak<Self>,
    id: PeerId,
    config: Arc<Config>,
    /// The configuration of clients that come by the entrance for pymasep's protocol.
    pymasep_config: Arc<Config>,
    gate: Gate,
    socket_options: SocketOptions,
    registry: Registry,
    handler: Option<Arc<dyn SocketHandler>>,
    acceptor: Option<Acceptor>,
    accepted: Arc<Accepted>,
    inner: Mutex<Inner>,
    /// The host is asked about a connection, or will not be any more.
    requested: Condvar,
    /// Wakes the thread that accepts.
    wake: PipeWriter,
    is_stopped: AtomicBool,
    #[cfg(feature = "unstable-bindings")]
    relays: Arc<Relays>,
}

/// The rules of a door that differ from server to server.
pub(super) struct Rules {
    pub(super) id: PeerId,
    pub(super) socket_options: SocketOptions,
    pub(super) gate: Gate,
    pub(super) handler: Option<Arc<dyn SocketHandler>>,
    pub(super) acceptor: Option<Acceptor>,
}

struct Inner {
    admission: Admission,
    connections: BTreeMap<Ticket, Arc<Shared>>,
    /// Those that were given away, as long as somebody has them.
    #[cfg(feature = "unstable-bindings")]
    away: BTreeMap<Ticket, Arc<Away>>,
    requests: Requests,
    is_closed: bool,
}

/// A decision of the door, with the connection that it is about.
enum Due {
    Admit(Option<Welcome>, Option<Arc<Grant>>),
    Other(DoorEvent),
}

/// A connection's place at the door.
#[derive(Clone)]
pub(super) struct Place {
    door: Arc<Door>,
    ticket: Ticket,
}

impl Door {
    pub(super) fn new(
        config: Config,
        admission: Admission,
        connections: usize,
        rules: Rules,
        wake: PipeWriter,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            id: rules.id,
            registry: Registry::default(),
            handler: rules.handler,
            acceptor: rules.acceptor,
            accepted: Arc::new(Accepted::new(connections)),
            inner: Mutex::new(Inner {
                admission: rules.gate.guard(admission),
                connections: BTreeMap::new(),
                #[cfg(feature = "unstable-bindings")]
                away: BTreeMap::new(),
                requests: Requests::default(),
                is_closed: false,
            }),
            requested: Condvar::new(),
            wake,
            is_stopped: AtomicBool::new(false),
            #[cfg(feature = "unstable-bindings")]
            relays: Arc::default(),
            pymasep_config: Arc::new(config.clone().tls(false).protocols(Protocols::Pymasep)),
            config: Arc::new(config),
            gate: rules.gate,
            socket_options: rules.socket_options,
        })
    }

    /// The state of the certificate, if there is one.
    #[cfg(feature = "tls")]
    pub(super) fn certificate(&self) -> Option<crate::tls::CertificateState> {
        self.acceptor.as_ref().map(Acceptor::certificate)
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// True if a handler gets the connections, and not calls of accept.
    pub(super) fn is_handled(&self) -> bool {
        self.handler.is_some()
    }

    pub(super) fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Waits for the clients in TLS that were given away, and cuts those off that have not ended by then.
    #[cfg(feature = "unstable-bindings")]
    pub(super) fn end_relays(&self, until: Option<Instant>) {
        self.relays.wait(until);
    }

    /// Has the thread stop, which closes the port.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Refuses those that were not taken yet.
    pub(super) fn close(&self) {
        self.update(|inner| {
            inner.is_closed = true;
            inner.admission.stop();
        });
        self.requested.notify_all();
        self.accepted.close();
    }

    fn wake(&self) {
        let _ = (&self.wake).write_all(&[0]);
    }

    /// Makes a change, and carries out the decisions of the door.
    fn update<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let before = inner.admission.deadline();
        let result = change(&mut inner);
        let mut events = Vec::new();
        let mut access = Vec::new();
        #[cfg(feature = "unstable-bindings")]
        let mut ended = Vec::new();
        while let Some(event) = inner.admission.poll_event() {
            let (DoorEvent::Admit(ticket)
            | DoorEvent::Refuse(ticket, _)
            | DoorEvent::AskAccess(ticket)
            | DoorEvent::Ask(ticket)
            | DoorEvent::LookAt(ticket)
            | DoorEvent::Replace(ticket)
            | DoorEvent::End(ticket, _)
            | DoorEvent::Abort(ticket, _)) = &event;
            #[cfg(feature = "unstable-bindings")]
            if let (Some(away), DoorEvent::End(_, reason)) = (inner.away.get(ticket), &event) {
                ended.push((away.clone(), reason.clone()));
                continue;
            }
            let Some(shared) = inner.connections.get(ticket).cloned() else {
                continue;
            };
            let due = match event {
                DoorEvent::AskAccess(ticket) => {
                    let peer = self.peer(&shared, None);
                    let door = self.itself.upgrade();
                    access.extend(
                        peer.zip(door)
                            .map(|(peer, door)| AccessRequest::new(peer, ticket, door)),
                    );
                    continue;
                }
                DoorEvent::Ask(ticket) => {
                    let grant = inner.admission.grant(ticket);
                    self.ask(&mut inner.requests, ticket, self.peer(&shared, grant));
                    continue;
                }
                DoorEvent::Admit(ticket) => {
                    let welcome = inner.requests.take_welcome(ticket);
                    Due::Admit(welcome, inner.admission.grant(ticket))
                }
                event => {
                    if let DoorEvent::Refuse(ticket, _) = event {
                        // Before its peer can know.
                        inner.requests.pass_over(ticket);
                    }
                    Due::Other(event)
                }
            };
            events.push((shared, due));
        }
        let after = inner.admission.deadline();
        drop(inner);
        if after.is_some() && after != before {
            self.wake();
        }
        for (shared, due) in events {
            match due {
                Due::Admit(welcome, grant) => {
                    shared.note_grant(grant);
                    shared.admit(welcome);
                }
                Due::Other(event) => act(&shared, event),
            }
        }
        #[cfg(feature = "unstable-bindings")]
        for (away, reason) in ended {
            away.end(reason);
        }
        for request in access {
            self.gate.ask(request);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the host decide about a connection.
    fn ask(&self, requests: &mut Requests, ticket: Ticket, peer: Option<Peer>) {
        if let Some(peer) = peer {
            requests.ask(ticket, peer);
            self.requested.notify_all();
        }
    }

    /// The client about which the host is asked.
    fn peer(&self, shared: &Shared, grant: Option<Arc<Grant>>) -> Option<Peer> {
        let (hello, protocol) = Peer::hello(&shared.lock().core)?;
        Some(Peer {
            hello,
            protocol,
            address: shared.address.clone(),
            connection: shared.id,
            server: self.id.clone(),
            grant,
        })
    }

    /// Ends the connections of these.
    pub(super) fn kick(&self, subject: &Subject) -> usize {
        self.update(|inner| inner.admission.kick(subject, Instant::now()))
    }

    /// As [`kick`](Self::kick), and keeps them out.
    pub(super) fn ban(&self, subject: Subject) -> usize {
        self.update(|inner| inner.admission.ban(subject, Instant::now()))
    }

    pub(super) fn unban(&self, subject: Subject) -> bool {
        self.update(|inner| inner.admission.unban(subject))
    }

    pub(super) fn bans(&self) -> Vec<Subject> {
        self.lock().admission.bans().cloned().collect()
    }

    /// The next connection about which the host is asked; `None` when none comes any more.
    pub(super) fn next_request(
        self: &Arc<Self>,
        until: Option<Instant>,
    ) -> Result<Option<Request>, TimedOut> {
        let waits = |inner: &mut Inner| !inner.requests.has_waiting() && !inner.is_closed;
        let mut inner = wait_while(&self.requested, self.lock(), until, waits).ok_or(TimedOut)?;
        Ok(inner.requests.next(|| self.clone()))
    }

    /// Accepts until the server is stopped. `expects`: a header of the PROXY protocol in front of each connection that does
    /// not come by an entrance of its own.
    pub(super) fn run(
        self: &Arc<Self>,
        listeners: &[(Entrance, ListeningSocket)],
        mut woken: &PipeReader,
        expects: bool,
    ) {
        let mut prefaces = Prefaces::new(expects);
        // Ten in a second would be many.
        let mut rest_log = Pace::new(8, Duration::from_secs(60));
        tracing::info!(id = ?self.id, "listening");
        let mut rests_until = None;
        while !self.is_stopped.load(Ordering::SeqCst) {
            let deadline = self.update(|inner| {
                inner.admission.handle_timeout(Instant::now());
                inner.admission.deadline()
            });
            let mut asked = vec![poll_fd(&woken, WOKEN)];
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
                let _ = woken.read(&mut [0; 64]);
                continue;
            }
            if rests_until.is_some_and(|until| until > Instant::now()) {
                continue;
            }
            rests_until = None;
            let waited = waited.map_err(io::Error::from);
            let accepted = waited.and_then(|()| self.accept_each(listeners, &mut prefaces));
            if let Err(error) = accepted {
                if let Some(skipped) = rest_log.take(Instant::now()) {
                    tracing::warn!(skipped, "accepting rests for {ACCEPT_REST:?}: {error}");
                }
                rests_until = after(ACCEPT_REST);
            }
        }
        tracing::info!(id = ?self.id, "stopped accepting");
    }

    /// Takes one connection of each listener that has some.
    fn accept_each(
        self: &Arc<Self>,
        listeners: &[(Entrance, ListeningSocket)],
        prefaces: &mut Prefaces,
    ) -> io::Result<()> {
        for (entrance, listener) in listeners {
            match listener.accept() {
                Ok((socket, address)) if prefaces.are_expected_at(*entrance) => {
                    prefaces.add(self, socket, address);
                }
                Ok((socket, address)) => self.greet(socket, *entrance, address),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn greet(self: &Arc<Self>, socket: Socket, entrance: Entrance, address: Address) {
        if self.prepare(&socket).is_err() {
            return self.reject(&address, &RejectReason::ClosedBeforeHello);
        }
        let socket = match &self.acceptor {
            Some(acceptor) if entrance == Entrance::Main => acceptor.wrap_socket(socket),
            _ => socket,
        };
        let from = address.tcp().map(|address| address.ip());
        let config = match entrance {
            Entrance::Main => &self.config,
            Entrance::Pymasep => &self.pymasep_config,
        };
        let (shared, refusal) = self.update(|inner| {
            let (ticket, greet) = inner.admission.arrive(from, entrance);
            let place = Place {
                door: self.clone(),
                ticket,
            };
            let core = Core::accept(config.clone(), Instant::now());
            let owner = (self.registry.clone(), Some(place), self.handler.is_some());
            let shared = Shared::new(
                core,
                socket,
                address,
                config.clone(),
                self.socket_options.busy_poll,
                owner,
            );
            inner.connections.insert(ticket, shared.clone());
            (shared, greet)
        });
        self.accepted.expect();
        match refusal {
            Greet::Hear => keeper::watch(&shared),
            Greet::Refuse(refusal) => shared.refuse(refusal.reason, refusal.at_once),
        }
    }

    /// The bounds of connections.
    pub(super) fn limits(&self) -> &Limits {
        self.config.limits()
    }

    /// Connections that may have arrived and not said where they come from.
    pub(super) fn most_prefaces(&self) -> usize {
        self.accepted.places()
    }

    /// A connection has not said where it comes from.
    pub(super) fn log_no_preface(self: &Arc<Self>, address: &Address, why: &dyn std::fmt::Display) {
        match self.update(|inner| inner.admission.log_refusal(Instant::now())) {
            Some(skipped) => {
                let skipped = (skipped > 0).then_some(skipped);
                tracing::info!(%address, skipped, "refused: {why}");
            }
            None => tracing::debug!(%address, "refused: {why}"),
        }
    }

    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        // Some systems hand the listener's mode on.
        socket.set_nonblocking(false)?;
        transport::prepare(socket, self.config.limits(), &self.socket_options)
    }

    fn reject(self: &Arc<Self>, address: &Address, reason: &RejectReason) {
        let name = reason.as_str();
        let (log, may_tell) = self.update(|inner| {
            let log = inner.admission.log_refusal(Instant::now());
            (log, self.handler.is_some() && inner.admission.tell())
        });
        match log {
            Some(0) => tracing::info!(%address, reason = name, "refused: {reason}"),
            Some(skipped) => tracing::info!(%address, reason = name, skipped, "refused: {reason}"),
            None => tracing::debug!(%address, reason = name, "refused: {reason}"),
        }
        if let (Some(handler), true) = (&self.handler, may_tell) {
            let (this, handler, reason) = (self.clone(), handler.clone(), reason.clone());
            let address = address.clone();
            let told = thread::Builder::new()
                .name("masep-reject".into())
                .spawn(move || {
                    guarded(|| handler.on_reject(address, &reason));
                    this.update(|inner| inner.admission.told());
                });
            if told.is_err() {
                self.update(|inner| inner.admission.told());
            }
        }
    }
}

fn act(shared: &Arc<Shared>, event: DoorEvent) {
    match event {
        DoorEvent::Refuse(_, refusal) => shared.refuse(refusal.reason, refusal.at_once),
        DoorEvent::LookAt(_) => shared.look(),
        DoorEvent::Replace(_) => shared.begin_end(CloseReason::Replaced),
        DoorEvent::End(_, reason) => shared.begin_end(reason),
        DoorEvent::Abort(_, reason) => shared.abort(reason),
        // Those are seen to before.
        DoorEvent::Admit(_) | DoorEvent::AskAccess(_) | DoorEvent::Ask(_) => {}
    }
}

impl Renews for Door {
    fn renew(&self, grants: Option<Grants>, date: SystemTime) {
        self.update(|inner| match grants {
            Some(grants) => inner.admission.renew(grants, Instant::now(), date),
            None => inner.admission.expire(Instant::now(), date),
        });
    }
}

impl Decides for Door {
    fn let_in(&self, ticket: Ticket, grant: Option<Grant>) {
        self.update(|inner| inner.admission.let_in(ticket, grant, Instant::now()));
    }

    fn decide(&self, ticket: Ticket, decision: Decision, welcome: Option<Welcome>) {
        self.update(|inner| {
            inner.requests.keep_welcome(ticket, welcome);
            inner.admission.decide(ticket, decision, Instant::now());
        });
    }

    #[cfg(feature = "unstable-bindings")]
    fn hand_over(&self, ticket: Ticket) -> Option<io::Result<Detached>> {
        let door = self.itself.upgrade()?;
        let shared = self.lock().connections.get(&ticket).cloned()?;
        let detached = shared.detach(&self.relays)?;
        let is_given_away = shared.lock().is_given_away;
        if is_given_away {
            self.accepted.leave();
        }
        let (stream, heard) = match detached {
            Ok(detached) => detached,
            Err(error) => {
                if is_given_away {
                    Place { door, ticket }.gone();
                }
                return Some(Err(error));
            }
        };
        let away = Arc::new(Away::default());
        let is_given_away = self.update(|inner| {
            inner.requests.end(ticket, Ok(()));
            inner.connections.remove(&ticket);
            let is_given_away = inner.admission.give_away(ticket);
            if is_given_away {
                inner.away.insert(ticket, away.clone());
            }
            is_given_away
        });
        let detached = Detached::new(stream, heard, away, Place { door, ticket });
        // Refused in the same moment, it finds the end of the stream.
        is_given_away.then_some(Ok(detached))
    }
}

impl Shared {
    /// Has the keeper read what arrives for a moment.
    fn look(self: &Arc<Self>) {
        self.read_in_background(GRACE);
    }

    /// Has the keeper read the frames that arrive if a policy for a full queue drops frames or ends the connection:
    /// only a reader knows that the queue is full.
    pub(super) fn read_for_policy(self: &Arc<Self>) {
        if self.config.policy() != WhenFull::Wait {
            self.read_in_background(FAR);
        }
    }

    fn read_in_background(self: &Arc<Self>, time: Duration) {
        let mut state = self.lock();
        if state.is_attended() {
            // It is read as it comes.
            return;
        }
        state.roles.looks_until = state.roles.looks_until.max(after(time));
        drop(state);
        keeper::watch(self);
    }
}

/// Calls for a connection that has the place.
impl Place {
    pub(super) fn hello(&self, shared: &Arc<Shared>) {
        let hello = shared.lock().core.hello().cloned();
        let (verdict, grant) = self.door.update(|inner| {
            let (now, date) = (Instant::now(), SystemTime::now());
            let admission = &mut inner.admission;
            let verdict = admission.hello(self.ticket, shared.peer(), hello.as_ref(), now, date);
            (verdict, admission.grant(self.ticket))
        });
        match verdict {
            Verdict::Admit => {
                shared.note_grant(grant);
                shared.admit(None);
            }
            Verdict::Refuse(refusal) => shared.refuse(refusal.reason, refusal.at_once),
            Verdict::Wait => {}
        }
    }

    /// Hands a connection out that is open: to the handler, or to a call of accept.
    pub(super) fn open(&self, first: Arc<Handle>) {
        self.door.lock().requests.end(self.ticket, Ok(()));
        let connection = Connection::of(first);
        let shared = connection.shared().clone();
        let Some(handler) = self.door.handler.clone() else {
            shared.read_for_policy();
            return self.door.accepted.arrive(connection);
        };
        self.door.accepted.leave();
        let started = thread::Builder::new()
            .name("masep-connection".into())
            .spawn(move || handler::run(&connection, &*handler));
        if let Err(error) = started {
            tracing::warn!("no thread for a connection: {error}");
            shared.told();
        }
    }

    /// It was never open.
    pub(super) fn failed(
        &self,
        shared: &Arc<Shared>,
        refusal: Option<RejectReason>,
        failure: Option<HelloFailure>,
    ) {
        self.door.accepted.leave();
        let reason = refusal.unwrap_or_else(|| {
            if !self
                .door
                .update(|inner| inner.admission.failed(self.ticket))
            {
                shared.abort(CloseReason::Aborted);
            }
            failure.map_or(RejectReason::ClosedBeforeHello, RejectReason::from)
        });
        let outcome = Err(reason.clone());
        self.door.lock().requests.end(self.ticket, outcome);
        self.door.reject(&shared.address, &reason);
    }

    pub(super) fn ending(&self) {
        self.door
            .update(|inner| inner.admission.ending(self.ticket));
    }

    pub(super) fn closed(&self) {
        self.door
            .update(|inner| inner.admission.closed(self.ticket, Instant::now()));
    }

    pub(super) fn gone(&self) {
        self.door.update(|inner| {
            inner.admission.gone(self.ticket);
            inner.connections.remove(&self.ticket)
        });
    }

    /// One that was given away is nobody's any more.
    #[cfg(feature = "unstable-bindings")]
    pub(super) fn come_to_an_end(&self) {
        self.door.update(|inner| {
            inner.admission.gone(self.ticket);
            inner.away.remove(&self.ticket)
        });
    }
}
