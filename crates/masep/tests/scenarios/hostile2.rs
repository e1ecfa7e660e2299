//! Peers that mean harm in protocol 2, or are of another time: what they cost a client that plays meanwhile.

use std::io::{ErrorKind, Write};
use std::thread;

use masep::{CloseReason, Frame, Protocol, ServerLimits};
use masep_proto::protocol2::{Control, Header, Hello, kind, preamble};

use crate::hostile::Engine;
use crate::shells::masep2::{first_bytes, frame};
use crate::shells::{
    Client, Network, Options, Peer, Serving, Shell, Side, accept, of_each_network, of_each_shell,
    until,
};

of_each_network! {
    bombs_in_messages_cost_a_good_client_no_frame
    claims_of_large_payloads_hold_up_nobody
    a_client_of_another_time_is_understood
}

of_each_shell! {
    pings_without_end_hold_up_nobody
    a_client_that_dies_within_the_agreement_leaves_its_place
}

/// A server, and a good client of protocol 2 at it.
fn serve(side: Side, options: impl Into<Options>) -> (Serving, Engine, Box<dyn Client>) {
    let engine = Engine::default();
    let server = side.serve(options.into().handler(engine.clone()));
    let good = side.join("good", &server);
    assert_eq!(good.connection().protocol(), Protocol::Masep2);
    (server, engine, good)
}

/// A round trip of the good client, of a frame that needs memory of its own.
fn play(good: &dyn Client) {
    for size in [0, 10, 100_000] {
        good.connection().send(vec![7; size]).unwrap();
        assert!(good.connection().recv() == Ok(Frame::new(vec![7; size])));
    }
}

/// A message with this item as a parameter.
fn message(item: &[u8]) -> Vec<u8> {
    let before = b"\xa3\x64type\x61a\x63src\x61b\x66params\xa1\x61x";
    [&before[..], item].concat()
}

fn bombs_in_messages_cost_a_good_client_no_frame(side: Side) {
    let (server, engine, good) = serve(side, Options::default());
    let mut bad = server.agent2(&first_bytes("bad"));
    let megabyte = |item: &[u8]| item.repeat((1 << 20) / item.len() - 50);
    let bombs = [
        // Lengths that are claimed: of arrays, maps, bytes and texts.
        (message(b"\x9b\0\0\0\0\xff\xff\xff\xff"), "truncated"),
        (message(b"\xbb\0\0\0\0\xff\xff\xff\xff"), "truncated"),
        (message(b"\x5b\0\0\0\0\xff\xff\xff\xff"), "truncated"),
        (message(b"\x7b\0\0\0\0\xff\xff\xff\xff"), "truncated"),
        // Depth without end, and items without number.
        (message(&megabyte(b"\x81")), "limit"),
        (message(&megabyte(b"\xa1\x60")), "limit"),
        (
            message(&[b"\x9a\0\x0f\0\0", &megabyte(b"\xf6")[..]].concat()),
            "limit",
        ),
        // Tags of tags.
        (message(&megabyte(b"\xc2")), "unexpected_item"),
        (message(b"\xd9\x01\x02\xd9\x01\x02\x80"), "unexpected_item"),
        // A shape whose product overflows, and one that does not fit its bytes.
        (
            message(b"\xd8\x28\x82\x82\x1b\x80\0\0\0\0\0\0\0\x02\xd8\x40\x40"),
            "invalid_array",
        ),
        (
            message(b"\xd8\x28\x82\x81\x02\xd8\x40\x41\x01"),
            "invalid_array",
        ),
        (message(b"\x01"), "taken"),
    ];
    for (bytes, _) in &bombs {
        bad.write(&frame(kind::CBOR, bytes));
        play(&*good);
    }
    let expected = bombs.map(|(_, outcome)| outcome);
    assert_eq!(engine.outcomes("bad", expected.len()), expected);
}

fn claims_of_large_payloads_hold_up_nobody(side: Side) {
    let (server, engine, good) = serve(side, Options::default());
    let claims: Vec<_> = (0..100)
        .map(|n| {
            let mut peer = server.agent2(&first_bytes(&n.to_string()));
            peer.write(&Header::new(kind::BYTES, 1 << 20).to_bytes());
            peer.write(&[7; 1_000]);
            peer
        })
        .collect();
    play(&*good);
    // More than the server takes of anybody.
    let mut bad = server.agent2(&first_bytes("bad"));
    bad.write(&Header::new(kind::BYTES, (1 << 20) + 1).to_bytes());
    bad.expect_bye();
    engine.expect(1, 0);
    drop(claims);
    play(&*good);
    until(|| server.registry().len() == 1);
}

fn pings_without_end_hold_up_nobody(shell: Shell) {
    let (server, _engine, good) = serve(shell.over(Network::Tcp), Options::default());
    let mut bad = server.agent2(&first_bytes("bad"));
    let pings = frame(kind::PING, b"12345678").repeat(1_000);
    // Nobody reads the answers, which are few.
    bad.stream.socket().set_nonblocking(true).unwrap();
    let (mut sent, mut played) = (0, 0);
    while sent < 8 << 20 {
        match bad.stream.write(&pings[sent % pings.len()..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if sent >> 16 > played {
            played = sent >> 16;
            play(&*good);
        }
    }
    play(&*good);
    assert!(server.registry().is_connection_registered("bad"));
}

fn a_client_that_dies_within_the_agreement_leaves_its_place(shell: Shell) {
    let tcp = shell.over(Network::Tcp);
    let (server, engine, good) = serve(tcp, ServerLimits::default().connections(2));
    let bytes = first_bytes("bad");
    let ends: Vec<_> = (0..bytes.len()).step_by(3).collect();
    for end in &ends {
        let mut peer = Peer::connect(server.address());
        peer.write(&bytes[..*end]);
        if end % 2 == 0 {
            peer.reset();
        }
    }
    engine.expect(0, ends.len());
    play(&*good);
    // The place is free, and the id.
    let again = server.agent2(&bytes);
    drop(again);
    engine.expect(1, ends.len());
}

/// The `HELLO` or `WELCOME` in these first bytes, with a key more that nobody knows.
fn with_an_unknown_key(control: &Control) -> Vec<u8> {
    let mut payload = control.encode().unwrap().to_vec();
    assert_eq!(payload[0] & 0xe0, 0xa0, "a small map");
    payload[0] += 1;
    payload.extend(b"\x66future\x82\x01\xf5");
    frame(control.kind(), &payload)
}

/// Frames of a kind that may be ignored stand before, between and behind.
fn with_ignorable(frames: &[u8]) -> Vec<u8> {
    let ignorable = frame(kind::IGNORABLE + 7, b"of another time");
    [&ignorable[..], frames, &frame(255, &[7; 5_000]), frames].concat()
}

fn a_client_of_another_time_is_understood(side: Side) {
    let server = side.serve(Options::default());
    let mut hello = Hello::new("later".into(), 1 << 20);
    hello.features.push("of-another-time".into());
    let hello = with_an_unknown_key(&Control::Hello(Box::new(hello)));
    let mut peer = server.agent2(&[preamble::CLIENT, &hello].concat());
    let connection = accept(&*server);
    assert_eq!(connection.peer(), "later");
    peer.write(&with_ignorable(&frame(kind::BYTES, b"hi")));
    for _ in 0..2 {
        assert_eq!(connection.recv(), Ok(Frame::new("hi")));
    }
    connection.send("hello").unwrap();
    peer.expect("hello");
    // One of a kind that may not be ignored is said to be unsupported.
    peer.write(&frame(100, b""));
    assert_eq!(connection.end(), CloseReason::UnsupportedFrame(100));
    peer.expect_bye();
}
