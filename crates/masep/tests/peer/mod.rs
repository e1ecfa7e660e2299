//! A peer made of a bare socket, which can do all that a good peer would not.
#![allow(
    dead_code,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part, and a panic is its report"
)]

#[path = "../bounds/mod.rs"]
mod bounds;

use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

pub use bounds::Bounds;
use masep::{Address, CloseReason, Connection, Frame, RejectReason, Server, SocketHandler};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Ends a test that waits for something that does not come. Never the expected way out.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .expect("it did not happen in 20 s")
}

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
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }
}

impl SocketHandler for Events {
    async fn on_connect(&self, connection: &Connection) {
        let _ = self.0.send(Event::Connected(connection.clone()));
    }
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        let _ = self.0.send(Event::Received(connection.clone(), frame));
    }
    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        let _ = self
            .0
            .send(Event::Closed(connection.clone(), reason.clone()));
    }
    async fn on_reject(&self, address: Address, reason: &RejectReason) {
        let _ = self.0.send(Event::Rejected(address, reason.clone()));
    }
}

pub async fn server() -> Server {
    server_with(Bounds::default()).await
}

pub async fn server_with(bounds: impl Into<Bounds>) -> Server {
    let bounds = bounds.into();
    Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .bind("127.0.0.1:0")
        .await
        .unwrap()
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
    /// Connected, and silent.
    pub async fn connect(address: impl ToSocketAddrs) -> Self {
        let addresses = Vec::from_iter(address.to_socket_addrs().unwrap());
        let stream = TcpStream::connect(&addresses[..]).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connected, and through the handshake.
    pub async fn join(address: impl ToSocketAddrs, id: &str) -> Self {
        let mut peer = Self::connect(address).await;
        peer.write(&frame(id.as_bytes())).await;
        assert_eq!(peer.read().await.as_deref(), Some(&b"engine"[..]));
        peer
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        soon(async {
            let mut header = [0; 2];
            if self.stream.read(&mut header[..1]).await.ok()? == 0 {
                return None;
            }
            self.stream.read_exact(&mut header[1..]).await.unwrap();
            let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
            self.stream.read_exact(&mut body).await.unwrap();
            Some(body)
        })
        .await
    }

    /// That the peer is told the end: a `BYE`, and nothing after it.
    pub async fn expect_bye(&mut self) {
        assert_eq!(self.read().await.as_deref(), Some(&b"BYE"[..]));
        assert_eq!(self.read().await, None);
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// A server made of a bare listener.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
