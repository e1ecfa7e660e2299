//! Frames that are accepted, and when they count as written.

use std::io::ErrorKind;

use masep_proto::connection::{Event, Protocols, Read, Write};
use masep_proto::{CloseReason, Frame};

use super::pair::Pair;

#[test]
fn a_frame_that_is_sent_as_soon_as_the_peer_is_admitted_follows_our_hello() {
    let mut pair = Pair::undecided(Protocols::Pymasep);
    pair.settle();
    assert!(!pair.engine.core.is_open());
    assert!(pair.engine.send(b"early", pair.now).is_err());
    pair.engine.core.admit(pair.now);
    assert!(pair.engine.core.is_open());
    pair.engine.send(b"first", pair.now).unwrap();
    pair.settle();
    assert!(pair.engine.events.contains(&Event::Open));
    assert_eq!(pair.agent.core.peer().unwrap().as_str(), "engine");
    assert_eq!(pair.agent.received, [Frame::from("first")]);
}

/// This holds for frames that are copied and for shared ones, however little the stream takes at once.
#[test]
fn frames_of_which_the_last_byte_is_written_are_written() {
    for (size, capacity) in [
        (3, 1),
        (10, 7),
        (5_000, 1_234),
        (20_000, 50_000),
        (300, 299),
    ] {
        let mut pair = Pair::open();
        pair.to_engine.capacity = capacity;
        const COUNT: usize = 40;
        for number in 0..COUNT {
            pair.agent.send(&vec![7; size + number], pair.now).unwrap();
        }
        let (mut ends, mut end) = (Vec::new(), 0);
        for number in 0..COUNT {
            end += 2 + size + number;
            ends.push(end);
        }
        let mut gone = 0;
        while pair.agent.core.written() < COUNT as u64 {
            pair.write(true);
            gone += pair.to_engine.bytes.len();
            pair.to_engine.bytes.clear();
            let written = ends.iter().filter(|end| **end <= gone).count();
            assert_eq!(
                pair.agent.core.written(),
                written as u64,
                "{gone} of {size}"
            );
        }
    }
}

/// The frame is in the room that is out while the connection opens, and that comes back with nothing else.
#[test]
fn a_frame_behind_the_hello_is_not_overlooked_by_a_read_that_goes_on_while_our_hello_is_written() {
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        for (read, reason) in [
            (Read::Blocked, None),
            (Read::Bytes, None),
            (
                Read::End,
                Some(CloseReason::EndOfStream { mid_frame: false }),
            ),
        ] {
            let mut agent = Pair::speaking(protocols, protocols);
            agent.settle();
            agent.agent.send(b"one", agent.now).expect("it is open");
            let mut pair = Pair::speaking(protocols, protocols);
            pair.engine.admits = false;
            pair.settle();
            agent.write(true);
            pair.to_engine.bytes = std::mem::take(&mut agent.to_engine.bytes);
            pair.run(false);
            let (core, now) = (&mut pair.engine.core, pair.now);
            let room = core.take_room().expect("it reads ahead");
            core.admit(now);
            let hello = core.take_transmit().expect("our hello");
            let written = Write::Bytes(hello.len());
            core.put_transmit(hello, written, now);
            assert!(core.was_open() && core.frames() == 0);
            core.put_room(room, read, now);
            pair.engine.take(now);
            assert_eq!(pair.engine.received, [Frame::from("one")]);
            assert_eq!(pair.engine.reason(), reason);
        }
    }
}

/// The peer reads our hello and leaves before the write of it has come back: it was taken, and has left.
#[test]
fn a_peer_that_leaves_while_our_hello_is_being_written_was_taken() {
    for (end, reason) in [
        (Read::End, CloseReason::EndOfStream { mid_frame: false }),
        (Read::Failed(ErrorKind::ConnectionReset), CloseReason::Reset),
    ] {
        let mut pair = Pair::undecided(Protocols::Pymasep);
        pair.settle();
        let (core, now) = (&mut pair.engine.core, pair.now);
        core.admit(now);
        let hello = core.take_transmit().expect("our hello");
        let room = core.take_room().expect("it reads");
        core.put_room(room, end, now);
        assert!(core.failure().is_none());
        let written = Write::Bytes(hello.len());
        core.put_transmit(hello, written, now);
        let mut told = Vec::new();
        while let Some(event) = core.poll_event() {
            told.push(event);
        }
        assert_eq!(told.first(), Some(&Event::Open), "{told:?}");
        pair.run(false);
        assert_eq!(pair.engine.core.reason(), Some(&reason));
        assert!(pair.engine.core.failure().is_none());
    }
}
