//! How a server takes connections: the door, where nobody may block anybody.

use std::collections::BTreeMap;
use std::io::{self, PipeReader};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use masep_proto::{Handshake, HelloError, Limit, LimitExceeded, Limits, PeerId};

use super::accepted::{Accepted, Arrival};
use super::farewell::Farewell;
use super::handler::{self, guarded};
use super::hello::{Heard, HelloFailure, hear_hello};
use super::outgoing::WriteHalf;
use super::readiness::{Interest, after, wait};
use super::shared::Opened;
use super::{Connection, Registry, SocketHandler};
use crate::acceptor::{
    ACCEPT_REST, DUPLICATE_GRACE, MAX_REFUSALS, MAX_REJECT_CALLS, REFUSAL_GRACE, REPLACE_GRACE,
    concerns_one_connection, refusal, refusal_log, rest_log,
};
use crate::driver::CLOSE_GRACE;
use crate::origins::{Origin, Origins};
use crate::pace::Pace;
use crate::rejection::RejectionWindow;
use crate::transport::set_options;
use crate::{CloseReason, Duplicates, RejectReason};

/// What taking a connection needs, shared by the threads that do it.
pub(super) struct Acceptor {
    id: PeerId,
    limits: Limits,
    duplicates: Duplicates,
    registry: Registry,
    handler: Option<Arc<dyn SocketHandler>>,
    slots: Slots,
    origins: Arc<Origins>,
    /// Connections that have not said hello, oldest first.
    handshakes: Mutex<BTreeMap<u64, Greeting>>,
    next_handshake: AtomicU64,
    accepted: Arc<Accepted>,
    /// Readable when the server stops accepting.
    stop: PipeReader,
    stopped: Arc<AtomicBool>,
    /// See [`refusal`].
    refusal: Bytes,
    /// One for each refusal that its peer is slow to take, and for each call of `on_reject` under
    /// way: what is refused has no place among the connections.
    refusals: Slots,
    reject_calls: Slots,
    refusal_log: Pace,
}

/// A connection that has not said hello.
struct Greeting {
    stream: Arc<TcpStream>,
    slot: Slot,
}

impl Acceptor {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(super) fn new(
        id: PeerId,
        limits: Limits,
        duplicates: Duplicates,
        registry: Registry,
        handler: Option<Arc<dyn SocketHandler>>,
        accepted: Arc<Accepted>,
        stop: PipeReader,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        Self {
            refusal: refusal(&id),
            slots: Slots::new(limits.connections),
            origins: Origins::new(limits.connections_per_address),
            refusals: Slots::new(MAX_REFUSALS),
            reject_calls: Slots::new(MAX_REJECT_CALLS),
            refusal_log: refusal_log(),
            handshakes: Mutex::default(),
            next_handshake: AtomicU64::new(0),
            id,
            limits,
            duplicates,
            registry,
            handler,
            accepted,
            stop,
            stopped,
        }
    }

    /// Accepts until the server is stopped.
    pub(super) fn run(self: &Arc<Self>, listener: &TcpListener) {
        let rest_log = rest_log();
        tracing::info!(id = ?self.id, "listening");
        loop {
            let interests = [
                Interest::readable(listener.as_fd()),
                Interest::readable(self.stop.as_fd()),
            ];
            let accepted = match wait(interests, None) {
                Ok([_, stopped]) if stopped.readable => break,
                Ok(_) => listener.accept(),
                Err(error) => Err(error),
            };
            match accepted {
                Ok((stream, address)) => {
                    // An IPv4 peer of an IPv6 socket is shown as what it is.
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    self.take(stream, address);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    if let Some(skipped) = rest_log.take(Instant::now()) {
                        tracing::warn!(skipped, "accepting rests for {ACCEPT_REST:?}: {error}");
                    }
                    let _ = wait([Interest::readable(self.stop.as_fd())], after(ACCEPT_REST));
                }
            }
        }
        tracing::info!(id = ?self.id, "stopped accepting");
    }

    /// Gives a connection a place and a thread, or refuses it.
    fn take(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        if prepare(&stream, &self.limits).is_err() {
            self.reject(address, &RejectReason::ClosedBeforeHello);
            return;
        }
        let stream = Arc::new(stream);
        let number = self.next_handshake.fetch_add(1, Ordering::Relaxed);
        let place = self.take_place(address.ip());
        let refused = place.as_ref().err().cloned();
        let taken = place.is_ok_and(|slot| {
            let greeting = Greeting {
                stream: stream.clone(),
                slot,
            };
            self.lock_handshakes().insert(number, greeting);
            let acceptor = self.clone();
            let stream = stream.clone();
            let arrival = self.accepted.expect();
            thread::Builder::new()
                .name("masep-connection".into())
                .spawn(move || acceptor.serve(number, stream, address, arrival))
                .inspect_err(|error| tracing::warn!("no thread for a connection: {error}"))
                .is_ok()
        });
        if !taken {
            self.lock_handshakes().remove(&number);
            self.hear_out(stream);
            self.reject(address, &refused.unwrap_or_else(|| self.too_many()));
        }
    }

    /// A place among the connections, and among those from this address.
    fn take_place(&self, address: IpAddr) -> Result<Slot, RejectReason> {
        // First: who has its share takes no place from others.
        let origin = self.origins.count(address);
        let origin = origin.map_err(RejectReason::TooManyConnections)?;
        let mut slot = self.take_slot().ok_or_else(|| self.too_many())?;
        slot.origin = origin;
        Ok(slot)
    }

    /// A place among the connections. When all are taken, the oldest connection that has not said
    /// hello has to go: otherwise whoever opens enough silent ones would keep all others out.
    fn take_slot(&self) -> Option<Slot> {
        self.slots.try_take().or_else(|| {
            let (_, crowded_out) = self.lock_handshakes().pop_first()?;
            // Its thread wakes up and finds itself without a place.
            let _ = crowded_out.stream.shutdown(Shutdown::Read);
            Some(crowded_out.slot)
        })
    }

    /// Why there is no place. When it is threads that the machine is short of, it allows fewer
    /// connections than the limit.
    fn too_many(&self) -> RejectReason {
        let allowed = self.slots.taken().min(self.limits.connections);
        RejectReason::TooManyConnections(LimitExceeded {
            limit: Limit::Connections,
            actual: allowed + 1,
            allowed,
        })
    }

    fn lock_handshakes(&self) -> MutexGuard<'_, BTreeMap<u64, Greeting>> {
        self.handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Shakes hands, and with a handler sees a connection to its end.
    fn serve(&self, number: u64, stream: Arc<TcpStream>, address: SocketAddr, arrival: Arrival) {
        let connection = match self.greet(number, stream, address) {
            Ok(connection) => connection,
            Err(reason) => return self.reject(address, &reason),
        };
        let (id, peer) = (connection.id(), connection.peer());
        tracing::info!(connection = %id, ?peer, %address, "connected");
        match &self.handler {
            Some(handler) => {
                drop(arrival);
                handler::run(&connection, &**handler);
            }
            None => arrival.arrive(connection),
        }
    }

    /// A connection that is registered and has our hello, or why it is refused.
    fn greet(
        &self,
        number: u64,
        stream: Arc<TcpStream>,
        address: SocketAddr,
    ) -> Result<Connection, RejectReason> {
        let mut buffer = BytesMut::new();
        let heard = self.hear(&stream, &mut buffer);
        let (heard, hello, slot) = match (heard, self.lock_handshakes().remove(&number)) {
            (Ok((heard, hello)), Some(greeting)) => (heard, hello, greeting.slot),
            (heard, greeting) => {
                self.refuse(stream);
                return Err(match (heard, greeting) {
                    (Err(reason), Some(_)) => reason,
                    _ => RejectReason::CrowdedOut,
                });
            }
        };
        let half = WriteHalf::new(stream, &hello, Some(slot));
        let opened = Opened {
            peer: heard.peer,
            address,
            half,
            buffer,
            handled: self.handler.is_some(),
            rejection: RejectionWindow::closed(),
            pattern: heard.pattern,
        };
        let connection = Connection::new(opened, &self.limits, &self.registry);
        self.register(&connection)
            .inspect_err(|_| connection.shared().refuse())?;
        // A fresh socket takes a small frame at once; if it does not, the peer is gone.
        connection
            .flush()
            .map_err(|_| RejectReason::ClosedBeforeHello)?;
        Ok(connection)
    }

    /// What the peer's hello told, and our hello, which is now due.
    fn hear(
        &self,
        stream: &TcpStream,
        buffer: &mut BytesMut,
    ) -> Result<(Heard, Bytes), RejectReason> {
        let mut handshake =
            Handshake::acceptor(&self.id, &self.limits).map_err(RejectReason::Hello)?;
        let until = after(self.limits.hello_time);
        let stop = Some(self.stop.as_fd());
        let heard =
            hear_hello(stream, stop, &mut handshake, buffer, until).map_err(
                |failure| match failure {
                    HelloFailure::TimedOut => RejectReason::HelloTimeout(self.limits.hello_time),
                    HelloFailure::Stopped => RejectReason::Stopped,
                    HelloFailure::Bad(HelloError::Bye)
                    | HelloFailure::Closed
                    | HelloFailure::Io(_) => RejectReason::ClosedBeforeHello,
                    HelloFailure::Bad(error) => RejectReason::Hello(error),
                },
            )?;
        Ok((heard, handshake.poll_transmit().unwrap_or_default()))
    }

    /// Puts the connection into the registry, by the rule for duplicates.
    fn register(&self, connection: &Connection) -> Result<(), RejectReason> {
        match self.duplicates {
            Duplicates::Refuse => {
                while let Err(known) = self.registry.add(connection) {
                    self.take_over(connection, &known)?;
                }
            }
            Duplicates::Replace => {
                if let Some(old) = self.registry.replace(connection) {
                    old.end(CloseReason::Replaced);
                    // As in `take_over`.
                    let _ = old.closed_until(after(REPLACE_GRACE));
                }
            }
        }
        if self.stopped.load(Ordering::SeqCst) {
            // A shut-down that looked into the registry before would not see this one.
            return Err(RejectReason::Stopped);
        }
        Ok(())
    }

    /// Frees the id of a connection that ends in a moment, whether anybody reads it or not: the peer may
    /// be one that came back at once. Not before its handler was told, which hears of the old one's end
    /// before it hears of the new one.
    fn take_over(&self, new: &Connection, old: &Connection) -> Result<(), RejectReason> {
        if !old.shared().ends_before(after(DUPLICATE_GRACE)) {
            return Err(RejectReason::DuplicateId(new.peer().clone()));
        }
        let _ = old.closed_until(after(REPLACE_GRACE));
        self.registry.remove(old.peer(), old.id());
        Ok(())
    }

    /// Refuses a connection for which there is no place, when it had the time to finish its hello: a
    /// pymasep client sends it in two writes, and fails with an error instead of being told if the
    /// socket is closed between them. In a thread of its own, for as many as have one.
    fn hear_out(self: &Arc<Self>, stream: Arc<TcpStream>) {
        let Some(place) = self.refusals.try_take() else {
            Farewell::of_stream(stream, &self.refusal, None).finish_now();
            return;
        };
        let acceptor = self.clone();
        let refused = stream.clone();
        let hearing = thread::Builder::new()
            .name("masep-refusal".into())
            .spawn(move || {
                if let Ok(mut handshake) = Handshake::acceptor(&acceptor.id, &acceptor.limits) {
                    let (stop, mut buffer) = (Some(acceptor.stop.as_fd()), BytesMut::new());
                    let until = after(REFUSAL_GRACE);
                    // Whatever it says, it is refused.
                    let _ = hear_hello(&refused, stop, &mut handshake, &mut buffer, until);
                }
                Farewell::of_stream(refused, &acceptor.refusal, Some(place))
                    .finish(after(CLOSE_GRACE));
            });
        if hearing.is_err() {
            Farewell::of_stream(stream, &self.refusal, None).finish_now();
        }
    }

    /// Leaves a socket with our hello and a `BYE`. Who does not take that at once may keep a thread
    /// waiting, but not any number of them.
    fn refuse(&self, stream: Arc<TcpStream>) {
        match self.refusals.try_take() {
            Some(place) => {
                Farewell::of_stream(stream, &self.refusal, Some(place)).finish_in_background();
            }
            None => Farewell::of_stream(stream, &self.refusal, None).finish_now(),
        }
    }

    fn reject(&self, address: SocketAddr, reason: &RejectReason) {
        let name = reason.as_str();
        match self.refusal_log.take(Instant::now()) {
            Some(skipped) => tracing::info!(%address, reason = name, skipped, "refused: {reason}"),
            None => tracing::debug!(%address, reason = name, "refused: {reason}"),
        }
        if let Some(handler) = &self.handler
            && let Some(_call) = self.reject_calls.try_take()
        {
            guarded(|| handler.on_reject(address, reason));
        }
    }
}

fn prepare(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    // Some systems hand the listener's mode on.
    stream.set_nonblocking(false)?;
    set_options(stream, limits)
}

/// Places, for connections and for what has to be bounded beside them.
#[derive(Debug)]
struct Slots {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// A place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<AtomicUsize>,
    /// For a connection: one of those from its address.
    origin: Option<Origin>,
}

impl Slots {
    fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    fn try_take(&self) -> Option<Slot> {
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < self.max).then_some(taken + 1)
            })
            .ok()?;
        Some(Slot {
            taken: self.taken.clone(),
            origin: None,
        })
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }
}
