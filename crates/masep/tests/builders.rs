//! The options of both shells' builders: the same, in any order, to the same effect.

mod blocking_peer;

use std::sync::mpsc;
use std::time::Duration;

use blocking_peer::{Peer, SOON, accept, frame};
use masep::{
    CloseReason, Connection, Duplicates, Frame, Limits, RecvTimeoutError, SendError, ServerLimits,
    SocketHandler, SocketOptions, WhenFull, blocking,
};

/// Tells what it receives.
struct Tell(mpsc::Sender<Frame>);

impl SocketHandler for Tell {
    async fn on_receive(&self, _connection: &Connection, frame: Frame) {
        let _ = self.0.send(frame);
    }
}

impl blocking::SocketHandler for Tell {
    fn on_receive(&self, _connection: &blocking::Connection, frame: Frame) {
        let _ = self.0.send(frame);
    }
}

/// All options of a server, and of a client of it, in this order and in the opposite one.
macro_rules! servers_and_clients {
    ($server:ty, $client:ty, $handler:expr) => {
        [
            (
                <$server>::builder("engine")
                    .handler($handler)
                    .when_full(WhenFull::Disconnect)
                    .limits(Limits::default())
                    .server_limits(ServerLimits::default())
                    .socket_options(SocketOptions::default())
                    .duplicates(Duplicates::Refuse)
                    .announce(false),
                <$client>::builder("agent")
                    .handler($handler)
                    .when_full(WhenFull::Disconnect)
                    .limits(Limits::default())
                    .socket_options(SocketOptions::default()),
            ),
            (
                <$server>::builder("engine")
                    .announce(false)
                    .duplicates(Duplicates::Refuse)
                    .socket_options(SocketOptions::default())
                    .server_limits(ServerLimits::default())
                    .limits(Limits::default())
                    .when_full(WhenFull::Disconnect)
                    .handler($handler),
                <$client>::builder("agent")
                    .socket_options(SocketOptions::default())
                    .limits(Limits::default())
                    .when_full(WhenFull::Disconnect)
                    .handler($handler),
            ),
        ]
    };
}

fn numbers(range: std::ops::Range<u8>) -> Vec<Frame> {
    range.map(|number| Frame::new(vec![number])).collect()
}

fn received(frames: &mpsc::Receiver<Frame>) -> Vec<Frame> {
    let next = || frames.recv_timeout(SOON).expect("a frame in time");
    std::iter::repeat_with(next).take(20).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn options_have_no_order() {
    let (tell, told) = mpsc::channel();
    let handler = || Tell(tell.clone());
    for (server, client) in servers_and_clients!(masep::Server, masep::Client, handler()) {
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let client = client.connect(server.local_address()).await.unwrap();
        for frame in numbers(0..20) {
            client.connection().send(frame).await.unwrap();
        }
        client.connection().bye().await;
        assert_eq!(received(&told), numbers(0..20));
    }
}

#[test]
fn options_have_no_order_without_async() {
    let (tell, told) = mpsc::channel();
    let handler = || Tell(tell.clone());
    for (server, client) in servers_and_clients!(blocking::Server, blocking::Client, handler()) {
        let server = server.bind("127.0.0.1:0").unwrap();
        let client = client.connect(server.local_address()).unwrap();
        for frame in numbers(0..20) {
            client.connection().send(frame).unwrap();
        }
        client.connection().bye();
        assert_eq!(received(&told), numbers(0..20));
    }
}

/// A peer sends many frames and `BYE` to one who does not receive meanwhile.
fn send_twenty(peer: &mut Peer) {
    let frames = (0..20).flat_map(|number| frame(&[number]));
    peer.write(&frames.chain(frame(b"BYE")).collect::<Vec<u8>>());
}

fn two() -> Limits {
    Limits::default().queue_messages(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_frames_wait_for_one_who_receives_late() {
    let server = masep::Server::builder("engine")
        .when_full(WhenFull::NewestWins)
        .limits(two());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = server.accept().await.unwrap();
    send_twenty(&mut peer);
    assert_eq!(connection.closed().await, CloseReason::PeerBye);
    assert_eq!(connection.recv().await, Ok(Frame::new(vec![18])));
    assert_eq!(connection.recv().await, Ok(Frame::new(vec![19])));
    assert!(connection.recv().await.is_err());
}

#[test]
fn the_newest_frames_wait_for_a_thread_that_receives_late() {
    let server = blocking::Server::builder("engine")
        .when_full(WhenFull::NewestWins)
        .limits(two());
    let server = server.bind("127.0.0.1:0").unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = accept(&server);
    send_twenty(&mut peer);
    assert_eq!(connection.closed(), CloseReason::PeerBye);
    assert_eq!(connection.recv(), Ok(Frame::new(vec![18])));
    assert_eq!(connection.recv(), Ok(Frame::new(vec![19])));
    assert!(connection.recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_receives_too_late_is_ended() {
    let server = blocking::Server::builder("engine");
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.local_address().tcp().unwrap();
    let builder = masep::Client::builder("agent").when_full(WhenFull::Disconnect);
    let client = builder.limits(two()).connect(address).await.unwrap();
    let connection = accept(&server);
    while connection.send("more").is_ok() {}
    let reason = client.connection().closed().await;
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
}

#[test]
fn a_client_whose_thread_receives_too_late_is_ended() {
    let server = blocking::Server::builder("engine");
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.local_address().tcp().unwrap();
    let builder = blocking::Client::builder("agent").when_full(WhenFull::Disconnect);
    let client = builder.limits(two()).connect(address).unwrap();
    let connection = accept(&server);
    while connection.send("more").is_ok() {}
    let reason = client.connection().closed();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
}

/// A thread sends to a peer that takes nothing, by each policy that does not wait.
#[test]
fn a_frame_that_has_no_room_goes_out_by_the_policy() {
    let server = blocking::Server::builder("engine").limits(two());
    let server = server.bind("127.0.0.1:0").unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = accept(&server);
    for number in 0..200 {
        let body = vec![number; 60_000];
        connection.send_or(body, WhenFull::NewestWins).unwrap();
    }
    let last = Frame::new("the last");
    let sent = server.registry().broadcast(&last, WhenFull::NewestWins);
    assert_eq!(sent, Ok(1));
    let mut count = 0;
    while peer.read().as_deref() != Some(&b"the last"[..]) {
        count += 1;
    }
    assert!(count < 200, "{count} arrived");

    let body = Frame::new(vec![7; 60_000]);
    let full = loop {
        match connection.send_or(body.clone(), WhenFull::Disconnect) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full(_)), "{full}");
    let reason = connection.closed();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
    let time = Duration::ZERO;
    assert_eq!(
        connection.recv_timeout(time),
        Err(RecvTimeoutError::Closed(reason))
    );
}
