//! Frames that had arrived when this side ends a connection are delivered.
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

mod peer;

use std::net::SocketAddr;

use masep::transport::Stream;
use masep::transport::memory;
use masep::{Client, CloseReason, Frame};

use peer::{Event, Events, soon};

const HELLO: &[u8] = b"\x06\0engine";

#[tokio::test]
async fn a_handler_gets_what_had_arrived_when_this_side_ends_the_connection() {
    let (near, far) = memory::duplex(4096);
    far.try_write(HELLO).unwrap();
    let (events, mut told) = Events::new();
    let client = Client::builder("agent")
        .handler(events)
        .connect_over(near, SocketAddr::from(([127, 0, 0, 1], 1)))
        .await
        .unwrap();
    far.try_write(b"\x01\0a\0\0\x02\0bc").unwrap();
    // The connection's task has not run since.
    let connection = client.connection().clone();
    let ending = tokio::spawn(async move { connection.bye().await });
    assert!(matches!(soon(told.recv()).await, Some(Event::Connected(_))));
    for expected in ["a", "", "bc"] {
        match soon(told.recv()).await {
            Some(Event::Received(_, frame)) => assert_eq!(frame, Frame::new(expected)),
            other => panic!("{other:?}"),
        }
    }
    let mut written = Vec::with_capacity(64);
    far.try_read(&mut written).unwrap();
    assert_eq!(written, b"\x05\0agent\x03\0BYE");
    assert_eq!(soon(ending).await.unwrap(), CloseReason::LocalBye);
}
