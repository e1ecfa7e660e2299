//! Protocol 2 between the libraries, and beside peers of pymasep's protocol.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use masep::{
    Array, Bye, CloseReason, ConnectErrorKind, Dict, EncodeError, Frame, Limits, Message,
    MessageType, Notice, Protocol, Protocols, SendError, Value, WhenFull,
};

use crate::directory::Directory;
use crate::shells::{
    Act, Client, Connection, Handle, Handler, Network, Options, Peer, SOON, Server, Serving, Shell,
    Side, accept, frame, listen, masep2, of_each_pair, of_each_pair_and_network, of_each_shell,
    until,
};

of_each_pair! {
    what_is_spoken_is_agreed_on
    a_peer_of_pymaseps_protocol_is_in_one_session_with_those_of_protocol_2
    a_rejection_says_why
    an_end_says_why
    a_notice_is_no_end
    a_ping_tells_the_time_of_a_round_trip
    a_unix_socket_has_a_scheme_for_protocol_2
}

of_each_pair_and_network! {
    an_array_of_a_megabyte_arrives_bit_for_bit
    a_frame_over_the_peers_limit_names_it_and_the_connection_lives_on
    peers_that_are_only_waited_for_live_on_by_heartbeats
    a_handler_gets_frames_and_is_told_of_notices
}

of_each_shell! {
    a_client_of_both_connects_again_where_pymasep_answers
    a_server_of_this_process_is_not_taken_for_the_one_before_it_at_its_address
    nothing_but_a_whole_hello_of_pymaseps_leads_to_a_second_connection
    a_server_of_protocol_2_alone_refuses_clients_of_pymaseps
    a_peer_without_a_sign_of_life_is_ended
}

fn target(scheme: &str, server: &dyn Server) -> String {
    format!("{scheme}{}", server.address())
}

struct Pair {
    server: Serving,
    /// The server's end.
    connection: Handle,
    client: Box<dyn Client>,
}

/// A server of both generations and a client of protocol 2.
fn pair(of_server: Shell, of_client: Shell) -> Pair {
    let [server, client] = [of_server, of_client].map(|shell| shell.over(Network::Tcp));
    pair_with(server, Limits::default(), client, Limits::default())
}

fn pair_with(server: Side, options: impl Into<Options>, client: Side, limits: Limits) -> Pair {
    let server = server.serve(options);
    let client = client.connect("agent", &server, limits).unwrap();
    let connection = accept(&*server);
    Pair {
        server,
        connection,
        client,
    }
}

fn message(value: impl Into<Value>) -> Message {
    let params = Dict::from([("value", value.into())]);
    Message::new(MessageType::Observation, Value::from(params), "engine")
}

/// 1,000,000 bytes.
fn image() -> Array {
    let items = (0..1_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    Array::from_vec(&[1_000, 250, 4], items).unwrap()
}

fn what_is_spoken_is_agreed_on(of_server: Shell, of_client: Shell) {
    use Protocols::{Both, Masep2, Pymasep};
    const SPOKEN: [Option<Protocol>; 3] = [None, Some(Protocol::Pymasep), Some(Protocol::Masep2)];
    let [refused, pymasep, masep] = SPOKEN;
    // Of a server, a scheme, a client.
    let cases = [
        (None, "", None, masep),
        (None, "", Some(Both), masep),
        (None, "", Some(Pymasep), pymasep),
        (None, "tcp://", Some(Masep2), masep),
        (None, "masep://", None, masep),
        (None, "masep://", Some(Pymasep), masep),
        (None, "pymasep://", Some(Both), pymasep),
        (Some(Masep2), "", Some(Both), masep),
        (Some(Masep2), "masep://", None, masep),
        (Some(Pymasep), "", None, pymasep),
        (Some(Pymasep), "", Some(Both), pymasep),
        (Some(Pymasep), "masep://", None, refused),
        (Some(Pymasep), "masep://", Some(Both), refused),
    ];
    for (takes, scheme, speaks, spoken) in cases {
        let case = format!("{of_server:?} {takes:?}, {of_client:?} {scheme} {speaks:?}");
        let server = of_server.serve(takes);
        let address = target(scheme, &*server);
        let client = of_client.connect("agent", address, speaks);
        match (client, spoken) {
            (Ok(client), Some(spoken)) => {
                let connection = accept(&*server);
                assert_eq!(connection.peer(), "agent", "{case}");
                let at_client = client.connection();
                assert_eq!(at_client.peer(), "engine", "{case}");
                let both = [connection.protocol(), at_client.protocol()];
                assert_eq!(both, [spoken; 2], "{case}");
                let welcomed = at_client.welcome().is_some();
                assert_eq!(welcomed, spoken == Protocol::Masep2, "{case}");
                let quit = Message::quit("agent");
                at_client.send_message(&quit).unwrap();
                assert_eq!(connection.recv_message(), Ok(quit), "{case}");
            }
            (Err(error), None) => {
                let ConnectErrorKind::OtherProtocol(Protocol::Pymasep) = error.kind else {
                    panic!("{case}: {error}")
                };
                assert!(error.to_string().contains("pymasep's protocol"), "{error}");
            }
            (outcome, spoken) => panic!("{case}: {:?}, not {spoken:?}", outcome.map(drop)),
        }
    }
}

/// A server that speaks pymasep's protocol as a bare socket: it answers a whole hello, and then reads.
fn a_client_of_both_connects_again_where_pymasep_answers(shell: Shell) {
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut probe = Peer::of(listener.accept().unwrap().0);
        probe.expect(b"masep/2");
        probe.write(&frame(b"engine"));
        probe.expect(b"BYE");
        let mut agent = Peer::of(listener.accept().unwrap().0);
        agent.expect(b"agent");
        agent.write(&frame(b"engine"));
        agent.write(&frame(b"hi"));
        agent.expect(b"BYE");
        // All that the probe says is behind it, and then its stream ends.
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut probe.stream, &mut rest).unwrap();
        // One that comes back is known to meet pymasep's protocol: it asks no more, for a minute.
        let mut again = Peer::of(listener.accept().unwrap().0);
        again.expect(b"again");
        again.write(&frame(b"engine"));
        again.expect(b"BYE");
        // Where it gets another answer than it knows, it asks anew the next time.
        let mut odd = Peer::of(listener.accept().unwrap().0);
        odd.expect(b"odd");
        drop(odd);
        let mut probe = Peer::of(listener.accept().unwrap().0);
        probe.expect(b"masep/2");
    });
    let connect = |id| shell.connect(id, address, Options::default());
    let client = connect("agent").unwrap();
    let connection = client.connection();
    assert_eq!(connection.protocol(), Protocol::Pymasep);
    assert_eq!(connection.recv(), Ok(Frame::new("hi")));
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    let again = connect("again").unwrap();
    assert_eq!(again.connection().bye(), CloseReason::LocalBye);
    for id in ["odd", "probe"] {
        assert!(connect(id).is_err(), "{id}");
    }
    server.join().unwrap();
}

/// As in a process that has replaced an engine of pymasep's by one of its own.
fn a_server_of_this_process_is_not_taken_for_the_one_before_it_at_its_address(shell: Shell) {
    let (listener, address) = listen();
    let before = thread::spawn(move || {
        for hello in [&b"masep/2"[..], b"agent"] {
            let mut peer = Peer::of(listener.accept().unwrap().0);
            peer.expect(hello);
            peer.write(&frame(b"engine"));
            peer.expect(b"BYE");
        }
    });
    let protocol = || {
        let client = shell.connect("agent", address, Options::default()).unwrap();
        let connection = client.connection();
        connection.bye();
        connection.protocol()
    };
    assert_eq!(protocol(), Protocol::Pymasep);
    before.join().unwrap();
    let _server = shell.bind(address.to_string(), Options::default()).unwrap();
    assert_eq!(protocol(), Protocol::Masep2);
}

/// Downgrades are for those who answer, and for nobody else.
fn nothing_but_a_whole_hello_of_pymaseps_leads_to_a_second_connection(shell: Shell) {
    fn serve(listener: &TcpListener, answer: &[u8]) {
        let mut peer = Peer::of(listener.accept().unwrap().0);
        peer.expect(b"masep/2");
        peer.write(answer);
        peer.close_sending_side();
        peer.rest();
    }
    for answer in [
        &b""[..],
        b"\x06\0eng",
        b"\x03\0BYE",
        b"\xff\xffx",
        b"\x02\0\xff\xfe",
    ] {
        let (listener, address) = listen();
        listener.set_nonblocking(false).unwrap();
        let failed = thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, answer));
            let both = Protocols::Both;
            let client = shell.connect("agent", address, both);
            server.join().unwrap();
            client.map(drop)
        });
        assert!(failed.is_err(), "{shell:?} {answer:?}");
        listener.set_nonblocking(true).unwrap();
        let second = listener.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(second, Err(std::io::ErrorKind::WouldBlock), "{answer:?}");
    }
}

fn a_server_of_protocol_2_alone_refuses_clients_of_pymaseps(shell: Shell) {
    let server = shell.serve(Some(Protocols::Masep2));
    Peer::join(server.address(), "agent").expect_bye();
}

fn an_array_of_a_megabyte_arrives_bit_for_bit(of_server: Side, of_client: Side) {
    let nan = f32::from_bits(0x7fc0_1234);
    let floats = Array::from_slice(&[2, 2], &[nan, -0.0, f32::INFINITY, 1.5]).unwrap();
    let empty = Array::from_slice::<i64>(&[0, 3], &[]).unwrap();
    let scalar = Array::from_slice(&[], &[true]).unwrap();
    let pair = pair_with(of_server, Limits::default(), of_client, Limits::default());
    let (engine, agent) = (&*pair.connection, pair.client.connection());
    for array in [image(), floats, empty, scalar] {
        let sent = message(array);
        for (from, to) in [(engine, agent), (agent, engine)] {
            thread::scope(|scope| {
                scope.spawn(|| from.send_message(&sent).unwrap());
                assert_eq!(to.recv_message().unwrap(), sent);
            });
        }
    }
    // Bytes of the user's too.
    let bytes = vec![7; 1 << 20];
    thread::scope(|scope| {
        scope.spawn(|| agent.send(bytes.clone()).unwrap());
        assert!(engine.recv() == Ok(Frame::new(bytes.clone())));
    });
}

fn a_peer_of_pymaseps_protocol_is_in_one_session_with_those_of_protocol_2(
    of_server: Shell,
    of_client: Shell,
) {
    let Pair {
        server,
        connection: masep,
        client,
    } = pair(of_server, of_client);
    let mut old = Peer::join(server.address(), "old");
    let pymasep = accept(&*server);
    assert_eq!(pymasep.protocol(), Protocol::Pymasep);
    assert_eq!(pymasep.peer_limits().frame_bytes, 65_535);

    let plain = message("to all");
    let mut tell_all = || {
        let sent = server.registry().broadcast_message(&plain, WhenFull::Wait);
        assert_eq!(sent, Ok(2));
        old.expect(&plain.to_bytes().unwrap());
        assert_eq!(client.connection().recv_message(), Ok(plain.clone()));
    };
    tell_all();

    // An array reaches those who can have it, and the others are named.
    let array = message(image());
    let broadcast = thread::scope(|scope| {
        let reading = scope.spawn(|| client.connection().recv_message());
        let broadcast = server.registry().broadcast_message(&array, WhenFull::Wait);
        assert_eq!(reading.join().unwrap(), Ok(array.clone()));
        broadcast
    });
    let Err(SendError::Undelivered(undelivered)) = broadcast else {
        panic!("{broadcast:?}")
    };
    assert_eq!(undelivered.sent, 1);
    let [(peer, SendError::Encode(EncodeError::Peer { peer: named, .. }))] = &undelivered.peers[..]
    else {
        panic!("{undelivered:?}")
    };
    assert_eq!([peer.as_str(), named.as_str()], ["old", "old"]);
    let words = undelivered.to_string();
    for part in ["1 of 2", "old", "pymasep's protocol", "list"] {
        assert!(words.contains(part), "{words}");
    }

    // So it is at the call that sends to one, and at a frame that is too large.
    for sent in [
        pymasep.send_message(&array),
        server.registry().send_message_to("old", &array),
    ] {
        let Err(SendError::Encode(EncodeError::Peer { peer, protocol, .. })) = sent else {
            panic!("{sent:?}")
        };
        assert_eq!((peer.as_str(), protocol), ("old", Protocol::Pymasep));
    }
    let large = pymasep.send(vec![0; 65_536]);
    let Err(SendError::TooLarge(large)) = large else {
        panic!("{large:?}")
    };
    assert_eq!((large.peer().as_str(), large.allowed), ("old", 65_535));
    assert!(large.to_string().contains("masep on both ends"), "{large}");

    // All of them live on.
    tell_all();
    drop(masep);
}

fn a_rejection_says_why(of_server: Shell, of_client: Shell) {
    let pair = pair(of_server, of_client);
    let address = target("masep://", &*pair.server);
    let second = of_client.connect("agent", address, Options::default());
    let error = second.map(drop).expect_err("the id is in use");
    let words = error.to_string();
    let ConnectErrorKind::Rejected(rejected) = error.kind else {
        panic!("{words}")
    };
    assert_eq!(&*rejected.code, "duplicate_id");
    assert!(rejected.text.contains("agent"), "{rejected:?}");
    assert!(words.contains("duplicate_id"), "{words}");
    // A peer of pymasep's protocol is told as ever.
    Peer::join(pair.server.address(), "agent").expect_bye();
}

fn an_end_says_why(of_server: Shell, of_client: Shell) {
    let words = || Bye::new("table_closed", "the game is over").may_return(true);
    let pair = pair(of_server, of_client);
    let ended = pair.connection.bye_with(words());
    assert_eq!(ended, CloseReason::LocalBye);
    let reason = pair.client.connection().end();
    assert_eq!(reason.words(), Some(&words()));
    assert!(reason.is_orderly() && reason.is_peer_bye());
    assert_eq!(reason.as_str(), "peer_bye");
    assert!(reason.to_string().contains("table_closed"), "{reason}");

    // A peer of pymasep's protocol gets a BYE.
    let mut old = Peer::join(pair.server.address(), "old");
    accept(&*pair.server).bye_with(words());
    old.expect_bye();

    // The server's own end has words too.
    let address = target("masep://", &*pair.server);
    let client = of_client.connect("other", address, Options::default());
    let client = client.unwrap();
    let _connection = accept(&*pair.server);
    let report = thread::scope(|scope| {
        let ending = scope.spawn(|| client.connection().end());
        let report = pair.server.shutdown(Duration::from_secs(10));
        let reason = ending.join().unwrap();
        assert_eq!(reason.words().map(|bye| &*bye.code), Some("shutdown"));
        report
    });
    assert_eq!(report.ended, ["other".into()]);
    assert!(report.cut.is_empty());
}

fn a_frame_over_the_peers_limit_names_it_and_the_connection_lives_on(
    of_server: Side,
    of_client: Side,
) {
    let its = Limits::default().payload_bytes(Some(100_000));
    let mine = Limits::default().payload_bytes(Some(200_000));
    let pair = pair_with(of_server, its, of_client, mine);
    let (engine, agent) = (&*pair.connection, pair.client.connection());
    assert_eq!(agent.peer_limits().frame_bytes, 100_000);
    assert_eq!(engine.peer_limits().frame_bytes, 200_000);
    for (sent, peer, allowed) in [
        (agent.send(vec![0; 100_001]), "engine", 100_000),
        (agent.send_message(&message(image())), "engine", 100_000),
        (engine.send(vec![0; 200_001]), "agent", 200_000),
    ] {
        let Err(SendError::TooLarge(large)) = sent else {
            panic!("{sent:?}")
        };
        assert_eq!((large.peer().as_str(), large.allowed), (peer, allowed));
        assert_eq!(large.protocol(), Protocol::Masep2);
        assert!(large.to_string().contains("payload_bytes"), "{large}");
    }
    for (from, to, size) in [(agent, engine, 100_000), (engine, agent, 200_000)] {
        thread::scope(|scope| {
            scope.spawn(|| from.send(vec![1; size]).unwrap());
            assert!(to.recv() == Ok(Frame::new(vec![1; size])));
        });
    }
}

fn a_notice_is_no_end(of_server: Shell, of_client: Shell) {
    let pair = pair(of_server, of_client);
    let agent = pair.client.connection();
    let late = || Notice::new("late", "turn 7 is over").about(Dict::from([("turn", 7)]));
    assert_eq!(agent.try_notice(), None);
    pair.connection.notice(late()).unwrap();
    pair.connection.send("next").unwrap();
    assert_eq!(agent.recv(), Ok(Frame::new("next")));
    assert_eq!(agent.try_notice(), Some(late()));
    assert_eq!(agent.try_notice(), None);
    // To a peer of pymasep's protocol nothing is said.
    let mut old = Peer::join(pair.server.address(), "old");
    let pymasep = accept(&*pair.server);
    pymasep.notice(late()).unwrap();
    pymasep.send("next").unwrap();
    old.expect(b"next");
    pair.connection.bye();
    let ended = pair.connection.notice(late());
    assert!(matches!(ended, Err(SendError::Closed(_))), "{ended:?}");
}

fn a_ping_tells_the_time_of_a_round_trip(of_server: Shell, of_client: Shell) {
    let pair = pair(of_server, of_client);
    let (engine, agent) = (&*pair.connection, pair.client.connection());
    assert_eq!(agent.rtt(), None);
    assert!(agent.ping());
    // In the order of the stream: the ping before the first frame, and the pong before the second.
    agent.send("1").unwrap();
    assert_eq!(engine.recv(), Ok(Frame::new("1")));
    engine.send("2").unwrap();
    assert_eq!(agent.recv(), Ok(Frame::new("2")));
    until(|| agent.rtt().is_some());
    let mut old = Peer::join(pair.server.address(), "old");
    assert!(!accept(&*pair.server).ping());
    old.write(&frame(b"BYE"));
}

fn a_peer_without_a_sign_of_life_is_ended(shell: Shell) {
    let limits = Limits::default().heartbeat(Some(Duration::from_millis(100)));
    let server = shell.serve(limits);
    // Also in a call that would wait for longer.
    for has_time in [false, true] {
        let mut peer = Peer::connect(server.address());
        peer.write(&masep2::first_bytes("silent"));
        let connection = accept(&*server);
        assert_eq!(connection.protocol(), Protocol::Masep2);
        let ending = thread::spawn(move || match has_time {
            false => connection.end(),
            true => connection.recv_within(10 * SOON).unwrap().unwrap_err(),
        });
        let heard = peer.rest();
        assert_eq!(ending.join().unwrap(), CloseReason::HeartbeatTimeout);
        let says = |word: &[u8]| heard.windows(word.len()).any(|part| part == word);
        assert!(says(b"heartbeat_timeout"), "{heard:?}");
    }
}

fn peers_that_are_only_waited_for_live_on_by_heartbeats(of_server: Side, of_client: Side) {
    // Three of them without a sign of life are the end, and a busy machine may hold a process up for one.
    let limits = Limits::default().heartbeat(Some(Duration::from_millis(500)));
    let pair = pair_with(of_server, limits.clone(), of_client, limits);
    let (engine, agent) = (&*pair.connection, pair.client.connection());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| (agent.recv(), agent.end()));
        let waits = scope.spawn(|| engine.recv());
        // Several heartbeats. The side whose time was up first pings, and the other's answers are its signs of life.
        let times = || (engine.rtt(), agent.rtt());
        until(|| times() != (None, None));
        for _ in 0..3 {
            let before = times();
            until(|| times() != before);
        }
        agent.send("done").unwrap();
        assert_eq!(waits.join().unwrap(), Ok(Frame::new("done")));
        engine.send("done").unwrap();
        engine.bye();
        let (received, reason) = waiting.join().unwrap();
        assert_eq!(received, Ok(Frame::new("done")));
        assert!(reason.is_peer_bye(), "{reason}");
    });
}

/// Sends each frame back, and notes the codes of notices.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Vec<String>>>);

impl Handler for Echo {
    fn on_receive(&self, _: &dyn Connection, frame: Frame) -> Act {
        Act::Send(frame)
    }
    fn on_notice(&self, connection: &dyn Connection) {
        let notices = std::iter::from_fn(|| connection.try_notice());
        let codes = notices.map(|notice| notice.code.to_string());
        self.0.lock().unwrap().extend(codes);
    }
}

fn a_handler_gets_frames_and_is_told_of_notices(of_server: Side, of_client: Side) {
    let echo = Echo::default();
    let server = of_server.serve(Options::default().handler(echo.clone()));
    let client = of_client.join("agent", &server);
    let agent = client.connection();
    for size in [0, 1, 100_000] {
        agent.send(vec![1; size]).unwrap();
        assert!(agent.recv() == Ok(Frame::new(vec![1; size])));
    }
    agent.notice(Notice::new("late", "")).unwrap();
    until(|| *echo.0.lock().unwrap() == ["late"]);
    agent.notice(Notice::new("later", "")).unwrap();
    until(|| *echo.0.lock().unwrap() == ["late", "later"]);
}

fn a_unix_socket_has_a_scheme_for_protocol_2(of_server: Shell, of_client: Shell) {
    let directory = Directory::new();
    let path = directory.path("x.sock");
    let address = format!("masep+unix://{}", path.display());
    let _server = of_server.bind(&*address, Options::default()).unwrap();
    let client = of_client.connect("agent", address, Options::default());
    let client = client.unwrap();
    assert_eq!(client.connection().protocol(), Protocol::Masep2);
    let address = format!("pymasep+unix://{}", path.display());
    let refused = of_client.connect("agent", address, Options::default());
    assert_eq!(refused.unwrap().connection().end(), CloseReason::Rejected);
}
