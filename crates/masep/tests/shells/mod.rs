//! The calls of both shells behind one face.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and a panic is its report"
)]

use std::future::Future;
use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use masep::{
    AcceptError, AcceptTimeoutError, Address, Bye, CloseReason, ConnectError, ConnectionId, Dict,
    Hello, IntoTarget, Limits, Message, Notice, PeerLimits, Protocol, Protocols, RecvMessageError,
    RecvTimeoutError, Request, Role, SendError, ServerLimits, ShutdownReport, SocketOptions,
    Welcome, WhenFull, blocking,
};
use tokio::runtime::Runtime;

use super::bounds::Bounds;

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Blocking,
    Async,
}

pub const SHELLS: [Shell; 2] = [Shell::Blocking, Shell::Async];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
});

fn wait<T>(call: impl Future<Output = T>) -> T {
    let call = async { tokio::time::timeout(SOON, call).await };
    RUNTIME.block_on(call).expect("it returns in time")
}

/// Waits for what another thread or task does at once.
pub fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "it did not happen in {SOON:?}");
        std::thread::yield_now();
    }
}

pub trait Server: Send + Sync {
    fn address(&self) -> Address;
    fn accept(&self) -> Option<Box<dyn Connection>>;
    fn stop_accepting(&self);
    fn announce(&self) -> io::Result<()>;
    fn broadcast_message(&self, message: &Message) -> Result<usize, SendError>;
    fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError>;
    /// Within a time that is long for what has happened already.
    fn next_request(&self) -> Result<Request, AcceptError>;
    fn shutdown(self: Box<Self>, deadline: Duration) -> ShutdownReport;
}

pub trait Client: Send + Sync {
    fn connection(&self) -> &dyn Connection;
}

pub trait Connection: Send + Sync {
    fn address(&self) -> Address;
    fn peer(&self) -> String;
    fn send(&self, body: Vec<u8>);
    fn try_send(&self, body: Vec<u8>) -> bool;
    fn recv(&self) -> Option<Vec<u8>>;
    fn bye(&self) -> CloseReason;
    fn bye_with(&self, bye: Bye) -> CloseReason;
    fn protocol(&self) -> Protocol;
    fn peer_limits(&self) -> PeerLimits;
    fn welcome(&self) -> Option<Welcome>;
    fn hello(&self) -> Option<Hello>;
    fn id(&self) -> ConnectionId;
    fn rtt(&self) -> Option<Duration>;
    fn ping(&self) -> bool;
    fn notice(&self, notice: Notice) -> Result<(), SendError>;
    fn try_notice(&self) -> Option<Notice>;
    fn send_frame(&self, body: Vec<u8>) -> Result<(), SendError>;
    fn send_message(&self, message: &Message) -> Result<(), SendError>;
    fn recv_message(&self) -> Result<Message, RecvMessageError>;
    /// The reason of an end that comes, or has come.
    fn end(&self) -> CloseReason;
    /// The reason, when all was received.
    fn closed(&self) -> CloseReason;
}

pub fn bind(shell: Shell, target: impl IntoTarget) -> io::Result<Box<dyn Server>> {
    bind_with(shell, target, Bounds::default())
}

pub fn bind_with(
    shell: Shell,
    target: impl IntoTarget,
    bounds: impl Into<Bounds>,
) -> io::Result<Box<dyn Server>> {
    let bounds = bounds.into();
    Ok(match shell {
        Shell::Blocking => {
            let server = blocking::Server::builder("engine")
                .limits(bounds.limits)
                .server_limits(bounds.server);
            Box::new(server.bind(target)?)
        }
        Shell::Async => {
            let server = masep::Server::builder("engine")
                .limits(bounds.limits)
                .server_limits(bounds.server);
            Box::new(Async(Some(wait(server.bind(target))?)))
        }
    })
}

pub fn bind_announced(shell: Shell, target: impl IntoTarget) -> io::Result<Box<dyn Server>> {
    Ok(match shell {
        Shell::Blocking => {
            let server = blocking::Server::builder("engine").announce(true);
            Box::new(server.bind(target)?)
        }
        Shell::Async => {
            let server = masep::Server::builder("engine").announce(true);
            Box::new(Async(Some(wait(server.bind(target))?)))
        }
    })
}

/// A server that speaks these generations; by default those of the library.
pub fn bind_speaking(
    shell: Shell,
    protocols: Option<Protocols>,
    limits: Limits,
) -> Box<dyn Server> {
    match shell {
        Shell::Blocking => {
            let mut server = blocking::Server::builder("engine").limits(limits);
            if let Some(protocols) = protocols {
                server = server.protocols(protocols);
            }
            Box::new(server.bind("127.0.0.1:0").unwrap())
        }
        Shell::Async => {
            let mut server = masep::Server::builder("engine").limits(limits);
            if let Some(protocols) = protocols {
                server = server.protocols(protocols);
            }
            Box::new(Async(Some(wait(server.bind("127.0.0.1:0")).unwrap())))
        }
    }
}

/// A server of which a handler gets the connections: that of its shell.
pub fn bind_handled(
    shell: Shell,
    of_async: impl masep::SocketHandler,
    of_blocking: impl blocking::SocketHandler,
) -> Box<dyn Server> {
    match shell {
        Shell::Blocking => {
            let server = blocking::Server::builder("engine").handler(of_blocking);
            Box::new(server.bind("127.0.0.1:0").unwrap())
        }
        Shell::Async => {
            let server = masep::Server::builder("engine").handler(of_async);
            Box::new(Async(Some(wait(server.bind("127.0.0.1:0")).unwrap())))
        }
    }
}

/// A server whose host is asked about its clients.
pub fn bind_asking(
    shell: Shell,
    target: impl IntoTarget,
    limits: ServerLimits,
) -> io::Result<Box<dyn Server>> {
    Ok(match shell {
        Shell::Blocking => {
            let server = blocking::Server::builder("engine").server_limits(limits);
            Box::new(server.ask().bind(target)?)
        }
        Shell::Async => {
            let server = masep::Server::builder("engine").server_limits(limits);
            Box::new(Async(Some(wait(server.ask().bind(target))?)))
        }
    })
}

/// A client that says this of itself.
#[derive(Clone, Debug, Default)]
pub struct Says {
    pub role: Option<Role>,
    pub game: Option<&'static str>,
    pub seat: Option<&'static str>,
    pub table: Option<&'static str>,
    pub resume: Option<String>,
    pub profile: Option<&'static str>,
    pub make: Option<Dict>,
    pub token: Option<&'static str>,
    pub protocols: Option<Protocols>,
}

macro_rules! say {
    ($client:ident, $says:ident) => {
        if let Some(role) = $says.role {
            $client = $client.role(role);
        }
        if let Some(game) = $says.game {
            $client = $client.game(game);
        }
        if let Some(seat) = $says.seat {
            $client = $client.seat(seat);
        }
        if let Some(table) = $says.table {
            $client = $client.table(table);
        }
        if let Some(resume) = $says.resume {
            $client = $client.resume(&resume);
        }
        if let Some(profile) = $says.profile {
            $client = $client.profile(profile);
        }
        if let Some(make) = $says.make {
            $client = $client.make(make);
        }
        if let Some(token) = $says.token {
            $client = $client.token(token);
        }
        if let Some(protocols) = $says.protocols {
            $client = $client.protocols(protocols);
        }
    };
}

pub fn connect_saying(
    shell: Shell,
    id: &str,
    target: impl IntoTarget,
    says: Says,
) -> Result<Box<dyn Client>, ConnectError> {
    Ok(match shell {
        Shell::Blocking => {
            let mut client = blocking::Client::builder(id);
            say!(client, says);
            Box::new(client.connect(target)?)
        }
        Shell::Async => {
            let mut client = masep::Client::builder(id);
            say!(client, says);
            Box::new(AsyncClient(wait(client.connect(target))?))
        }
    })
}

/// A client that speaks these generations; by default those of the library, or of the address.
pub fn connect_speaking(
    shell: Shell,
    id: &str,
    target: impl IntoTarget,
    protocols: Option<Protocols>,
    limits: Limits,
) -> Result<Box<dyn Client>, ConnectError> {
    Ok(match shell {
        Shell::Blocking => {
            let mut client = blocking::Client::builder(id).limits(limits);
            if let Some(protocols) = protocols {
                client = client.protocols(protocols);
            }
            Box::new(client.connect(target)?)
        }
        Shell::Async => {
            let mut client = masep::Client::builder(id).limits(limits);
            if let Some(protocols) = protocols {
                client = client.protocols(protocols);
            }
            Box::new(AsyncClient(wait(client.connect(target))?))
        }
    })
}

pub fn connect(shell: Shell, target: impl IntoTarget) -> Result<Box<dyn Client>, ConnectError> {
    connect_with(shell, target, SocketOptions::default())
}

pub fn connect_with(
    shell: Shell,
    target: impl IntoTarget,
    options: SocketOptions,
) -> Result<Box<dyn Client>, ConnectError> {
    connect_by(shell, target, "agent", options)
}

pub fn connect_as(
    shell: Shell,
    id: &str,
    target: impl IntoTarget,
) -> Result<Box<dyn Client>, ConnectError> {
    connect_by(shell, target, id, SocketOptions::default())
}

fn connect_by(
    shell: Shell,
    target: impl IntoTarget,
    id: &str,
    options: SocketOptions,
) -> Result<Box<dyn Client>, ConnectError> {
    Ok(match shell {
        Shell::Blocking => {
            let client = blocking::Client::builder(id).socket_options(options);
            Box::new(client.connect(target)?)
        }
        Shell::Async => {
            let client = masep::Client::builder(id).socket_options(options);
            Box::new(AsyncClient(wait(client.connect(target))?))
        }
    })
}

pub fn accept(server: &dyn Server) -> Box<dyn Connection> {
    server.accept().expect("the server accepts")
}

impl Server for blocking::Server {
    fn address(&self) -> Address {
        self.local_address()
    }
    fn accept(&self) -> Option<Box<dyn Connection>> {
        match self.accept_timeout(SOON) {
            Ok(accepted) => Some(Box::new(accepted)),
            Err(AcceptTimeoutError::TimedOut) => panic!("no connection in time"),
            Err(_) => None,
        }
    }
    fn stop_accepting(&self) {
        self.stop_accepting();
    }
    fn announce(&self) -> io::Result<()> {
        self.announce()
    }
    fn broadcast_message(&self, message: &Message) -> Result<usize, SendError> {
        self.registry().broadcast_message(message, WhenFull::Wait)
    }
    fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError> {
        self.registry().send_message_to(id, message)
    }
    fn next_request(&self) -> Result<Request, AcceptError> {
        self.next_request_timeout(SOON).map_err(AcceptError::from)
    }
    fn shutdown(self: Box<Self>, deadline: Duration) -> ShutdownReport {
        Self::shutdown(*self, deadline)
    }
}

impl Client for blocking::Client {
    fn connection(&self) -> &dyn Connection {
        self.connection()
    }
}

impl Connection for blocking::Connection {
    fn address(&self) -> Address {
        self.address()
    }
    fn peer(&self) -> String {
        self.peer().to_string()
    }
    fn send(&self, body: Vec<u8>) {
        self.send(body).unwrap();
    }
    fn try_send(&self, body: Vec<u8>) -> bool {
        self.try_send(body).is_ok()
    }
    fn recv(&self) -> Option<Vec<u8>> {
        match self.recv_timeout(SOON) {
            Ok(frame) => Some(frame.bytes().to_vec()),
            Err(RecvTimeoutError::TimedOut) => panic!("neither a frame nor the end in time"),
            Err(RecvTimeoutError::Closed(_)) => None,
        }
    }
    fn bye(&self) -> CloseReason {
        self.bye()
    }
    fn bye_with(&self, bye: Bye) -> CloseReason {
        self.bye_with(bye)
    }
    fn protocol(&self) -> Protocol {
        self.protocol()
    }
    fn peer_limits(&self) -> PeerLimits {
        self.peer_limits()
    }
    fn welcome(&self) -> Option<Welcome> {
        self.welcome()
    }
    fn hello(&self) -> Option<Hello> {
        self.hello()
    }
    fn id(&self) -> ConnectionId {
        self.id()
    }
    fn rtt(&self) -> Option<Duration> {
        self.rtt()
    }
    fn ping(&self) -> bool {
        self.ping()
    }
    fn notice(&self, notice: Notice) -> Result<(), SendError> {
        self.notice(notice)
    }
    fn try_notice(&self) -> Option<Notice> {
        self.try_notice()
    }
    fn send_frame(&self, body: Vec<u8>) -> Result<(), SendError> {
        self.send(body)
    }
    fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send_message(message)
    }
    fn recv_message(&self) -> Result<Message, RecvMessageError> {
        self.recv_message()
    }
    fn end(&self) -> CloseReason {
        match self.recv_timeout(SOON) {
            Err(RecvTimeoutError::Closed(reason)) => reason,
            other => panic!("no end: {other:?}"),
        }
    }
    fn closed(&self) -> CloseReason {
        // Here it takes a call that waits for the end to be noticed.
        let _ = self.flush();
        self.closed()
    }
}

struct Async(Option<masep::Server>);

impl Async {
    fn get(&self) -> &masep::Server {
        self.0.as_ref().unwrap()
    }
}

impl Server for Async {
    fn address(&self) -> Address {
        self.get().local_address()
    }
    fn accept(&self) -> Option<Box<dyn Connection>> {
        let accepted = wait(self.get().accept()).ok()?;
        Some(Box::new(accepted))
    }
    fn stop_accepting(&self) {
        self.get().stop_accepting();
    }
    fn announce(&self) -> io::Result<()> {
        let _context = RUNTIME.enter();
        self.get().announce()
    }
    fn broadcast_message(&self, message: &Message) -> Result<usize, SendError> {
        let registry = self.get().registry();
        wait(registry.broadcast_message(message, WhenFull::Wait))
    }
    fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError> {
        wait(self.get().registry().send_message_to(id, message))
    }
    fn next_request(&self) -> Result<Request, AcceptError> {
        wait(self.get().next_request())
    }
    fn shutdown(mut self: Box<Self>, deadline: Duration) -> ShutdownReport {
        wait(self.0.take().unwrap().shutdown(deadline))
    }
}

struct AsyncClient(masep::Client);

impl Client for AsyncClient {
    fn connection(&self) -> &dyn Connection {
        self.0.connection()
    }
}

impl Connection for masep::Connection {
    fn address(&self) -> Address {
        self.address()
    }
    fn peer(&self) -> String {
        self.peer().to_string()
    }
    fn send(&self, body: Vec<u8>) {
        let sent: Result<(), SendError> = wait(async { self.send(body).await });
        sent.unwrap();
    }
    fn try_send(&self, body: Vec<u8>) -> bool {
        self.try_send(body).is_ok()
    }
    fn recv(&self) -> Option<Vec<u8>> {
        let frame = wait(self.recv()).ok()?;
        Some(frame.bytes().to_vec())
    }
    fn bye(&self) -> CloseReason {
        wait(self.bye())
    }
    fn bye_with(&self, bye: Bye) -> CloseReason {
        wait(self.bye_with(bye))
    }
    fn protocol(&self) -> Protocol {
        self.protocol()
    }
    fn peer_limits(&self) -> PeerLimits {
        self.peer_limits()
    }
    fn welcome(&self) -> Option<Welcome> {
        self.welcome()
    }
    fn hello(&self) -> Option<Hello> {
        self.hello()
    }
    fn id(&self) -> ConnectionId {
        self.id()
    }
    fn rtt(&self) -> Option<Duration> {
        self.rtt()
    }
    fn ping(&self) -> bool {
        self.ping()
    }
    fn notice(&self, notice: Notice) -> Result<(), SendError> {
        self.notice(notice)
    }
    fn try_notice(&self) -> Option<Notice> {
        self.try_notice()
    }
    fn send_frame(&self, body: Vec<u8>) -> Result<(), SendError> {
        wait(async { self.send(body).await })
    }
    fn send_message(&self, message: &Message) -> Result<(), SendError> {
        wait(self.send_message(message))
    }
    fn recv_message(&self) -> Result<Message, RecvMessageError> {
        wait(self.recv_message())
    }
    fn end(&self) -> CloseReason {
        wait(self.recv()).expect_err("the end")
    }
    fn closed(&self) -> CloseReason {
        wait(self.closed())
    }
}
