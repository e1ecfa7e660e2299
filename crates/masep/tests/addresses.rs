//! Addresses as they are given, and as they are named when they cannot be had; and what was not sent to them.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::thread;

use masep::{CloseReason, ConnectPhase, Limits};

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let errors = [
        masep::Server::builder("engine")
            .bind(address)
            .await
            .unwrap_err(),
        masep::blocking::Server::builder("engine")
            .bind(address)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}: ")),
            "{text}"
        );
    }
}

/// On Linux each host has the zone `lo`, and nobody this address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_zone_of_an_address_may_be_a_name() {
    let address = "[fe80::7%lo]:1";
    let errors = [
        masep::Client::builder("agent")
            .connect(address)
            .await
            .unwrap_err(),
        masep::blocking::Client::builder("agent")
            .connect(address)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.phase, ConnectPhase::Connect, "{error}");
    }
    let no_zone = "[fe80::7%nowhere]:1";
    let error = masep::Client::builder("agent")
        .connect(no_zone)
        .await
        .unwrap_err();
    assert_eq!(
        (error.phase, error.target.as_str()),
        (ConnectPhase::Resolve, no_zone)
    );
}

#[tokio::test]
async fn what_was_accepted_and_not_sent_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let engine = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 7];
        stream.read_exact(&mut hello).unwrap();
        std::io::Write::write_all(&mut stream, b"\x06\0engine").unwrap();
        stream
    });
    let limits = Limits::default()
        .queue_bytes(usize::MAX)
        .queue_messages(usize::MAX);
    let client = masep::Client::builder("agent")
        .limits(limits)
        .connect(address)
        .await
        .unwrap();
    let mut stream = engine.join().unwrap();
    let connection = client.connection().clone();
    assert_eq!(connection.unsent(), 0);

    let count = 1_000;
    for _ in 0..count {
        connection.send(vec![7; 20_000]).await.unwrap();
    }
    assert!(connection.unsent() > 0);
    // The last that it hears of its peer, which goes on with what it has.
    std::io::Write::write_all(&mut stream, b"\x01\0x\x03\0BYE").unwrap();
    assert_eq!(connection.closed().await, CloseReason::PeerBye);
    let unsent = connection.unsent();
    let mut arrived = Vec::new();
    // Perhaps a reset: nothing is owed to who has said BYE.
    let _ = stream.read_to_end(&mut arrived);
    let arrived = arrived.len() / 20_002;
    assert!(
        unsent > 0 && unsent + arrived <= count,
        "{unsent} and {arrived}"
    );
}
