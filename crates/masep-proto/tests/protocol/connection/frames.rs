//! Hello, frames in both directions, and ends in order.

use masep_proto::connection::{Action, Event, Pushed};
use masep_proto::{CloseReason, Frame};

use super::pair::{Pair, Random};

#[test]
fn both_sides_learn_the_others_id() {
    let pair = Pair::open();
    assert_eq!(pair.agent.core.peer().unwrap().as_str(), "engine");
    assert_eq!(pair.engine.core.peer().unwrap().as_str(), "agent");
    assert_eq!(pair.agent.events, [Event::Open]);
    assert_eq!(pair.engine.events, [Event::Hello, Event::Open]);
}

#[test]
fn frames_of_all_sizes_arrive_however_the_stream_is_cut() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut pair = Pair::new();
        pair.to_agent.capacity = 1 + random.below(100_000);
        pair.to_engine.capacity = 1 + random.below(100_000);
        pair.cuts = Some(random.clone());
        pair.settle();
        let mut sent = (Vec::new(), Vec::new());
        for number in 0..30 {
            let size = [3, 300, 2_000, 70_000][random.below(4)];
            let body = vec![number; random.below(size).min(65_535)];
            if random.below(2) == 0 {
                sent.0.push(Frame::from(body.clone()));
                pair.agent.send(&body, pair.now).unwrap();
            } else {
                sent.1.push(Frame::from(body.clone()));
                pair.engine.send(&body, pair.now).unwrap();
            }
            for _ in 0..random.below(20) {
                pair.step(random.below(2) == 0);
            }
        }
        pair.settle();
        assert!(pair.engine.received == sent.0, "seed {seed}");
        assert!(pair.agent.received == sent.1, "seed {seed}");
    }
}

#[test]
fn a_bye_follows_what_is_queued_and_ends_both_sides() {
    let mut pair = Pair::open();
    for number in 0..10 {
        pair.agent.send(&[number; 600], pair.now).unwrap();
    }
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    assert!(pair.agent.send(b"late", pair.now).is_err());
    pair.settle();
    assert_eq!(pair.engine.received.len(), 10);
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
    assert_eq!(pair.agent.reason(), Some(CloseReason::LocalBye));
    let end = [Event::Written(10), Event::Ended, Event::Closed, Event::Over];
    assert_eq!(pair.agent.events[1..], end);
    // The engine has closed before all was known to be sent.
    assert_eq!(pair.agent.actions, [Action::Close]);
    assert_eq!(pair.engine.actions, [Action::HalfClose, Action::Close]);
    assert!(pair.agent.core.is_over() && pair.engine.core.is_over());
}

#[test]
fn who_sends_alone_writes_at_once_and_others_leave_it_to_a_writer() {
    let mut pair = Pair::open();
    assert_eq!(pair.agent.send(b"1", pair.now), Ok(Pushed::WriteNow));
    assert_eq!(pair.agent.send(b"2", pair.now), Ok(Pushed::Queued));
    pair.run(true);
    assert_eq!(pair.agent.send(b"3", pair.now), Ok(Pushed::WakeWriter));
    pair.engine.send(b"answer", pair.now).unwrap();
    pair.settle();
    assert_eq!(pair.agent.send(b"4", pair.now), Ok(Pushed::WriteNow));
}
