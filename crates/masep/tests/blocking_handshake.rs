//! The door of a blocking server, and what a blocking client is told when it fails.

mod blocking_peer;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use blocking_peer::{
    Bounds, Event, Events, Peer, SOON, accept, frame, listen, next, next_rejected, recv, server,
    server_with,
};
use masep::blocking::{Client, Connection, Server, SocketHandler, SocketHandlerQueue, TimedOut};
use masep::{
    AcceptError, AcceptTimeoutError, CloseReason, ConnectErrorKind, ConnectPhase, Duplicates,
    Frame, Limits, RejectReason, ServerLimits, SocketOptions, WhenFull,
};

fn handled(bounds: impl Into<Bounds>, duplicates: Duplicates) -> (Server, mpsc::Receiver<Event>) {
    let bounds = bounds.into();
    let (handler, events) = Events::new();
    let server = Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .duplicates(duplicates)
        .handler(handler)
        .bind("127.0.0.1:0")
        .expect("a free port");
    (server, events)
}

fn refusing(bounds: impl Into<Bounds>) -> (Server, mpsc::Receiver<Event>) {
    handled(bounds, Duplicates::Refuse)
}

#[test]
fn silent_peers_and_port_scans_hold_up_nobody() {
    let server = server();
    let address = server.local_address().tcp().unwrap();
    let _silent: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
    for n in 0..50 {
        let scan = Peer::connect(address);
        if n % 2 == 0 {
            scan.reset();
        }
    }
    let mut good = Peer::join(address, "good");
    let connection = accept(&server);
    assert_eq!(connection.peer().as_str(), "good");
    connection.send("hi").unwrap();
    assert_eq!(good.read().as_deref(), Some(&b"hi"[..]));
    assert_eq!(server.registry().len(), 1);
}

#[test]
fn a_hello_has_a_deadline_also_when_it_drips() {
    let hello_time = Duration::from_millis(60);
    let (server, events) = refusing(Limits::default().hello_time(hello_time));
    let start = Instant::now();
    let mut peer = Peer::connect(server.local_address());
    // A kilobyte, of which a byte comes every few milliseconds.
    let hello = frame(&[b'x'; 1_000]);
    let mut bytes = hello.iter();
    let rejected = loop {
        match events.recv_timeout(Duration::from_millis(3)) {
            Ok(event) => break event,
            Err(_) => peer.write(&[*bytes.next().expect("it is refused before all is said")]),
        }
    };
    let Event::Rejected(_, RejectReason::HelloTimeout(time)) = rejected else {
        panic!("{rejected:?}");
    };
    assert_eq!(time, hello_time);
    assert!(start.elapsed() >= hello_time);
    assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
    peer.expect_bye();
}

#[test]
fn a_hello_byte_by_byte_is_a_hello() {
    let server = server();
    let mut peer = Peer::connect(server.local_address());
    for byte in frame("agent-é".as_bytes()) {
        peer.write(&[byte]);
    }
    assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
    assert_eq!(accept(&server).peer().as_str(), "agent-é");
}

#[test]
fn hellos_that_are_none_are_refused_with_the_reason() {
    let (server, events) = refusing(Limits::default());
    for (hello, reason) in [
        (&b"\x02\0\xff\xfe"[..], "bad_hello"),
        (b"\xff\xff", "bad_hello"),
        (b"\x03\0BYE", "closed_before_hello"),
    ] {
        let mut peer = Peer::connect(server.local_address());
        peer.write(hello);
        assert_eq!(next_rejected(&events).as_str(), reason, "{hello:?}");
        assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
        peer.expect_bye();
    }
    let peer = Peer::connect(server.local_address());
    peer.reset();
    assert_eq!(next_rejected(&events), RejectReason::ClosedBeforeHello);
}

#[test]
fn the_maximum_of_connections_is_real_and_a_free_place_is_used_again() {
    let (server, events) = refusing(ServerLimits::default().connections(2));
    let address = server.local_address().tcp().unwrap();
    let mut first = Peer::join(address, "1");
    let _second = Peer::join(address, "2");
    for _ in 0..2 {
        assert!(matches!(next(&events), Event::Connected(_)));
    }
    let mut third = Peer::connect(address);
    // A hello before the BYE: a pymasep client would take the BYE for our id.
    assert_eq!(third.read().as_deref(), Some(&b"engine"[..]));
    third.expect_bye();
    assert_eq!(
        next_rejected(&events).to_string(),
        "connections: 3 exceeds the limit of 2"
    );
    first.write(&frame(b"BYE"));
    assert_eq!(first.read(), None);
    // The socket of the first is closed, and so its place is free.
    let _third = Peer::join(address, "3");
    let both = [next(&events), next(&events)];
    assert!(both.iter().any(|event| matches!(event, Event::Closed(..))));
    assert!(
        both.iter()
            .any(|event| matches!(event, Event::Connected(_)))
    );
}

#[test]
fn silent_connections_cannot_take_all_the_places() {
    // Those that have to go are told at once, not when they have had their time.
    let server = server_with(Bounds {
        limits: Limits::default().hello_time(2 * SOON),
        server: ServerLimits::default().connections(5),
        ..Bounds::default()
    });
    let address = server.local_address().tcp().unwrap();
    let mut silent: Vec<Peer> = (0..20).map(|_| Peer::connect(address)).collect();
    let good: Vec<Peer> = ["1", "2", "3", "4", "5"]
        .into_iter()
        .map(|id| Peer::join(address, id))
        .collect();
    let connections: Vec<Connection> = good.iter().map(|_| accept(&server)).collect();
    let ids: HashSet<&str> = connections
        .iter()
        .map(|connection| connection.peer().as_str())
        .collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(server.registry().len(), 5);
    for peer in &mut silent {
        assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
        peer.expect_bye();
    }
}

#[test]
fn a_second_connection_with_the_same_id_is_refused_with_hello_and_bye() {
    let (server, events) = refusing(Limits::default());
    let mut old = Peer::join(server.local_address(), "agent");
    let Event::Connected(connection) = next(&events) else {
        panic!("the first is taken");
    };
    let mut new = Peer::connect(server.local_address());
    new.write(&frame(b"agent"));
    assert_eq!(new.read().as_deref(), Some(&b"engine"[..]));
    new.expect_bye();
    assert_eq!(
        next_rejected(&events),
        RejectReason::DuplicateId("agent".into())
    );
    connection.send("hi").unwrap();
    assert_eq!(old.read().as_deref(), Some(&b"hi"[..]));

    // The id is free as soon as its peer has seen the end.
    old.write(&frame(b"BYE"));
    assert_eq!(old.read(), None);
    let _again = Peer::join(server.local_address(), "agent");
    assert!(matches!(
        next(&events),
        Event::Closed(_, CloseReason::PeerBye)
    ));
    assert!(matches!(next(&events), Event::Connected(_)));
}

#[test]
fn those_who_come_and_go_before_they_are_accepted_are_not_kept_for_ever() {
    const PLACES: usize = 4;
    let server = server_with(ServerLimits::default().connections(PLACES));
    for _ in 0..5 * PLACES {
        let mut peer = Peer::join(server.local_address(), "agent");
        peer.write(&[frame(b"gone"), frame(b"BYE")].concat());
    }
    let mut last = Peer::join(server.local_address(), "agent");
    last.write(&frame(b"here"));
    let mut accepted = vec![accept(&server)];
    while recv(accepted.last().unwrap()) != Ok(Frame::new("here")) {
        accepted.push(accept(&server));
    }
    // The last one may have come when the first was given out.
    assert!(accepted.len() <= PLACES + 1, "{} were kept", accepted.len());
}

/// A handler whose `on_close` takes as long as the test wants.
struct SlowToClose {
    told: mpsc::Sender<&'static str>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl SocketHandler for SlowToClose {
    fn on_connect(&self, _connection: &Connection) {
        let _ = self.told.send("connect");
    }
    fn on_receive(&self, _connection: &Connection, _frame: Frame) {}
    fn on_close(&self, _connection: &Connection, _reason: &CloseReason) {
        let _ = self.told.send("closing");
        let _ = self.release.lock().expect("no panic").recv();
        let _ = self.told.send("closed");
    }
}

#[test]
fn a_handler_is_told_of_an_end_before_the_same_id_connects_again() {
    let (told, events) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let server = Server::builder("engine")
        .handler(SlowToClose {
            told,
            release: Mutex::new(released),
        })
        .bind("127.0.0.1:0")
        .unwrap();
    let mut old = Peer::join(server.local_address(), "agent");
    old.write(&frame(b"BYE"));
    assert_eq!(old.read(), None);
    for expected in ["connect", "closing"] {
        assert_eq!(events.recv_timeout(SOON), Ok(expected));
    }
    assert!(!server.registry().is_connection_registered("agent"));

    let mut new = Peer::connect(server.local_address());
    new.write(&frame(b"agent"));
    // Were the id free already, it would have our hello long before this time is over.
    let hasty = Duration::from_millis(100);
    new.stream.set_read_timeout(Some(hasty)).unwrap();
    assert!(new.stream.peek(&mut [0]).is_err());
    new.stream.set_read_timeout(Some(SOON)).unwrap();
    release.send(()).unwrap();
    assert_eq!(new.read().as_deref(), Some(&b"engine"[..]));
    for expected in ["closed", "connect"] {
        assert_eq!(events.recv_timeout(SOON), Ok(expected));
    }
    release.send(()).unwrap();
}

#[test]
fn by_choice_the_newer_connection_takes_the_id() {
    let (server, events) = handled(Limits::default(), Duplicates::Replace);
    let mut old = Peer::join(server.local_address(), "agent");
    assert!(matches!(next(&events), Event::Connected(_)));
    let mut new = Peer::join(server.local_address(), "agent");
    old.expect_bye();
    assert!(matches!(
        next(&events),
        Event::Closed(_, CloseReason::Replaced)
    ));
    assert!(matches!(next(&events), Event::Connected(_)));
    server.registry().send_frame_to("agent", "hi").unwrap();
    assert_eq!(new.read().as_deref(), Some(&b"hi"[..]));
    assert_eq!(server.registry().len(), 1);
}

#[test]
fn a_stopped_server_keeps_its_connections_and_takes_no_more() {
    let server = server();
    let address = server.local_address().tcp().unwrap();
    let mut good = Peer::join(address, "good");
    let mut waiting = Peer::join(address, "waits for accept");
    let mut silent = Peer::connect(address);
    // Accepted in the order of connecting: when this one has its answer, the silent one is known.
    let mut last = Peer::join(address, "last");
    let accepted = accept(&server);
    server.stop_accepting();
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(silent.read().as_deref(), Some(&b"engine"[..]));
    silent.expect_bye();
    // A connection that has our hello can still be taken, in whatever order, and all go on.
    let all = [accepted, accept(&server), accept(&server)];
    for connection in &all {
        connection.send(connection.peer().to_string()).unwrap();
    }
    assert_eq!(good.read().as_deref(), Some(&b"good"[..]));
    assert_eq!(waiting.read().as_deref(), Some(&b"waits for accept"[..]));
    assert_eq!(last.read().as_deref(), Some(&b"last"[..]));
    for _ in 0..2 {
        assert_eq!(server.accept().err(), Some(AcceptError::Stopped));
        assert!(matches!(
            server.accept_timeout(SOON),
            Err(AcceptTimeoutError::Stopped)
        ));
    }
}

#[test]
fn an_accept_waits_no_longer_than_it_is_told_and_until_the_server_stops() {
    let server = server();
    assert!(matches!(
        server.accept_timeout(Duration::from_millis(1)),
        Err(AcceptTimeoutError::TimedOut)
    ));
    thread::scope(|scope| {
        let accepting = scope.spawn(|| server.accept());
        server.stop_accepting();
        assert!(accepting.join().unwrap().is_err());
    });
}

#[test]
fn an_ipv6_server_is_a_server_and_an_ipv4_peer_of_it_is_one() {
    let server = Server::builder("engine").bind("[::]:0").unwrap();
    let port = server.local_address().tcp().unwrap().port();
    for address in [format!("[::1]:{port}"), format!("127.0.0.1:{port}")] {
        let client = Client::builder(address.clone())
            .connect(address.as_str())
            .unwrap();
        assert_eq!(client.server_id().as_str(), "engine");
        let peer: SocketAddr = address.parse().unwrap();
        assert_eq!(accept(&server).address().tcp().unwrap().ip(), peer.ip());
    }
}

#[test]
fn a_name_is_resolved() {
    let server = server();
    let name = format!("localhost:{}", server.local_address().tcp().unwrap().port());
    let client = Client::builder("agent").connect(name).unwrap();
    assert_eq!(client.connection().address(), server.local_address());
}

#[test]
fn a_failed_connect_says_which_phase_with_whom_and_why() {
    let (listener, address) = listen();
    let limits = Limits::default().hello_time(Duration::from_millis(50));
    let connecting =
        thread::spawn(move || Client::builder("agent").limits(limits).connect(address));
    let mut there = Peer::of(listener.accept().unwrap().0);
    let error = connecting.join().unwrap().unwrap_err();
    assert_eq!(error.phase, ConnectPhase::Hello);
    assert_eq!(
        error.to_string(),
        format!("waiting for the hello of {address}: no answer within 50ms")
    );
    assert_eq!(there.read().as_deref(), Some(&b"agent"[..]));
    there.expect_bye();

    drop(listener);
    let error = Client::builder("agent").connect(address).unwrap_err();
    assert!(matches!(
        (error.phase, &error.kind),
        (ConnectPhase::Connect, ConnectErrorKind::Io(_))
    ));
    assert_eq!(error.target, address.to_string());

    for (target, limit) in [
        ("no.such.host.invalid:1", Duration::from_secs(20)),
        ("no port", Duration::from_secs(20)),
        ("no.such.host.invalid:1", Duration::ZERO),
    ] {
        let options = SocketOptions::default().connect_time(limit);
        let builder = Client::builder("agent").socket_options(options);
        let error = builder.connect(target).unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Resolve);
        assert_eq!(error.target, target);
    }

    let error = Client::builder("BYE").connect(address).unwrap_err();
    assert!(matches!(error.kind, ConnectErrorKind::Hello(_)));
}

#[test]
fn a_server_that_refuses_is_told_apart_from_one_that_is_silent() {
    for (answer, expected) in [
        (&b"\x03\0BYE"[..], "the peer said BYE instead of hello"),
        (b"\x02\0\xff\xfe", "the id in the hello is not UTF-8"),
        (b"", "the server closed the connection without a hello"),
    ] {
        let (listener, address) = listen();
        let connecting = thread::spawn(move || Client::builder("agent").connect(address));
        let mut there = Peer::of(listener.accept().unwrap().0);
        assert_eq!(there.read().as_deref(), Some(&b"agent"[..]));
        there.write(answer);
        there.close_sending_side();
        let error = connecting.join().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("waiting for the hello of {address}: {expected}")
        );
        there.expect_bye();
    }
}

#[test]
fn a_server_that_is_full_is_seen_by_a_client_as_one_that_rejects_it() {
    let server = server_with(ServerLimits::default().connections(1));
    let first = Client::builder("1")
        .connect(server.local_address())
        .unwrap();
    let second = Client::builder("2")
        .connect(server.local_address())
        .unwrap();
    assert_eq!(second.server_id().as_str(), "engine");
    assert!(recv(second.connection()).is_err());
    assert_eq!(
        second.connection().close_reason(),
        Some(&CloseReason::Rejected)
    );
    first.connection().send("hi").unwrap();
    assert_eq!(recv(&accept(&server)), Ok(Frame::new("hi")));
}

struct PanicsAtTheDoor;

impl SocketHandler for PanicsAtTheDoor {
    fn on_connect(&self, connection: &Connection) {
        assert_ne!(connection.peer().as_str(), "panic", "as told by the peer");
    }
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        let _ = connection.send(frame);
    }
    fn on_reject(&self, _address: masep::Address, reason: &RejectReason) {
        panic!("{reason}");
    }
}

#[test]
fn a_handler_that_panics_at_the_door_does_not_close_it() {
    let server = Server::builder("engine")
        .server_limits(ServerLimits::default().connections(1))
        .handler(PanicsAtTheDoor)
        .bind("127.0.0.1:0")
        .unwrap();
    for _ in 0..3 {
        let mut panics = Peer::join(server.local_address(), "panic");
        panics.expect_bye();
        let mut good = Peer::join(server.local_address(), "good");
        let mut too_many = Peer::connect(server.local_address());
        assert_eq!(too_many.read().as_deref(), Some(&b"engine"[..]));
        too_many.expect_bye();
        good.write(&frame(b"hi"));
        assert_eq!(good.read().as_deref(), Some(&b"hi"[..]));
        good.write(&frame(b"BYE"));
        assert_eq!(good.read(), None);
    }
}

#[test]
fn one_queue_for_all_connections() {
    let queue = SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
    let server = Server::builder("engine")
        .handler(queue.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    assert!(matches!(
        queue.next_timeout(Duration::from_millis(1)),
        Err(TimedOut)
    ));
    let agents: Vec<Client> = ["1", "2"]
        .into_iter()
        .map(|id| Client::builder(id).connect(server.local_address()).unwrap())
        .collect();
    for agent in &agents {
        agent.connection().send("ask").unwrap();
    }
    for _ in &agents {
        let received = queue.next().unwrap();
        assert_eq!(received.frame, Frame::new("ask"));
        let answer = received.connection.peer().to_string();
        received.connection.send(answer).unwrap();
    }
    for agent in &agents {
        assert_eq!(
            recv(agent.connection()),
            Ok(Frame::new(agent.id().to_string()))
        );
        agent.connection().bye();
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.next());
        queue.close();
        assert!(waiting.join().unwrap().is_none());
    });
}

#[test]
fn a_full_queue_holds_up_its_peer_loses_nothing_and_does_not_outlive_the_connection() {
    let queue = SocketHandlerQueue::new(&Limits::default().queue_messages(2), WhenFull::Wait);
    let server = Server::builder("engine")
        .handler(queue.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    for n in 0..50u8 {
        peer.write(&frame(&[n]));
    }
    for n in 0..30u8 {
        assert_eq!(queue.next().unwrap().frame.as_ref(), [n]);
    }
    // The connection waits for room that nobody makes.
    let connection = server.registry().get_connection("agent").unwrap();
    drop(server);
    assert_eq!(connection.closed(), CloseReason::Shutdown);
}
