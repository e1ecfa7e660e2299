//! The side that connects.

use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use masep_proto::PeerId;
#[cfg(doc)]
use masep_proto::connection::Protocols;
use masep_proto::connection::{Config, Connection as Core, HelloFailure};

use super::block_on::block_on;
use super::drive::Awaits;
use super::endpoint;
use super::handler;
use super::shared::{DropGuard, Shared, State};
use super::stream::after;
use super::{Connection, Registry, SocketHandler, spawn};
#[cfg(doc)]
use crate::ConnectErrorKind;
use crate::connecting::{
    Agreement, HEAD_START, Race, client_calls, client_info_calls, failed, in_time, not_found,
};
use crate::discovery::{SearchOptions, search_blocking};
use crate::endpoint::Endpoint;
use crate::sync;
use crate::tls::Connector;
use crate::transport::{self, Socket};
use crate::{Address, ConnectError, ConnectPhase, IntoTarget};

/// Configures a [`Client`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    endpoint: Endpoint,
    handler: Option<Arc<dyn SocketHandler>>,
}

impl ClientBuilder {
    /// One of a client with these settings.
    pub(super) const fn with(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            handler: None,
        }
    }

    /// Gives what happens on the connection to a handler, in a background thread, instead of
    /// [`Connection::recv`].
    pub fn handler(mut self, handler: impl SocketHandler) -> Self {
        self.endpoint.is_handled = true;
        self.handler = Some(Arc::new(handler));
        self
    }

    client_calls!(reads: "With another policy the background thread of the process reads what nobody receives.");

    /// Connects to a server: `host:port`, or `unix:///run/game.sock` for one that listens on a Unix socket, and the
    /// other forms of an [`IntoTarget`]. A name with several addresses is tried one after the other. An IPv6
    /// address may have a zone, also by name: `[fe80::7%eth0]:60000`.
    ///
    /// Each phase blocks no longer than its own bound: [`SocketOptions::connect_time`](crate::SocketOptions::connect_time) to resolve, the
    /// same for each address to connect, [`Limits::hello_time`](crate::Limits::hello_time) for the server's hello. A name, but
    /// not a literal address, is resolved in a thread of its own, because the system call for it
    /// cannot be interrupted; one that takes too long ends by itself. With [`Protocols::Both`] the bounds of connecting and of
    /// the hello count for each of the two connections.
    ///
    /// # Errors
    /// Which phase failed, with whom, and why.
    pub fn connect(mut self, address: impl IntoTarget) -> Result<Client, ConnectError> {
        let (target, connector) = self.endpoint.aim(address)?;
        let name = target.to_string();
        let limit = self.endpoint.socket_options.connect_time;
        // It goes on in a thread of its own when it took too long.
        let resolved = block_on(target.resolve(), after(limit));
        let addresses = in_time(ConnectPhase::Resolve, &name, limit, resolved)?;
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
        let candidates = self.endpoint.candidates(search_blocking(options))?;
        let opened = self.race(candidates)?;
        self.start(opened)
    }

    /// Tries addresses side by side.
    fn race(&self, mut race: Race) -> Result<Arc<DropGuard>, ConnectError> {
        let (outcomes, ended) = mpsc::channel();
        loop {
            if let Some((address, connector)) = race.next() {
                self.attempt(address, connector, &outcomes);
            }
            if race.is_over() {
                return Err(race.into_failure());
            }
            let patience = if race.has_next() {
                HEAD_START
            } else {
                Duration::MAX
            };
            match ended.recv_timeout(patience) {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => race.fail(error),
                // The next one is tried too.
                Err(_elapsed) => {}
            }
        }
    }

    /// Tries an address in the background.
    fn attempt(
        &self,
        address: Address,
        connector: Option<Connector>,
        outcomes: &mpsc::Sender<Result<Arc<DropGuard>, ConnectError>>,
    ) {
        let (client, told) = (self.clone(), outcomes.clone());
        let target = address.to_string();
        let started = spawn("connect", move || {
            // Nobody listens any more when another has won. This one says BYE then, by being dropped.
            let _ = told.send(client.connect_one(&address, connector.as_ref()));
        });
        if let Err(error) = started {
            let error = failed(ConnectPhase::Connect, &target, error);
            let _ = outcomes.send(Err(error));
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
    ) -> Result<Arc<DropGuard>, ConnectError> {
        let mut agreement = Agreement::begin(&self.endpoint, address, connector, true, sync::now());
        let limit = self.endpoint.socket_options.connect_time;
        loop {
            let config = agreement.config()?;
            let connected = match transport::connect_blocking(address, limit) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
                connected => Some(connected),
            };
            let stream = agreement.connected(connected)?;
            match self.shake_hands(&agreement, config, stream)? {
                Ok(opened) => return Ok(opened),
                Err(failure) => agreement.fail(failure, sync::now())?,
            }
        }
    }

    fn shake_hands(
        &self,
        agreement: &Agreement<'_>,
        config: Arc<Config>,
        stream: Socket,
    ) -> Result<Result<Arc<DropGuard>, HelloFailure>, ConnectError> {
        let stream = match agreement.connector {
            None => stream,
            Some(connector) => {
                let wrapped = connector.wrap_socket(stream);
                wrapped.map_err(|error| agreement.no_hello(error))?
            }
        };
        let core = Core::connect(config.clone(), sync::now());
        let owner = (Registry::default(), None, self.handler.is_some());
        let (address, options) = (agreement.address.clone(), &self.endpoint.socket_options);
        let shared = Shared::new(core, stream, address, config, options.busy_poll, owner);
        let outcome = |state: &mut State| state.core.hello_outcome();
        let greeted = shared.drive(None, Awaits::Bytes, outcome);
        // The keeper sees a connection out that failed.
        let greeted = greeted.unwrap_or(Ok(()));
        Ok(greeted.map(|()| DropGuard::new(shared)))
    }

    fn start(self, handle: Arc<DropGuard>) -> Result<Client, ConnectError> {
        let target = handle.info.address.to_string();
        let registry = handle.registry.clone();
        let connection = Connection::of(handle);
        registry.add(connection.lend());
        connection.shared().read_for_policy();
        let client = Client {
            id: self.endpoint.id,
            connection,
            registry,
        };
        if let Some(handler) = self.handler {
            let lent = client.connection.lend();
            spawn("connection", move || handler::run(&lent, &*handler))
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
        ClientBuilder::with(endpoint(id.into()))
    }

    client_info_calls!();
}
