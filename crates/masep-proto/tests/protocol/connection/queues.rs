//! The queues of frames that wait to be sent and to be taken, their bounds, and the policies for full ones.

use std::time::Duration;

use masep_proto::connection::{Event, Protocols, PushError, Want, WhenFull};
use masep_proto::{CloseReason, Frame, Limit, Limits};

use super::pair::{Pair, config, exceeded};

fn limits() -> Limits {
    Limits::default().queue_messages(3).queue_bytes(1_000)
}

fn numbers(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.bytes()[0]).collect()
}

/// One whose engine cannot write, with one frame on its way.
fn blocked() -> Pair {
    let mut pair = Pair::with_limits(&limits());
    pair.settle();
    pair.to_agent.capacity = 0;
    pair.engine.send(&[0], pair.now).expect("there is room");
    pair.run(false);
    pair
}

#[test]
fn a_full_queue_refuses_and_tells_when_there_is_room() {
    let mut pair = blocked();
    for number in 1..4 {
        pair.engine.send(&[number], pair.now).unwrap();
    }
    let full = exceeded(Limit::QueueMessages, 4, 3);
    assert_eq!(pair.engine.send(&[4], pair.now), Err(PushError::Full(full)));
    pair.engine.events.clear();
    pair.to_agent.capacity = 100;
    pair.settle();
    assert!(pair.engine.events.contains(&Event::SendRoom));
    assert!(pair.engine.send(&[4], pair.now).is_ok());
    pair.settle();
    assert_eq!(numbers(&pair.agent.received), [0, 1, 2, 3, 4]);
}

#[test]
fn bytes_are_bounded_too_and_a_frame_of_any_size_fits_into_an_empty_queue() {
    let mut pair = blocked();
    pair.engine.send(&[1; 2_000], pair.now).unwrap();
    let Err(PushError::Full(limit)) = pair.engine.send(&[2], pair.now) else {
        panic!("it is full");
    };
    assert_eq!(limit.limit, Limit::QueueBytes);
}

#[test]
fn the_newest_wins_over_what_is_not_on_its_way() {
    for size in [1, 300, 5_000] {
        let mut pair = blocked();
        for number in 1..10 {
            let body = vec![number; size];
            let sent = pair.engine.send_or(&body, WhenFull::NewestWins, pair.now);
            assert!(sent.is_ok());
        }
        assert_eq!(pair.engine.core.accepted(), 10);
        pair.to_agent.capacity = 100_000;
        pair.settle();
        let kept = match size {
            1 => vec![0, 7, 8, 9],
            300 => vec![0, 7, 8, 9],
            _ => vec![0, 9],
        };
        assert_eq!(numbers(&pair.agent.received), kept, "{size} bytes");
        assert_eq!(pair.engine.core.written(), 10);
    }
}

#[test]
fn whoever_disconnects_a_slow_peer_drops_what_waits() {
    let mut pair = blocked();
    for number in 1..4 {
        pair.engine.send(&[number], pair.now).unwrap();
    }
    let refused = pair.engine.send_or(&[4], WhenFull::Disconnect, pair.now);
    let Err(PushError::Full(limit)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(pair.engine.reason(), Some(CloseReason::QueueFull(limit)));
    pair.to_agent.capacity = 100;
    pair.settle();
    assert_eq!(numbers(&pair.agent.received), [0]);
    assert_eq!(pair.agent.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn waiting_senders_learn_of_the_end() {
    let mut pair = blocked();
    for number in 1..4 {
        pair.engine.send(&[number], pair.now).unwrap();
    }
    assert!(pair.engine.send(&[4], pair.now).is_err());
    pair.engine.events.clear();
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    assert_eq!(pair.engine.core.poll_event(), Some(Event::SendRoom));
    let late = pair.engine.send(&[4], pair.now);
    assert_eq!(late, Err(PushError::Closed(CloseReason::LocalBye)));
}

#[test]
fn a_frame_that_is_too_large_is_refused_and_the_connection_lives_on() {
    let mut pair = Pair::open();
    let refused = pair.agent.send(&vec![0; 65_536], pair.now);
    let Err(PushError::TooLarge(limit)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((limit.actual, limit.allowed), (65_536, 65_535));
    pair.agent.send(b"fine", pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.engine.received, [Frame::from("fine")]);
}

#[test]
fn what_was_written_is_told_by_the_number_of_the_frame() {
    let mut pair = blocked();
    pair.engine.send(&[1], pair.now).unwrap();
    let number = pair.engine.core.accepted();
    assert_eq!(number, 2);
    pair.to_agent.capacity = 4;
    pair.run(false);
    assert_eq!(pair.engine.core.written(), 1, "the second in part");
    pair.to_agent.capacity = 100;
    pair.settle();
    assert_eq!(pair.engine.events.last(), Some(&Event::Written(2)));
}

#[test]
fn a_receiver_that_takes_nothing_stops_the_sender_and_loses_nothing() {
    let mut pair = Pair::with_limits(&limits());
    pair.settle();
    pair.engine.takes = false;
    let mut sent = 0_usize;
    while pair.agent.send(&sent.to_le_bytes(), pair.now).is_ok() {
        sent += 1;
        pair.to_engine.capacity = pair.to_engine.bytes.len() + 5;
        pair.run(true);
        pair.run(false);
        assert!(sent < 1_000);
    }
    assert!(pair.engine.core.frames() >= 3);
    assert_eq!(pair.engine.core.wants().read, Want::Nothing);
    // The end comes behind it.
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    pair.to_engine.capacity = 1 << 20;
    pair.engine.takes = true;
    pair.settle();
    assert_eq!(pair.engine.received.len(), sent);
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
}

/// A pair whose engine has a policy for frames that arrive.
fn with_policy(when_full: WhenFull) -> Pair {
    let agent = config("agent", &Limits::default(), Protocols::Pymasep);
    let engine = config("engine", &limits(), Protocols::Pymasep).when_full(when_full);
    let mut pair = Pair::with(agent, engine, 1 << 20);
    pair.settle();
    pair.pass(Duration::from_secs(1));
    pair.engine.takes = false;
    for number in 0..10 {
        pair.agent.send(&[number], pair.now).expect("there is room");
    }
    pair
}

#[test]
fn the_newest_frames_win_when_nobody_takes_them() {
    for cut in [false, true] {
        let mut pair = with_policy(WhenFull::NewestWins);
        if cut {
            pair.cuts = Some(super::pair::Random::new(7));
        }
        pair.settle();
        pair.engine.take(pair.now);
        assert_eq!(numbers(&pair.engine.received), [7, 8, 9]);
    }
}

#[test]
fn a_receiver_that_is_too_slow_is_disconnected_without_a_gap() {
    let mut pair = with_policy(WhenFull::Disconnect);
    pair.settle();
    pair.engine.take(pair.now);
    assert_eq!(numbers(&pair.engine.received), [0, 1, 2]);
    let full = exceeded(Limit::QueueMessages, 4, 3);
    assert_eq!(pair.engine.reason(), Some(CloseReason::QueueFull(full)));
    assert_eq!(pair.agent.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn without_a_receiver_frames_are_thrown_away_and_the_end_is_found() {
    let mut pair = Pair::with_limits(&limits());
    pair.settle();
    pair.engine.takes = false;
    pair.agent.send(b"1", pair.now).unwrap();
    pair.settle();
    pair.engine.core.ignore_frames();
    for number in 0..100 {
        pair.agent.send(&[number], pair.now).unwrap();
        pair.settle();
    }
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    pair.settle();
    pair.engine.take(pair.now);
    assert!(pair.engine.received.is_empty());
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn frames_that_came_before_the_end_can_be_taken_after_it() {
    let mut pair = Pair::open();
    pair.engine.takes = false;
    for number in 0..5 {
        pair.agent.send(&[number], pair.now).unwrap();
    }
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    pair.pass(Duration::from_secs(10));
    assert!(pair.engine.core.is_over());
    pair.engine.take(pair.now);
    assert_eq!(numbers(&pair.engine.received), [0, 1, 2, 3, 4]);
}

#[test]
fn a_room_hides_no_frame() {
    let mut pair = Pair::open();
    pair.engine.takes = false;
    pair.to_engine.bytes.extend(b"\x01\0a\x01\0b\x01");
    pair.run(false);
    let mut room = pair.engine.core.take_room().expect("it reads on");
    assert!(pair.engine.core.take_room().is_none(), "one at a time");
    pair.engine.take(pair.now);
    assert_eq!(pair.engine.received.len(), 2);
    room.fill(b"\0c");
    let read = masep_proto::connection::Read::Bytes;
    pair.engine.core.put_room(room, read, pair.now);
    pair.engine.take(pair.now);
    assert_eq!(pair.engine.received.len(), 3);
}
