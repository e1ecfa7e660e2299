//! The side that is connected to.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use masep_proto::PeerId;
use masep_proto::admission::Entrance;

use super::announcing::Announcing;
use super::block_on::block_on;
use super::door::Door;
use super::endpoint;
use super::stream::after;
use super::{Connection, Registry, Request, SocketHandler, spawn};
use crate::admitting::{Admits as _, DoorSettings};
use crate::error::ListenError;
use crate::handle::SharedConnection as _;
use crate::request::Asks;
use crate::serving::{ServerInfo, ServerSettings, info_calls, server_calls};
use crate::sync::Instant;
use crate::transport::ListeningSocket;
use crate::{AcceptError, AcceptTimeoutError, CloseReason, IntoTarget, ShutdownReport, Target};

/// Configures a [`Server`].
#[derive(Clone)]
#[must_use]
pub struct ServerBuilder {
    settings: ServerSettings,
    handler: Option<Arc<dyn SocketHandler>>,
}

impl ServerBuilder {
    /// One of a server with these settings.
    pub(super) const fn with(settings: ServerSettings) -> Self {
        Self {
            settings,
            handler: None,
        }
    }

    /// Gives what happens on the connections to a handler, in a background thread for each,
    /// instead of [`Server::accept`] and [`Connection::recv`].
    pub fn handler(mut self, handler: impl SocketHandler) -> Self {
        self.settings.endpoint.is_handled = true;
        self.handler = Some(Arc::new(handler));
        self
    }

    server_calls!(reads: "With another policy the background thread of the process reads what nobody receives.");

    /// Binds an address and starts to accept, in a background thread. Port 0 takes a free one, see
    /// [`Server::local_address`]; `[::]` takes IPv4 and IPv6 where the system does.
    ///
    /// `unix:///run/game.sock` makes a Unix socket, the fastest way between processes of one machine. A socket file at
    /// that path on which nobody listens is replaced. The file is removed when the server stops accepting, unless
    /// another has taken its place. Its permissions are those that the process's umask leaves: by the usual one of 022,
    /// only processes of the same user can connect, by 007 also those of the group. All peers of a Unix socket are local:
    /// [`ServerLimits::connections_per_address`](crate::ServerLimits::connections_per_address) does not count them.
    ///
    /// Blocks only to resolve a name, as long as the system takes for it.
    ///
    /// # Errors
    /// The system's error for the address, which is named (`AddrInUse` where another server listens,
    /// `AlreadyExists` for a path at which there is something other than a socket), for the thread or for announcing;
    /// and `InvalidInput` for text that is no address, and an id that cannot be sent in a hello.
    pub fn bind(self, address: impl IntoTarget) -> io::Result<Server> {
        let target = address.into_target()?;
        let door = self.settings.door(Some(&target))?;
        let listener = listen(&target)?;
        let pymasep = door.server.pymasep.as_ref().map(listen).transpose()?;
        start(door, self.handler, listener, pymasep)
    }

    /// As [`bind`](Self::bind), on a socket that listens already, such as a [`TcpListener`](std::net::TcpListener) or a
    /// [`UnixListener`](std::os::unix::net::UnixListener). It is set not to block. The file of a Unix socket is not
    /// removed at the end.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn serve(self, listener: impl Into<OwnedFd>) -> io::Result<Server> {
        let door = self.settings.door(None)?;
        start(door, self.handler, ListeningSocket::new(listener)?, None)
    }
}

fn start(
    settings: DoorSettings,
    handler: Option<Arc<dyn SocketHandler>>,
    main: ListeningSocket,
    pymasep: Option<ListeningSocket>,
) -> io::Result<Server> {
    let (server, endpoint) = (&settings.server, &settings.server.endpoint);
    let local_address = main.address().clone();
    let pymasep_address = pymasep.as_ref().map(|listener| listener.address().clone());
    let listeners = [(Entrance::Main, Some(main)), (Entrance::Pymasep, pymasep)];
    let listeners = listeners.map(|(entrance, listener)| Some((entrance, listener?)));
    let listeners: Vec<_> = listeners.into_iter().flatten().collect();
    for (_, listener) in &listeners {
        listener.prepare(&endpoint.limits, &endpoint.socket_options);
    }
    let info = ServerInfo::new(&settings, local_address, pymasep_address);
    let announces = server.announce;
    let door = Door::new(settings, handler)?;
    let announcement = announces.then(|| announce(&info)).transpose()?;
    let accepting = door.clone();
    let thread = spawn("accept", move || accepting.run(&listeners))?;
    Ok(Server {
        info,
        door,
        accepting: Mutex::new(Some(thread)),
        announcement: Mutex::new(announcement),
    })
}

/// Listens on a target.
fn listen(target: &Target) -> io::Result<ListeningSocket> {
    let addresses = target.resolve_blocking();
    let addresses = addresses.map_err(|error| ListenError::wrap(target, error))?;
    ListeningSocket::bind(&addresses)
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The side that is connected to: an engine's end.
///
/// One background thread accepts. No peer holds up another one: each has a thread of its own until
/// it has said hello, for which it has [`Limits::hello_time`](crate::Limits::hello_time), and with a [`SocketHandler`] to its
/// end. Without a handler, [`accept`](Self::accept) gives out the connections, and the threads that
/// take them drive them.
///
/// There are never more than [`ServerLimits::connections`](crate::ServerLimits::connections), those without a hello
/// included. One too many
/// takes the place of the oldest that has not said hello; if all have, it gets our hello, then
/// `BYE`, and is closed.
///
/// Dropping a server ends accepting and all its connections, with a `BYE` to each. It does not
/// block: what a socket does not take at once is written for up to a second by a background thread.
/// [`shutdown`](Self::shutdown) waits for that.
pub struct Server {
    info: ServerInfo,
    door: Arc<Door>,
    /// The thread that accepts.
    accepting: Mutex<Option<JoinHandle<()>>>,
    announcement: Mutex<Option<Announcing>>,
}

fn announce(server: &ServerInfo) -> io::Result<Announcing> {
    let describe = server.describe.clone();
    Announcing::start(&server.local_address, &server.limits, describe)
}

impl Server {
    /// Configures a server with this id, which its peers get to know in the hello.
    pub fn builder(id: impl Into<PeerId>) -> ServerBuilder {
        ServerBuilder::with(ServerSettings::new(endpoint(id.into())))
    }

    info_calls!(answers: "A background thread does so.");

    /// The live connections, by id.
    pub fn registry(&self) -> &Registry {
        &self.door.registry
    }

    /// The next peer that said hello. Blocks until there is one, or none comes any more. Several threads may
    /// call it.
    ///
    /// # Errors
    /// [`AcceptError::Stopped`] when the server has stopped accepting and all were given out, and always after that;
    /// [`AcceptError::Handled`] with a [`SocketHandler`], which gets them all.
    pub fn accept(&self) -> Result<Connection, AcceptError> {
        self.accept_until(None).map_err(AcceptError::from)
    }

    /// [`accept`](Self::accept) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`AcceptTimeoutError::TimedOut`] if no peer came in that time, else as [`accept`](Self::accept).
    pub fn accept_timeout(&self, time: Duration) -> Result<Connection, AcceptTimeoutError> {
        self.accept_until(after(time))
    }

    fn accept_until(&self, until: Option<Instant>) -> Result<Connection, AcceptTimeoutError> {
        if self.door.handler.is_some() {
            return Err(AcceptTimeoutError::Handled);
        }
        let next = block_on(self.door.accepted.next(), until);
        let next = next.ok_or(AcceptTimeoutError::TimedOut)?;
        next.ok_or(AcceptTimeoutError::Stopped)
    }

    /// The next client of protocol 2 that has said HELLO and waits for the host's word, where the server
    /// [asks](ServerBuilder::ask): in order of arrival, each once. Blocks until there is one, or none comes any more. Several
    /// threads may call it, and several requests may be open at the same time. A request whose client has left meanwhile
    /// is decided in vain, which is no error.
    ///
    /// # Errors
    /// [`AcceptError::Stopped`] when the server has stopped accepting, and [`AcceptError::AsksNobody`] where it does not
    /// ask.
    pub fn next_request(&self) -> Result<Request, AcceptError> {
        self.request_until(None).map_err(AcceptError::from)
    }

    /// [`next_request`](Self::next_request) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`AcceptTimeoutError::TimedOut`] if no client came in that time, else as [`next_request`](Self::next_request).
    pub fn next_request_timeout(&self, time: Duration) -> Result<Request, AcceptTimeoutError> {
        self.request_until(after(time))
    }

    fn request_until(&self, until: Option<Instant>) -> Result<Request, AcceptTimeoutError> {
        if self.door.settings().server.asks == Asks::Nobody {
            return Err(AcceptTimeoutError::AsksNobody);
        }
        let next = block_on(self.door.next_request(), until);
        let next = next.ok_or(AcceptTimeoutError::TimedOut)?;
        next.ok_or(AcceptTimeoutError::Stopped)
    }

    /// Stops accepting: the port is closed, connections that were not admitted yet are refused, the others go
    /// on. Those that wait for [`accept`](Self::accept) can still be taken.
    ///
    /// Blocks only until the accepting thread has seen that.
    pub fn stop_accepting(&self) {
        let accepting = self.accepting.lock();
        let accepting = accepting.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = accepting {
            self.door.stop();
            let _ = thread.join();
            self.door.close();
        }
    }

    /// Stops accepting, and ends all connections.
    pub(super) fn end_all(&self) {
        self.stop_accepting();
        for connection in self.registry().close() {
            connection.shared().end(CloseReason::Shutdown);
        }
    }

    /// Ends everything: stops announcing and accepting, sends every peer what is unsent and a
    /// `BYE`, and closes. Those that have not taken it after `deadline` are cut off.
    ///
    /// Returns when all connections have ended and their handlers were told, at the latest after
    /// `deadline`: a handler that blocks longer goes on by itself. Not to be called by the handler
    /// of one of the connections, for which it would wait in vain.
    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        let until = after(deadline);
        self.stop_announcing();
        self.stop_accepting();
        let (mut report, mut ending) = (ShutdownReport::default(), Vec::new());
        for connection in self.registry().close() {
            let lived = (connection.shared()).look_at(|core| core.reason().is_none());
            connection.shared().begin_end(CloseReason::Shutdown);
            ending.push((connection, lived));
        }
        for (connection, lived) in &ending {
            let shared = connection.shared();
            if shared.wait_closed(until).is_err() {
                shared.abort(CloseReason::Shutdown);
            }
            report.add(&**shared, *lived);
        }
        for (connection, _) in &ending {
            // A handler that is not done by then goes on without us. It is told nothing of one that was never open.
            if connection.shared().is_ended() {
                let _ = connection.closed_until(until);
            }
        }
        #[cfg(feature = "unstable-bindings")]
        // Clients in TLS that were given away.
        self.door.relays.wait(until);
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_announcing();
        self.end_all();
        // They would keep each other: they have the door, which has them.
        self.door.accepted.end();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.info.id)
            .field("local_address", &self.info.local_address)
            .field("connections", self.registry())
            .finish_non_exhaustive()
    }
}
