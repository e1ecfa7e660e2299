//! Scenarios for the async and for the blocking library alike, written once: a server of each, and peers
//! that are bare sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod blocking_peer;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use blocking_peer::{Bounds, Peer, SOON, frame};
use masep::{CloseReason, Frame, Limits, SendError, ServerLimits, blocking};
use tokio::runtime::Runtime;

/// A server of one of the libraries, without a handler.
trait Server {
    fn bind(bounds: impl Into<Bounds>) -> Self;
    fn address(&self) -> SocketAddr;
    /// The next connection; `None` if none comes.
    fn accept(&self) -> Option<Box<dyn Connection>>;
}

/// The calls of both libraries on a connection. No call waits for ever.
trait Connection: Send + Sync {
    fn try_send(&self, frame: Frame) -> Result<(), SendError>;
    fn recv(&self) -> Result<Frame, CloseReason>;
    /// Waits for something in one of the ways that there are, until the connection ends.
    fn wait(&self, way: Way);
    fn bye(&self);
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Recv,
    RecvNewest,
    Closed,
    /// In no call at all.
    Elsewhere,
}

const WAYS: [Way; 4] = [Way::Recv, Way::RecvNewest, Way::Closed, Way::Elsewhere];

impl Server for blocking::Server {
    fn bind(bounds: impl Into<Bounds>) -> Self {
        blocking_peer::server_with(bounds)
    }
    fn address(&self) -> SocketAddr {
        self.local_address().tcp().unwrap()
    }
    fn accept(&self) -> Option<Box<dyn Connection>> {
        let accepted = self.accept_timeout(SOON).ok()?;
        Some(Box::new(accepted))
    }
}

impl Connection for blocking::Connection {
    fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        self.try_send(frame)
    }
    fn recv(&self) -> Result<Frame, CloseReason> {
        blocking_peer::recv(self)
    }
    fn wait(&self, way: Way) {
        match way {
            Way::Recv => drop(self.recv()),
            Way::RecvNewest => drop(self.recv_newest(|_| true)),
            Way::Closed => drop(self.closed()),
            Way::Elsewhere => {}
        }
    }
    fn bye(&self) {
        self.bye();
    }
}

/// With a thread of its own for its tasks, as a program has it.
struct Async {
    runtime: Runtime,
    server: masep::Server,
}

struct AsyncConnection {
    runtime: tokio::runtime::Handle,
    connection: masep::Connection,
}

impl Server for Async {
    fn bind(bounds: impl Into<Bounds>) -> Self {
        let bounds = bounds.into();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = masep::Server::builder("engine")
            .limits(bounds.limits)
            .server_limits(bounds.server);
        let server = runtime.block_on(server.bind("127.0.0.1:0")).unwrap();
        Self { runtime, server }
    }
    fn address(&self) -> SocketAddr {
        self.server.local_address().tcp().unwrap()
    }
    fn accept(&self) -> Option<Box<dyn Connection>> {
        let accepting = async { tokio::time::timeout(SOON, self.server.accept()).await };
        let connection = self.runtime.block_on(accepting).ok()?.ok()?;
        let runtime = self.runtime.handle().clone();
        Some(Box::new(AsyncConnection {
            runtime,
            connection,
        }))
    }
}

impl AsyncConnection {
    fn wait_for<T>(&self, call: impl Future<Output = T>) -> T {
        let call = async { tokio::time::timeout(SOON, call).await };
        self.runtime.block_on(call).expect("it returns in time")
    }
}

impl Connection for AsyncConnection {
    fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        self.connection.try_send(frame)
    }
    fn recv(&self) -> Result<Frame, CloseReason> {
        self.wait_for(self.connection.recv())
    }
    fn wait(&self, way: Way) {
        match way {
            Way::Recv => drop(self.wait_for(self.connection.recv())),
            Way::RecvNewest => drop(self.wait_for(self.connection.recv_newest(|_| true))),
            Way::Closed => drop(self.wait_for(self.connection.closed())),
            Way::Elsewhere => {}
        }
    }
    fn bye(&self) {
        self.wait_for(self.connection.bye());
    }
}

/// Each scenario as a test of either library.
macro_rules! of_both {
    ($($scenario:ident)*) => {
        mod of_async {
            $(#[test] fn $scenario() { super::$scenario::<super::Async>(); })*
        }
        mod of_blocking {
            $(#[test] fn $scenario() { super::$scenario::<masep::blocking::Server>(); })*
        }
    };
}

of_both! {
    what_was_accepted_arrives_whole_whatever_is_waited_for_then
    a_peer_that_goes_and_is_back_at_once_is_taken_though_nobody_reads
    frames_before_a_bye_are_kept_when_the_peer_is_back
    a_full_server_lets_a_hello_in_two_parts_be_finished
}

fn what_was_accepted_arrives_whole_whatever_is_waited_for_then<S: Server>() {
    for way in WAYS {
        let server = S::bind(Limits::default());
        let mut peer = Peer::join(server.address(), "agent");
        let connection = server.accept().expect("it is taken");
        let (begins, begun) = mpsc::channel();
        thread::scope(|scope| {
            // Waits before there is anything to send, and so perhaps in the system.
            scope.spawn(|| {
                begins.send(()).unwrap();
                connection.wait(way);
            });
            begun.recv().unwrap();
            let frames = (0..)
                .map(|n| Frame::new(vec![n as u8; 60_000 + n]))
                .take_while(|frame| connection.try_send(frame.clone()).is_ok())
                .count();
            assert!(frames > 0);
            for n in 0..frames {
                assert_eq!(peer.read(), Some(vec![n as u8; 60_000 + n]), "{way:?}");
            }
            peer.write(&frame(b"thanks"));
            connection.bye();
        });
    }
}

/// In how many ways a peer leaves: with a `BYE` and an open socket, as pymasep does it; with a `BYE`; by a
/// crash, of the program or of its host.
const WAYS_TO_LEAVE: usize = 4;

/// The socket, if it stays open.
fn leave(mut peer: Peer, way: usize) -> Option<Peer> {
    match way % WAYS_TO_LEAVE {
        0 => {
            peer.write(&frame(b"BYE"));
            Some(peer)
        }
        1 => {
            peer.write(&frame(b"BYE"));
            None
        }
        2 => None,
        _ => {
            peer.reset();
            None
        }
    }
}

fn a_peer_that_goes_and_is_back_at_once_is_taken_though_nobody_reads<S: Server>() {
    let server = S::bind(Limits::default());
    let address = server.address();
    let mut peer = Peer::join(address, "agent");
    let (mut held, mut connections) = (Vec::new(), vec![server.accept().expect("the first")]);
    for way in 0..200 {
        held.extend(leave(peer, way));
        peer = Peer::connect(address);
        peer.write(&frame(b"agent"));
        assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
        peer.write(&frame(b"hi"));
        // A refused one gets a BYE, and a reset for what it sent.
        let connection = server
            .accept()
            .unwrap_or_else(|| panic!("refused when it left in way {}", way % WAYS_TO_LEAVE));
        assert_eq!(connection.recv(), Ok(Frame::new("hi")));
        connection.try_send(Frame::new("hi")).unwrap();
        assert_eq!(peer.read().as_deref(), Some(&b"hi"[..]));
        connections.push(connection);
    }
    // One that stays is no such peer.
    let mut other = Peer::connect(address);
    other.write(&frame(b"agent"));
    assert_eq!(other.read().as_deref(), Some(&b"engine"[..]));
    other.expect_bye();
    connections
        .last()
        .unwrap()
        .try_send("still".into())
        .unwrap();
    assert_eq!(peer.read().as_deref(), Some(&b"still"[..]));
}

fn frames_before_a_bye_are_kept_when_the_peer_is_back<S: Server>() {
    let server = S::bind(Limits::default());
    let mut peer = Peer::join(server.address(), "agent");
    let old = server.accept().unwrap();
    for n in 0..20_u8 {
        peer.write(&frame(&[n; 10_000]));
    }
    peer.write(&frame(b"BYE"));
    let _new = Peer::join(server.address(), "agent");
    let new = server.accept().expect("it is taken");
    for n in 0..20_u8 {
        assert_eq!(old.recv(), Ok(Frame::new(vec![n; 10_000])));
    }
    assert!(old.recv().is_err());
    assert!(old.try_send("late".into()).is_err());
    new.try_send("hi".into()).unwrap();
}

/// As a client of pymasep says hello: in two writes. True if it was in time, as far as that is the test's own
/// doing.
fn hello_in_two_parts(address: SocketAddr) -> bool {
    // Less than a server gives, and enough for one that refuses at once.
    const PAUSE: Duration = Duration::from_millis(30);
    let mut peer = Peer::connect(address);
    let begun = Instant::now();
    peer.write(b"\x05\0");
    peer.stream.set_read_timeout(Some(PAUSE)).unwrap();
    let early = peer.stream.peek(&mut [0]);
    peer.stream.set_read_timeout(Some(SOON)).unwrap();
    let in_time = begun.elapsed() < 4 * PAUSE;
    let written = peer.stream.write_all(b"agent");
    let mut answer = Vec::new();
    let read = peer.stream.read_to_end(&mut answer);
    if !in_time {
        return false;
    }
    let early = early.expect_err("nothing comes before the hello is complete");
    assert!(matches!(
        early.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    written.expect("the socket is still open");
    read.expect("an orderly end");
    assert_eq!(answer, [frame(b"engine"), frame(b"BYE")].concat());
    true
}

fn a_full_server_lets_a_hello_in_two_parts_be_finished<S: Server>() {
    let server = S::bind(ServerLimits::default().connections(1));
    let _first = Peer::join(server.address(), "first");
    let in_time = (0..50).filter(|_| hello_in_two_parts(server.address()));
    assert_eq!(in_time.take(5).count(), 5, "the machine is too busy");
}
