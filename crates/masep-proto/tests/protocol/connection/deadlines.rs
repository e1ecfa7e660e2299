//! Steps that have a deadline.

use std::time::Duration;

use masep_proto::connection::{Action, Event, Protocols};
use masep_proto::{CloseReason, Limits};

use super::pair::{Pair, config};

const SECOND: Duration = Duration::from_secs(1);

/// One whose engine ends it after ten seconds of silence.
fn patient() -> Pair {
    let limits = Limits::default().idle_time(Some(10 * SECOND));
    let agent = config("agent", &Limits::default(), Protocols::Pymasep);
    let engine = config("engine", &limits, Protocols::Pymasep);
    let mut pair = Pair::with(agent, engine, 1 << 20);
    pair.settle();
    pair
}

#[test]
fn a_connection_that_is_open_and_idle_waits_for_nothing() {
    let pair = Pair::open();
    assert_eq!(pair.agent.core.deadline(), None);
    assert_eq!(pair.engine.core.deadline(), None);
}

#[test]
fn silence_ends_a_connection_when_nothing_has_arrived_by_then() {
    let mut pair = patient();
    pair.pass(9 * SECOND);
    pair.agent.send(b"alive", pair.now).unwrap();
    pair.pass(9 * SECOND);
    assert_eq!(pair.engine.reason(), None);
    pair.pass(SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::IdleTimeout));
    assert_eq!(pair.agent.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn what_has_arrived_when_the_time_is_over_is_no_silence() {
    let mut pair = patient();
    // The shell was busy elsewhere.
    pair.to_engine.bytes.extend(b"\x01\0x");
    pair.wake_after(false, 20 * SECOND);
    assert_eq!(pair.engine.reason(), None);
    assert_eq!(pair.engine.received.len(), 1);
}

#[test]
fn silence_counts_from_when_the_receiver_comes_back() {
    let mut pair = patient();
    pair.agent.send(b"question", pair.now).unwrap();
    pair.engine.takes = false;
    while pair.step(true) || pair.step(false) {}
    pair.engine
        .core
        .take_frames(&mut pair.engine.batch, pair.now);
    // The user thinks, and nobody drives the connection meanwhile.
    pair.now += 60 * SECOND;
    pair.engine.batch.clear();
    pair.engine.takes = true;
    pair.engine.take(pair.now);
    pair.run(false);
    assert_eq!(pair.engine.reason(), None);
    let due = pair.now + 10 * SECOND;
    assert_eq!(pair.engine.core.deadline(), Some(due));
}

/// The engine has more to write than the agent takes, for at most 30 s.
fn stuck() -> Pair {
    let limits = Limits::default().write_time(30 * SECOND);
    let mut pair = Pair::with_limits(&limits);
    pair.settle();
    pair.to_agent.capacity = 100;
    pair.engine.send(&[7; 1_000], pair.now).unwrap();
    pair.run(false);
    pair
}

#[test]
fn a_peer_that_takes_nothing_is_reset() {
    let mut pair = stuck();
    // It takes something now and then: that is enough.
    for _ in 0..5 {
        pair.now += 29 * SECOND;
        pair.engine.core.handle_timeout(pair.now);
        pair.to_agent.bytes.clear();
        pair.run(false);
        assert_eq!(pair.engine.reason(), None);
    }
    pair.wake_after(false, 30 * SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::WriteTimeout));
    assert_eq!(pair.engine.actions, [Action::Reset]);
}

#[test]
fn the_end_of_a_peer_that_takes_nothing_is_drained_for_a_second() {
    let mut pair = Pair::open();
    pair.to_agent.capacity = 1;
    pair.to_engine.shut = true;
    pair.engine.send(b"unsent", pair.now).unwrap();
    pair.run(false);
    assert!(pair.engine.events.contains(&Event::Ended), "receivers know");
    assert!(!pair.engine.events.contains(&Event::Closed));
    pair.wake_after(false, SECOND);
    assert_eq!(pair.engine.actions, [Action::Reset]);
    assert_eq!(
        pair.engine.reason(),
        Some(CloseReason::EndOfStream { mid_frame: false })
    );
}

#[test]
fn a_deadline_that_clocks_do_not_know_is_never() {
    let limits = Limits::default()
        .idle_time(Some(Duration::MAX))
        .write_time(Duration::MAX)
        .hello_time(Duration::MAX);
    let mut pair = Pair::with_limits(&limits);
    assert_eq!(pair.agent.core.deadline(), None);
    pair.settle();
    pair.to_agent.capacity = 1;
    pair.engine.send(b"some", pair.now).unwrap();
    pair.run(false);
    assert_eq!(pair.engine.core.deadline(), None);
}

#[test]
fn a_peer_that_took_a_little_is_not_given_up_though_no_room_was_told() {
    let mut pair = stuck();
    // A system tells of room when there is much.
    pair.to_agent.bytes.drain(..10);
    pair.wake_after(false, 30 * SECOND);
    assert_eq!(pair.engine.reason(), None);
    assert_eq!(pair.engine.core.deadline(), Some(pair.now + 30 * SECOND));
}
