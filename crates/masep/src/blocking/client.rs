//! The side that connects.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use masep_proto::connection::{Connection as Core, HelloFailure, Protocols};
use masep_proto::discovery::in_turn;
use masep_proto::{Limits, PeerId};

use super::drive::Awaits;
use super::endpoint;
use super::handler;
use super::shared::{Handle, Shared};
use super::{Connection, Registry, SocketHandler};
use crate::client::{HEAD_START, MAX_ATTEMPTS, invalid, not_found};
use crate::discovery::{SearchOptions, search_blocking};
use crate::endpoint::{Agreement, Endpoint, hello_calls};
use crate::sync;
use crate::tls::Connector;
use crate::transport;
use crate::{
    Address, ConnectError, ConnectErrorKind, ConnectPhase, IntoTarget, SocketOptions, Target,
    WhenFull,
};

/// Configures a [`Client`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    endpoint: Endpoint,
    handler: Option<Arc<dyn SocketHandler>>,
}

impl ClientBuilder {
    /// Gives what happens on the connection to a handler, in a background thread, instead of
    /// [`Connection::recv`].
    pub fn handler(mut self, handler: impl SocketHandler) -> Self {
        self.endpoint.is_handled = true;
        self.handler = Some(Arc::new(handler));
        self
    }

    /// The policy for a frame that arrives when [`Limits::queue_messages`] or
    /// [`Limits::queue_bytes`] already wait for [`Connection::recv`]. Default [`WhenFull::Wait`]. With another
    /// policy the background thread of the process reads what nobody receives.
    ///
    /// With a handler it has no effect: each frame waits in the stream until the handler has returned from the
    /// one before. See [`SocketHandlerQueue::new`](super::SocketHandlerQueue::new) for a policy there.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.endpoint.when_full = when_full;
        self
    }

    /// The bounds of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.endpoint.limits = limits;
        self
    }

    /// Options of the connection's socket.
    pub fn socket_options(mut self, options: SocketOptions) -> Self {
        self.endpoint.socket_options = options;
        self
    }

    /// The generations of the protocol that are spoken with servers. Default [`Protocols::Both`]. A scheme that insists on
    /// one (`masep://`, `pymasep://`) counts more than this.
    ///
    /// With [`Protocols::Both`] the server is asked for protocol 2. If it answers in pymasep's, that connection is closed
    /// and a second one made, in which that is spoken. Nothing else leads there: no time-out, and no error. For a minute
    /// this process then speaks pymasep's protocol at once to that address.
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.endpoint.protocols = protocols;
        self
    }

    hello_calls!();

    /// Connects to a server: `host:port`, or `unix:///run/game.sock` for one that listens on a Unix socket, and the
    /// other forms of an [`IntoTarget`]. A name with several addresses is tried one after the other. An IPv6
    /// address may have a zone, also by name: `[fe80::7%eth0]:60000`.
    ///
    /// Each phase blocks no longer than its own bound: [`SocketOptions::connect_time`] to resolve, the
    /// same for each address to connect, [`Limits::hello_time`] for the server's hello. A name, but
    /// not a literal address, is resolved in a thread of its own, because the system call for it
    /// cannot be interrupted; one that takes too long ends by itself. With [`Protocols::Both`] the bounds of connecting and of
    /// the hello count for each of the two connections.
    ///
    /// # Errors
    /// Which phase failed, with whom, and why.
    pub fn connect(mut self, address: impl IntoTarget) -> Result<Client, ConnectError> {
        let target = address.into_target().map_err(invalid)?;
        self.endpoint.protocols = target.protocols().unwrap_or(self.endpoint.protocols);
        let name = target.to_string();
        let connector = (self.endpoint.connector(&target))
            .map_err(|error| ConnectError::in_hello(name.clone(), error.into()))?;
        let addresses = self.resolve(&target)?;
        self.connect_any(&name, &addresses, connector.as_ref())
    }

    /// Searches the LAN and connects to the first server that takes the connection. Blocks as
    /// [`search_blocking`] and then [`connect`](Self::connect).
    ///
    /// Anybody can answer a search. So the answers are tried side by side, each in a thread of its
    /// own: one of each host before a second of any, and the next after a second if those before it
    /// have neither failed nor said hello. A server that is reached late, after another, is told
    /// `BYE`.
    ///
    /// # Errors
    /// The phase that failed, the address, and the reason; [`ConnectErrorKind::NotFound`] if no server answered.
    pub fn discover(mut self, options: &SearchOptions) -> Result<Client, ConnectError> {
        let target = "the LAN";
        let report = search_blocking(options)
            .map_err(|error| failed(ConnectPhase::Discover, target, error))?;
        let addresses = Vec::from_iter(in_turn(&report.found).into_iter().map(Address::Tcp));
        if addresses.is_empty() {
            return Err(not_found(ConnectPhase::Discover, target));
        }
        // All of them are found by address: the name that a certificate is to have is set in what is trusted, or is that.
        let mut waiting = Vec::new();
        for address in addresses {
            let connector = self.connector(&address)?;
            waiting.push((address, connector));
        }
        let opened = self.race(target, waiting)?;
        self.start(opened)
    }

    /// Tries addresses side by side, each a while after the one before; the first server that says
    /// hello is taken.
    fn race(
        &self,
        target: &str,
        addresses: Vec<(Address, Option<Connector>)>,
    ) -> Result<Arc<Handle>, ConnectError> {
        let mut failure = not_found(ConnectPhase::Discover, target);
        let mut waiting = addresses.into_iter();
        let (outcomes, ended) = mpsc::channel();
        let won = Arc::new(AtomicBool::new(false));
        let mut attempts = 0;
        loop {
            if attempts < MAX_ATTEMPTS
                && let Some((address, connector)) = waiting.next()
            {
                attempts += 1;
                self.attempt(address, connector, &outcomes, won.clone());
            }
            if attempts == 0 {
                return Err(failure);
            }
            let may_start = waiting.len() > 0 && attempts < MAX_ATTEMPTS;
            let patience = if may_start { HEAD_START } else { Duration::MAX };
            match ended.recv_timeout(patience) {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => {
                    failure = error;
                    attempts -= 1;
                }
                // The next one is tried too.
                Err(_elapsed) => {}
            }
        }
    }

    /// Tries an address in the background. Of all attempts one gives a connection.
    fn attempt(
        &self,
        address: Address,
        connector: Option<Connector>,
        outcomes: &mpsc::Sender<Result<Arc<Handle>, ConnectError>>,
        won: Arc<AtomicBool>,
    ) {
        let (client, told) = (self.clone(), outcomes.clone());
        let target = address.to_string();
        let started = thread::Builder::new()
            .name("masep-connect".into())
            .spawn(move || {
                let outcome = client.connect_one(&address, connector.as_ref());
                match outcome {
                    // It says BYE.
                    Ok(late) if won.swap(true, Ordering::AcqRel) => drop(late),
                    // Nobody listens any more when another has won.
                    outcome => drop(told.send(outcome)),
                }
            });
        if let Err(error) = started {
            let error = failed(ConnectPhase::Connect, &target, error);
            let _ = outcomes.send(Err(error));
        }
    }

    fn resolve(&self, target: &Target) -> Result<Vec<Address>, ConnectError> {
        if let Some(literals) = target.literals() {
            return Ok(literals);
        }
        let limit = self.endpoint.socket_options.connect_time;
        let (resolving, target) = (target.clone(), &*target.to_string());
        let (resolved, resolution) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("masep-resolve".into())
            .spawn(move || {
                // Nobody listens any more when it took too long.
                let _ = resolved.send(resolving.resolve_blocking());
            })
            .map_err(|error| failed(ConnectPhase::Resolve, target, error))?;
        match resolution.recv_timeout(limit) {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(ConnectPhase::Resolve, target, error)),
            Err(_elapsed) => {
                let kind = ConnectErrorKind::TimedOut(limit);
                Err(failed(ConnectPhase::Resolve, target, kind))
            }
        }
    }

    fn connect_any(
        self,
        target: &str,
        addresses: &[Address],
        connector: Option<&Connector>,
    ) -> Result<Client, ConnectError> {
        let mut failure = not_found(ConnectPhase::Resolve, target);
        for address in addresses {
            match self.connect_one(address, connector) {
                Ok(opened) => return self.start(opened),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Connects, and once more if the server turns out to speak pymasep's protocol and that will do.
    fn connect_one(
        &self,
        address: &Address,
        connector: Option<&Connector>,
    ) -> Result<Arc<Handle>, ConnectError> {
        let mut agreement = Agreement::begin(&self.endpoint, address, true, sync::now());
        loop {
            match self.connect_in(address, agreement.protocols(), connector)? {
                Ok(opened) => return Ok(opened),
                Err(failure) if agreement.fails(&failure, sync::now()) => {}
                Err(failure) => {
                    return Err(ConnectError::in_hello(address.to_string(), failure.into()));
                }
            }
        }
    }

    fn connect_in(
        &self,
        address: &Address,
        protocols: Protocols,
        connector: Option<&Connector>,
    ) -> Result<Result<Arc<Handle>, HelloFailure>, ConnectError> {
        let target = address.to_string();
        // First: a server is not connected to if the hello cannot be sent.
        let config = (self
            .endpoint
            .client_config(address, protocols, connector.is_some()))
        .map_err(|kind| failed(ConnectPhase::Hello, &target, kind))?;
        let limit = self.endpoint.socket_options.connect_time;
        let stream = transport::connect_blocking(address, limit)
            .and_then(|stream| {
                transport::prepare(
                    &stream,
                    &self.endpoint.limits,
                    &self.endpoint.socket_options,
                )?;
                Ok(stream)
            })
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => ConnectErrorKind::TimedOut(limit),
                _ => error.into(),
            })
            .map_err(|kind| failed(ConnectPhase::Connect, &target, kind))?;
        let stream = match connector {
            None => stream,
            Some(connector) => (connector.wrap_socket(stream))
                .map_err(|error| ConnectError::in_hello(target, error.into()))?,
        };
        let core = Core::connect(config.clone(), sync::now());
        let owner = (Registry::default(), None, self.handler.is_some());
        let shared = Shared::new(
            core,
            stream,
            address.clone(),
            config,
            self.endpoint.socket_options.busy_poll,
            owner,
        );
        let greeted = shared.drive(None, Awaits::Bytes, |state| {
            let failure = state.core.failure().cloned();
            if let Some(failure) = failure {
                return Some(Err(failure));
            }
            // The end may have come with the hello.
            (state.core.peer().is_some() || state.core.is_over()).then_some(Ok(()))
        });
        // The keeper sees a connection out that failed.
        let greeted = greeted.unwrap_or(Ok(()));
        Ok(greeted.map(|()| Handle::new(shared)))
    }

    /// The connector for TLS with this address, if it is to be reached in TLS.
    fn connector(&mut self, address: &Address) -> Result<Option<Connector>, ConnectError> {
        let target = address.into_target().map_err(invalid)?;
        (self.endpoint.connector(&target))
            .map_err(|error| ConnectError::in_hello(address.to_string(), error.into()))
    }

    fn start(self, handle: Arc<Handle>) -> Result<Client, ConnectError> {
        let target = handle.address.to_string();
        let registry = handle.registry.clone();
        registry.replace(&handle);
        handle.read_for_policy();
        let connection = Connection::of(handle);
        let client = Client {
            id: self.endpoint.id,
            connection,
            registry,
        };
        if let Some(handler) = self.handler {
            let lent = client.connection.lend();
            thread::Builder::new()
                .name("masep-connection".into())
                .spawn(move || handler::run(&lent, &*handler))
                .map_err(|error| failed(ConnectPhase::Connect, &target, error))?;
        }
        Ok(client)
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

fn failed(phase: ConnectPhase, target: &str, kind: impl Into<ConnectErrorKind>) -> ConnectError {
    ConnectError {
        phase,
        target: target.to_owned(),
        kind: kind.into(),
    }
}

/// The side that connects: an interface's end.
///
/// The connection lives as long as the client or a clone of its [`Connection`] does. When the last of them is
/// dropped, it ends with a `BYE`. That does not block; to be sure that all that was sent arrives, call
/// [`Connection::bye`] before.
#[derive(Debug)]
pub struct Client {
    id: PeerId,
    connection: Connection,
    registry: Registry,
}

impl Client {
    /// Configures a client with this id, which the server gets to know in the hello.
    pub fn builder(id: impl Into<PeerId>) -> ClientBuilder {
        ClientBuilder {
            endpoint: endpoint(id.into()),
            handler: None,
        }
    }

    /// The client's own id.
    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// The server's id, from its hello.
    pub fn server_id(&self) -> &PeerId {
        self.connection.peer()
    }

    /// The connection to the server.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection by the server's id, with the same calls as a server's.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
