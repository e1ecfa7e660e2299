//! Nobody blocks anybody at the door, every phase has its deadline, and a client is told why it cannot come in.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use masep::{
    AcceptError, CloseReason, ConnectErrorKind, ConnectPhase, Duplicates, Frame, Limits, Protocols,
    RejectReason, ServerLimits, SocketOptions,
};

use crate::shells::{
    Event, Events, Options, Peer, SOON, Server, Shell, accept, frame, listen, next, next_rejected,
    nobody, of_each_shell, until,
};

of_each_shell! {
    silent_peers_and_port_scans_hold_up_nobody
    a_hello_has_a_deadline_also_when_it_drips
    the_deadline_of_a_hello_is_not_that_of_a_silent_connection
    hellos_that_are_none_are_refused_with_the_reason
    the_maximum_of_connections_is_real_and_a_free_place_is_used_again
    silent_connections_cannot_take_all_the_places
    a_full_server_lets_a_hello_in_two_parts_be_finished
    a_second_connection_with_the_same_id_is_refused_with_hello_and_bye
    by_choice_the_newer_connection_takes_the_id
    a_stopped_server_keeps_its_connections_and_takes_no_more
    an_accept_waits_until_the_server_stops
    of_calls_that_accept_together_each_gets_another_connection_or_hears_of_the_stop
    an_ipv6_server_is_a_server_and_an_ipv4_peer_of_it_is_one
    an_address_that_cannot_be_listened_on_is_named
    #[cfg(target_os = "linux")] the_zone_of_an_address_may_be_a_name
    a_failed_connect_says_which_phase_with_whom_and_why
    a_server_that_refuses_is_told_apart_from_one_that_is_silent
}

/// A server, and what its handler is told.
fn told(
    shell: Shell,
    options: impl Into<Options>,
) -> (Box<dyn Server>, SocketAddr, mpsc::Receiver<Event>) {
    let (handler, events) = Events::new();
    let server = shell.serve(options.into().handler(handler));
    let address = server.address().tcp().unwrap();
    (server, address, events)
}

fn silent_peers_and_port_scans_hold_up_nobody(shell: Shell) {
    let server = shell.serve(Options::default());
    let address = server.address().tcp().unwrap();
    let _silent = [(); 100].map(|()| Peer::connect(address));
    for n in 0..50 {
        let scan = Peer::connect(address);
        if n % 2 == 0 {
            scan.reset();
        }
    }
    let mut good = Peer::join(address, "good");
    let connection = accept(&*server);
    assert_eq!(connection.peer(), "good");
    connection.send("hi").unwrap();
    good.expect(b"hi");
    assert_eq!(server.registry().len(), 1);
}

fn a_hello_has_a_deadline_also_when_it_drips(shell: Shell) {
    let hello_time = Duration::from_millis(60);
    let (_server, address, events) = told(shell, Limits::default().hello_time(hello_time));
    let start = Instant::now();
    let mut peer = Peer::connect(address);
    let mut silent = Peer::connect(address);
    // A kilobyte, of which a byte comes every few milliseconds.
    let hello = frame(&[b'x'; 1_000]);
    let mut bytes = hello.iter();
    for _ in 0..2 {
        let rejected = loop {
            match events.recv_timeout(Duration::from_millis(3)) {
                Ok(event) => break event,
                // The server may have reset it by now.
                Err(_) => drop(
                    peer.stream
                        .write_all(&[*bytes.next().expect("it is refused")]),
                ),
            }
        };
        let Event::Rejected(_, RejectReason::HelloTimeout(time)) = rejected else {
            panic!("{rejected:?}");
        };
        assert_eq!(time, hello_time);
        assert!(start.elapsed() >= hello_time);
    }
    peer.expect_refusal();
    silent.expect_refusal();
}

fn the_deadline_of_a_hello_is_not_that_of_a_silent_connection(shell: Shell) {
    let limits = Limits::default().hello_time(Duration::from_millis(300));
    let (server, connection, mut quiet) = shell.connected(limits);
    // Two other hellos time out one after the other, which takes longer than one hello may.
    for _ in 0..2 {
        Peer::connect(server.address()).rest();
    }
    quiet.write(&frame(b"at last"));
    assert_eq!(connection.recv(), Ok(Frame::new("at last")));
}

fn hellos_that_are_none_are_refused_with_the_reason(shell: Shell) {
    let (_server, address, events) = told(shell, Options::default());
    for (hello, reason) in [
        (&b"\x02\0\xff\xfe"[..], "bad_hello"),
        (b"\xff\xff", "bad_hello"),
        (b"\x03\0BYE", "closed_before_hello"),
    ] {
        let mut peer = Peer::connect(address);
        peer.write(hello);
        assert_eq!(next_rejected(&events).as_str(), reason, "{hello:?}");
        peer.expect_refusal();
    }
    Peer::connect(address).reset();
    assert_eq!(next_rejected(&events), RejectReason::ClosedBeforeHello);
}

fn the_maximum_of_connections_is_real_and_a_free_place_is_used_again(shell: Shell) {
    let (_server, address, events) = told(shell, ServerLimits::default().connections(2));
    let mut first = Peer::join(address, "1");
    let _second = Peer::join(address, "2");
    for _ in 0..2 {
        next(&events).connected();
    }
    // A hello before the BYE: a pymasep client would take the BYE for our id.
    Peer::connect(address).expect_refusal();
    let reason = next_rejected(&events).to_string();
    assert_eq!(reason, "connections: 3 exceeds the limit of 2");
    first.write(&frame(b"BYE"));
    first.expect_end();
    // With async the place is free a moment later.
    let mut closed = false;
    let _third = loop {
        let third = Peer::join(address, "3");
        let told = match next(&events) {
            Event::Closed(..) => {
                closed = true;
                next(&events)
            }
            other => other,
        };
        match told {
            Event::Connected(_) => break third,
            Event::Rejected(..) if shell == Shell::Async => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(closed || matches!(next(&events), Event::Closed(..)));
}

fn silent_connections_cannot_take_all_the_places(shell: Shell) {
    // Those that have to go are told at once, not when they have had their time.
    let server = shell.serve(
        Options::from(ServerLimits::default().connections(5))
            .limits(Limits::default().hello_time(2 * SOON)),
    );
    let address = server.address().tcp().unwrap();
    let silent = [(); 20].map(|()| Peer::connect(address));
    let good = ["1", "2", "3", "4", "5"].map(|id| Peer::join(address, id));
    let connections = good.each_ref().map(|_| accept(&*server));
    let ids: HashSet<_> = connections.iter().map(|it| it.peer()).collect();
    assert_eq!((ids.len(), server.registry().len()), (5, 5));
    for mut peer in silent {
        peer.expect_refusal();
    }
}

/// As a client of pymasep says hello: in two writes. True if it was in time, as far as that is the test's own
/// doing.
fn hello_in_two_parts(address: SocketAddr) -> bool {
    // Less than a server gives, and enough for one that refuses at once.
    const PAUSE: Duration = Duration::from_millis(30);
    let mut peer = Peer::connect(address);
    let begun = Instant::now();
    peer.write(b"\x05\0");
    peer.stream.set_read_timeout(Some(PAUSE)).unwrap();
    let early = peer.stream.peek(&mut [0]);
    peer.stream.set_read_timeout(Some(SOON)).unwrap();
    let in_time = begun.elapsed() < 4 * PAUSE;
    let written = peer.stream.write_all(b"agent");
    let mut answer = Vec::new();
    let read = peer.stream.read_to_end(&mut answer);
    if !in_time {
        return false;
    }
    let early = early.expect_err("nothing comes before the hello is complete");
    let is_late = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    assert!(is_late.contains(&early.kind()));
    written.expect("the socket is still open");
    read.expect("an orderly end");
    assert_eq!(answer, [frame(b"engine"), frame(b"BYE")].concat());
    true
}

fn a_full_server_lets_a_hello_in_two_parts_be_finished(shell: Shell) {
    let server = shell.serve(ServerLimits::default().connections(1));
    let address = server.address().tcp().unwrap();
    let _first = Peer::join(address, "first");
    let in_time = (0..50).filter(|_| hello_in_two_parts(address));
    assert_eq!(in_time.take(5).count(), 5, "the machine is too busy");
}

fn a_second_connection_with_the_same_id_is_refused_with_hello_and_bye(shell: Shell) {
    let (_server, address, events) = told(shell, Options::default());
    let mut old = Peer::join(address, "agent");
    let connection = next(&events).connected();
    // A BYE alone would be taken for the server's id by pymasep.
    Peer::join(address, "agent").expect_bye();
    let reason = RejectReason::DuplicateId("agent".into());
    assert_eq!(next_rejected(&events), reason);
    connection.send("hi").unwrap();
    old.expect(b"hi");
    // The id is free as soon as its peer has seen the end.
    old.write(&frame(b"BYE"));
    old.expect_end();
    let _again = Peer::join(address, "agent");
    assert_eq!(next(&events).closed(), CloseReason::PeerBye);
    next(&events).connected();
}

fn by_choice_the_newer_connection_takes_the_id(shell: Shell) {
    let (server, address, events) = told(shell, Duplicates::Replace);
    let mut old = Peer::join(address, "agent");
    let to_old = next(&events).connected();
    let mut new = Peer::join(address, "agent");
    old.expect_bye();
    let Event::Closed(closed, CloseReason::Replaced) = next(&events) else {
        panic!("the first is told");
    };
    assert_eq!(closed.id(), to_old.id());
    let to_new = next(&events).connected();
    assert_ne!(to_new.id(), to_old.id());
    let registry = server.registry();
    registry.send_frame_to("agent", "hi".into()).unwrap();
    new.expect(b"hi");
    assert_eq!(registry.len(), 1);
}

fn a_stopped_server_keeps_its_connections_and_takes_no_more(shell: Shell) {
    // Nobody else is given the address when the server does not listen there any more.
    let (_port, address) = nobody();
    let server = shell.bind(address, Options::default()).unwrap();
    let mut peers = vec![Peer::join(address, "good"), Peer::join(address, "waits")];
    let mut silent = Peer::connect(address);
    // Accepted in the order of connecting: when this one has its answer, the silent one is known.
    peers.push(Peer::join(address, "last"));
    let mut all = vec![accept(&*server)];
    server.stop_accepting();
    silent.expect_refusal();
    until(|| TcpStream::connect(address).is_err());
    // A connection that has our hello can still be taken, and all go on.
    all.extend([accept(&*server), accept(&*server)]);
    for connection in &all {
        connection.send(connection.peer()).unwrap();
    }
    for (peer, id) in peers.iter_mut().zip(["good", "waits", "last"]) {
        peer.expect(id.as_bytes());
    }
    for _ in 0..2 {
        assert_eq!(server.accept().err(), Some(AcceptError::Stopped));
    }
}

fn an_accept_waits_until_the_server_stops(shell: Shell) {
    let server = shell.serve(Options::default());
    thread::scope(|scope| {
        let accepting = scope.spawn(|| server.accept().err());
        server.stop_accepting();
        assert_eq!(accepting.join().unwrap(), Some(AcceptError::Stopped));
    });
}

fn of_calls_that_accept_together_each_gets_another_connection_or_hears_of_the_stop(shell: Shell) {
    let server = shell.serve(Options::default());
    let address = server.address().tcp().unwrap();
    let (told, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..6 {
            let (told, server) = (told.clone(), &*server);
            scope.spawn(move || told.send(server.accept()).unwrap());
        }
        let _peers = ["a", "b", "c", "d"].map(|id| Peer::join(address, id));
        let accepted: Vec<_> = (outcomes.iter().take(4)).map(Result::unwrap).collect();
        let ids: HashSet<_> = accepted.iter().map(|it| it.peer()).collect();
        assert_eq!(ids.len(), 4);
        server.stop_accepting();
        for outcome in outcomes.iter().take(2) {
            assert_eq!(outcome.err(), Some(AcceptError::Stopped));
        }
    });
}

fn an_ipv6_server_is_a_server_and_an_ipv4_peer_of_it_is_one(shell: Shell) {
    let server = shell.bind("[::]:0", Options::default()).unwrap();
    let port = server.address().tcp().unwrap().port();
    for address in [format!("[::1]:{port}"), format!("127.0.0.1:{port}")] {
        let client = shell.connect(&address, &*address, Options::default());
        assert_eq!(client.unwrap().server_id(), "engine");
        let peer: SocketAddr = address.parse().unwrap();
        assert_eq!(accept(&*server).address().tcp().unwrap().ip(), peer.ip());
    }
}

fn an_address_that_cannot_be_listened_on_is_named(shell: Shell) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = shell.bind(address, Options::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let text = error.to_string();
    let beginning = format!("cannot listen on {address}: ");
    assert!(text.starts_with(&beginning), "{text}");
}

/// On Linux each host has the zone `lo`, and nobody this address.
#[cfg(target_os = "linux")]
fn the_zone_of_an_address_may_be_a_name(shell: Shell) {
    for (target, phase) in [
        ("[fe80::7%lo]:1", ConnectPhase::Connect),
        ("[fe80::7%nowhere]:1", ConnectPhase::Resolve),
    ] {
        let error = shell.connect("agent", target, Options::default());
        let error = error.err().unwrap();
        assert_eq!(error.phase, phase, "{error}");
    }
}

fn a_failed_connect_says_which_phase_with_whom_and_why(shell: Shell) {
    let (listener, address) = listen();
    let limits = Limits::default().hello_time(Duration::from_millis(50));
    let connecting = thread::spawn(move || {
        shell
            .connect(
                "agent",
                address,
                Options::from(limits).protocols(Protocols::Pymasep),
            )
            .err()
    });
    let mut there = Peer::accept(&listener);
    let error = connecting.join().unwrap().unwrap();
    assert_eq!(error.phase, ConnectPhase::Hello);
    let text = format!("waiting for the hello of {address}: no answer within 50ms");
    assert_eq!(error.to_string(), text);
    there.expect_bye();

    let (_port, address) = nobody();
    let error = shell.connect("agent", address, Options::default());
    let error = error.err().unwrap();
    assert!(matches!(error.kind, ConnectErrorKind::Io(_)));
    let told = (error.phase, error.target);
    assert_eq!(told, (ConnectPhase::Connect, address.to_string()));

    for (target, limit) in [
        ("no.such.host.invalid:1", Duration::from_secs(20)),
        ("no port", Duration::from_secs(20)),
        ("no.such.host.invalid:1", Duration::ZERO),
    ] {
        let options = SocketOptions::default().connect_time(limit);
        let error = shell.connect("agent", target, options).err().unwrap();
        let told = (error.phase, &*error.target);
        assert_eq!(told, (ConnectPhase::Resolve, target));
    }
    let error = shell.connect("BYE", address, Options::default());
    assert!(matches!(
        error.err().unwrap().kind,
        ConnectErrorKind::Hello(_)
    ));
}

fn a_server_that_refuses_is_told_apart_from_one_that_is_silent(shell: Shell) {
    for (answer, expected) in [
        (&b"\x03\0BYE"[..], "the peer said BYE instead of hello"),
        (b"\x02\0\xff\xfe", "the id in the hello is not UTF-8"),
        (b"", "the server closed the connection without a hello"),
    ] {
        let (listener, address) = listen();
        let connect = move || shell.connect("agent", address, Protocols::Pymasep).err();
        let connecting = thread::spawn(connect);
        let mut there = Peer::accept(&listener);
        there.write(answer);
        there.close_sending_side();
        let error = connecting.join().unwrap().unwrap();
        let text = format!("waiting for the hello of {address}: {expected}");
        assert_eq!(error.to_string(), text);
        there.expect_bye();
    }
}
