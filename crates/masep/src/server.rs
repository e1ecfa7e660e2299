//! The side that is connected to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use masep_proto::{FrameCodec, Handshake, HelloError, Limit, LimitExceeded, Limits, PeerId};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use crate::discovery::Announcement;
use crate::driver::Driver;
use crate::socket::{BYE, HelloFailure, Wire, read_hello, write_all};
use crate::{CloseReason, Connection, NoHandler, Registry, RejectReason, SocketHandler, WhenFull};

/// How long accepting rests after an error of the machine, such as no free descriptor. Existing
/// connections go on; without a rest the loop would spin, because the error stays.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a connection that is replaced may take to deliver what is queued for it.
const REPLACE_GRACE: Duration = Duration::from_secs(1);

/// What to do with a hello whose id is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Duplicates {
    /// Keep the old connection and end the new one with a `BYE`.
    #[default]
    Refuse,
    /// End the old connection with a `BYE` and [`CloseReason::Replaced`], and take the new one.
    /// Anyone who knows an id can then take it over.
    Replace,
}

/// Configures a [`Server`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder<H = NoHandler> {
    id: PeerId,
    limits: Limits,
    duplicates: Duplicates,
    announce: bool,
    /// Whether connections are given out by [`Server::accept`].
    hand_out: bool,
    handler: H,
}

impl ServerBuilder<NoHandler> {
    /// Gives what happens on the connections to a handler, instead of [`Server::accept`] and
    /// [`Connection::recv`].
    pub fn handler<H: SocketHandler>(self, handler: H) -> ServerBuilder<H> {
        let Self {
            id,
            limits,
            duplicates,
            announce,
            ..
        } = self;
        ServerBuilder {
            id,
            limits,
            duplicates,
            announce,
            hand_out: false,
            handler,
        }
    }

    /// What to do with a frame that arrives when [`Limits::queue_messages`] or
    /// [`Limits::queue_bytes`] already wait for [`Connection::recv`]. Default
    /// [`WhenFull::Wait`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.handler.when_full = when_full;
        self
    }
}

impl<H: SocketHandler> ServerBuilder<H> {
    /// The bounds of the server and its connections.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What to do with a hello whose id is in use. Default [`Duplicates::Refuse`].
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Answers the LAN search from the start, as [`Server::announce`] does. Default off.
    pub fn announce(mut self, announce: bool) -> Self {
        self.announce = announce;
        self
    }

    /// Binds an address and starts to accept, in tasks of the current tokio runtime. Port 0 takes a
    /// free one, see [`Server::local_address`]; `[::]` takes IPv4 and IPv6 where the system does.
    ///
    /// # Errors
    /// Whatever the system says of the address, and `InvalidInput` for an id that cannot be sent in
    /// a hello.
    pub async fn bind(self, address: impl ToSocketAddrs) -> io::Result<Server> {
        Handshake::acceptor(&self.id, &self.limits)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind(address).await?;
        let local_address = listener.local_addr()?;
        let announcement = if self.announce {
            Some(Announcement::start(local_address, &self.limits)?)
        } else {
            None
        };

        let (stop, stopped) = watch::channel(false);
        let (hand_out, accepted) = mpsc::channel(self.limits.connections.max(1));
        let acceptor = Acceptor {
            refusal: refusal(&self.id),
            id: self.id.clone(),
            duplicates: self.duplicates,
            registry: Registry::default(),
            handler: Arc::new(self.handler),
            slots: Arc::new(Semaphore::new(
                self.limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            stopped,
            limits: self.limits.clone(),
        };
        let registry = acceptor.registry.clone();
        let span = tracing::info_span!("server", id = ?self.id, address = %local_address);
        let hand_out = self.hand_out.then_some(hand_out);
        let accepting = accept_connections(listener, Arc::new(acceptor), hand_out);
        tokio::spawn(accepting.instrument(span));
        Ok(Server {
            id: self.id,
            limits: self.limits,
            local_address,
            registry,
            stop,
            accepted: tokio::sync::Mutex::new(accepted),
            announcement: Mutex::new(announcement),
        })
    }
}

/// The side that is connected to: an engine's end.
///
/// Accepts connections in the background. No peer holds up another one: each has its own task from
/// the first byte on, and [`Limits::hello_time`] to say hello.
///
/// Dropping a server ends accepting and all its connections, with a `BYE` to each; what is queued is
/// still sent as long as the runtime lives. [`shutdown`](Self::shutdown) waits for that.
pub struct Server {
    id: PeerId,
    limits: Limits,
    local_address: SocketAddr,
    registry: Registry,
    stop: watch::Sender<bool>,
    accepted: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
    announcement: Mutex<Option<Announcement>>,
}

/// How a shut-down went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Peers that got all that was queued for them, and a `BYE`.
    pub ended: Vec<PeerId>,
    /// Peers that were cut off at the deadline: something queued for them was not sent.
    pub cut: Vec<PeerId>,
}

impl Server {
    /// Configures a server with this id, which its peers get to know in the hello.
    pub fn builder(id: impl Into<PeerId>) -> ServerBuilder {
        ServerBuilder {
            id: id.into(),
            limits: Limits::default(),
            duplicates: Duplicates::default(),
            announce: false,
            hand_out: true,
            handler: NoHandler {
                when_full: WhenFull::default(),
            },
        }
    }

    /// The server's own id.
    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// The address that the server listens on, with the real port.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// The live connections, by id.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The next peer that said hello; `None` when the server has stopped accepting, and always
    /// after that. With a [`SocketHandler`], which gets them all, only `None`.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn accept(&self) -> Option<Connection> {
        self.accepted.lock().await.recv().await
    }

    /// Stops accepting: the port is closed, connections without a hello are refused, the others go
    /// on.
    pub fn stop_accepting(&self) {
        self.stop.send_replace(true);
    }

    /// Answers the LAN search until [`stop_announcing`](Self::stop_announcing). Must be called in a
    /// tokio runtime.
    ///
    /// # Errors
    /// When UDP port 10000 cannot be had, for example because a pymasep server, which does not
    /// share it, runs on this host.
    pub fn announce(&self) -> io::Result<()> {
        let mut announcement = self
            .announcement
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if announcement.is_none() {
            *announcement = Some(Announcement::start(self.local_address, &self.limits)?);
        }
        Ok(())
    }

    /// Stops answering the LAN search.
    pub fn stop_announcing(&self) {
        self.announcement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Ends everything: stops announcing and accepting, sends every peer what is queued for it and a
    /// `BYE`, and closes. Those that are not done after `deadline` are cut off. Returns when all
    /// connections have ended.
    ///
    /// Not cancel safe: a call that is dropped leaves the rest to the background.
    pub async fn shutdown(self, deadline: Duration) -> ShutdownReport {
        let deadline = Instant::now() + deadline;
        self.stop_announcing();
        self.stop_accepting();
        let mut report = ShutdownReport::default();
        let connections = self.registry.connections();
        for connection in &connections {
            connection.end(CloseReason::Shutdown);
        }
        for connection in connections {
            let peer = connection.peer().clone();
            if timeout_at(deadline, connection.closed()).await.is_ok() {
                report.ended.push(peer);
            } else {
                connection.abort(CloseReason::Shutdown);
                connection.closed().await;
                report.cut.push(peer);
            }
        }
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
        for connection in self.registry.connections() {
            connection.end(CloseReason::Shutdown);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id)
            .field("local_address", &self.local_address)
            .field("connections", &self.registry.len())
            .finish_non_exhaustive()
    }
}

/// What taking a connection needs, shared by the tasks that do it.
struct Acceptor<H> {
    id: PeerId,
    limits: Limits,
    duplicates: Duplicates,
    registry: Registry,
    handler: Arc<H>,
    slots: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    /// See [`refusal`].
    refusal: Bytes,
}

/// What a peer that is not taken gets: our hello, then `BYE`. A `BYE` alone would be our id to an
/// unmodified pymasep client, which then waits for ever; so it learns the id and ends.
fn refusal(id: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    // Fits: the id was checked when the server was built.
    let _ = FrameCodec::default().encode(&masep_proto::Frame::hello(id), &mut bytes);
    bytes.put_slice(BYE);
    bytes.freeze()
}

/// Accepts until the server is stopped. The senders of `hand_out`, one here and one per handshake, are
/// all gone when no connection can be handed out any more.
async fn accept_connections<H: SocketHandler>(
    listener: TcpListener,
    acceptor: Arc<Acceptor<H>>,
    hand_out: Option<mpsc::Sender<Connection>>,
) {
    let mut stopped = acceptor.stopped.clone();
    tracing::info!("listening");
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let span = tracing::info_span!("connection", %address);
                tokio::spawn(
                    acceptor
                        .clone()
                        .take(stream, address, hand_out.clone())
                        .instrument(span),
                );
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!("accepting rests for {ACCEPT_REST:?}: {error}");
                let _ = timeout(ACCEPT_REST, stopped.wait_for(|stopped| *stopped)).await;
            }
        }
    }
    tracing::info!("stopped accepting");
}

/// Errors that `accept(2)` reports of a connection that is already gone.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    )
}

impl<H: SocketHandler> Acceptor<H> {
    /// Takes a connection from its first byte to its end.
    async fn take(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        hand_out: Option<mpsc::Sender<Connection>>,
    ) {
        match self.greet(stream, address).await {
            Ok((driver, slot)) => {
                let connection = &driver.connection;
                tracing::info!(connection = %connection.id(), peer = ?connection.peer(), "connected");
                if let Some(hand_out) = hand_out {
                    // Fails only when the server was dropped, which ends the connection anyway.
                    let _ = hand_out.send(connection.clone()).await;
                }
                driver.run().await;
                drop(slot);
            }
            Err(reason) => {
                tracing::info!(reason = reason.as_str(), "refused: {reason}");
                self.handler.on_reject(address, &reason).await;
            }
        }
    }

    /// Shakes hands: a connection that is registered and has our hello, or why it is refused. A
    /// refused one is told when its wire is dropped.
    async fn greet(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<(Driver<H>, OwnedSemaphorePermit), RejectReason> {
        let mut wire = Wire::new(stream, &self.limits, self.refusal.clone())
            .map_err(|_| RejectReason::ClosedBeforeHello)?;
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| {
            let allowed = self.limits.connections;
            RejectReason::TooManyConnections(LimitExceeded {
                limit: Limit::Connections,
                actual: allowed + 1,
                allowed,
            })
        })?;
        let mut handshake =
            Handshake::acceptor(&self.id, &self.limits).map_err(RejectReason::Hello)?;
        let mut buffer = BytesMut::new();
        let peer = self.hear_hello(&wire, &mut handshake, &mut buffer).await?;
        let connection = Connection::new(peer, address, &self.limits);
        let registration = self.register(&connection).await?;
        if *self.stopped.borrow() {
            // A shut-down that looked into the registry before would not see this one.
            return Err(RejectReason::Stopped);
        }
        let hello = handshake.poll_transmit().unwrap_or_default();
        // A fresh socket takes a small frame at once; if it does not, the peer is gone.
        let said = timeout(self.limits.hello_time, write_all(&wire.stream, &hello)).await;
        if !matches!(said, Ok(Ok(()))) {
            wire.farewell.clear();
            return Err(RejectReason::ClosedBeforeHello);
        }
        registration.keep();
        let driver = Driver {
            wire,
            buffer,
            connection,
            registry: self.registry.clone(),
            handler: self.handler.clone(),
            limits: self.limits.clone(),
        };
        Ok((driver, slot))
    }

    async fn hear_hello(
        &self,
        wire: &Wire,
        handshake: &mut Handshake,
        buffer: &mut BytesMut,
    ) -> Result<PeerId, RejectReason> {
        let mut stopped = self.stopped.clone();
        let heard = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return Err(RejectReason::Stopped),
            heard = timeout(self.limits.hello_time, read_hello(wire, handshake, buffer)) => heard,
        };
        match heard {
            Ok(Ok(peer)) => Ok(peer),
            Ok(Err(
                HelloFailure::Bad(HelloError::Bye) | HelloFailure::Closed | HelloFailure::Io(_),
            )) => Err(RejectReason::ClosedBeforeHello),
            Ok(Err(HelloFailure::Bad(error))) => Err(RejectReason::Hello(error)),
            Err(_elapsed) => Err(RejectReason::HelloTimeout(self.limits.hello_time)),
        }
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
                if self.registry.add_connection(connection).is_err() {
                    return Err(RejectReason::DuplicateId(connection.peer().clone()));
                }
            }
            Duplicates::Replace => {
                if let Some(old) = self.registry.replace_connection(connection) {
                    old.end(CloseReason::Replaced);
                    // The handler hears of the old one's end before it hears of the new one.
                    if timeout(REPLACE_GRACE, old.closed()).await.is_err() {
                        old.abort(CloseReason::Replaced);
                        old.closed().await;
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
        }
    }
}
