//! A client that is given from one connection to another while it waits for the verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::connection::{Connection, Event, HandOver, Heard, Protocols, Read};
use masep_proto::protocol2::{Control, Hello, Welcome, kind, preamble};
use masep_proto::{CloseReason, Frame, Limits, PeerId};

use super::agreement::answers;
use super::pair::{Pair, Side, config};
use crate::wire::{control, frame};

/// A client that has said this, and waits for the verdict of the engine, which has read `arrived` bytes of it.
fn waiting(said: &[u8], arrived: usize) -> Pair {
    let mut pair = Pair::undecided(Protocols::Both);
    pair.to_engine.bytes.extend(&said[..arrived]);
    pair.run(false);
    pair.to_engine.bytes.extend(&said[arrived..]);
    pair
}

/// A server's side of these protocols, to which nothing has been handed over.
fn heir(protocols: Protocols, now: Instant) -> Connection {
    let config = config("engine", &Limits::default(), protocols);
    Connection::accept(Arc::new(config), now)
}

fn hand_over(pair: &mut Pair) -> Heard {
    match pair.engine.core.hand_over() {
        HandOver::Done(heard) => heard,
        other => panic!("{other:?}: {pair:?}"),
    }
}

/// The bytes of a client: its beginning, HELLO, and two frames behind it.
fn said() -> (Vec<u8>, usize) {
    let mut hello = Hello::new(PeerId::from("agent"), 16 << 20);
    (hello.seat, hello.token) = (Some("red".into()), Some("secret".into()));
    let hello = control(&Control::Hello(Box::new(hello)));
    let whole = preamble::CLIENT.len() + hello.len();
    let frames = [frame(kind::BYTES, b"one"), frame(kind::BYTES, &[7; 100])];
    ([preamble::CLIENT, &hello, &frames.concat()].concat(), whole)
}

#[test]
fn however_much_had_arrived_the_client_goes_on_where_it_was() {
    let (said, whole) = said();
    for arrived in whole..=said.len() {
        let mut pair = waiting(&said, arrived);
        assert_eq!(pair.engine.events, [Event::Hello]);
        let heard = hand_over(&mut pair);
        assert!(pair.engine.core.is_over());
        assert!(
            pair.engine.core.take_room().is_none() && pair.engine.core.take_transmit().is_none()
        );
        assert_eq!(pair.engine.core.hand_over(), HandOver::Never, "it has gone");

        let mut core = heir(Protocols::Both, pair.now);
        core.take_over(&heard, pair.now);
        let events = std::mem::replace(&mut pair.engine, Side::new(core)).events;
        pair.engine.admits = false;
        assert!(!events.contains(&Event::Failed) && !events.contains(&Event::Ended));
        pair.run(false);
        let seen = pair.engine.core.hello().expect("it was heard");
        assert_eq!(seen.seat.as_deref(), Some("red"));
        assert_eq!(seen.token, Some("secret".into()));
        let mut welcome = Welcome::new(PeerId::from("engine"), 0);
        welcome.seat = Some("red".into());
        pair.admit_with(welcome);
        pair.run(false);
        pair.to_engine.shut = true;
        pair.run(false);
        let frames = [Frame::from("one"), Frame::new(vec![7; 100])];
        assert_eq!(pair.engine.received, frames, "{arrived}");
        let end = CloseReason::EndOfStream { mid_frame: false };
        assert_eq!(pair.engine.reason(), Some(end));
        let answers = answers(&pair.written(false));
        assert!(matches!(answers[0], Control::Welcome(_)), "{answers:?}");
    }
}

/// Its HELLO has what this process would not write so, or does not know.
#[test]
fn a_hello_goes_along_as_the_client_has_said_it() {
    // {"v": [2, 2], "id": "a", "max": 65536, "future": 1, "make": {"m": [600 times 1.5, of 16 bits]}}
    let mut hello = b"\xa5\x61v\x82\x02\x02\x62id\x61a\x63max\x1a\0\x01\0\0\x66future\x01".to_vec();
    hello.extend(b"\x64make\xa1\x61m\x99\x02\x58");
    hello.extend(b"\xf9\x3e\x00".repeat(600));
    let said = [preamble::CLIENT, &frame(kind::HELLO, &hello)].concat();
    let mut pair = waiting(&said, said.len());
    assert_eq!(pair.engine.events, [Event::Hello]);
    assert_eq!(hand_over(&mut pair).bytes, said);
}

#[test]
fn all_that_had_arrived_behind_hello_goes_along() {
    let (said, whole) = said();
    let body = vec![9; 7_000];
    for between in [10, 4_000] {
        // Reads while the verdict is awaited are bounded, but for the last one.
        let said = [
            &said[..whole],
            &frame(kind::BYTES, &vec![8; between]),
            &frame(kind::BYTES, &body),
        ]
        .concat();
        let mut pair = waiting(&said, whole + between);
        pair.run(false);
        let heard = hand_over(&mut pair);
        let left = said.len() - heard.bytes.len();
        assert_eq!(
            left,
            pair.to_engine.bytes.len(),
            "what was read is handed over"
        );
        let mut core = heir(Protocols::Both, pair.now);
        core.take_over(&heard, pair.now);
        pair.engine = Side::new(core);
        pair.run(false);
        let sizes: Vec<_> = pair.engine.received.iter().map(Frame::size).collect();
        assert_eq!(sizes, [between, body.len()]);
    }
}

#[test]
fn the_first_bytes_of_a_server_are_said_once() {
    let (said, _) = said();
    // The client waits for them before it says HELLO.
    let mut pair = Pair::undecided(Protocols::Both);
    pair.to_engine.bytes.extend(preamble::CLIENT);
    pair.run(false);
    assert_eq!(pair.to_agent.bytes, preamble::SERVER);
    pair.to_engine.bytes.extend(&said[preamble::CLIENT.len()..]);
    pair.run(false);
    let heard = hand_over(&mut pair);
    assert!(heard.is_answered);
    let mut core = heir(Protocols::Both, pair.now);
    core.take_over(&heard, pair.now);
    pair.engine = Side::new(core);
    pair.run(false);
    let answers = answers(&pair.written(false));
    assert!(matches!(answers[0], Control::Welcome(_)), "{answers:?}");
}

#[test]
fn nobody_else_is_given_away() {
    let (said, whole) = said();
    for arrived in [0, 5, preamble::CLIENT.len(), whole - 1] {
        let mut pair = waiting(&said[..arrived], arrived);
        assert_eq!(pair.engine.core.hand_over(), HandOver::Never, "{arrived}");
    }
    let mut pymasep = waiting(b"\x05\0agent", 7);
    assert_eq!(pymasep.engine.core.hand_over(), HandOver::Never);
    let mut open = Pair::open2();
    assert_eq!(open.engine.core.hand_over(), HandOver::Never);
    // A read is under way.
    let mut reading = waiting(&said, said.len());
    let room = reading.engine.core.take_room();
    if let Some(room) = room {
        assert_eq!(reading.engine.core.hand_over(), HandOver::Later);
        reading
            .engine
            .core
            .put_room(room, Read::Blocked, reading.now);
    }
    let heard = hand_over(&mut reading);
    assert!(!format!("{heard:?}").contains("secret"));
}

#[test]
fn what_is_no_hello_is_refused_also_where_another_is_said_to_have_heard_it() {
    for bytes in [
        &b"\x07\0masep/2\x03\0BYE\0\0garbage!"[..],
        b"\x05\0agent",
        b"",
    ] {
        let now = Instant::now();
        let mut core = heir(Protocols::Masep2, now);
        let heard = Heard {
            bytes: bytes.to_vec(),
            is_answered: false,
        };
        core.take_over(&heard, now);
        core.handle_timeout(now + Duration::from_secs(5));
        assert!(core.failure().is_some(), "{bytes:x?}");
    }
}
