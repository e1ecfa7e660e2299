//! A server that refuses a client says hello and `BYE`, and the client knows that for what it is.
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

mod peer;

use std::time::Duration;

use masep::transport::Stream;
use masep::transport::memory::{self, MemoryTransport};
use masep::{Client, CloseReason, Connection, Frame, SendError, ServerLimits};

use peer::{Event, Events, Peer, frame, listen, server, server_with, soon};

const HELLO: &[u8] = b"\x06\0engine";
const BYE: &[u8] = b"\x03\0BYE";

/// A client, and the server's end of its pipe, after a hello and what came with it.
async fn connected(behind_hello: &[u8]) -> (Client, MemoryTransport) {
    let (near, far) = memory::duplex(4096);
    far.try_write(&[HELLO, behind_hello].concat()).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let client = Client::builder("agent")
        .connect_over(near, address)
        .await
        .unwrap();
    (client, far)
}

async fn end_of(client: &Client) -> CloseReason {
    let connection = client.connection();
    assert!(soon(connection.recv()).await.is_err());
    soon(connection.closed()).await
}

#[tokio::test(start_paused = true)]
async fn a_bye_in_the_same_piece_as_the_hello_is_a_rejection_whenever_it_is_read() {
    let (client, _server) = connected(BYE).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(end_of(&client).await, CloseReason::Rejected);
}

#[tokio::test(start_paused = true)]
async fn a_bye_within_200_ms_of_the_hello_is_a_rejection_and_a_later_one_is_none() {
    for (milliseconds, reason) in [
        (0, CloseReason::Rejected),
        (1, CloseReason::Rejected),
        (195, CloseReason::Rejected),
        (205, CloseReason::PeerBye),
        (100_000, CloseReason::PeerBye),
    ] {
        // The frames are read by a call of `recv`, by the connection's task, or by both in turn.
        for receives in [true, false] {
            let (client, server) = connected(b"").await;
            let connection = client.connection().clone();
            let receiving = tokio::spawn(async move {
                if receives {
                    Some(connection.recv().await)
                } else {
                    None
                }
            });
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            server.try_write(BYE).unwrap();
            let expected = receives.then(|| Err(reason.clone()));
            assert_eq!(soon(receiving).await.unwrap(), expected);
            assert_eq!(end_of(&client).await, reason, "after {milliseconds} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_before_the_bye_is_a_conversation() {
    for (with_hello, later) in [
        (&b"\x02\0hi\x03\0BYE"[..], &b""[..]),
        (b"\x02\0hi", BYE),
        (b"", b"\x02\0hi\x03\0BYE"),
        (b"\0\0\x03\0BYE", b""),
        (b"\x02\0h", b"i\x03\0BYE"),
    ] {
        let (client, server) = connected(with_hello).await;
        server.try_write(later).unwrap();
        assert!(soon(client.connection().recv()).await.is_ok());
        assert_eq!(end_of(&client).await, CloseReason::PeerBye);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_nobody_takes_is_one_too() {
    let (client, server) = connected(b"").await;
    server.try_write(b"\x02\0hi\x03\0BYE").unwrap();
    let reason = soon(client.connection().closed()).await;
    assert_eq!(reason, CloseReason::PeerBye);
    assert_eq!(client.connection().try_recv(), Ok(Frame::new("hi")));
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_too() {
    for (behind_hello, expected) in [
        (BYE, CloseReason::Rejected),
        (&b"\x02\0hi\x03\0BYE"[..], CloseReason::PeerBye),
    ] {
        let (near, far) = memory::duplex(4096);
        far.try_write(&[HELLO, behind_hello].concat()).unwrap();
        let (events, mut told) = Events::new();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let client = Client::builder("agent")
            .handler(events)
            .connect_over(near, address)
            .await
            .unwrap();
        let reason = loop {
            if let Some(Event::Closed(_, reason)) = soon(told.recv()).await {
                break reason;
            }
        };
        assert_eq!(reason, expected);
        assert_eq!(client.connection().close_reason(), Some(&expected));
    }
}

#[tokio::test]
async fn an_id_in_use_and_a_full_server_are_rejections() {
    let server = server().await;
    let first = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let second = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    assert_eq!(end_of(&second).await, CloseReason::Rejected);
    let connection: Connection = soon(server.accept()).await.unwrap();
    first.connection().send("still the one").await.unwrap();
    assert_eq!(
        soon(connection.recv()).await,
        Ok(Frame::new("still the one"))
    );

    let full = server_with(ServerLimits::default().connections(1)).await;
    let _first = Client::builder("first")
        .connect(full.local_address())
        .await
        .unwrap();
    let second = Client::builder("second")
        .connect(full.local_address())
        .await
        .unwrap();
    assert_eq!(end_of(&second).await, CloseReason::Rejected);
}

#[tokio::test]
async fn a_client_that_only_sends_learns_of_its_rejection() {
    let (listener, address) = listen().await;
    let rejecting = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Peer { stream };
        assert_eq!(peer.read().await.as_deref(), Some(&b"agent"[..]));
        // And closes, with what the client sends unread.
        peer.write(&[frame(b"engine"), frame(b"BYE")].concat())
            .await;
    });
    let client = Client::builder("agent").connect(address).await.unwrap();
    soon(rejecting).await.unwrap();
    let error = loop {
        if let Err(error) = soon(client.connection().send(vec![7; 60_000])).await {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(CloseReason::Rejected));
}

#[tokio::test]
async fn a_server_takes_no_bye_for_a_rejection() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    peer.write(BYE).await;
    let connection = soon(server.accept()).await.unwrap();
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
}

#[test]
fn what_is_said_of_a_rejection_names_the_causes() {
    let said = CloseReason::Rejected.to_string();
    for cause in ["id is in use", "full", "refuses"] {
        assert!(said.contains(cause), "{said}");
    }
    assert_eq!(CloseReason::Rejected.as_str(), "rejected");
    assert!(!CloseReason::Rejected.is_orderly());
}
