//! A client that does not wait for the server's word: frames right behind its hello, and the end of its stream.

use std::time::Duration;

use masep_proto::connection::{Event, HelloFailure, Protocols, Read};
use masep_proto::protocol2::{Bye, Control, Hello, kind, preamble};
use masep_proto::tls::TlsFault;
use masep_proto::{CloseReason, Frame, Limits, PeerId};

use super::agreement::answers;
use super::pair::{Pair, Random};
use crate::wire::{control, frame};

const GENERATIONS: [Protocols; 2] = [Protocols::Pymasep, Protocols::Masep2];

/// The hello of a client of this generation.
fn hello(protocols: Protocols) -> Vec<u8> {
    match protocols {
        Protocols::Pymasep => b"\x05\0agent".to_vec(),
        _ => {
            let hello = Hello::new(PeerId::from("agent"), 16 << 20);
            [preamble::CLIENT, &control(&Control::Hello(Box::new(hello)))].concat()
        }
    }
}

fn framed(protocols: Protocols, body: &[u8]) -> Vec<u8> {
    match protocols {
        Protocols::Pymasep => {
            let length = u16::try_from(body.len()).expect("a small frame");
            [&length.to_le_bytes(), body].concat()
        }
        _ => frame(kind::BYTES, body),
    }
}

/// Lets the engine say its word, and the client's end come to it.
fn admit(pair: &mut Pair) {
    pair.engine.core.admit(pair.now);
    pair.run(false);
}

const WHOLE: CloseReason = CloseReason::EndOfStream { mid_frame: false };

#[test]
fn frames_in_front_of_the_end_of_the_stream_are_taken_with_the_client() {
    for (seed, protocols) in (0..40).flat_map(|seed| GENERATIONS.map(|it| (seed, it))) {
        for (rest, mid_frame) in [(&b""[..], false), (&b"\x09\0"[..], true)] {
            let mut pair = Pair::undecided(Protocols::Both);
            pair.cuts = (seed > 0).then(|| Random::new(seed));
            let frames = [framed(protocols, b"one"), framed(protocols, &[7; 100])];
            let said = [&hello(protocols), &frames.concat(), rest].concat();
            pair.to_engine.bytes.extend(&said);
            pair.to_engine.shut = true;
            pair.run(false);
            assert_eq!(pair.engine.events, [Event::Hello], "{protocols:?}");
            admit(&mut pair);
            let expected = [Frame::from("one"), Frame::new(vec![7; 100])];
            assert_eq!(pair.engine.received, expected, "{protocols:?} {seed}");
            assert!(pair.engine.events.contains(&Event::Open));
            let end = CloseReason::EndOfStream { mid_frame };
            assert_eq!(pair.engine.reason(), Some(end), "{protocols:?} {seed}");
            assert!(pair.engine.closed, "{pair:?}");
        }
    }
}

#[test]
fn the_end_may_be_found_before_our_hello_has_left() {
    for protocols in GENERATIONS {
        let mut pair = Pair::undecided(Protocols::Both);
        let said = [hello(protocols), framed(protocols, b"one")].concat();
        pair.to_engine.bytes.extend(&said);
        pair.run(false);
        pair.engine.core.admit(pair.now);
        let room = pair.engine.core.take_room().expect("it reads");
        pair.engine.core.put_room(room, Read::End, pair.now);
        pair.run(false);
        assert_eq!(pair.engine.received, [Frame::from("one")]);
        assert_eq!(pair.engine.reason(), Some(WHOLE));
    }
}

#[test]
fn a_client_that_leaves_without_a_frame_is_gone_before_the_verdict() {
    let bye = control(&Control::Bye(Bye::new(Bye::PLAIN, "")));
    let cases = [
        (Protocols::Pymasep, vec![]),
        (Protocols::Pymasep, b"\x03\0BYE".to_vec()),
        (Protocols::Pymasep, b"\x09\0half".to_vec()),
        (Protocols::Masep2, vec![]),
        (Protocols::Masep2, bye),
        (Protocols::Masep2, control(&Control::Ping([1; 8]))),
        (
            Protocols::Masep2,
            frame(kind::BYTES, &[7; 100])[..50].to_vec(),
        ),
    ];
    for (protocols, rest) in cases {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine
            .bytes
            .extend(&[hello(protocols), rest.clone()].concat());
        pair.to_engine.shut = true;
        pair.run(false);
        assert_eq!(
            pair.engine.failure(),
            Some(HelloFailure::Closed),
            "{rest:x?}"
        );
        assert!(pair.engine.closed, "{pair:?}");
    }
}

#[test]
fn a_bye_behind_the_frames_is_the_end_as_it_always_is() {
    for protocols in GENERATIONS {
        let bye = match protocols {
            Protocols::Pymasep => b"\x03\0BYE".to_vec(),
            _ => control(&Control::Bye(Bye::new("done", "all said"))),
        };
        let mut pair = Pair::undecided(Protocols::Both);
        let said = [hello(protocols), framed(protocols, b"one"), bye].concat();
        pair.to_engine.bytes.extend(&said);
        pair.to_engine.shut = true;
        pair.run(false);
        admit(&mut pair);
        assert_eq!(pair.engine.received, [Frame::from("one")]);
        let reason = pair.engine.reason().expect("an end");
        assert!(reason.is_peer_bye(), "{reason}");
    }
}

#[test]
fn frames_that_are_over_a_rate_come_through_in_front_of_the_end() {
    let limits = Limits::default().messages_per_second(Some(1));
    for protocols in GENERATIONS {
        let mut pair = Pair::undecided_with(&limits, Protocols::Both);
        let frames: Vec<u8> = (0..4).flat_map(|n| framed(protocols, &[n])).collect();
        pair.to_engine
            .bytes
            .extend(&[hello(protocols), frames].concat());
        pair.to_engine.shut = true;
        pair.run(false);
        admit(&mut pair);
        assert_eq!(
            (pair.engine.received.len(), pair.engine.reason()),
            (1, None)
        );
        for _ in 0..100 {
            pair.now += Duration::from_millis(50);
            let due = pair.engine.core.deadline();
            if due.is_some_and(|due| due <= pair.now) {
                pair.engine.core.handle_timeout(pair.now);
            }
            pair.run(false);
        }
        let expected: Vec<_> = (0..4).map(|n| Frame::new(vec![n])).collect();
        assert_eq!(pair.engine.received, expected, "{protocols:?}");
        assert_eq!(pair.engine.reason(), Some(WHOLE), "{protocols:?}");
    }
}

#[test]
fn one_that_is_refused_is_told_so_though_it_says_nothing_more() {
    let mut pair = Pair::undecided(Protocols::Both);
    let said = [hello(Protocols::Masep2), frame(kind::BYTES, b"one")].concat();
    pair.to_engine.bytes.extend(&said);
    pair.to_engine.shut = true;
    pair.run(false);
    pair.engine.core.refuse(pair.now);
    pair.run(false);
    let answers = answers(&pair.written(false));
    assert!(matches!(answers[..], [Control::Rejected(_)]), "{answers:?}");
    assert!(pair.engine.received.is_empty() && pair.engine.closed);
}

/// A stream in TLS that was cut is no end, and not told as one.
#[test]
fn a_cut_behind_the_frames_stays_a_cut() {
    let mut pair = Pair::undecided(Protocols::Both);
    let said = [hello(Protocols::Masep2), frame(kind::BYTES, b"one")].concat();
    pair.to_engine.bytes.extend(&said);
    pair.run(false);
    let room = pair.engine.core.take_room().expect("it reads");
    let cut = Read::Tls(TlsFault::Truncated);
    pair.engine.core.put_room(room, cut, pair.now);
    pair.run(false);
    admit(&mut pair);
    assert_eq!(pair.engine.received, [Frame::from("one")]);
    let reason = CloseReason::Tls(TlsFault::Truncated);
    assert_eq!(pair.engine.reason(), Some(reason));
}
