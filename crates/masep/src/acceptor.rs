//! How a server takes connections: the door, where nobody may block anybody.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use bytes::{BufMut, Bytes, BytesMut};
use masep_proto::{FrameCodec, Handshake, HelloError, Limit, LimitExceeded, Limits, PeerId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, Span, field};

use crate::driver::{Driver, Membership};
use crate::hand_out::HandOut;
use crate::handler::guarded;
use crate::origins::{Origin, Origins};
use crate::pace::Pace;
use crate::transport::{Listener, Transport};
use crate::wire::{BYE, HelloFailure, Wire, read_hello};
use crate::{CloseReason, Connection, Duplicates, Registry, RejectReason, SocketHandler};

/// How long accepting rests after an error of the machine, such as no free descriptor. Existing
/// connections go on; without a rest the loop would spin, because the error stays.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a hello with an id that is in use waits for the other connection to end: a client that
/// says BYE and comes back at once may be faster than its BYE.
pub(crate) const DUPLICATE_GRACE: Duration = Duration::from_millis(200);
/// How long a connection for which there is no place may take for its hello, and how many of them
/// may at the same time; the others are refused at once.
pub(crate) const REFUSAL_GRACE: Duration = Duration::from_millis(200);
pub(crate) const MAX_REFUSALS: usize = 64;
/// Calls of `on_reject` that may be under way. Connections are bounded by their places, but those
/// that are refused have none, and a handler may be slow, or never return.
pub(crate) const MAX_REJECT_CALLS: usize = 1_024;
/// How long a connection that is replaced may take to deliver what is queued for it.
pub(crate) const REPLACE_GRACE: Duration = Duration::from_secs(1);

/// What taking a connection needs, shared by the tasks that do it.
pub(crate) struct Acceptor<H> {
    id: PeerId,
    limits: Arc<Limits>,
    duplicates: Duplicates,
    registry: Registry,
    handler: Arc<H>,
    /// See [`Connection::new`].
    direct: bool,
    /// One for each connection there may be.
    slots: Arc<Semaphore>,
    origins: Arc<Origins>,
    /// Connections that have a slot but have not said hello, oldest first.
    handshakes: Mutex<BTreeMap<u64, Arc<Notify>>>,
    next_handshake: AtomicU64,
    /// One for each connection that may be heard out though there is no place for it.
    refusals: Semaphore,
    /// One for each call of `on_reject` that may be under way.
    reject_calls: Semaphore,
    refusal_log: Pace,
    stopped: watch::Receiver<bool>,
    /// See [`refusal`].
    refusal: Bytes,
}

/// What a connection takes of the server's limits, until it is dropped.
struct Place {
    _slot: OwnedSemaphorePermit,
    _origin: Option<Origin>,
}

/// What a connection keeps of its server to its end.
struct Stay {
    _place: Place,
    _alive: mpsc::Sender<Infallible>,
}

/// What a peer that is not taken gets: our hello, then `BYE`. A `BYE` alone would be our id to an
/// unmodified pymasep client, which then waits for ever; so it learns the id and ends.
pub(crate) fn refusal(id: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    // Fits: the id was checked when the server was built.
    let _ = FrameCodec::default().encode(&masep_proto::Frame::hello(id), &mut bytes);
    bytes.put_slice(BYE);
    bytes.freeze()
}

/// Refusals are logged as information at this pace, all of them for those who debug.
pub(crate) const fn refusal_log() -> Pace {
    Pace::new(16, Duration::from_secs(1))
}

/// Rests after errors are warned of at this pace: ten in a second would be many.
pub(crate) const fn rest_log() -> Pace {
    Pace::new(8, Duration::from_secs(60))
}

/// Accepts until the server is stopped. The senders of `hand_out`, one here and one per handshake, are
/// all gone when no connection can be handed out any more; those of `alive`, one here and one per
/// connection, when all has ended.
pub(crate) async fn accept_connections<H: SocketHandler, L: Listener>(
    listener: L,
    acceptor: Arc<Acceptor<H>>,
    hand_out: Option<HandOut>,
    alive: mpsc::Sender<Infallible>,
) {
    let mut stopped = acceptor.stopped.clone();
    let rest_log = rest_log();
    tracing::info!("listening");
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((transport, address)) => {
                // An IPv4 peer of an IPv6 socket is shown, and announced to, as what it is.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let span = tracing::info_span!(
                    "connection",
                    %address,
                    connection = field::Empty,
                    peer = field::Empty,
                );
                let taking =
                    acceptor
                        .clone()
                        .take(transport, address, hand_out.clone(), alive.clone());
                tokio::spawn(taking.instrument(span));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if let Some(skipped) = rest_log.take(StdInstant::now()) {
                    tracing::warn!(skipped, "accepting rests for {ACCEPT_REST:?}: {error}");
                }
                let _ = timeout(ACCEPT_REST, stopped.wait_for(|stopped| *stopped)).await;
            }
        }
    }
    tracing::info!("stopped accepting");
}

/// Errors that `accept(2)` reports of a connection that is already gone.
pub(crate) fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    )
}

impl<H: SocketHandler> Acceptor<H> {
    pub(crate) fn new(
        id: PeerId,
        limits: Limits,
        duplicates: Duplicates,
        registry: Registry,
        handler: H,
        direct: bool,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            refusal: refusal(&id),
            slots: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            origins: Origins::new(limits.connections_per_address),
            handshakes: Mutex::default(),
            next_handshake: AtomicU64::new(0),
            refusals: Semaphore::new(MAX_REFUSALS),
            reject_calls: Semaphore::new(MAX_REJECT_CALLS),
            refusal_log: refusal_log(),
            handler: Arc::new(handler),
            direct,
            id,
            limits: Arc::new(limits),
            duplicates,
            registry,
            stopped,
        }
    }

    /// Takes a connection: shakes hands, and gives it a task of its own. The one that shook hands ends
    /// then: an idle connection does not hold the memory that the handshake took.
    async fn take<T: Transport>(
        self: Arc<Self>,
        transport: T,
        address: SocketAddr,
        hand_out: Option<HandOut>,
        alive: mpsc::Sender<Infallible>,
    ) {
        match self.greet(transport, address, &alive).await {
            Ok(driver) => {
                let connection = driver.connection();
                Span::current()
                    .record("connection", field::display(connection.id()))
                    .record("peer", field::debug(connection.peer()));
                tracing::info!("connected");
                if let Some(hand_out) = hand_out {
                    hand_out.push(connection.clone());
                }
                tokio::spawn(driver.run().in_current_span());
            }
            Err(reason) => {
                let name = reason.as_str();
                match self.refusal_log.take(StdInstant::now()) {
                    Some(skipped) => tracing::info!(reason = name, skipped, "refused: {reason}"),
                    None => tracing::debug!(reason = name, "refused: {reason}"),
                }
                if let Ok(_call) = self.reject_calls.try_acquire() {
                    guarded(|| self.handler.on_reject(address, &reason)).await;
                }
            }
        }
    }

    /// Shakes hands: a connection that is registered and has our hello, or why it is refused. A
    /// refused one is told when its wire is dropped.
    async fn greet<T: Transport>(
        &self,
        transport: T,
        address: SocketAddr,
        alive: &mpsc::Sender<Infallible>,
    ) -> Result<Driver<H, Stay>, RejectReason> {
        let mut wire = Wire::new(transport, &self.limits, self.refusal.clone())
            .map_err(|_| RejectReason::ClosedBeforeHello)?;
        let place = match self.take_place(address.ip()).await {
            Ok(place) => place,
            Err(reason) => {
                self.hear_out(&mut wire).await;
                return Err(reason);
            }
        };
        let mut handshake =
            Handshake::acceptor(&self.id, &self.limits).map_err(RejectReason::Hello)?;
        let peer = self.hear_hello(&mut wire, &mut handshake).await?;
        let connection = Connection::new(peer, address, &self.limits, self.direct);
        let registration = self.register(&connection).await?;
        if *self.stopped.borrow() {
            // A shut-down that looked into the registry before would not see this one.
            return Err(RejectReason::Stopped);
        }
        let hello = handshake.poll_transmit().unwrap_or_default();
        wire.farewell = Bytes::from_static(BYE);
        // A fresh socket takes a small frame at once; if it does not, the peer is gone.
        let said = timeout(self.limits.hello_time, wire.say(&hello)).await;
        if !matches!(said, Ok(Ok(()))) {
            return Err(RejectReason::ClosedBeforeHello);
        }
        registration.keep();
        let stay = Stay {
            _place: place,
            _alive: alive.clone(),
        };
        let membership = Membership::new(self.registry.clone(), connection);
        let (handler, limits) = (self.handler.clone(), self.limits.clone());
        Ok(Driver::new(membership, wire, handler, limits, stay))
    }

    /// A place among the connections, and among those from this address.
    async fn take_place(&self, address: IpAddr) -> Result<Place, RejectReason> {
        // First: who has its share takes no place from others.
        let origin = self.origins.count(address);
        Ok(Place {
            _origin: origin.map_err(RejectReason::TooManyConnections)?,
            _slot: self.take_slot().await?,
        })
    }

    /// A place among the connections. When all are taken, the oldest connection that has not said
    /// hello has to go: otherwise whoever opens enough silent ones would keep all others out.
    async fn take_slot(&self) -> Result<OwnedSemaphorePermit, RejectReason> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let oldest = self.lock_handshakes().pop_first();
        if let Some((_, crowded_out)) = oldest {
            crowded_out.notify_one();
            let slot = timeout(self.limits.hello_time, self.slots.clone().acquire_owned()).await;
            if let Ok(Ok(slot)) = slot {
                return Ok(slot);
            }
        }
        let allowed = self.limits.connections;
        let limit = LimitExceeded {
            limit: Limit::Connections,
            actual: allowed + 1,
            allowed,
        };
        Err(RejectReason::TooManyConnections(limit))
    }

    /// Lets a peer that is refused finish its hello: a pymasep client sends it in two writes, and
    /// fails with an error instead of being told if the socket is closed between them.
    async fn hear_out(&self, wire: &mut Wire) {
        let Ok(_place) = self.refusals.try_acquire() else {
            return;
        };
        if let Ok(mut handshake) = Handshake::acceptor(&self.id, &self.limits) {
            // Whatever it says, it is refused.
            let hello = read_hello(wire, &mut handshake);
            let _ = timeout(REFUSAL_GRACE, hello).await;
        }
    }

    fn lock_handshakes(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn hear_hello(
        &self,
        wire: &mut Wire,
        handshake: &mut Handshake,
    ) -> Result<PeerId, RejectReason> {
        let crowded_out = Arc::new(Notify::new());
        let number = self.next_handshake.fetch_add(1, Ordering::Relaxed);
        self.lock_handshakes().insert(number, crowded_out.clone());
        let mut stopped = self.stopped.clone();
        let heard = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => Err(RejectReason::Stopped),
            heard = read_hello(wire, handshake) => heard.map_err(|failure| match failure {
                HelloFailure::Bad(HelloError::Bye) | HelloFailure::Closed | HelloFailure::Io(_) => {
                    RejectReason::ClosedBeforeHello
                }
                HelloFailure::Bad(error) => RejectReason::Hello(error),
            }),
            () = crowded_out.notified() => Err(RejectReason::CrowdedOut),
            () = sleep(self.limits.hello_time) => {
                Err(RejectReason::HelloTimeout(self.limits.hello_time))
            }
        };
        self.lock_handshakes().remove(&number);
        heard
    }

    /// Puts the connection into the registry, by the rule for duplicates.
    async fn register<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> Result<Registration<'a>, RejectReason> {
        let registration = Registration {
            registry: &self.registry,
            connection,
            kept: false,
        };
        match self.duplicates {
            Duplicates::Refuse => {
                while let Err(old) = self.registry.add_connection(connection) {
                    if timeout(DUPLICATE_GRACE, old.closed()).await.is_err() {
                        return Err(RejectReason::DuplicateId(connection.peer().clone()));
                    }
                }
            }
            Duplicates::Replace => {
                if let Some(old) = self.registry.replace_connection(connection) {
                    old.end(CloseReason::Replaced);
                    // The handler hears of the old one's end before it hears of the new one.
                    if timeout(REPLACE_GRACE, old.closed()).await.is_err() {
                        old.abort(CloseReason::Replaced);
                        // A handler that does not return keeps nobody out.
                        let _ = timeout(REPLACE_GRACE, old.closed()).await;
                    }
                }
            }
        }
        Ok(registration)
    }
}

/// A place in the registry that is given up if the handshake fails after all.
struct Registration<'a> {
    registry: &'a Registry,
    connection: &'a Connection,
    kept: bool,
}

impl Registration<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.registry.remove_connection(self.connection);
            // Whoever took it out of the registry meanwhile may be waiting for its end.
            let shared = self.connection.shared();
            shared.close_queues(&CloseReason::Aborted);
            shared.set_closed(CloseReason::Aborted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registration_that_is_given_up_is_the_end_of_its_connection() {
        let registry = Registry::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Connection::new("agent".into(), address, &Limits::default(), false);
        assert!(registry.add_connection(&connection).is_ok());
        drop(Registration {
            registry: &registry,
            connection: &connection,
            kept: false,
        });
        assert!(!registry.is_connection_registered("agent"));
        assert_eq!(connection.closed().await, CloseReason::Aborted);
        assert!(connection.send("late").await.is_err());
    }
}
