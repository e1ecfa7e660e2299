//! A server that refuses a client says hello and `BYE`, and the client knows that for what it is. The rule, with its
//! times, is tested in masep-proto: `a_bye_right_behind_the_servers_hello_is_a_rejection`.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Frame, Protocols, SendError, ServerLimits, TryRecvError};

use crate::shells::{
    Client, Event, Events, Options, Peer, SOON, Shell, accept, frame, listen, next, of_each_shell,
};

of_each_shell! {
    a_bye_behind_the_hello_is_a_rejection
    a_bye_long_after_the_hello_is_none
    a_frame_before_the_bye_is_a_conversation
    a_handler_is_told_of_a_rejection
    an_id_in_use_and_a_full_server_are_rejections
    a_client_that_only_sends_learns_of_its_rejection
    a_server_takes_no_bye_for_a_rejection
}

/// A client, and the server's end of its socket, after a hello and what came with it.
fn connected(shell: Shell, behind_hello: &[u8]) -> (Box<dyn Client>, Peer) {
    let (listener, address) = listen();
    let connecting = thread::spawn(move || shell.connect("agent", address, Protocols::Pymasep));
    let mut peer = Peer::accept(&listener);
    peer.write(&[&frame(b"engine")[..], behind_hello].concat());
    (connecting.join().unwrap().unwrap(), peer)
}

fn a_bye_behind_the_hello_is_a_rejection(shell: Shell) {
    let (client, _server) = connected(shell, &frame(b"BYE"));
    assert_eq!(client.connection().end(), CloseReason::Rejected);
    // In a piece of its own.
    let (client, mut server) = connected(shell, b"");
    server.write(&frame(b"BYE"));
    assert_eq!(client.connection().end(), CloseReason::Rejected);
    assert_eq!(client.connection().closed(), CloseReason::Rejected);
}

/// A reader that looks all the time is certain when the `BYE` comes: a call that waits, and calls that do not.
fn a_bye_long_after_the_hello_is_none(shell: Shell) {
    // Much longer than the 200 ms that a BYE is a refusal: what looks may have to wait for the processor.
    let long = Duration::from_secs(1);
    for waits in [true, false] {
        let (client, mut server) = connected(shell, b"");
        let connection = client.connection().handle();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            while !waits && connection.try_recv() == Err(TryRecvError::Empty) {
                thread::yield_now();
            }
            tell.send(connection.recv())
        });
        assert!(told.recv_timeout(long).is_err());
        server.write(&frame(b"BYE"));
        assert_eq!(told.recv_timeout(SOON), Ok(Err(CloseReason::PeerBye)));
        assert_eq!(client.connection().closed(), CloseReason::PeerBye);
    }
}

fn a_frame_before_the_bye_is_a_conversation(shell: Shell) {
    for (with_hello, later) in [
        (&b"\x02\0hi\x03\0BYE"[..], &b""[..]),
        (b"\x02\0hi", b"\x03\0BYE"),
        (b"", b"\x02\0hi\x03\0BYE"),
        (b"\0\0\x03\0BYE", b""),
        (b"\x02\0h", b"i\x03\0BYE"),
    ] {
        let (client, mut server) = connected(shell, with_hello);
        server.write(later);
        assert!(client.connection().recv().is_ok());
        assert_eq!(client.connection().end(), CloseReason::PeerBye);
    }
    // Also if nobody has taken it yet, where the end is noticed without a call.
    if shell == Shell::Blocking {
        return;
    }
    let (client, mut server) = connected(shell, b"");
    server.write(b"\x02\0hi\x03\0BYE");
    assert_eq!(client.connection().closed(), CloseReason::PeerBye);
    assert_eq!(client.connection().try_recv(), Ok(Frame::new("hi")));
}

fn a_handler_is_told_of_a_rejection(shell: Shell) {
    let server = shell.serve(Options::default());
    let _first = shell
        .connect("agent", server.address(), Protocols::Pymasep)
        .unwrap();
    let (handler, events) = Events::new();
    let options = Options::from(Protocols::Pymasep).handler(handler);
    let _second = shell.connect("agent", server.address(), options).unwrap();
    assert!(matches!(next(&events), Event::Connected(_)));
    let closed = next(&events);
    let is_rejection = matches!(&closed, Event::Closed(_, CloseReason::Rejected));
    assert!(is_rejection, "{closed:?}");
}

fn an_id_in_use_and_a_full_server_are_rejections(shell: Shell) {
    let server = shell.serve(Options::default());
    let first = shell
        .connect("agent", server.address(), Protocols::Pymasep)
        .unwrap();
    let second = shell
        .connect("agent", server.address(), Protocols::Pymasep)
        .unwrap();
    assert_eq!(second.connection().end(), CloseReason::Rejected);
    let connection = accept(&*server);
    first.connection().send("still the one").unwrap();
    assert_eq!(connection.recv(), Ok(Frame::new("still the one")));

    let full = shell.serve(ServerLimits::default().connections(1));
    let first = shell
        .connect("first", full.address(), Protocols::Pymasep)
        .unwrap();
    let second = shell
        .connect("second", full.address(), Protocols::Pymasep)
        .unwrap();
    assert_eq!(second.server_id(), "engine");
    assert_eq!(second.connection().end(), CloseReason::Rejected);
    first.connection().send("hi").unwrap();
    assert_eq!(accept(&*full).recv(), Ok(Frame::new("hi")));
}

fn a_client_that_only_sends_learns_of_its_rejection(shell: Shell) {
    let rejected = |client: &dyn Client| {
        let connection = client.connection();
        let sent = (0..).find_map(|_| connection.send(vec![7; 60_000]).err());
        let Some(SendError::Closed(reason)) = sent else {
            panic!("{sent:?}")
        };
        // A task may tell what it knows when the write fails.
        let is_early = shell == Shell::Async && reason == CloseReason::Reset;
        assert!(is_early || reason == CloseReason::Rejected, "{reason}");
        assert_eq!(connection.end(), CloseReason::Rejected);
    };
    let (client, server) = connected(shell, &frame(b"BYE"));
    // With what the client sends unread.
    drop(server);
    rejected(&*client);
    // A call that waits for room reads too. Its server keeps the socket, as a pymasep process does.
    let (client, mut server) = connected(shell, b"");
    server.write(&frame(b"BYE"));
    rejected(&*client);
}

fn a_server_takes_no_bye_for_a_rejection(shell: Shell) {
    let (_server, connection, mut peer) = shell.connected(Options::default());
    peer.write(&frame(b"BYE"));
    assert_eq!(connection.end(), CloseReason::PeerBye);
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
