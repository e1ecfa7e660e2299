//! Open connections of protocol 2: frames of any size, control frames, heartbeats and ends.

use std::time::Duration;

use masep_proto::cbor::{self, MapItem};
use masep_proto::connection::{Event, Protocols, PushError, Read, Want, WhenFull, Write};
use masep_proto::protocol2::{Bye, Control, Header, Notice, Protocol, kind};
use masep_proto::{
    Array, CloseReason, Dict, Element, EncodeError, Frame, FrameKind, Limits, Message, Value,
};

use super::pair::{Pair, Random, config};
use crate::wire::{control, frame, messages};

const SECOND: Duration = Duration::from_secs(1);

fn send(pair: &mut Pair, agent: bool, frame: Frame) -> Result<(), PushError> {
    let side = if agent {
        &mut pair.agent
    } else {
        &mut pair.engine
    };
    let sent = side.core.send(&mut Some(frame), WhenFull::Wait, pair.now);
    sent.map(drop)
}

/// Has the engine hear these bytes, as if the agent had said them.
fn hear(pair: &mut Pair, bytes: &[u8]) {
    pair.to_engine.bytes.extend(bytes);
    pair.run(false);
}

/// The bytes that the engine has written and the agent has not read.
fn written(pair: &mut Pair) -> Vec<u8> {
    pair.to_agent.bytes.drain(..).collect()
}

/// Turns the clock for the engine alone, stopping at each of its deadlines.
fn pass(pair: &mut Pair, time: Duration) {
    let until = pair.now + time;
    while let Some(next) = pair.engine.core.deadline().filter(|next| *next <= until) {
        pair.now = pair.now.max(next);
        pair.engine.core.handle_timeout(pair.now);
        pair.run(false);
    }
    pair.now = until;
}

#[test]
fn frames_of_every_size_and_form_arrive_as_they_were_sent() {
    let sizes = [
        0,
        1,
        7,
        8,
        255,
        256,
        257,
        4_095,
        4_096,
        65_535,
        65_536,
        300_001,
        1 << 20,
    ];
    for seed in 0..20 {
        let mut pair = Pair::open2();
        pair.cuts = (seed > 0).then(|| Random::new(seed));
        let mut sent = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let form = [FrameKind::Bytes, FrameKind::Cbor, FrameKind::Xml][number % 3];
            let frame = Frame::of(form, vec![u8::try_from(number).unwrap_or(0); size]);
            sent.push(frame.clone());
            send(&mut pair, true, frame.clone()).unwrap();
            send(&mut pair, false, frame).unwrap();
            if seed % 2 == 0 {
                pair.settle();
            }
        }
        pair.settle();
        assert!(
            pair.engine.received == sent && pair.agent.received == sent,
            "{seed}"
        );
        assert_eq!(pair.agent.core.written(), sizes.len() as u64);
        pair.agent.core.end(CloseReason::LocalBye, pair.now);
        pair.pass(5 * SECOND);
        assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
    }
}

#[test]
fn a_frame_over_the_peers_limit_is_an_error_that_says_whose_it_is_and_the_connection_lives_on() {
    let mut pair = Pair::open2();
    let refused = send(&mut pair, true, Frame::new(vec![0; (1 << 20) + 1]));
    let Err(PushError::TooLarge(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((error.actual, error.allowed), ((1 << 20) + 1, 1 << 20));
    assert_eq!(
        (error.peer().as_str(), error.protocol()),
        ("engine", Protocol::Masep2)
    );
    let text = error.to_string();
    assert!(
        text.contains("\"engine\"") && text.contains("payload_bytes"),
        "{text}"
    );
    send(&mut pair, true, Frame::new(vec![0; 1 << 20])).unwrap();
    // A client receives more.
    send(&mut pair, false, Frame::new(vec![0; 2 << 20])).unwrap();
    pair.settle();
    assert_eq!(pair.engine.received.len() + pair.agent.received.len(), 2);

    let mut pair = Pair::open();
    let Err(PushError::TooLarge(error)) = send(&mut pair, true, Frame::new(vec![0; 100_000]))
    else {
        panic!("it is too large");
    };
    let text = error.to_string();
    for word in [
        "100000",
        "65535",
        "\"engine\"",
        "pymasep's protocol",
        "masep on both ends",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

fn limits() -> Limits {
    Limits::default().payload_bytes(Some(2_000))
}

#[test]
fn a_claim_over_our_limit_ends_the_connection_before_the_payload_comes() {
    for (kind, size) in [
        (kind::CBOR, 2_001),
        (kind::BYTES, u32::MAX),
        (200, 2_001),
        (kind::NOTICE, 4_097),
    ] {
        let mut pair = Pair::open2_with(&limits());
        hear(&mut pair, &Header::new(kind, size).to_bytes());
        let reason = pair.engine.reason().expect("it ended");
        assert_eq!(reason.as_str(), "protocol_error", "{kind}");
        let said = messages(&written(&mut pair));
        let [Control::Bye(bye)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(bye.code, "protocol_error");
        assert!(bye.text.contains(&size.to_string()), "{bye}");
    }
}

#[test]
fn what_is_not_known_is_ignored_or_ends_the_connection_as_its_kind_says() {
    let mut pair = Pair::open2();
    let stream = [
        frame(kind::BYTES, b"one"),
        frame(128, b"of another time"),
        frame(255, &[7; 3_000]),
        frame(kind::BYTES, b"two"),
        frame(200, b""),
        frame(kind::BYTES, b"three"),
    ]
    .concat();
    for bytes in stream.chunks(100) {
        hear(&mut pair, bytes);
    }
    let expected = ["one", "two", "three"].map(Frame::from);
    assert_eq!(pair.engine.received, expected);
    assert!(pair.engine.core.is_open());

    for kind in [0, 8, 15, 19, 100, 127] {
        let mut pair = Pair::open2();
        hear(
            &mut pair,
            &[frame(kind::BYTES, b"one"), frame(kind, b"x")].concat(),
        );
        assert_eq!(
            pair.engine.reason(),
            Some(CloseReason::UnsupportedFrame(kind))
        );
        assert_eq!(pair.engine.received.len(), 1);
        let said = messages(&written(&mut pair));
        assert!(
            matches!(&said[..], [Control::Bye(bye)] if bye.code == "unsupported"),
            "{said:?}"
        );
    }
    for bytes in [
        frame(kind::HELLO, b"\xa0"),
        frame(kind::PING, b"1234567"),
        frame(kind::BYE, b"\xa0"),
        frame(kind::NOTICE, &[0xc6; 4_096]),
        control(&Control::Rejected(masep_proto::protocol2::Rejected::new(
            "c", "",
        ))),
        b"\x01\0\0\0\x12\0\0\0x\0\0\0\0\0\0\x01".to_vec(),
        b"\x01\0\0\0\x12\x01\0\0".to_vec(),
    ] {
        let mut pair = Pair::open2();
        hear(&mut pair, &bytes);
        let reason = pair.engine.reason().expect("it ended");
        assert_eq!(reason.as_str(), "bad_frame", "{bytes:x?}");
        assert!(!reason.is_orderly() && reason.to_string().len() < 300);
    }
}

#[test]
fn an_end_says_why() {
    let mut pair = Pair::open2();
    let bye = Bye::new("game_over", "red has\u{1b}[2J won").may_return(false);
    pair.engine.send(b"last", pair.now).unwrap();
    pair.engine.core.end_with(bye.clone(), pair.now);
    pair.pass(5 * SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::LocalBye));
    let reason = pair.agent.reason().expect("it ended");
    assert_eq!(reason, CloseReason::PeerByeWith(Box::new(bye.clone())));
    assert_eq!((reason.as_str(), reason.words()), ("peer_bye", Some(&bye)));
    assert!(
        reason.is_orderly() && !reason.to_string().contains('\u{1b}'),
        "{reason}"
    );
    assert_eq!(pair.agent.received, [Frame::from("last")]);

    // A plain one that says more than pymasep's does is more than that.
    for may_return in [None, Some(true), Some(false)] {
        let mut pair = Pair::open2();
        let mut bye = Bye::new(Bye::PLAIN, "");
        bye.may_return = may_return;
        pair.engine.core.end_with(bye.clone(), pair.now);
        pair.pass(5 * SECOND);
        let reason = pair.agent.reason().expect("it ended");
        assert_eq!(reason.words(), may_return.map(|_| &bye));
        assert!(reason.is_peer_bye());
    }

    for (ends, code) in [
        (CloseReason::Shutdown, "shutdown"),
        (CloseReason::Replaced, "replaced"),
        (CloseReason::IdleTimeout, "idle_timeout"),
    ] {
        let mut pair = Pair::open2();
        pair.engine.core.end(ends, pair.now);
        pair.pass(5 * SECOND);
        let reason = pair.agent.reason().expect("it ended");
        let words = reason.words().expect("a reason");
        assert_eq!(words.code, code);
        assert_eq!(words.may_return, (code == "replaced").then_some(false));
    }
    let mut pair = Pair::open2();
    pair.engine.core.abort(CloseReason::Aborted, pair.now);
    pair.pass(5 * SECOND);
    let words = pair
        .agent
        .reason()
        .and_then(|reason| reason.words().cloned());
    assert_eq!(words.map(|bye| bye.code), Some("aborted".into()));
}

#[test]
fn the_frame_that_is_pymaseps_bye_ends_the_connection_in_its_own_way() {
    let mut pair = Pair::open2();
    send(&mut pair, true, Frame::BYE).unwrap();
    pair.pass(5 * SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
    assert!(pair.engine.received.is_empty());
    assert!(pair.agent.core.has_said_bye());
}

#[test]
fn heartbeats_keep_an_idle_connection_alive_and_are_few() {
    let mut pair = Pair::open2();
    pair.pass(600 * SECOND);
    for side in [&pair.agent, &pair.engine] {
        assert!(side.core.is_open());
        assert_eq!(side.core.rtt(), Some(Duration::ZERO));
    }
    let mut pair = Pair::open2();
    let mut pings = 0;
    for _ in 0..600 {
        pair.wake_after(false, SECOND);
        let said = messages(&written(&mut pair));
        pings += said.len();
        for message in said {
            let Control::Ping(token) = message else {
                panic!("{message:?}");
            };
            hear(&mut pair, &control(&Control::Pong(token)));
        }
    }
    assert!((58..=60).contains(&pings), "{pings}");
    // A side that sends needs no pings.
    for _ in 0..60 {
        pair.now += SECOND;
        pair.engine.core.handle_timeout(pair.now);
        pair.engine.send(b"x", pair.now).unwrap();
        pair.run(false);
        let bytes = written(&mut pair);
        assert_eq!(bytes, frame(kind::BYTES, b"x"));
        hear(&mut pair, &frame(130, b""));
    }
}

#[test]
fn a_peer_without_a_sign_of_life_is_gone_after_three_heartbeats() {
    let mut pair = Pair::open2();
    pass(&mut pair, 28 * SECOND);
    assert!(pair.engine.core.is_open());
    pass(&mut pair, 2 * SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::HeartbeatTimeout));
    let said = messages(&written(&mut pair));
    assert!(matches!(said.last(), Some(Control::Bye(bye)) if bye.code == "heartbeat_timeout"));
    assert_eq!(said.len(), 4, "three pings: {said:?}");

    // Any byte is a sign, also one of a frame that takes long.
    let mut pair = Pair::open2();
    let large = frame(kind::BYTES, &[7; 100]);
    for byte in &large {
        pass(&mut pair, 25 * SECOND);
        hear(&mut pair, &[*byte]);
        written(&mut pair);
    }
    assert_eq!(pair.engine.received.len(), 1);
}

#[test]
fn a_peer_that_takes_bytes_slowly_lives() {
    let mut pair = Pair::open2();
    pair.to_agent.capacity = 1_000;
    send(&mut pair, false, Frame::new(vec![7; 100_000])).unwrap();
    pair.run(false);
    for _ in 0..90 {
        pass(&mut pair, 20 * SECOND);
        assert!(pair.engine.core.is_open(), "{:?}", pair.engine);
        assert_eq!(written(&mut pair).len(), 1_000);
        pair.run(false);
    }
    // Until it takes none any more.
    pass(&mut pair, 31 * SECOND);
    assert!(!pair.engine.core.is_open());
}

#[test]
fn what_the_other_side_says_of_heartbeats_counts() {
    // A server that wants none.
    let mut pair = Pair::open2_with(&Limits::default().heartbeat(None));
    pair.agent.takes = true;
    assert_eq!(pair.agent.core.deadline(), None);
    assert_eq!(pair.engine.core.deadline(), None);
    pair.pass(600 * SECOND);
    assert!(pair.engine.core.is_open());
    // A client that answers within its calls alone.
    let config = |id| config(id, &Limits::default(), Protocols::Both);
    let mut offer = masep_proto::protocol2::Hello::new("".into(), 0);
    offer.features = vec!["pong_in_call".into(), "of-another-time".into()];
    let mut pair = Pair::with(config("agent").offer(offer), config("engine"), 1 << 20);
    pair.settle();
    pass(&mut pair, 600 * SECOND);
    assert!(pair.engine.core.is_open(), "it is not known to be gone");
    assert!(messages(&written(&mut pair)).len() > 50, "it is pinged");
    // One that wants a flood gets none.
    let limits = Limits::default().heartbeat(Some(Duration::from_nanos(1)));
    let mut pair = Pair::open2_with(&limits);
    pass(&mut pair, Duration::from_millis(250));
    assert!(messages(&written(&mut pair)).len() <= 3);
}

#[test]
fn the_time_in_which_nobody_listens_does_not_count() {
    let limits = Limits::default().queue_messages(1);
    let mut pair = Pair::open2_with(&limits);
    pair.engine.takes = false;
    let stream = frame(kind::BYTES, b"x").repeat(3);
    hear(&mut pair, &stream);
    pass(&mut pair, 600 * SECOND);
    assert!(pair.engine.core.is_open(), "{:?}", pair.engine);
    pair.engine.takes = true;
    pair.run(false);
    assert_eq!(pair.engine.received.len(), 3);
    pass(&mut pair, 29 * SECOND);
    assert!(pair.engine.core.is_open());
}

#[test]
fn pings_without_end_are_answered_with_one_pong_for_each_write() {
    let mut pair = Pair::open2();
    let pings: Vec<u8> = (0..100_000u64)
        .flat_map(|number| control(&Control::Ping(number.to_le_bytes())))
        .collect();
    // The peer reads nothing.
    pair.to_agent.capacity = 20;
    hear(&mut pair, &pings);
    assert_eq!(pair.to_agent.bytes.len(), 20);
    pair.to_agent.capacity = 1 << 20;
    let mut bytes = written(&mut pair);
    pair.run(false);
    bytes.extend(written(&mut pair));
    let pongs = messages(&bytes);
    assert!(pongs.len() <= 4, "{}", pongs.len());
    assert_eq!(
        pongs.last(),
        Some(&Control::Pong(99_999u64.to_le_bytes())),
        "the latest"
    );
    // One that reads gets one for each piece that was read.
    hear(&mut pair, &pings);
    let pongs = written(&mut pair).len() / 16;
    assert!(pongs <= pings.len() / 1_024 + 1, "{pongs}");
    assert!(pair.engine.core.is_open());
    assert!(pair.engine.received.is_empty() && pair.engine.core.frames() == 0);
}

#[test]
fn a_ping_that_comes_while_the_bye_is_being_written_is_not_answered_behind_it() {
    let mut pair = Pair::open2();
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    // It makes its last read, and takes the BYE.
    let room = pair.engine.core.take_room().expect("it reads");
    pair.engine.core.put_room(room, Read::Blocked, pair.now);
    let transmit = pair.engine.core.take_transmit().expect("a BYE");
    let bytes = transmit.len();
    if let Some(mut room) = pair.engine.core.take_room() {
        room.fill(&control(&Control::Ping([7; 8])));
        pair.engine.core.put_room(room, Read::Bytes, pair.now);
    }
    let written = Write::Bytes(bytes);
    pair.engine.core.put_transmit(transmit, written, pair.now);
    assert_eq!(pair.engine.core.wants().write, Want::Nothing);
    assert!(pair.engine.core.take_transmit().is_none());
    assert!(pair.engine.core.has_said_bye());
}

#[test]
fn a_pong_that_nobody_asked_for_says_nothing() {
    let mut pair = Pair::open2();
    for token in [0u64, 1, u64::MAX] {
        hear(&mut pair, &control(&Control::Pong(token.to_le_bytes())));
        assert_eq!(pair.engine.core.rtt(), None);
    }
    assert!(pair.engine.core.ping(pair.now));
    assert!(!pair.engine.core.ping(pair.now), "one waits");
    pair.run(false);
    let said = messages(&written(&mut pair));
    let [Control::Ping(token)] = said[..] else {
        panic!("{said:?}");
    };
    pair.now += Duration::from_millis(7);
    let other = (u64::from_le_bytes(token) - 1).to_le_bytes();
    hear(&mut pair, &control(&Control::Pong(other)));
    assert_eq!(pair.engine.core.rtt(), None, "it is outdated");
    hear(&mut pair, &control(&Control::Pong(token)));
    assert_eq!(pair.engine.core.rtt(), Some(Duration::from_millis(7)));
    pair.now += SECOND;
    hear(&mut pair, &control(&Control::Pong(token)));
    assert_eq!(
        pair.engine.core.rtt(),
        Some(Duration::from_millis(7)),
        "it counts once"
    );
    assert!(pair.engine.core.ping(pair.now));
    let mut old = Pair::open();
    assert!(!old.agent.core.ping(old.now));
}

#[test]
fn control_frames_overtake_what_is_queued() {
    let mut pair = Pair::open2();
    pair.to_agent.capacity = 20;
    for number in 0..10 {
        pair.engine.send(&[number; 100], pair.now).unwrap();
    }
    pair.run(false);
    for number in 10..20 {
        pair.engine.send(&[number; 100], pair.now).unwrap();
    }
    pair.engine
        .core
        .notice(Notice::new("late", ""), pair.now)
        .unwrap();
    hear(&mut pair, &control(&Control::Ping([7; 8])));
    pair.to_agent.capacity = 1 << 20;
    pair.run(false);
    let bytes = written(&mut pair);
    let mut kinds = Vec::new();
    let mut rest = &bytes[..];
    while let Ok(Some(header)) = Header::read(rest) {
        kinds.push(header.kind);
        rest = &rest[header.whole()..];
    }
    let first = kinds.iter().position(|kind| *kind == kind::NOTICE).unwrap();
    assert_eq!(kinds[first + 1], kind::PONG);
    // In front of all that was not on its way.
    assert!(first <= 10, "{kinds:?}");
    assert_eq!(kinds.len(), 22);
}

#[test]
fn a_notice_is_an_event_and_few_are_kept() {
    let mut pair = Pair::open2();
    let notice = Notice::new("late", "turn 7 is over").about(Dict::from([("turn", 7)]));
    pair.engine.core.notice(notice.clone(), pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.agent.notices, [notice]);
    assert!(pair.agent.core.is_open());
    // Nobody takes them.
    let many: Vec<u8> = (0..100)
        .flat_map(|number| control(&Control::Notice(Notice::new(format!("n{number}"), ""))))
        .collect();
    let mut room = pair.engine.core.take_room().expect("it reads");
    room.fill(&many);
    pair.engine.core.put_room(room, Read::Bytes, pair.now);
    let mut codes = Vec::new();
    while let Some(notice) = pair.engine.core.poll_notice() {
        codes.push(notice.code.to_string());
    }
    assert!(codes.len() == 16, "{codes:?}");
    assert!(pair.engine.core.lost_notices() > 0);
    // One whom nobody hears does not pile them up either.
    pair.to_agent.capacity = 0;
    let full = (0..10_000).find_map(|_| {
        let notice = Notice::new("late", "x".repeat(1_000));
        pair.engine.core.notice(notice, pair.now).err()
    });
    assert!(matches!(full, Some(PushError::Full(_))), "{full:?}");
    // To others there is nothing to be said.
    let mut old = Pair::open();
    old.engine
        .core
        .notice(Notice::new("late", ""), old.now)
        .unwrap();
    old.settle();
    assert!(old.agent.received.is_empty());
}

fn with_array(items: usize) -> Message {
    let pixels: Vec<u8> = (0..items).map(|item| item.to_le_bytes()[0]).collect();
    let camera = Array::from_slice(&[items], &pixels).expect("it fits");
    Message::new("observation", Dict::from([("camera", camera)]), "engine")
}

#[test]
fn an_array_is_a_slice_of_the_buffer_that_it_was_read_into() {
    for items in [100, 2_000, 28_224, 1_000_000] {
        for before in [0, 3] {
            let mut pair = Pair::open2_with(&Limits::default().payload_bytes(Some(2 << 20)));
            let message = with_array(items);
            for number in 0..before {
                pair.engine.send(&vec![7; 5 + number], pair.now).unwrap();
            }
            let encoding = pair.engine.core.encoding();
            assert_eq!(encoding.protocol(), Protocol::Masep2);
            let sent = encoding.encode(&message).unwrap();
            assert_eq!(sent.kind(), FrameKind::Cbor);
            send(&mut pair, false, sent).unwrap();
            pair.settle();
            let frame = pair.agent.received.pop().expect("a frame");
            let memory = frame.bytes().as_ptr_range();
            let read = pair.agent.core.encoding().decode(frame).unwrap();
            assert_eq!(read, message);
            let array = read.param("camera").and_then(Value::as_array).unwrap();
            let place = array.bytes().as_ptr();
            assert_eq!(place.align_offset(8), 0, "{items}");
            assert!(memory.contains(&place), "{items}: it was copied");
        }
    }
}

#[test]
fn messages_go_in_the_form_of_the_peers_protocol() {
    let message = with_array(10);
    let turn = Dict::from([("n", 7)]);
    let pair = Pair::open2();
    let (one, other) = (pair.engine.core.encoding(), pair.agent.core.encoding());
    let frame = one.encode_turn(&message, Some(&turn)).unwrap();
    assert_eq!(
        other.decode_turn(frame.clone()),
        Ok((message.clone(), Some(turn.clone())))
    );
    let bytes = other.decode_in_turn(frame).unwrap().1.unwrap();
    let mut read = Vec::new();
    cbor::read_map(&bytes, |key, item| read.push((key, item))).unwrap();
    assert_eq!(read, [(&b"n"[..], MapItem::Number(7))]);
    // pymasep's XML may come as it is; the user's own bytes are no message.
    let plain = Message::end("engine");
    let xml = Frame::of(FrameKind::Xml, plain.to_bytes().unwrap());
    assert_eq!(other.decode(xml), Ok(plain.clone()));
    let bytes = Frame::new(plain.to_bytes().unwrap());
    let error = other.decode(bytes).unwrap_err();
    assert_eq!(error.kind.name(), "unexpected_item");
    assert!(error.to_string().contains("which are for recv"), "{error}");

    let old = Pair::open();
    let encoding = old.engine.core.encoding();
    assert_eq!(encoding.protocol(), Protocol::Pymasep);
    let frame = encoding.encode_turn(&plain, Some(&turn)).unwrap();
    assert_eq!(frame.bytes(), &plain.to_bytes().unwrap());
    let error = encoding.encode(&message).unwrap_err();
    assert!(matches!(&error, EncodeError::Peer { peer, .. } if peer.as_str() == "agent"));
    let text = error.to_string();
    for word in [
        "\"agent\"",
        "pymasep's protocol",
        "params.camera",
        "uint8[10]",
        ".tolist()",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_frame_in_cbor_is_not_passed_on_to_a_peer_that_has_none() {
    let mut pair = Pair::open();
    let Err(PushError::Form(error)) = send(&mut pair, true, Frame::of(FrameKind::Cbor, "x")) else {
        panic!("pymasep's thread would end of it");
    };
    assert_eq!(error.name(), "cbor");
    assert!(
        error
            .to_string()
            .contains("\"engine\" speaks pymasep's protocol"),
        "{error}"
    );
    send(&mut pair, true, Frame::of(FrameKind::Xml, "<a/>")).unwrap();
    pair.settle();
    assert_eq!(pair.engine.received, [Frame::from("<a/>")]);
}

#[test]
fn a_message_that_is_a_bomb_is_an_error_of_its_own_and_the_connection_lives_on() {
    let start = b"\xa3\x64type\x61t\x63src\x61s\x66params\xa1\x61v";
    for bomb in [
        // 2^63 items of 2 bytes; 2^32 * 2^32 items of 1; an array of arrays of arrays; tags of tags.
        &b"\xd8\x28\x82\x81\x1b\x80\0\0\0\0\0\0\0\xd8\x45\x40"[..],
        b"\xd8\x28\x82\x82\x1b\0\0\0\x01\0\0\0\0\x1b\0\0\0\x01\0\0\0\0\xd8\x40\x40",
        &[0x81; 100_000],
        &[0xc6; 100_000],
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut pair = Pair::open2();
        hear(&mut pair, &frame(kind::CBOR, &[start, bomb].concat()));
        let frame = pair.engine.received.pop().expect("a frame");
        assert!(pair.engine.core.encoding().decode(frame).is_err());
        assert!(pair.engine.core.is_open());
    }
}

#[test]
fn the_bounds_of_messages_follow_the_largest_payload() {
    let limits = Limits::default().payload_bytes(Some(4 << 20));
    let mut pair = Pair::open2_with(&limits);
    let list: Vec<Value> = (0..300_000).map(Value::from).collect();
    for message in [
        with_array(3 << 20),
        Message::new("list", Dict::from([("v", Value::List(list))]), "e"),
    ] {
        let frame = pair.engine.core.encoding().encode(&message).unwrap();
        send(&mut pair, false, frame).unwrap();
        pair.settle();
        let frame = pair.agent.received.pop().expect("a frame");
        assert_eq!(pair.agent.core.encoding().decode(frame), Ok(message));
    }
    // Also in XML.
    let all = Limits::default().message_bytes(4 << 20);
    let all = all.text_bytes(4 << 20).nodes(400_000);
    let wide = format!("<a>{}</a>", "<b />".repeat(150_000));
    let wide = Element::decode(wide.into(), &all).unwrap();
    for value in [Value::from("x".repeat(2 << 20)), wide.into()] {
        let message = Message::new("text", Dict::from([("v", value)]), "e");
        let xml = message.encode(&all);
        let frame = Frame::of(FrameKind::Xml, xml.unwrap());
        send(&mut pair, false, frame).unwrap();
        pair.settle();
        let frame = pair.agent.received.pop().expect("a frame");
        assert_eq!(pair.agent.core.encoding().decode(frame), Ok(message));
    }
}

#[test]
fn control_frames_between_frames_change_nothing_of_them_however_they_are_cut() {
    for seed in 0..200 {
        let random = &mut Random::new(seed);
        let mut pair = Pair::open2();
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for number in 0..60u32 {
            match random.below(4) {
                0 => stream.extend(control(&Control::Ping([7; 8]))),
                1 => stream.extend(frame(200, &vec![9; random.below(300)])),
                _ => {
                    let mut body = number.to_le_bytes().to_vec();
                    body.resize(4 + random.below(3_000), 7);
                    stream.extend(frame(kind::BYTES, &body));
                    expected.push(Frame::new(body));
                }
            }
        }
        pair.cuts = Some(random.clone());
        pair.engine.takes = seed % 3 > 0;
        hear(&mut pair, &stream);
        pair.engine.takes = true;
        pair.run(false);
        assert!(pair.engine.received == expected, "{seed}");
        assert!(pair.engine.core.is_open());
        assert!(
            pair.engine
                .events
                .iter()
                .all(|event| *event != Event::Ended)
        );
    }
}
