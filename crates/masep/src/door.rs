//! The server's door: accepts streams and carries out the decisions of
//! [`masep_proto::admission::Admission`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use masep_proto::access::{Grant, Grants, Subject};
use masep_proto::admission::{
    Admission, Decision, DoorEvent, Entrance, Greet, Pace, Refusal, Ticket, Verdict,
};
use masep_proto::connection::{Config, Connection as Core, Protocols};
use masep_proto::protocol2::{Rejected, Welcome};
use masep_proto::{PeerId, ServerLimits};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, Span, field};

use crate::access::{AccessRequest, Gate, Renews};
use crate::connection::{Delivery, Shared, now};
use crate::hand_out::HandOut;
use crate::handler::guarded;
use crate::keeper::Keeper;
use crate::preface::Preface;
use crate::request::{Asks, Decides, Peer, Request, Requests};
use crate::tls::Acceptor;
use crate::transport::{self, Listener, Transport};
use crate::{
    Address, CloseReason, Connection, Duplicates, Registry, RejectReason, SocketHandler,
    SocketOptions,
};

/// The time for which accepting rests after an error of the machine, such as no free descriptor. Existing
/// connections go on; without a rest the loop would spin, because the error stays.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// One for each server.
pub(crate) struct Door {
    itself: Weak<Self>,
    id: PeerId,
    config: Arc<Config>,
    /// The configuration of clients that come by the entrance for pymasep's protocol.
    pymasep_config: Arc<Config>,
    gate: Gate,
    socket_options: SocketOptions,
    delivery: Delivery,
    acceptor: Option<Acceptor>,
    /// Places for connections whose header of the PROXY protocol is to come, where one is expected.
    prefaces: Option<Arc<Semaphore>>,
    registry: Registry,
    guests: Mutex<Guests>,
    /// A deadline may be earlier than before.
    changed: Notify,
    /// The host is asked about a connection.
    requested: Notify,
    stopped: watch::Sender<bool>,
}

struct Guests {
    admission: Admission,
    connections: BTreeMap<Ticket, Arc<Shared>>,
    requests: Requests,
    /// Those about which the host's function is to be asked, when the lock is let go.
    access: Vec<AccessRequest>,
}

/// The rules of a door that differ from server to server.
pub(crate) struct Rules {
    pub(crate) socket_options: SocketOptions,
    pub(crate) duplicates: Duplicates,
    pub(crate) asks: Asks,
    pub(crate) gate: Gate,
    pub(crate) proxy_protocol: bool,
    pub(crate) delivery: Delivery,
    pub(crate) acceptor: Option<Acceptor>,
}

impl Door {
    pub(crate) fn new(
        id: PeerId,
        config: Config,
        limits: &ServerLimits,
        rules: Rules,
        registry: Registry,
    ) -> io::Result<Arc<Self>> {
        let admission = rules.asks.admission(limits, rules.duplicates);
        let pymasep = config.clone().tls(false).protocols(Protocols::Pymasep);
        let door = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            guests: Mutex::new(Guests {
                admission: rules.gate.guard(admission),
                connections: BTreeMap::new(),
                requests: Requests::default(),
                access: Vec::new(),
            }),
            id,
            pymasep_config: Arc::new(pymasep),
            config: Arc::new(config),
            gate: rules.gate,
            socket_options: rules.socket_options,
            delivery: rules.delivery,
            acceptor: rules.acceptor,
            prefaces: rules.proxy_protocol.then(|| {
                Arc::new(Semaphore::new(
                    limits.connections.min(Semaphore::MAX_PERMITS),
                ))
            }),
            registry,
            changed: Notify::new(),
            requested: Notify::new(),
            stopped: watch::channel(false).0,
        });
        door.gate.subscribe(&door)?;
        Ok(door)
    }

    /// The state of the certificate, if there is one.
    #[cfg(feature = "tls")]
    pub(crate) fn certificate(&self) -> Option<crate::tls::CertificateState> {
        self.acceptor.as_ref().map(Acceptor::certificate)
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call of the admission, and carries out its decisions.
    pub(crate) fn ask<R>(&self, call: impl FnOnce(&mut Admission) -> R) -> R {
        self.update(|guests| call(&mut guests.admission))
    }

    /// [`ask`](Self::ask), with what is to be known before the decisions are carried out.
    fn update<R>(&self, change: impl FnOnce(&mut Guests) -> R) -> R {
        let mut guests = self.lock();
        let answer = change(&mut guests);
        while let Some(event) = guests.admission.poll_event() {
            self.act(&mut guests, event);
        }
        if guests.admission.deadline().is_some() {
            self.changed.notify_one();
        }
        let access = std::mem::take(&mut guests.access);
        drop(guests);
        for request in access {
            self.gate.ask(request);
        }
        answer
    }

    fn act(&self, guests: &mut Guests, event: DoorEvent) {
        let Guests {
            admission,
            connections,
            requests,
            access,
        } = guests;
        let connection = |ticket| connections.get(&ticket);
        match event {
            DoorEvent::Admit(ticket) => {
                let welcome = requests.take_welcome(ticket);
                let grant = admission.grant(ticket);
                connection(ticket).inspect(|guest| self.admit(guest, welcome, grant));
            }
            DoorEvent::Refuse(ticket, refusal) => {
                // Before its peer can know.
                requests.pass_over(ticket);
                connection(ticket).inspect(|guest| refuse(guest, refusal));
            }
            DoorEvent::LookAt(ticket) => {
                connection(ticket).inspect(|guest| guest.look());
            }
            DoorEvent::Replace(ticket) => {
                connection(ticket).inspect(|guest| guest.end(CloseReason::Replaced));
            }
            DoorEvent::End(ticket, reason) => {
                connection(ticket).inspect(|guest| guest.end(reason));
            }
            DoorEvent::Abort(ticket, reason) => {
                connection(ticket).inspect(|guest| guest.abort(reason));
            }
            DoorEvent::AskAccess(ticket) => {
                let peer = connection(ticket).and_then(|guest| self.peer(guest, None));
                if let Some((peer, door)) = peer.zip(self.itself.upgrade()) {
                    access.push(AccessRequest::new(peer, ticket, door));
                }
            }
            DoorEvent::Ask(ticket) => {
                let grant = admission.grant(ticket);
                if let Some(peer) = connection(ticket).and_then(|guest| self.peer(guest, grant)) {
                    requests.ask(ticket, peer);
                    self.requested.notify_one();
                }
            }
        }
    }

    /// The client about which the host is asked.
    fn peer(&self, guest: &Shared, grant: Option<Arc<Grant>>) -> Option<Peer> {
        let (hello, protocol) = guest.look_at(Peer::hello)?;
        Some(Peer {
            hello,
            protocol,
            address: guest.address.clone(),
            connection: guest.id,
            server: self.id.clone(),
            grant,
        })
    }

    /// Admits a connection. It is in the registry before its peer can know.
    fn admit(&self, guest: &Arc<Shared>, welcome: Option<Welcome>, grant: Option<Arc<Grant>>) {
        guest.note_grant(grant);
        self.registry.add_connection(Connection::new(guest.clone()));
        let mut locked = guest.lock();
        match welcome {
            Some(welcome) => locked.core.admit_with(welcome, now()),
            None => locked.core.admit(now()),
        }
    }

    /// The next connection about which the host is asked; `None` when none comes any more. Cancel safe.
    pub(crate) async fn next_request(self: &Arc<Self>) -> Option<Request> {
        let mut stopped = self.stopped.subscribe();
        loop {
            let requested = self.requested.notified();
            let next = self.take_request();
            if next.is_some() {
                return next;
            }
            tokio::select! {
                biased;
                () = requested => {}
                _ = stopped.wait_for(|stopped| *stopped) => return None,
            }
        }
    }

    fn take_request(self: &Arc<Self>) -> Option<Request> {
        let mut guests = self.lock();
        let next = guests.requests.next(|| self.clone());
        if guests.requests.has_waiting() {
            // Another call may wait for that one.
            self.requested.notify_one();
        }
        next
    }

    /// Tells the host the outcome of a connection about which it was asked.
    fn tell_host(&self, ticket: Ticket, outcome: Result<(), RejectReason>) {
        self.lock().requests.end(ticket, outcome);
    }

    /// Ends the connections of these.
    pub(crate) fn kick(&self, subject: &Subject) -> usize {
        self.ask(|admission| admission.kick(subject, now()))
    }

    /// As [`kick`](Self::kick), and keeps them out.
    pub(crate) fn ban(&self, subject: Subject) -> usize {
        self.ask(|admission| admission.ban(subject, now()))
    }

    pub(crate) fn unban(&self, subject: Subject) -> bool {
        self.ask(|admission| admission.unban(subject))
    }

    pub(crate) fn bans(&self) -> Vec<Subject> {
        self.lock().admission.bans().cloned().collect()
    }

    /// A connection has not said where it comes from.
    fn log_no_preface(&self, address: &Address, why: &dyn std::fmt::Display) {
        match self.ask(|admission| admission.log_refusal(now())) {
            Some(skipped) => {
                let skipped = (skipped > 0).then_some(skipped);
                tracing::info!(%address, skipped, "refused: {why}");
            }
            None => tracing::debug!(%address, "refused: {why}"),
        }
    }

    /// Stops accepting. Connections that were not admitted yet are refused.
    pub(crate) fn stop(&self) {
        self.ask(Admission::stop);
        self.stopped.send_replace(true);
    }

    /// Settles what has waited for too long, for ever.
    async fn keep_time(&self) -> Infallible {
        loop {
            let changed = self.changed.notified();
            let deadline = self.lock().admission.deadline();
            match deadline {
                None => changed.await,
                Some(deadline) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(Instant::from_std(deadline)) => {
                            self.ask(|admission| admission.handle_timeout(now()));
                        }
                    }
                }
            }
        }
    }
}

impl Renews for Door {
    fn renew(&self, grants: Option<Grants>, date: SystemTime) {
        self.ask(|admission| match grants {
            Some(grants) => admission.renew(grants, now(), date),
            None => admission.expire(now(), date),
        });
    }
}

impl Decides for Door {
    fn let_in(&self, ticket: Ticket, grant: Option<Grant>) {
        self.ask(|admission| admission.let_in(ticket, grant, now()));
    }

    fn decide(&self, ticket: Ticket, decision: Decision, welcome: Option<Welcome>) {
        self.lock().requests.keep_welcome(ticket, welcome);
        self.ask(|admission| admission.decide(ticket, decision, now()));
    }

    #[cfg(feature = "unstable-bindings")]
    fn hand_over(&self, _ticket: Ticket) -> Option<io::Result<crate::blocking::Detached>> {
        // The stream is one of the runtime's.
        None
    }
}

fn refuse(guest: &Shared, refusal: Refusal) {
    let mut locked = guest.lock();
    if refusal.at_once {
        locked.core.abort(CloseReason::Aborted, now());
    } else {
        let rejected = Rejected::from(&refusal.reason);
        locked.core.refuse_with(rejected, now());
    }
    locked.refusal = Some(Box::new(refusal.reason));
}

/// The share of a connection in its server or client, until its end.
pub(crate) struct Place {
    registry: Registry,
    door: Option<(Arc<Door>, Ticket)>,
    /// The server has not ended as long as there is one of these.
    alive: Option<mpsc::Sender<Infallible>>,
}

impl Place {
    pub(crate) const fn of_client(registry: Registry) -> Self {
        Self {
            registry,
            door: None,
            alive: None,
        }
    }

    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The connection has a reason to end.
    pub(crate) fn ending(&self) {
        if let Some((door, ticket)) = &self.door {
            door.ask(|admission| admission.ending(*ticket));
        }
    }

    /// Frees the id, and the place.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.registry.remove_connection(connection);
        if let Some((door, ticket)) = &self.door {
            let mut guests = door.lock();
            guests.connections.remove(ticket);
            guests.requests.end(*ticket, Err(RejectReason::Stopped));
            drop(guests);
            door.ask(|admission| admission.gone(*ticket));
        }
    }

    /// The server need not wait any longer.
    pub(crate) fn end(&mut self) {
        self.alive = None;
    }
}

/// Accepts until the server is stopped. The senders of `hand_out`, one here and one per handshake, are
/// all gone when no connection can be handed out any more; those of `alive`, one here and one per
/// connection, when all has ended.
pub(crate) async fn accept_connections<H: SocketHandler, L: Listener>(
    listener: L,
    entrance: Entrance,
    door: Arc<Door>,
    handler: Arc<H>,
    hand_out: Option<HandOut>,
    alive: mpsc::Sender<Infallible>,
) {
    let mut stopped = door.stopped.subscribe();
    // Ten in a second would be many.
    let mut rest_log = Pace::new(8, Duration::from_secs(60));
    let mut time = std::pin::pin!(door.keep_time());
    tracing::info!("listening");
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            never = &mut time => match never {},
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((transport, address)) => {
                let begun = Begun {
                    door: door.clone(),
                    handler: handler.clone(),
                    hand_out: hand_out.clone(),
                    alive: alive.clone(),
                };
                match door
                    .prefaces
                    .as_ref()
                    .filter(|_| entrance == Entrance::Main)
                {
                    None => begun.arrive(transport, entrance, address),
                    Some(places) => match places.clone().try_acquire_owned() {
                        Ok(place) => {
                            tokio::spawn(begun.hear_preface(transport, address, place));
                        }
                        // As many have not said where they come from as may.
                        Err(_full) => drop(transport),
                    },
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if let Some(skipped) = rest_log.take(now()) {
                    let skipped = (skipped > 0).then_some(skipped);
                    tracing::warn!(skipped, "accepting rests for {ACCEPT_REST:?}: {error}");
                }
                let _ = timeout(ACCEPT_REST, stopped.wait_for(|stopped| *stopped)).await;
            }
        }
    }
    // Before the senders: when all has ended, the address is free.
    drop(listener);
    tracing::info!("stopped accepting");
}

/// A connection that was accepted, and what its task needs.
struct Begun<H> {
    door: Arc<Door>,
    handler: Arc<H>,
    hand_out: Option<HandOut>,
    alive: mpsc::Sender<Infallible>,
}

impl<H: SocketHandler> Begun<H> {
    /// Gives it a place, and a task that takes it.
    fn arrive(self, transport: impl Transport, entrance: Entrance, address: Address) {
        let span = tracing::info_span!(
            "connection",
            %address,
            connection = field::Empty,
            peer = field::Empty,
        );
        // Here, so that those who make room for others are those who came first.
        let alive = self.alive.clone();
        let arrived = arrive(&self.door, transport, entrance, address.clone(), alive);
        let Self {
            door,
            handler,
            hand_out,
            alive,
        } = self;
        let taking = take(door, handler, arrived, address, hand_out, alive);
        tokio::spawn(taking.instrument(span));
    }

    /// Reads the header of the PROXY protocol first, for as long as a hello may take.
    async fn hear_preface(
        self,
        transport: impl Transport,
        address: Address,
        place: OwnedSemaphorePermit,
    ) {
        let mut stopped = self.door.stopped.subscribe();
        let time = self.door.config.limits().hello_time;
        let mut preface = Preface::default();
        let heard = timeout(time, async {
            loop {
                match preface.read(&transport, &address) {
                    Ok(Some(of_client)) => return Ok(of_client),
                    Ok(None) => poll_fn(|context| transport.poll_readable(context)).await?,
                    Err(error) => return Err(error),
                }
            }
        });
        let heard = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            heard = heard => heard,
        };
        drop(place);
        match heard {
            Ok(Ok(of_client)) => self.arrive(transport, Entrance::Main, of_client),
            Ok(Err(error)) => self.door.log_no_preface(&address, &error),
            Err(_elapsed) => {
                let error = format_args!("no header of the PROXY protocol within {time:?}");
                self.door.log_no_preface(&address, &error);
            }
        }
    }
}

/// Errors that `accept(2)` reports of a connection that is already gone.
pub(crate) fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    )
}

/// Shakes hands, and gives the connection a task of its own. The one that shook hands ends
/// then: an idle connection does not hold the memory that the handshake took.
async fn take<H: SocketHandler>(
    door: Arc<Door>,
    handler: Arc<H>,
    arrived: Option<Keeper>,
    address: Address,
    hand_out: Option<HandOut>,
    alive: mpsc::Sender<Infallible>,
) {
    let reason = if let Some(mut keeper) = arrived {
        let greeted = greet(&mut keeper).await;
        keeper.place().tell_host(&greeted);
        match greeted {
            Ok(()) => {
                let connection = Connection::new(keeper.shared().clone());
                Span::current()
                    .record("connection", field::display(connection.id()))
                    .record("peer", field::debug(connection.peer()));
                tracing::info!("connected");
                if let Some(hand_out) = hand_out {
                    hand_out.push(connection.clone());
                }
                tokio::spawn(keeper.run(connection, handler).in_current_span());
                return;
            }
            Err(reason) => reason,
        }
    } else {
        RejectReason::ClosedBeforeHello
    };
    let logged = door.ask(|admission| admission.log_refusal(now()));
    let name = reason.as_str();
    match logged {
        Some(skipped) => {
            let skipped = (skipped > 0).then_some(skipped);
            tracing::info!(reason = name, skipped, "refused: {reason}");
        }
        None => tracing::debug!(reason = name, "refused: {reason}"),
    }
    if door.ask(Admission::tell) {
        let telling = Telling(&door);
        guarded(|| handler.on_reject(address, &reason)).await;
        drop(telling);
    }
    drop(alive);
}

/// A call that tells of a refusal.
struct Telling<'a>(&'a Door);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.ask(Admission::told);
    }
}

/// A connection that has arrived, heard or to be refused; none if it has ended already.
fn arrive(
    door: &Arc<Door>,
    transport: impl Transport,
    entrance: Entrance,
    address: Address,
    alive: mpsc::Sender<Infallible>,
) -> Option<Keeper> {
    transport::prepare(&transport, door.config.limits(), &door.socket_options).ok()?;
    let config = match entrance {
        Entrance::Main => &door.config,
        Entrance::Pymasep => &door.pymasep_config,
    };
    let core = Core::accept(config.clone(), now());
    let from = address.tcp().map(|address| address.ip());
    let (delivery, busy_poll) = (door.delivery, door.socket_options.busy_poll);
    let shared = match &door.acceptor {
        Some(acceptor) if entrance == Entrance::Main => {
            let transport = acceptor.wrap(transport);
            Shared::new(core, transport, address, delivery, busy_poll)
        }
        _ => Shared::new(core, transport, address, delivery, busy_poll),
    };
    let (ticket, greet) = door.update(|guests| {
        let (ticket, greet) = guests.admission.arrive(from, entrance);
        // The next one that arrives may crowd it out.
        guests.connections.insert(ticket, shared.clone());
        (ticket, greet)
    });
    if let Greet::Refuse(refusal) = greet {
        refuse(&shared, refusal);
    }
    let place = Place {
        registry: door.registry.clone(),
        door: Some((door.clone(), ticket)),
        alive: Some(alive),
    };
    Some(Keeper::new(shared, place))
}

/// Sees a connection through its hello and the verdict, and through its farewell if it is refused.
async fn greet(keeper: &mut Keeper) -> Result<(), RejectReason> {
    let greeted = match keeper.hello().await {
        Ok(()) => {
            keeper.place().hello(keeper.shared());
            keeper.open().await
        }
        Err(failure) => Err(failure),
    };
    let Err(failure) = greeted else {
        return Ok(());
    };
    let refusal = keeper.shared().lock().refusal.take();
    let reason = match refusal {
        Some(reason) => *reason,
        None => {
            if !keeper.place().failed() {
                keeper.shared().abort(CloseReason::Aborted);
            }
            RejectReason::from(failure)
        }
    };
    keeper.over().await;
    Err(reason)
}

impl Place {
    /// The peer has said hello.
    fn hello(&self, guest: &Arc<Shared>) {
        let Some((door, ticket)) = &self.door else {
            return;
        };
        let id: PeerId = guest.peer().clone();
        let hello = guest.look_at(|core| core.hello().cloned());
        let hear = |admission: &mut Admission| {
            let date = SystemTime::now();
            let verdict = admission.hello(*ticket, &id, hello.as_ref(), now(), date);
            (verdict, admission.grant(*ticket))
        };
        let (verdict, grant) = door.ask(hear);
        match verdict {
            Verdict::Admit => door.admit(guest, None, grant),
            Verdict::Refuse(refusal) => refuse(guest, refusal),
            Verdict::Wait => {}
        }
    }

    /// The host may wait to be told.
    fn tell_host(&self, greeted: &Result<(), RejectReason>) {
        if let Some((door, ticket)) = &self.door {
            door.tell_host(*ticket, greeted.clone());
        }
    }

    /// The connection failed. Returns false if its farewell is not seen out.
    fn failed(&self) -> bool {
        (self.door.as_ref()).is_none_or(|(door, ticket)| door.ask(|door| door.failed(*ticket)))
    }
}
