//! What users meet in the calls of both shells: why a connection ended, messages within the bounds of their
//! connection, and how long a connection of a client lives.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

mod blocking_peer;

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use blocking_peer::{Peer, SOON, frame};
use masep::{
    AcceptError, AcceptTimeoutError, CloseReason, Connection, DecodeErrorKind, Dict, EncodeError,
    Frame, Limit, LimitExceeded, Limits, Message, RecvMessageError, RecvTimeoutError, SendError,
    SocketHandler, TryRecvError, Value, WhenFull, blocking,
};

async fn soon<T>(call: impl Future<Output = T>) -> T {
    let call = tokio::time::timeout(SOON, call).await;
    call.expect("it returns in time")
}

/// A server of each shell, and a bare socket that is its peer.
async fn peer_of_tokio(limits: Limits) -> (masep::Server, Connection, Peer) {
    let server = masep::Server::builder("engine").limits(limits);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::join(server.local_address(), "agent");
    let connection = soon(server.accept()).await.unwrap();
    (server, connection, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_that_receives_tells_the_reason() {
    let (_server, connection, mut peer) = peer_of_tokio(Limits::default()).await;
    assert_eq!(connection.try_recv(), Err(TryRecvError::Empty));
    peer.write(&[frame(b"last"), frame(b"BYE")].concat());
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("last")));
    let reason = CloseReason::PeerBye;
    for _ in 0..2 {
        assert_eq!(soon(connection.recv()).await, Err(reason.clone()));
        let closed = Err(TryRecvError::Closed(reason.clone()));
        assert_eq!(connection.try_recv(), closed);
        let newest = soon(connection.recv_newest(|_| false)).await;
        assert_eq!(newest, Err(reason.clone()));
        let closed = Err(RecvMessageError::Closed(reason.clone()));
        assert_eq!(soon(connection.recv_message()).await, closed);
    }
    assert!(reason.is_orderly());
}

#[test]
fn each_call_of_a_thread_that_receives_tells_the_reason() {
    let (_server, connection, mut peer) = blocking_peer::connected();
    assert_eq!(connection.try_recv(), Err(TryRecvError::Empty));
    let short = Duration::from_millis(1);
    let timed_out = Err(RecvTimeoutError::TimedOut);
    assert_eq!(connection.recv_timeout(short), timed_out);
    assert_eq!(
        connection.recv_newest_timeout(short, |_| false),
        Err(RecvTimeoutError::TimedOut)
    );
    peer.write(&frame(b"last"));
    peer.close_sending_side();
    assert_eq!(connection.recv(), Ok(Frame::new("last")));
    let reason = CloseReason::EndOfStream { mid_frame: false };
    for _ in 0..2 {
        assert_eq!(connection.recv(), Err(reason.clone()));
        let closed = TryRecvError::Closed(reason.clone());
        assert_eq!(connection.try_recv(), Err(closed));
        let closed = RecvTimeoutError::Closed(reason.clone());
        assert_eq!(connection.recv_timeout(SOON), Err(closed.clone()));
        assert_eq!(connection.recv_newest(|_| false), Err(reason.clone()));
        let newest = connection.recv_newest_timeout(SOON, |_| false);
        assert_eq!(newest, Err(closed));
        let closed = RecvMessageError::Closed(reason.clone());
        assert_eq!(connection.recv_message(), Err(closed));
    }
    assert!(!reason.is_orderly());
}

struct Ignore;

impl SocketHandler for Ignore {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {}
}

impl blocking::SocketHandler for Ignore {
    fn on_receive(&self, _connection: &blocking::Connection, _frame: Frame) {}
}

#[tokio::test]
async fn accept_tells_why_there_is_no_connection() {
    let server = masep::Server::builder("engine").handler(Ignore);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    assert_eq!(
        soon(server.accept()).await.err(),
        Some(AcceptError::Handled)
    );
    let server = masep::Server::builder("engine");
    let server = server.bind("127.0.0.1:0").await.unwrap();
    server.stop_accepting();
    assert_eq!(
        soon(server.accept()).await.err(),
        Some(AcceptError::Stopped)
    );
}

#[test]
fn accept_tells_a_thread_why_there_is_no_connection() {
    let server = blocking::Server::builder("engine").handler(Ignore);
    let server = server.bind("127.0.0.1:0").unwrap();
    assert_eq!(server.accept().err(), Some(AcceptError::Handled));
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let late = server.accept_timeout(Duration::from_millis(1));
    assert_eq!(late.err(), Some(AcceptTimeoutError::TimedOut));
    server.stop_accepting();
    assert_eq!(server.accept().err(), Some(AcceptError::Stopped));
    let late = server.accept_timeout(SOON);
    assert_eq!(late.err(), Some(AcceptTimeoutError::Stopped));
}

/// Messages, each over the bound that is named and within all others.
fn over() -> Vec<(Limit, Message)> {
    let message = |params: Dict| Message::new("observation", params, "x");
    let deep = Value::from(vec![Value::from(vec![Value::from(1)])]);
    let number: masep::Int = "1".repeat(30).parse().unwrap();
    vec![
        (Limit::Depth, message(Dict::from([("a", deep)]))),
        (
            Limit::Nodes,
            message(Dict::from([("a", Value::from(vec![Value::from(1); 30]))])),
        ),
        (
            Limit::TextBytes,
            message(Dict::from([("a", "t".repeat(200))])),
        ),
        (
            Limit::IntDigits,
            message(Dict::from([("a", Value::Int(number))])),
        ),
    ]
}

fn tight() -> Limits {
    Limits::default()
        .depth(6)
        .nodes(20)
        .text_bytes(100)
        .int_digits(20)
        .message_bytes(2_000)
}

fn is_limit<T>(outcome: &Result<T, SendError>, expected: Limit) -> bool {
    matches!(outcome, Err(SendError::Encode(EncodeError::Limit(LimitExceeded { limit, .. }))) if *limit == expected)
}

/// The bound that a frame is over, if it is that.
fn limit_of<T>(received: Result<T, RecvMessageError>) -> (Limit, Frame) {
    match received {
        Err(RecvMessageError::Decode { error, frame }) => match error.kind {
            DecodeErrorKind::Limit(exceeded) => (exceeded.limit, frame),
            kind => panic!("{kind}"),
        },
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_a_server_reach_its_messages() {
    let (server, connection, mut peer) = peer_of_tokio(tight()).await;
    for (limit, message) in over() {
        let sent = connection.send_message(&message).await;
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let registry = server.registry();
        let sent = registry.send_message_to("agent", &message).await;
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let sent = registry.broadcast_message(&message, WhenFull::Wait).await;
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");

        let bytes = message.to_bytes().unwrap();
        peer.write(&frame(&bytes));
        let (found, frame) = limit_of(soon(connection.recv_message()).await);
        assert_eq!((found, frame.bytes()), (limit, &bytes));
        assert!(connection.decode(frame).is_err());
    }
    let quit = Message::quit("agent");
    peer.write(&frame(&quit.to_bytes().unwrap()));
    assert_eq!(soon(connection.recv_message()).await, Ok(quit.clone()));
    let registry = server.registry();
    registry.send_message_to("agent", &quit).await.unwrap();
    assert_eq!(peer.read().unwrap(), quit.to_bytes().unwrap());
    let nobody = registry.send_message_to("nobody", &quit).await;
    assert_eq!(nobody, Err(SendError::UnknownPeer("nobody".into())));
}

#[test]
fn the_bounds_of_a_server_reach_messages_of_threads() {
    let (server, connection, mut peer) = blocking_peer::connected_with(tight());
    for (limit, message) in over() {
        let sent = connection.send_message(&message);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let registry = server.registry();
        let sent = registry.send_message_to("agent", &message);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let sent = registry.broadcast_message(&message, WhenFull::Wait);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");

        let bytes = message.to_bytes().unwrap();
        peer.write(&frame(&bytes));
        let (found, frame) = limit_of(connection.recv_message());
        assert_eq!((found, frame.bytes()), (limit, &bytes));
        assert!(connection.decode(frame).is_err());
    }
    let quit = Message::quit("agent");
    peer.write(&frame(&quit.to_bytes().unwrap()));
    assert_eq!(connection.recv_message(), Ok(quit.clone()));
    let registry = server.registry();
    registry.send_message_to("agent", &quit).unwrap();
    assert_eq!(peer.read().unwrap(), quit.to_bytes().unwrap());
    let nobody = registry.send_message_to("nobody", &quit);
    assert_eq!(nobody, Err(SendError::UnknownPeer("nobody".into())));
}

/// Tells of frames and the end, and gives a handle away.
struct Tell(mpsc::Sender<Told>);

enum Told {
    Tokio(Connection),
    Blocking(blocking::Connection),
    Closed(CloseReason),
}

impl SocketHandler for Tell {
    async fn on_receive(&self, connection: &Connection, _frame: Frame) {
        let _ = self.0.send(Told::Tokio(connection.clone()));
    }
    async fn on_close(&self, _connection: &Connection, reason: &CloseReason) {
        let _ = self.0.send(Told::Closed(reason.clone()));
    }
}

impl blocking::SocketHandler for Tell {
    fn on_receive(&self, connection: &blocking::Connection, _frame: Frame) {
        let _ = self.0.send(Told::Blocking(connection.clone()));
    }
    fn on_close(&self, _connection: &blocking::Connection, reason: &CloseReason) {
        let _ = self.0.send(Told::Closed(reason.clone()));
    }
}

fn next(told: &mpsc::Receiver<Told>) -> Told {
    told.recv_timeout(SOON).expect("the handler tells in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_of_a_client_ends_its_connection() {
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address();
    // The client is a temporary.
    let connection = masep::Client::builder("agent")
        .connect(&address)
        .await
        .unwrap()
        .connection()
        .clone();
    let there = blocking_peer::accept(&server);
    there.send("are you there?").unwrap();
    assert!(soon(connection.recv()).await.is_ok());
    connection.send("yes").await.unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("yes")));
    drop(connection);
    assert_eq!(there.recv(), Err(CloseReason::PeerBye));

    // A handle from the registry is one too.
    let client = masep::Client::builder("agent").connect(address).await;
    let client = client.unwrap();
    let there = blocking_peer::accept(&server);
    let connection = client.registry().get_connection("engine").unwrap();
    let registry = client.registry().clone();
    drop(client);
    connection.send("still here").await.unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("still here")));
    drop(connection);
    assert_eq!(there.recv(), Err(CloseReason::PeerBye));
    drop(registry);
}

#[test]
fn the_last_handle_of_a_client_in_threads_ends_its_connection() {
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address();
    let connection = blocking::Client::builder("agent")
        .connect(address)
        .unwrap()
        .connection()
        .clone();
    let there = blocking_peer::accept(&server);
    connection.send("still here").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("still here")));
    drop(connection);
    assert_eq!(there.recv(), Err(CloseReason::PeerBye));
}

/// What a handler is lent keeps nothing alive, what it clones does.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_does_not_keep_the_connection_of_a_client() {
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address();
    let (tell, told) = mpsc::channel();
    let builder = masep::Client::builder("agent").handler(Tell(tell));
    let client = builder.connect(address).await.unwrap();
    let there = blocking_peer::accept(&server);
    there.send("keep it").unwrap();
    let Told::Tokio(kept) = next(&told) else {
        panic!("a frame comes first")
    };
    drop(client);
    kept.send("kept").await.unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("kept")));
    drop(kept);
    assert!(matches!(next(&told), Told::Closed(CloseReason::LocalBye)));
    assert_eq!(there.recv(), Err(CloseReason::PeerBye));
}

#[test]
fn a_handler_in_a_thread_does_not_keep_the_connection_of_a_client() {
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address();
    let (tell, told) = mpsc::channel();
    let builder = blocking::Client::builder("agent").handler(Tell(tell));
    let client = builder.connect(address).unwrap();
    let there = blocking_peer::accept(&server);
    there.send("keep it").unwrap();
    let Told::Blocking(kept) = next(&told) else {
        panic!("a frame comes first")
    };
    drop(client);
    kept.send("kept").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("kept")));
    drop(kept);
    assert!(matches!(next(&told), Told::Closed(CloseReason::LocalBye)));
    assert_eq!(there.recv(), Err(CloseReason::PeerBye));
}
