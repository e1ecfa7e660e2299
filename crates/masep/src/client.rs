//! The side that connects.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use masep_proto::PeerId;
use masep_proto::connection::{Config, Connection as Core, HelloFailure};
use tokio::time::{sleep, timeout};
use tracing::Instrument;

#[cfg(doc)]
use crate::ConnectErrorKind;
use crate::connecting::{
    Agreement, HEAD_START, Race, client_calls, client_info_calls, in_time, not_found,
};
use crate::connection::{Shared, now};
use crate::discovery::{SearchOptions, search};
use crate::door::Membership;
use crate::endpoint::Endpoint;
use crate::hearing::Hearing;
use crate::keeper::Keeper;
use crate::tls::Connector;
use crate::transport::{self, Transport};
use crate::{
    Address, ConnectError, ConnectPhase, Connection, IntoTarget, NoHandler, Registry, SocketHandler,
};

/// Configures a [`Client`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder<H = NoHandler> {
    endpoint: Endpoint,
    handler: H,
}

impl ClientBuilder {
    /// One of a client with these settings.
    pub(crate) const fn with(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            handler: NoHandler(()),
        }
    }
}

impl<H: SocketHandler> ClientBuilder<H> {
    /// Gives what happens on the connection to a handler, instead of [`Connection::recv`].
    pub fn handler<N: SocketHandler>(self, handler: N) -> ClientBuilder<N> {
        let mut endpoint = self.endpoint;
        endpoint.is_handled = true;
        ClientBuilder { endpoint, handler }
    }

    client_calls!(reads: "");

    /// Connects to a server: `host:port`, or `unix:///run/game.sock` for one that listens on a Unix socket, and the
    /// other forms of an [`IntoTarget`]. A name with several addresses is tried one after the other. An IPv6
    /// address may have a zone, also by name: `[fe80::7%eth0]:60000`.
    ///
    /// Each phase has its own bound: [`SocketOptions::connect_time`](crate::SocketOptions::connect_time) to resolve, the same for each address
    /// to connect, [`Limits::hello_time`](crate::Limits::hello_time) for the server's hello. With [`Protocols::Both`](crate::Protocols::Both) these two count for each of the
    /// two connections.
    ///
    /// Cancel safe: a call that is dropped says `BYE` if it was connected.
    ///
    /// # Errors
    /// Which phase failed, with whom, and why.
    pub async fn connect(mut self, address: impl IntoTarget) -> Result<Client, ConnectError> {
        let (target, connector) = self.endpoint.aim(address)?;
        let name = target.to_string();
        let limit = self.endpoint.socket_options.connect_time;
        let resolved = timeout(limit, target.resolve()).await.ok();
        let addresses = in_time(ConnectPhase::Resolve, &name, limit, resolved)?;
        self.connect_any(&name, &addresses, transport::connect, true, connector)
            .await
    }

    /// Searches the LAN and connects to the first server that takes the connection.
    ///
    /// Anybody can answer a search. So the answers are tried side by side: one of each host before a
    /// second of any, and the next after a second if those before it have neither failed nor said
    /// hello. A server that is reached late, after another, is told `BYE`.
    ///
    /// Cancel safe: a call that is dropped says `BYE` if it was connected.
    ///
    /// # Errors
    /// The phase that failed, the address, and the reason; [`ConnectErrorKind::NotFound`] if no server answered.
    pub async fn discover(mut self, options: &SearchOptions) -> Result<Client, ConnectError> {
        let candidates = self.endpoint.candidates(search(options).await)?;
        let (address, greeted) = self.race(candidates).await?;
        Ok(self.start(&address, greeted))
    }

    /// Tries addresses side by side.
    async fn race(&self, mut race: Race) -> Result<(Address, Keeper), ConnectError> {
        let mut attempts = Vec::new();
        loop {
            if let Some((address, connector)) = race.next() {
                attempts.push(Box::pin(async move {
                    let connect = transport::connect;
                    let greeted = self
                        .try_connect(&address, connect, true, connector.as_ref())
                        .await;
                    greeted.map(|greeted| (address, greeted))
                }));
            }
            if race.is_over() {
                return Err(race.into_failure());
            }
            tokio::select! {
                biased;
                outcome = first_of(&mut attempts) => match outcome {
                    Ok(greeted) => return Ok(greeted),
                    Err(error) => race.fail(error),
                },
                () = sleep(HEAD_START), if race.has_next() => {}
            }
        }
    }

    async fn connect_any<T, F>(
        self,
        target: &str,
        addresses: &[Address],
        connect: impl Fn(Address) -> F,
        remembers: bool,
        connector: Option<Connector>,
    ) -> Result<Client, ConnectError>
    where
        T: Transport,
        F: Future<Output = io::Result<T>>,
    {
        let mut failure = not_found(ConnectPhase::Resolve, target);
        for address in addresses {
            match self
                .try_connect(address, &connect, remembers, connector.as_ref())
                .await
            {
                Ok(greeted) => return Ok(self.start(address, greeted)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Connects, and once more if the server turns out to speak pymasep's protocol and that will do. `remembers`: for a
    /// minute that is known of the address.
    async fn try_connect<T, F>(
        &self,
        address: &Address,
        connect: impl Fn(Address) -> F,
        remembers: bool,
        connector: Option<&Connector>,
    ) -> Result<Keeper, ConnectError>
    where
        T: Transport,
        F: Future<Output = io::Result<T>>,
    {
        let mut agreement = Agreement::begin(&self.endpoint, address, connector, remembers, now());
        let limit = self.endpoint.socket_options.connect_time;
        loop {
            let config = agreement.config()?;
            let connected = timeout(limit, connect(address.clone())).await.ok();
            let transport = agreement.connected(connected)?;
            match self.shake_hands(&agreement, config, transport).await? {
                Ok(keeper) => return Ok(keeper),
                Err(failure) => agreement.fail(failure, now())?,
            }
        }
    }

    async fn shake_hands<T: Transport>(
        &self,
        agreement: &Agreement<'_>,
        config: Arc<Config>,
        transport: T,
    ) -> Result<Result<Keeper, HelloFailure>, ConnectError> {
        let core = Core::connect(config, now());
        let (address, delivery) = (agreement.address.clone(), self.endpoint.delivery());
        let busy_poll = self.endpoint.socket_options.busy_poll;
        let shared = match agreement.connector {
            None => Shared::new(core, transport, address, delivery, busy_poll),
            Some(connector) => {
                let transport = connector.wrap(transport);
                let transport = transport.map_err(|error| agreement.no_hello(error))?;
                Shared::new(core, transport, address, delivery, busy_poll)
            }
        };
        let mut keeper = Keeper::new(shared, Membership::of_client(Registry::default()));
        if let Err(failure) = keeper.hello().await {
            if failure == HelloFailure::ConnectAgain {
                // A reset would be the server's loss: it may still be writing its hello.
                tokio::spawn(part(keeper));
            }
            return Ok(Err(failure));
        }
        Ok(Ok(keeper))
    }

    fn start(self, address: &Address, keeper: Keeper) -> Client {
        let connection = Connection::of_client(keeper.shared().clone());
        let registry = keeper.membership().registry().clone();
        let lent = connection.lend();
        registry.add(lent.lend());
        let span = tracing::info_span!(
            "connection",
            connection = %connection.id(),
            peer = ?connection.peer(),
            %address,
        );
        tokio::spawn(keeper.run(lent, Arc::new(self.handler)).instrument(span));
        Client {
            id: self.endpoint.id,
            connection,
            registry,
        }
    }
}

/// Connects over other transports than sockets.
#[cfg(feature = "unstable-transport")]
impl<H: SocketHandler> ClientBuilder<H> {
    /// Connects as [`connect`](Self::connect) does, through `connect` instead of a socket.
    ///
    /// Cancel safe, if the future of `connect` is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with<T, F>(
        mut self,
        address: impl Into<Address>,
        connect: impl Fn(Address) -> F,
    ) -> Result<Client, ConnectError>
    where
        T: Transport,
        F: Future<Output = io::Result<T>>,
    {
        let address = address.into();
        let connector = self.endpoint.connector_at(&address)?;
        self.connect_any(
            &address.to_string(),
            std::slice::from_ref(&address),
            connect,
            false,
            connector,
        )
        .await
    }

    /// Shakes hands over a transport that is connected. The address is the one to be shown. Over one transport nobody can
    /// connect again: to a server of pymasep's protocol say so ([`Protocols::Pymasep`](crate::Protocols::Pymasep)).
    ///
    /// Cancel safe: a call that is dropped says `BYE`, or resets a transport that has no room for it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over<T: Transport>(
        mut self,
        transport: T,
        address: impl Into<Address>,
    ) -> Result<Client, ConnectError> {
        let address = address.into();
        let connector = self.endpoint.connector_at(&address)?;
        let agreement =
            Agreement::begin(&self.endpoint, &address, connector.as_ref(), false, now());
        let config = agreement.config()?;
        let transport = agreement.connected(Some(Ok(transport)))?;
        let greeted = self.shake_hands(&agreement, config, transport).await?;
        let greeted = greeted.map_err(|failure| agreement.no_hello(failure))?;
        Ok(self.start(&address, greeted))
    }
}

/// Sees a connection of which nothing more is wanted to its end.
async fn part(mut keeper: Keeper) {
    let _hearing = Hearing::begin_for(&mut keeper.shared().lock().core);
    keeper.over().await;
}

/// Waits until one of these has ended, and takes it out.
async fn first_of<F: Future>(attempts: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        for number in 0..attempts.len() {
            if let Poll::Ready(outcome) = attempts[number].as_mut().poll(context) {
                drop(attempts.swap_remove(number));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

/// The side that connects: an interface's end.
///
/// The connection lives as long as the client or a clone of its [`Connection`] does. When the last of them is
/// dropped, it ends with a `BYE`; what is queued is still sent as long as the runtime lives.
/// [`Connection::bye`] waits for that.
#[derive(Debug)]
pub struct Client {
    id: PeerId,
    connection: Connection,
    registry: Registry,
}

impl Client {
    /// Configures a client with this id, which the server gets to know in the hello.
    pub fn builder(id: impl Into<PeerId>) -> ClientBuilder {
        ClientBuilder::with(Endpoint::new(id.into()))
    }

    client_info_calls!();
}
