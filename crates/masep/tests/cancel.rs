//! Calls that are dropped, as `tokio::select!` drops them, lose nothing.

mod peer;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use masep::{
    CloseReason, Connection, Frame, Limits, Server, SocketHandler, SocketHandlerQueue, WhenFull,
};
use peer::{Peer, frame, server, server_with, soon};

/// Polls a call once and drops it; the value if it was ready.
async fn once<T>(call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    poll_fn(|context| {
        Poll::Ready(match call.as_mut().poll(context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_dropped_recv_loses_no_frame() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    for n in 0..200u32 {
        // One byte at a time, with a recv that is dropped after each.
        let mut got = None;
        for byte in frame(&n.to_be_bytes()) {
            assert_eq!(got, None);
            peer.write(&[byte]).await;
            got = once(connection.recv()).await.and_then(Result::ok);
        }
        let got = match got {
            Some(frame) => frame,
            None => soon(connection.recv()).await.unwrap(),
        };
        assert_eq!(got, Frame::new(n.to_be_bytes().to_vec()));
    }
}

#[tokio::test]
async fn a_dropped_send_has_sent_nothing_and_broken_nothing() {
    let server = server_with(Limits::default().queue_messages(2)).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    let mut sent = Vec::new();
    for n in 0..2_000u32 {
        let body = vec![n as u8; 1 + (n as usize * 97) % 9_000];
        if once(connection.send(body.clone())).await.is_some() {
            sent.push(body);
        }
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(
        sent.len() < 2_000,
        "some were dropped, or this tests nothing"
    );
    let ending = tokio::spawn(async move { connection.bye().await });
    for body in sent {
        assert_eq!(peer.read().await, Some(body));
    }
    peer.expect_bye().await;
    soon(ending).await.unwrap();
}

#[tokio::test]
async fn a_dropped_accept_loses_no_connection() {
    let server = server().await;
    for n in 0..20 {
        assert!(once(server.accept()).await.is_none());
        let id = n.to_string();
        let _peer = Peer::join(server.local_address(), &id).await;
        let connection = match once(server.accept()).await {
            Some(connection) => connection,
            None => soon(server.accept()).await,
        };
        assert_eq!(connection.unwrap().peer().as_str(), id);
    }
}

#[tokio::test]
async fn a_dropped_next_loses_nothing_for_the_others() {
    let queue = SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
    let server = Server::builder("engine")
        .handler(queue.clone())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent").await;
    for n in 0..100u8 {
        peer.write(&frame(&[n])).await;
        while once(queue.next()).await.is_none_or(|received| {
            assert_eq!(received.unwrap().frame.bytes()[..], [n]);
            false
        }) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_dropped_bye_still_ends_the_connection() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    connection.send("last").await.unwrap();
    assert!(once(connection.bye()).await.is_none());
    assert_eq!(peer.read().await.as_deref(), Some(&b"last"[..]));
    peer.expect_bye().await;
    assert_eq!(soon(connection.closed()).await.as_str(), "local_bye");
}

#[tokio::test]
async fn a_full_receive_queue_holds_the_peer_back_and_loses_nothing() {
    let server = server_with(Limits::default().queue_messages(3)).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    let mut stream = Vec::new();
    for n in 0..1_000u32 {
        stream.extend_from_slice(&frame(&n.to_be_bytes()));
    }
    peer.write(&stream).await;
    for n in 0..1_000u32 {
        assert_eq!(
            soon(connection.recv()).await,
            Ok(Frame::new(n.to_be_bytes().to_vec()))
        );
    }
}

/// Never done with a frame; tells when it is dropped, and of the end.
struct Waiting(tokio::sync::mpsc::UnboundedSender<&'static str>);

struct TellsDrop<'a>(&'a Waiting);

impl Drop for TellsDrop<'_> {
    fn drop(&mut self) {
        let _ = self.0.0.send("dropped");
    }
}

impl SocketHandler for Waiting {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {
        let _dropped = TellsDrop(self);
        let _ = self.0.send("called");
        std::future::pending::<()>().await;
    }

    async fn on_close(&self, _connection: &Connection, _reason: &CloseReason) {
        let _ = self.0.send("told");
    }
}

#[tokio::test]
async fn a_callback_that_waits_is_dropped_when_this_side_has_ended_the_connection() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder("engine")
        .handler(Waiting(tell))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent").await;
    peer.write(&frame(b"never answered")).await;
    assert_eq!(soon(told.recv()).await, Some("called"));
    let connection = server.registry().get_connection("agent").unwrap();
    connection.send("last").await.unwrap();
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    assert_eq!(soon(told.recv()).await, Some("dropped"));
    assert_eq!(soon(told.recv()).await, Some("told"));
    assert_eq!(peer.read().await.as_deref(), Some(&b"last"[..]));
    peer.expect_bye().await;
}

#[tokio::test]
async fn a_callback_that_waits_is_dropped_a_while_after_a_write_failed() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder("engine")
        .handler(Waiting(tell))
        .limits(Limits::default().write_time(Duration::from_millis(50)))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent").await;
    peer.write(&frame(b"never answered")).await;
    assert_eq!(soon(told.recv()).await, Some("called"));
    let connection = server.registry().get_connection("agent").unwrap();
    peer.reset();
    while soon(connection.send(vec![0; 60_000])).await.is_ok() {}
    assert_eq!(soon(told.recv()).await, Some("dropped"));
    assert_eq!(soon(told.recv()).await, Some("told"));
}
