//! A peer made of a bare socket of the standard library, which can do all that a good peer would
//! not.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its own part"
)]

#[path = "../bounds/mod.rs"]
mod bounds;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

pub use bounds::Bounds;
use masep::blocking::{Client, Connection, Server, SocketHandler};
use masep::{Address, CloseReason, Frame, Limits, RecvTimeoutError, RejectReason};

/// Ends a test that waits for something that does not come. Never the expected way out.
pub const SOON: Duration = Duration::from_secs(20);

/// The events that a handler was told, as a list.
#[derive(Debug)]
pub enum Event {
    Connected(Connection),
    Received(Connection, Frame),
    Closed(Connection, CloseReason),
    Rejected(Address, RejectReason),
}

/// A handler that passes every call on.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }
}

impl SocketHandler for Events {
    fn on_connect(&self, connection: &Connection) {
        let _ = self.0.send(Event::Connected(connection.clone()));
    }
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        let _ = self.0.send(Event::Received(connection.clone(), frame));
    }
    fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        let _ = self
            .0
            .send(Event::Closed(connection.clone(), reason.clone()));
    }
    fn on_reject(&self, address: Address, reason: &RejectReason) {
        let _ = self.0.send(Event::Rejected(address, reason.clone()));
    }
}

/// The next event; a connection that was only just made tells nothing in between.
pub fn next(events: &mpsc::Receiver<Event>) -> Event {
    events.recv_timeout(SOON).expect("an event")
}

pub fn next_rejected(events: &mpsc::Receiver<Event>) -> RejectReason {
    loop {
        if let Event::Rejected(_, reason) = next(events) {
            return reason;
        }
    }
}

pub fn server() -> Server {
    server_with(Bounds::default())
}

pub fn server_with(bounds: impl Into<Bounds>) -> Server {
    let bounds = bounds.into();
    Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .bind("127.0.0.1:0")
        .unwrap()
}

pub fn accept(server: &Server) -> Connection {
    server.accept_timeout(SOON).expect("a connection in time")
}

/// The next frame, or the end; never waits for ever.
pub fn recv(connection: &Connection) -> Result<Frame, CloseReason> {
    match connection.recv_timeout(SOON) {
        Ok(frame) => Ok(frame),
        Err(RecvTimeoutError::Closed(reason)) => Err(reason),
        Err(RecvTimeoutError::TimedOut) => panic!("no frame in time"),
    }
}

/// A server and one peer of it, which is a bare socket.
pub fn connected() -> (Server, Connection, Peer) {
    connected_with(Bounds::default())
}

pub fn connected_with(bounds: impl Into<Bounds>) -> (Server, Connection, Peer) {
    let server = server_with(bounds);
    let peer = Peer::join(server.local_address(), "agent");
    let connection = accept(&server);
    (server, connection, peer)
}

/// A server and a client of it, as a connection each.
pub fn pair() -> (Server, Connection, Client) {
    pair_with(&Limits::default())
}

pub fn pair_with(limits: &Limits) -> (Server, Connection, Client) {
    let server = server_with(limits.clone());
    let client = Client::builder("agent")
        .limits(limits.clone())
        .connect(server.local_address())
        .unwrap();
    let connection = accept(&server);
    (server, connection, client)
}

/// A connected socket that speaks frames only when told to.
#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
}

pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

impl Peer {
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self { stream }
    }

    /// Connected, and silent.
    pub fn connect(address: impl ToSocketAddrs) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Connected, and through the handshake.
    pub fn join(address: impl ToSocketAddrs, id: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.write(&frame(id.as_bytes()));
        assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
        peer
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 2];
        match self.stream.read(&mut header[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("reading: {error}"),
        }
        self.stream.read_exact(&mut header[1..]).unwrap();
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        self.stream.read_exact(&mut body).unwrap();
        Some(body)
    }

    /// That the peer is told the end: a `BYE`, and nothing after it.
    pub fn expect_bye(&mut self) {
        assert_eq!(self.read().as_deref(), Some(&b"BYE"[..]));
        assert_eq!(self.read(), None);
    }

    /// No more bytes of this side, which still reads.
    pub fn close_sending_side(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// A server made of a bare listener.
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
