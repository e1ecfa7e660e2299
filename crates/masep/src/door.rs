//! The server's door: accepts streams and carries out the decisions of
//! [`masep_proto::admission::Admission`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use masep_proto::access::Grant;
use masep_proto::admission::{Admission, Entrance, Greet, Pace};
use masep_proto::connection::Connection as Core;
use masep_proto::protocol2::{Hello, Protocol, Welcome};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, Span, field};

use crate::connection::{Delivery, Shared, now};
use crate::guests::{Admits, Decided, DoorSettings, Guest, Guests, Visit, next_request};
use crate::hand_out::HandOut;
use crate::handler::guarded;
use crate::keeper::Keeper;
use crate::preface::Preface;
use crate::request::{Peer, Request};
use crate::transport::{self, Listener, Transport};
use crate::{
    Address, CloseReason, Connection, ConnectionId, Registry, RejectReason, SocketHandler,
};

/// The time for which accepting rests after an error of the machine, such as no free descriptor. Existing
/// connections go on; without a rest the loop would spin, because the error stays.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// One for each server.
pub(crate) struct Door {
    itself: Weak<Self>,
    settings: DoorSettings,
    delivery: Delivery,
    /// Places for connections whose header of the PROXY protocol is to come, where one is expected.
    prefaces: Option<Arc<Semaphore>>,
    registry: Registry,
    guests: Mutex<Guests<Shared>>,
    /// A deadline may be earlier than before.
    changed: Notify,
    /// The host is asked about a connection.
    requested: Notify,
    stopped: watch::Sender<bool>,
}

impl Door {
    /// `prefaces`: the most connections whose header of the PROXY protocol is to come, where one is expected.
    pub(crate) fn new(
        settings: DoorSettings,
        admission: Admission,
        delivery: Delivery,
        prefaces: Option<usize>,
        registry: Registry,
    ) -> io::Result<Arc<Self>> {
        let door = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            guests: Mutex::new(Guests::new(admission, &settings)),
            settings,
            delivery,
            prefaces: prefaces
                .map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
            registry,
            changed: Notify::new(),
            requested: Notify::new(),
            stopped: watch::channel(false).0,
        });
        door.settings.subscribe(&door)?;
        Ok(door)
    }

    fn lock(&self) -> MutexGuard<'_, Guests<Shared>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, guest: &Arc<Shared>, decided: Decided) {
        match decided {
            Decided::Admit(welcome, grant) => {
                self.admit(guest, welcome.map(|welcome| *welcome), grant);
            }
            Decided::Refuse(refusal) => guest.lock().core.turn_away(refusal, now()),
            Decided::Look => guest.look(),
            Decided::End(reason) => guest.end(reason),
            Decided::Abort(reason) => guest.abort(reason),
        }
    }

    /// Admits a connection. It is in the registry before its peer can know.
    fn admit(&self, guest: &Arc<Shared>, welcome: Option<Welcome>, grant: Option<Arc<Grant>>) {
        guest.note_grant(grant);
        self.registry.add_connection(Connection::new(guest.clone()));
        guest.lock().core.admit_with(welcome, now());
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
        let next = next_request(&mut guests, self);
        if guests.requests.has_waiting() {
            // Another call may wait for that one.
            self.requested.notify_one();
        }
        next
    }

    /// Stops accepting. Connections that were not admitted yet are refused.
    pub(crate) fn stop(&self) {
        self.update(Guests::stop);
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
                            self.ask(Admission::handle_timeout);
                        }
                    }
                }
            }
        }
    }
}

impl Admits for Door {
    type Guest = Shared;

    fn now() -> std::time::Instant {
        now()
    }

    fn settings(&self) -> &DoorSettings {
        &self.settings
    }

    fn update<T>(&self, change: impl FnOnce(&mut Guests<Shared>) -> T) -> T {
        let mut guests = self.lock();
        let answer = change(&mut guests);
        while let Some((guest, decided)) = guests.next_decided(&self.itself, &self.settings) {
            self.carry_out(&guest, decided);
        }
        if guests.admission.deadline().is_some() {
            self.changed.notify_one();
        }
        let (access, has_asked) = guests.take_asked();
        if has_asked {
            self.requested.notify_one();
        }
        drop(guests);
        self.ask_host(access);
        answer
    }

    fn look<T>(&self, look: impl FnOnce(&Guests<Shared>) -> T) -> T {
        look(&self.lock())
    }

    #[cfg(feature = "unstable-bindings")]
    fn give_up(
        &self,
        _ticket: masep_proto::admission::Ticket,
    ) -> Option<io::Result<crate::blocking::Detached>> {
        // The stream is one of the runtime's.
        None
    }
}

impl Guest for Shared {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn hello(&self) -> Option<(Hello, Protocol)> {
        self.look_at(Peer::hello)
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

    /// Frees the id, and the place at the server.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.registry.remove_connection(connection);
        self.visit.iter().for_each(Visit::leave);
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
        let time = self.door.settings.limits().hello_time;
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
    arrived: Option<(Keeper, Visit<Door>)>,
    address: Address,
    hand_out: Option<HandOut>,
    alive: mpsc::Sender<Infallible>,
) {
    let reason = if let Some((mut keeper, visit)) = arrived {
        let greeted = greet(&mut keeper, &visit).await;
        visit.tell_host(greeted.clone());
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
    door.log_refusal(&reason, None);
    if door.ask(|admission, _| admission.tell()) {
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
        self.0.ask(|admission, _| admission.told());
    }
}

/// A connection that has arrived, heard or to be refused; none if it has ended already.
fn arrive(
    door: &Arc<Door>,
    transport: impl Transport,
    entrance: Entrance,
    address: Address,
    alive: mpsc::Sender<Infallible>,
) -> Option<(Keeper, Visit<Door>)> {
    let settings = &door.settings;
    transport::prepare(&transport, settings.limits(), &settings.socket_options).ok()?;
    let (config, acceptor) = settings.at(entrance);
    let core = Core::accept(config.clone(), now());
    let from = address.tcp().map(|address| address.ip());
    let (delivery, busy_poll) = (door.delivery, settings.socket_options.busy_poll);
    let shared = match acceptor {
        Some(acceptor) => {
            let transport = acceptor.wrap(transport);
            Shared::new(core, transport, address, delivery, busy_poll)
        }
        None => Shared::new(core, transport, address, delivery, busy_poll),
    };
    let (ticket, greet) = door.update(|guests| guests.arrive(from, entrance, |_| shared.clone()));
    if let Greet::Refuse(refusal) = greet {
        shared.lock().core.turn_away(refusal, now());
    }
    let visit = Visit {
        door: door.clone(),
        ticket,
    };
    let membership = Membership {
        registry: door.registry.clone(),
        visit: Some(visit.clone()),
        alive: Some(alive),
    };
    Some((Keeper::new(shared, membership), visit))
}

/// Sees a connection through its hello and the verdict, and through its farewell if it is refused.
async fn greet(keeper: &mut Keeper, visit: &Visit<Door>) -> Result<(), RejectReason> {
    let greeted = match keeper.hello().await {
        Ok(()) => {
            let guest = keeper.shared();
            let hello = guest.look_at(|core| core.hello().cloned());
            if let Some(decided) = visit.say_hello(guest.peer(), hello.as_ref()) {
                visit.door.carry_out(guest, decided);
            }
            keeper.open().await
        }
        Err(failure) => Err(failure),
    };
    let Err(failure) = greeted else {
        return Ok(());
    };
    let refusal = keeper.shared().lock().core.take_reject_reason();
    let cut_off = || keeper.shared().abort(CloseReason::Aborted);
    let reason = visit.reject_reason(refusal, Some(failure), cut_off);
    keeper.over().await;
    Err(reason)
}
