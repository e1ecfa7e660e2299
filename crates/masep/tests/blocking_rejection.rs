//! A server that refuses a blocking client says hello and `BYE`, and the client knows that for what it is.
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

mod blocking_peer;

use std::thread;
use std::time::{Duration, Instant};

use blocking_peer::{Event, Events, Peer, SOON, frame, listen, next, recv, server, server_with};
use masep::blocking::Client;
use masep::{CloseReason, Frame, IntoTarget, SendError, ServerLimits};

/// In which a `BYE` behind the hello is a rejection, and a little more.
const NO_REJECTION_AFTER: Duration = Duration::from_millis(210);

/// A client, and the server's end of its socket, after a hello and what came with it.
fn connected(behind_hello: &[u8]) -> (Client, Peer) {
    let (listener, address) = listen();
    let bytes = [&frame(b"engine")[..], behind_hello].concat();
    let accepting = thread::spawn(move || {
        let mut peer = Peer::of(listener.accept().unwrap().0);
        assert_eq!(peer.read().as_deref(), Some(&b"agent"[..]));
        peer.write(&bytes);
        peer
    });
    let client = connect(address, "agent");
    (client, accepting.join().unwrap())
}

fn connect(address: impl IntoTarget, id: &str) -> Client {
    Client::builder(id).connect(address).unwrap()
}

fn end_of(client: &Client) -> CloseReason {
    assert!(recv(client.connection()).is_err());
    client.connection().closed()
}

#[test]
fn a_bye_behind_the_hello_is_a_rejection() {
    let (client, _server) = connected(&frame(b"BYE"));
    assert_eq!(end_of(&client), CloseReason::Rejected);
    // In a piece of its own.
    let (client, mut server) = connected(b"");
    server.write(&frame(b"BYE"));
    assert_eq!(end_of(&client), CloseReason::Rejected);
}

#[test]
fn a_client_that_looks_late_takes_a_bye_that_is_there_for_a_rejection() {
    let (client, mut server) = connected(b"");
    thread::sleep(NO_REJECTION_AFTER);
    server.write(&frame(b"BYE"));
    assert_eq!(end_of(&client), CloseReason::Rejected);
}

#[test]
fn a_bye_that_was_not_there_after_200_ms_is_no_rejection() {
    let (client, mut server) = connected(b"");
    let start = Instant::now();
    while start.elapsed() < NO_REJECTION_AFTER {
        assert!(client.connection().try_recv().is_err());
        thread::yield_now();
    }
    // The last look may have been earlier.
    assert!(client.connection().try_recv().is_err());
    server.write(&frame(b"BYE"));
    assert_eq!(end_of(&client), CloseReason::PeerBye);
}

#[test]
fn a_bye_that_a_call_has_waited_for_longer_is_no_rejection() {
    let (client, mut server) = connected(b"");
    // Goes on to look from here on, so that it is certain when the BYE comes.
    let connection = client.connection().clone();
    assert!(connection.recv_timeout(NO_REJECTION_AFTER).is_err());
    let receiving = thread::spawn(move || connection.recv());
    server.write(&frame(b"BYE"));
    assert_eq!(receiving.join().unwrap(), Err(CloseReason::PeerBye));
    assert_eq!(client.connection().closed(), CloseReason::PeerBye);
}

#[test]
fn a_frame_before_the_bye_is_a_conversation() {
    for (with_hello, later) in [
        (&b"\x02\0hi\x03\0BYE"[..], &b""[..]),
        (b"\x02\0hi", b"\x03\0BYE"),
        (b"", b"\x02\0hi\x03\0BYE"),
        (b"\0\0\x03\0BYE", b""),
        (b"\x02\0h", b"i\x03\0BYE"),
    ] {
        let (client, mut server) = connected(with_hello);
        server.write(later);
        assert!(recv(client.connection()).is_ok());
        assert_eq!(end_of(&client), CloseReason::PeerBye);
    }
}

#[test]
fn a_handler_is_told_too() {
    let server = server();
    let _first = connect(server.local_address(), "agent");
    let (handler, events) = Events::new();
    let _second = Client::builder("agent")
        .handler(handler)
        .connect(server.local_address())
        .unwrap();
    assert!(matches!(next(&events), Event::Connected(_)));
    let closed = next(&events);
    assert!(
        matches!(&closed, Event::Closed(_, CloseReason::Rejected)),
        "{closed:?}"
    );
}

#[test]
fn an_id_in_use_and_a_full_server_are_rejections() {
    let server = server();
    let first = connect(server.local_address(), "agent");
    let second = connect(server.local_address(), "agent");
    assert_eq!(end_of(&second), CloseReason::Rejected);
    let connection = server.accept_timeout(SOON).unwrap();
    first.connection().send("still the one").unwrap();
    assert_eq!(recv(&connection), Ok(Frame::new("still the one")));

    let full = server_with(ServerLimits::default().connections(1));
    let _first = connect(full.local_address(), "first");
    let second = connect(full.local_address(), "second");
    assert_eq!(end_of(&second), CloseReason::Rejected);
}

#[test]
fn a_client_that_only_sends_learns_of_its_rejection() {
    let (client, server) = connected(&frame(b"BYE"));
    // With what the client sends unread.
    drop(server);
    let error = loop {
        if let Err(error) = client.connection().send(vec![7; 60_000]) {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(CloseReason::Rejected));
    // A call that waits for room reads too. Its server keeps the socket, as a pymasep process does.
    let (client, mut server) = connected(b"");
    server.write(&frame(b"BYE"));
    let error = loop {
        if let Err(error) = client.connection().send(vec![7; 60_000]) {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(CloseReason::Rejected));
}

#[test]
fn a_server_takes_no_bye_for_a_rejection() {
    let server = server();
    let mut peer = Peer::join(server.local_address(), "agent");
    peer.write(&frame(b"BYE"));
    let connection = server.accept_timeout(SOON).unwrap();
    assert!(recv(&connection).is_err());
    assert_eq!(connection.closed(), CloseReason::PeerBye);
}
