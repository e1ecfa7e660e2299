//! A server that refuses a client says hello and `BYE`, and the client knows that for what it is. The rule, with its
//! times, is tested in masep-proto: `a_bye_right_behind_the_servers_hello_is_a_rejection`.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Frame, Protocols, SendError, ServerLimits, TryRecvError};

use crate::shells::{Client, Events, Options, SOON, Shell, accept, frame, next, of_each_shell};

of_each_shell! {
    a_bye_behind_the_hello_is_a_rejection
    a_bye_long_after_the_hello_is_none
    a_handler_is_told_of_a_rejection
    a_full_server_is_a_rejection
    a_client_that_only_sends_learns_of_its_rejection
}

fn a_bye_behind_the_hello_is_a_rejection(shell: Shell) {
    let (client, _server) = shell.client_of_peer(Options::default(), &frame(b"BYE"));
    assert_eq!(client.connection().end(), CloseReason::Rejected);
    assert_eq!(client.connection().closed(), CloseReason::Rejected);
}

/// A reader that looks all the time is certain when the `BYE` comes: a call that waits, and calls that do not.
fn a_bye_long_after_the_hello_is_none(shell: Shell) {
    // Much longer than the 200 ms that a BYE is a refusal: what looks may have to wait for the processor.
    let long = Duration::from_secs(1);
    for waits in [true, false] {
        let (client, mut server) = shell.client_of_peer(Options::default(), b"");
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

fn a_handler_is_told_of_a_rejection(shell: Shell) {
    let server = shell.serve(Options::default());
    let connect = |options: Options| {
        let options = options.protocols(Protocols::Pymasep);
        shell.connect("agent", server.address(), options).unwrap()
    };
    let first = connect(Options::default());
    let (handler, events) = Events::new();
    let _second = connect(Options::default().handler(handler));
    next(&events).connected();
    assert_eq!(next(&events).closed(), CloseReason::Rejected);
    first.connection().send("still the one").unwrap();
    assert_eq!(accept(&*server).recv(), Ok(Frame::new("still the one")));
}

fn a_full_server_is_a_rejection(shell: Shell) {
    let full = shell.serve(ServerLimits::default().connections(1));
    let connect = |id| {
        shell
            .connect(id, full.address(), Protocols::Pymasep)
            .unwrap()
    };
    let (first, second) = (connect("first"), connect("second"));
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
    let (client, server) = shell.client_of_peer(Options::default(), &frame(b"BYE"));
    // With what the client sends unread.
    drop(server);
    rejected(&*client);
    // A call that waits for room reads too. Its server keeps the socket, as a pymasep process does.
    let (client, _server) = shell.client_of_peer(Options::default(), &frame(b"BYE"));
    rejected(&*client);
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
