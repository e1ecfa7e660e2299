//! `idle_time` ends peers that are silent, not those that nobody listens to.
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use masep::transport::Stream;
use masep::transport::memory::{self, MemoryTransport};
use masep::{Client, CloseReason, Frame, Limits};

const IDLE_TIME: Duration = Duration::from_secs(10);
const HELLO: &[u8] = b"\x06\0engine";

async fn connected() -> (Client, MemoryTransport) {
    let (near, far) = memory::duplex(4096);
    far.try_write(HELLO).unwrap();
    let client = Client::builder("agent")
        .limits(Limits::default().idle_time(Some(IDLE_TIME)))
        .connect_over(near, SocketAddr::from(([127, 0, 0, 1], 1)))
        .await
        .unwrap();
    // Its task runs, and waits.
    tokio::time::sleep(Duration::from_millis(1)).await;
    (client, far)
}

/// Polls a call that was started as a branch of a `select!` whose other branch takes its time.
fn poll_once<F: Future>(call: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_ended_because_a_started_call_is_not_polled() {
    let (client, peer) = connected().await;
    let connection = client.connection();
    let mut receiving = pin!(connection.recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    // Far longer than it may be silent, and the other branch is still at work.
    for _ in 0..40 {
        tokio::time::sleep(IDLE_TIME / 4).await;
        peer.try_write(b"\x04\0talk").unwrap();
    }
    assert_eq!(connection.close_reason(), None);
    assert_eq!(receiving.await, Ok(Frame::new("talk")));
    for _ in 1..40 {
        assert_eq!(connection.recv().await, Ok(Frame::new("talk")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_polled_learns_of_a_bye_all_the_same() {
    let (client, peer) = connected().await;
    let connection = client.connection();
    let mut receiving = pin!(connection.recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    tokio::time::sleep(IDLE_TIME / 2).await;
    peer.try_write(b"\x04\0last\x03\0BYE").unwrap();
    tokio::time::sleep(IDLE_TIME * 2).await;
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
    assert_eq!(receiving.await, Ok(Frame::new("last")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_ended_in_time_whoever_has_the_turn_to_read() {
    let (client, _peer) = connected().await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.connection().closed().await, CloseReason::IdleTimeout);
    assert!(start.elapsed() <= IDLE_TIME);

    let (client, peer) = connected().await;
    let mut receiving = pin!(client.connection().recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    let start = tokio::time::Instant::now();
    tokio::time::sleep(IDLE_TIME / 2).await;
    // It talks once, which nobody sees, and then no more.
    peer.try_write(b"\x04\0last").unwrap();
    while client.connection().close_reason().is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        client.connection().close_reason(),
        Some(&CloseReason::IdleTimeout)
    );
    assert!(start.elapsed() <= IDLE_TIME * 3, "{:?}", start.elapsed());
    assert_eq!(receiving.await, Ok(Frame::new("last")));
}

#[tokio::test]
async fn a_runtime_that_was_held_up_does_not_end_a_peer_that_talked() {
    // Over TCP: what arrives meanwhile is found by the runtime together with the deadline.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = Client::builder("agent")
        .limits(Limits::default().idle_time(Some(Duration::from_millis(100))))
        .connect(address);
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(HELLO).unwrap();
        stream
    };
    let (client, peer) = tokio::join!(connecting, answering);
    let client = client.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    peer.try_write(b"\x04\0talk").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(client.connection().recv().await, Ok(Frame::new("talk")));
}
