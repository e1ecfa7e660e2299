//! The side that is connected to.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use masep_proto::PeerId;
pub use masep_proto::admission::Duplicates;
use masep_proto::admission::Entrance;
use masep_proto::connection::Connection as Core;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::accepted::Arrivals;
use crate::admitting::{Admits as _, DoorSettings};
use crate::discovery::Announcement;
use crate::door::{Door, ServerTask};
use crate::endpoint::Endpoint;
use crate::hand_out::HandOut;
use crate::handle::SharedConnection;
use crate::keeper::CLOSE_GRACE;
use crate::request::Asks;
use crate::serving::{ServerInfo, ServerSettings, info_calls, server_calls};
use crate::transport::{Listener, SocketListener};
use crate::{
    AcceptError, CloseReason, Connection, IntoTarget, NoHandler, Registry, Request, SocketHandler,
};

/// Configures a [`Server`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder<H = NoHandler> {
    settings: ServerSettings,
    handler: H,
}

impl ServerBuilder {
    /// One of a server with these settings.
    pub(crate) const fn with(settings: ServerSettings) -> Self {
        Self {
            settings,
            handler: NoHandler(()),
        }
    }
}

impl<H: SocketHandler> ServerBuilder<H> {
    /// Gives what happens on the connections to a handler, instead of [`Server::accept`] and
    /// [`Connection::recv`].
    pub fn handler<N: SocketHandler>(self, handler: N) -> ServerBuilder<N> {
        let mut settings = self.settings;
        settings.endpoint.is_handled = true;
        ServerBuilder { settings, handler }
    }

    server_calls!(reads: "");

    /// Binds an address and starts to accept, in tasks of the current tokio runtime. Port 0 takes a
    /// free one, see [`Server::local_address`]; `[::]` takes IPv4 and IPv6 where the system does.
    ///
    /// `unix:///run/game.sock` makes a Unix socket, the fastest way between processes of one machine. A socket file at
    /// that path on which nobody listens is replaced. The file is removed when the server stops accepting, unless
    /// another has taken its place. Its permissions are those that the process's umask leaves: by the usual one of 022,
    /// only processes of the same user can connect, by 007 also those of the group. All peers of a Unix socket are local:
    /// [`ServerLimits::connections_per_address`](crate::ServerLimits::connections_per_address) does not count them.
    ///
    /// Cancel safe: a call that is dropped has bound nothing.
    ///
    /// # Errors
    /// An error that names the address, with the error of the system as its source: `AddrInUse`
    /// where another server listens, `AlreadyExists` for a path at which there is something other than a socket; and
    /// `InvalidInput` for text that is no address, and an id that cannot be sent in a hello.
    pub async fn bind(self, address: impl IntoTarget) -> io::Result<Server> {
        let target = address.into_target()?;
        let door = self.settings.door(Some(&target))?;
        let listener = SocketListener::bind(&target).await?;
        let pymasep = match &door.server.pymasep {
            Some(target) => Some(SocketListener::bind(target).await?),
            None => None,
        };
        prepare(&door, &listener);
        pymasep.iter().for_each(|pymasep| prepare(&door, pymasep));
        start(door, self.handler, listener, pymasep)
    }

    /// As [`bind`](Self::bind), on a socket that listens already, such as a [`TcpListener`](std::net::TcpListener) or a
    /// [`UnixListener`](std::os::unix::net::UnixListener) of the standard library. It is set not to block. The file
    /// of a Unix socket is not removed at the end. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The system's error for the socket, and `InvalidInput` for an id that cannot be sent in a hello.
    pub fn serve(self, listener: impl Into<OwnedFd>) -> io::Result<Server> {
        let door = self.settings.door(None)?;
        let listener = SocketListener::new(listener)?;
        prepare(&door, &listener);
        start(door, self.handler, listener, None)
    }
}

/// Has connections begin with the options that they are to have.
fn prepare(door: &DoorSettings, listener: &SocketListener) {
    let endpoint = &door.server.endpoint;
    listener.prepare(&endpoint.limits, &endpoint.socket_options);
}

fn start(
    settings: DoorSettings,
    handler: impl SocketHandler,
    listener: impl Listener,
    pymasep: Option<SocketListener>,
) -> io::Result<Server> {
    let local_address = listener.local_address()?;
    let pymasep_address = pymasep.as_ref().map(Listener::local_address).transpose()?;
    let info = ServerInfo::new(&settings, local_address, pymasep_address);
    let announcement = (settings.server.announce)
        .then(|| announce(&info))
        .transpose()?;
    let is_handled = settings.server.endpoint.is_handled;
    let accepted = Arc::new(Arrivals::new(settings.most()));
    let hand_out = HandOut::of_door(accepted.clone());
    let door = Door::new(settings)?;
    let (alive, all_ended) = mpsc::channel(1);
    let task = ServerTask {
        door: door.clone(),
        handler: Arc::new(handler),
        hand_out: (!is_handled).then_some(hand_out),
        alive,
    };
    let id = &info.id;
    if let Some((listener, address)) = pymasep.zip(info.pymasep_address.as_ref()) {
        let span = tracing::info_span!("server", ?id, %address);
        let accepting = task.clone().accept(listener, Entrance::Pymasep);
        tokio::spawn(accepting.instrument(span));
    }
    let span = tracing::info_span!("server", ?id, address = %info.local_address);
    tokio::spawn(task.accept(listener, Entrance::Main).instrument(span));
    Ok(Server {
        info,
        door,
        accepted,
        all_ended,
        announcement: Mutex::new(announcement),
    })
}

/// Serves over other transports than sockets.
#[cfg(feature = "unstable-transport")]
impl<H: SocketHandler> ServerBuilder<H> {
    /// Starts to accept from this listener, in tasks of the current tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for an id that cannot be sent in a hello, and the error of the listener for its
    /// address.
    pub fn serve_over<L: Listener>(self, listener: L) -> io::Result<Server> {
        let door = self.settings.door(None)?;
        start(door, self.handler, listener, None)
    }
}

/// The side that is connected to: an engine's end.
///
/// Accepts connections in the background. No peer holds up another one: each has its own task from
/// the first byte on, and [`Limits::hello_time`](crate::Limits::hello_time) to say hello.
///
/// Dropping a server ends accepting and all its connections, with a `BYE` to each; the queues are
/// still sent as long as the runtime lives. [`shutdown`](Self::shutdown) waits for that.
pub struct Server {
    info: ServerInfo,
    door: Arc<Door>,
    accepted: Arc<Arrivals<Connection>>,
    /// Closed when the last task of this server has ended: the senders are theirs.
    all_ended: mpsc::Receiver<Infallible>,
    announcement: Mutex<Option<Announcement>>,
}

fn announce(server: &ServerInfo) -> io::Result<Announcement> {
    let describe = Some(server.describe.clone());
    Announcement::start_at(&server.local_address, &server.limits, describe)
}

/// The longest wait that a clock can be asked for: thirty years.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The outcome of a shut-down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Peers that got all their queued frames, and a `BYE`. Not those that said `BYE` themselves.
    pub ended: Vec<PeerId>,
    /// Peers that were cut off at the deadline, or lost before they were told: something queued for them may
    /// not have been sent.
    pub cut: Vec<PeerId>,
}

impl ShutdownReport {
    /// Adds a peer, by what its connection knows of [what it was told](Core::was_told). One whose connection did not live any
    /// more when the shut-down began counts only if it was lost.
    pub(crate) fn add(&mut self, connection: &impl SharedConnection, lived: bool) {
        let peer = connection.info().peer();
        match connection.look_at(Core::was_told) {
            Some(true) if lived => self.ended.push(peer.clone()),
            Some(false) => self.cut.push(peer.clone()),
            _ => {}
        }
    }
}

impl Server {
    /// Configures a server with this id, which its peers get to know in the hello.
    pub fn builder(id: impl Into<PeerId>) -> ServerBuilder {
        ServerBuilder::with(ServerSettings::new(Endpoint::new(id.into())))
    }

    info_calls!(answers: "Must be called in a tokio runtime, whose task does so.");

    /// The live connections, by id.
    pub fn registry(&self) -> &Registry {
        &self.door.registry
    }

    /// The next peer that said hello.
    ///
    /// A connection lives before it is accepted: frames that arrive wait, and its end is noticed. When more than
    /// [`ServerLimits::connections`](crate::ServerLimits::connections) wait, the oldest of those that have ended are
    /// dropped, with a warning in the
    /// log.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`AcceptError::Stopped`] when the server has stopped accepting and all were given out, and always after that;
    /// [`AcceptError::Handled`] with a [`SocketHandler`], which gets them all.
    pub async fn accept(&self) -> Result<Connection, AcceptError> {
        if self.door.settings().server.endpoint.is_handled {
            return Err(AcceptError::Handled);
        }
        self.accepted.next().await.ok_or(AcceptError::Stopped)
    }

    /// The next client that has said HELLO (or a hello, by [`ask_all`](ServerBuilder::ask_all)) and waits for the host's word, where the server
    /// [asks](ServerBuilder::ask): in order of arrival, each once. Any number of tasks may call this, and several requests
    /// may be open at the same time. A request whose client has left meanwhile is decided in vain, which is no error.
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    ///
    /// # Errors
    /// [`AcceptError::Stopped`] when the server has stopped accepting, and [`AcceptError::AsksNobody`] where it does not
    /// ask.
    ///
    /// ```
    /// use masep::{AcceptError, Client, Rejected, Server};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder("engine").ask().bind("127.0.0.1:0").await?;
    /// let address = format!("masep://{}", server.local_address());
    /// let host = async {
    ///     while let Ok(request) = server.next_request().await {
    ///         match request.hello().seat.as_deref() {
    ///             Some("red") => {
    ///                 let mut welcome = request.welcome();
    ///                 welcome.seat = Some("red".into());
    ///                 request.admit(welcome);
    ///             }
    ///             _ => request.refuse(Rejected::new("unknown_seat", "there is no such seat")),
    ///         }
    ///     }
    /// };
    /// let clients = async {
    ///     let red = Client::builder("agent-1").seat("red").connect(&address).await?;
    ///     assert_eq!(red.connection().welcome().unwrap().seat.as_deref(), Some("red"));
    ///     let error = Client::builder("agent-2").seat("blue").connect(&address).await.unwrap_err();
    ///     assert!(error.to_string().contains("unknown_seat"));
    ///     server.stop_accepting();
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// };
    /// tokio::join!(host, clients).1
    /// # }
    /// ```
    pub async fn next_request(&self) -> Result<Request, AcceptError> {
        if self.door.settings().server.asks == Asks::Nobody {
            return Err(AcceptError::AsksNobody);
        }
        self.door.next_request().await.ok_or(AcceptError::Stopped)
    }

    /// Stops accepting: the port is closed, connections that were not admitted yet are refused, the others go
    /// on.
    pub fn stop_accepting(&self) {
        self.door.stop();
    }

    /// Stops accepting, and ends all connections.
    pub(crate) fn end_all(&self) {
        self.stop_accepting();
        for connection in self.registry().close() {
            connection.end(CloseReason::Shutdown);
        }
    }

    /// Ends everything: stops announcing and accepting, sends every peer its queued frames and a
    /// `BYE`, and closes. Those that are not done after `deadline` are cut off. Returns when all
    /// connections have ended and their handlers were told, at the latest a second after `deadline`:
    /// a handler that takes longer goes on by itself.
    ///
    /// Not cancel safe: a call that is dropped leaves the rest to the background.
    pub async fn shutdown(mut self, deadline: Duration) -> ShutdownReport {
        let deadline = Instant::now() + deadline.min(FAR);
        self.stop_announcing();
        self.stop_accepting();
        let mut report = ShutdownReport::default();
        let mut cut = Vec::new();
        let mut ending = Vec::new();
        for connection in self.registry().close() {
            let lived = connection.shared.look_at(|core| core.reason().is_none());
            connection.end(CloseReason::Shutdown);
            ending.push((connection, lived));
        }
        for (connection, lived) in ending {
            let in_time = timeout_at(deadline, connection.closed()).await.is_ok();
            report.add(&*connection.shared, lived);
            if !in_time {
                connection.abort(CloseReason::Shutdown);
                cut.push(connection);
            }
        }
        // A handler that does not return goes on without us.
        let told = Instant::now() + CLOSE_GRACE;
        for connection in cut {
            let _ = timeout_at(told, connection.closed()).await;
        }
        // Those that were refused because of the stop, and whose handler is being told.
        let _ = timeout_at(deadline, self.all_ended.recv()).await;
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_all();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.info.id)
            .field("local_address", &self.info.local_address)
            .field("connections", &self.registry().len())
            .finish_non_exhaustive()
    }
}
