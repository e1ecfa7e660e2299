//! The side that connects.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use masep_proto::{Handshake, Limits, PeerId};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::timeout;
use tracing::Instrument;

use crate::discovery::{SearchOptions, search};
use crate::driver::Driver;
use crate::socket::{BYE, HelloFailure, Wire, read_hello, write_all};
use crate::{
    CloseReason, ConnectError, ConnectErrorKind, ConnectPhase, Connection, NoHandler, Registry,
    SocketHandler, WhenFull,
};

/// Configures a [`Client`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder<H = NoHandler> {
    id: PeerId,
    limits: Limits,
    handler: H,
}

impl ClientBuilder<NoHandler> {
    /// Gives what happens on the connection to a handler, instead of [`Connection::recv`].
    pub fn handler<H: SocketHandler>(self, handler: H) -> ClientBuilder<H> {
        ClientBuilder {
            id: self.id,
            limits: self.limits,
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

impl<H: SocketHandler> ClientBuilder<H> {
    /// The bounds of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects to a server. A name with several addresses is tried one after the other.
    ///
    /// Each phase has its own bound: [`Limits::connect_time`] to resolve, the same for each address
    /// to connect, [`Limits::hello_time`] for the server's hello.
    ///
    /// Cancel safe: a call that is dropped says `BYE` if it was connected.
    ///
    /// # Errors
    /// Which phase failed, with whom, and why.
    pub async fn connect<A>(self, address: A) -> Result<Client, ConnectError>
    where
        A: ToSocketAddrs + fmt::Display,
    {
        let target = address.to_string();
        let addresses: Vec<SocketAddr> = within(
            ConnectPhase::Resolve,
            &target,
            self.limits.connect_time,
            lookup_host(address),
        )
        .await?
        .collect();
        self.connect_any(&target, &addresses).await
    }

    /// Searches the LAN and connects to the first server that takes the connection.
    ///
    /// Cancel safe: a call that is dropped says `BYE` if it was connected.
    ///
    /// # Errors
    /// Which phase failed, with whom, and why; [`ConnectErrorKind::NotFound`] if no server answered.
    pub async fn discover(self, options: &SearchOptions) -> Result<Client, ConnectError> {
        let target = "the LAN";
        let report = search(options).await.map_err(|error| ConnectError {
            phase: ConnectPhase::Discover,
            target: target.to_owned(),
            kind: error.into(),
        })?;
        let addresses: Vec<SocketAddr> = report
            .found
            .iter()
            .map(masep_proto::discovery::Found::address)
            .collect();
        if addresses.is_empty() {
            return Err(not_found(ConnectPhase::Discover, target));
        }
        self.connect_any(target, &addresses).await
    }

    async fn connect_any(
        self,
        target: &str,
        addresses: &[SocketAddr],
    ) -> Result<Client, ConnectError> {
        let mut failure = not_found(ConnectPhase::Resolve, target);
        for address in addresses {
            match self.shake_hands(*address).await {
                Ok((server_id, wire, buffer)) => {
                    return Ok(self.start(server_id, *address, wire, buffer));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn shake_hands(
        &self,
        address: SocketAddr,
    ) -> Result<(PeerId, Wire, BytesMut), ConnectError> {
        let target = address.to_string();
        let failed = |phase, kind| ConnectError {
            phase,
            target: target.clone(),
            kind,
        };
        let mut handshake = Handshake::initiator(&self.id, &self.limits)
            .map_err(|error| failed(ConnectPhase::Hello, error.into()))?;
        let hello = handshake.poll_transmit().unwrap_or_default();

        let connect = TcpStream::connect(address);
        let stream = within(
            ConnectPhase::Connect,
            &target,
            self.limits.connect_time,
            connect,
        )
        .await?;
        let mut wire = Wire::new(stream, &self.limits, Bytes::from_static(BYE))
            .map_err(|error| failed(ConnectPhase::Connect, error.into()))?;
        let mut buffer = BytesMut::new();
        let greet = async {
            write_all(&wire.stream, &hello).await?;
            read_hello(&mut wire, &mut handshake, &mut buffer).await
        };
        let peer = match timeout(self.limits.hello_time, greet).await {
            Ok(Ok(peer)) => peer,
            Ok(Err(failure)) => {
                return Err(failed(
                    ConnectPhase::Hello,
                    match failure {
                        HelloFailure::Closed => ConnectErrorKind::Closed,
                        HelloFailure::Bad(error) => error.into(),
                        HelloFailure::Io(error) => error.into(),
                    },
                ));
            }
            Err(_elapsed) => {
                let kind = ConnectErrorKind::TimedOut(self.limits.hello_time);
                return Err(failed(ConnectPhase::Hello, kind));
            }
        };
        Ok((peer, wire, buffer))
    }

    fn start(self, server_id: PeerId, address: SocketAddr, wire: Wire, buffer: BytesMut) -> Client {
        let connection = Connection::new(server_id, address, &self.limits);
        let registry = Registry::default();
        registry.replace_connection(&connection);
        let span = tracing::info_span!(
            "connection",
            connection = %connection.id(),
            peer = ?connection.peer(),
            %address,
        );
        let driver = Driver {
            wire,
            buffer,
            connection: connection.clone(),
            registry: registry.clone(),
            handler: Arc::new(self.handler),
            limits: self.limits,
        };
        tokio::spawn(driver.run().instrument(span));
        Client {
            id: self.id,
            connection,
            registry,
        }
    }
}

/// Runs one phase of a connection attempt within its time.
async fn within<T>(
    phase: ConnectPhase,
    target: &str,
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, ConnectError> {
    let kind = match timeout(limit, work).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.into(),
        Err(_elapsed) => ConnectErrorKind::TimedOut(limit),
    };
    Err(ConnectError {
        phase,
        target: target.to_owned(),
        kind,
    })
}

pub(crate) fn not_found(phase: ConnectPhase, target: &str) -> ConnectError {
    ConnectError {
        phase,
        target: target.to_owned(),
        kind: ConnectErrorKind::NotFound,
    }
}

/// The side that connects: an interface's end.
///
/// Dropping a client ends its connection with a `BYE`; what is queued is still sent as long as the
/// runtime lives. [`Connection::bye`] waits for that.
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
            id: id.into(),
            limits: Limits::default(),
            handler: NoHandler {
                when_full: WhenFull::default(),
            },
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

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.end(CloseReason::LocalBye);
    }
}
