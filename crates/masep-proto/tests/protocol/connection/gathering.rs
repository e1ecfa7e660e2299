//! Frames that a caller sends one right behind another, for shells whose calls write what they send.

use std::time::Duration;

use masep_proto::connection::{Gathered, Want, Write};
use masep_proto::{CloseReason, Frame, Limits};

use super::pair::{Pair, copy};

/// The time from one frame to the next of a caller that does nothing else.
const CLOSE: Duration = Duration::from_micros(2);
/// A time after which nothing that was gathered waits any more.
const LATER: Duration = Duration::from_millis(1);
/// Frames after which those of a caller that does nothing else are gathered.
const MANY: u32 = 100;

/// The engine's end, whose shell writes in the call that sends.
struct Caller {
    pair: Pair,
    sent: u32,
    gathered: u32,
}

impl Caller {
    fn new(mut pair: Pair) -> Self {
        pair.engine.core.set_gathering(true);
        Self {
            pair,
            sent: 0,
            gathered: 0,
        }
    }

    /// Sends the next frame, of four bytes and these, as a shell does; another one follows after this time.
    fn send(&mut self, padding: usize, pause: Duration) -> Gathered {
        let mut frame = Some(numbered(self.sent, padding));
        self.sent += 1;
        let core = &mut self.pair.engine.core;
        let mut outcome = Gathered::No;
        if core.may_gather() {
            outcome = core.gather(&mut frame, self.pair.now);
        }
        if outcome == Gathered::No {
            let transmit = core.send_alone(&mut frame).expect("nothing waits");
            let written = copy(&transmit, usize::MAX, &mut self.pair.to_agent.bytes);
            core.put_transmit(transmit, Write::Bytes(written), self.pair.now);
        } else {
            self.gathered += 1;
        }
        assert_eq!(frame, None);
        self.pair.now += pause;
        outcome
    }

    /// Sends until frames are gathered.
    fn send_until_gathered(&mut self) {
        while self.send(0, CLOSE) == Gathered::No {
            assert!(self.sent < MANY, "none is gathered");
        }
    }

    /// All frames so far have arrived, in their order.
    fn check_arrived(&mut self) {
        self.pair.settle();
        let sent = (0..self.sent).map(|number| numbered(number, 0));
        assert_eq!(self.pair.agent.received, sent.collect::<Vec<_>>());
    }
}

fn numbered(number: u32, padding: usize) -> Frame {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(4 + padding, 0);
    Frame::new(body)
}

#[test]
fn frames_one_right_behind_another_go_out_together_and_none_waits_for_long() {
    for open in [Pair::open, Pair::open2] {
        let mut caller = Caller::new(open());
        caller.send_until_gathered();
        let begun = caller.pair.now;
        assert_eq!(caller.send(0, CLOSE), Gathered::Waits);
        assert_eq!(caller.pair.engine.core.wants_write(), Want::Nothing);
        assert_eq!(caller.pair.engine.core.unsent(), 2);
        let due = caller.pair.engine.core.deadline().expect("they wait");
        assert!(due <= begun + Duration::from_micros(100));
        caller.pair.pass(LATER);
        caller.check_arrived();
        assert_eq!(caller.pair.engine.core.unsent(), 0);
        assert!(!caller.pair.engine.core.is_gathering());
    }
}

#[test]
fn as_long_as_the_caller_goes_on_one_write_follows_the_other() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    let direct = caller.sent - caller.gathered;
    for _ in 0..MANY {
        caller.send(0, CLOSE);
        caller.pair.pass(Duration::ZERO);
    }
    assert_eq!(caller.sent - caller.gathered, direct, "all others waited");
    assert!(caller.pair.engine.core.is_gathering());
    caller.pair.pass(LATER);
    caller.check_arrived();
}

#[test]
fn a_caller_that_waits_for_its_peer_or_takes_its_time_has_each_frame_written_at_once() {
    let mut caller = Caller::new(Pair::open2());
    for _ in 0..MANY {
        for _ in 0..3 {
            caller.send(0, CLOSE);
        }
        let now = caller.pair.now;
        caller.pair.agent.send(b"go on", now).expect("room");
        caller.pair.settle();
    }
    for _ in 0..MANY {
        caller.send(0, Duration::from_micros(20));
    }
    assert_eq!(caller.gathered, 0);
}

#[test]
fn nothing_is_gathered_for_a_shell_without_a_writer_or_to_a_peer_that_splits_its_frames() {
    let mut caller = Caller::new(Pair::open());
    caller.pair.engine.core.set_gathering(false);
    for _ in 0..MANY {
        caller.send(0, CLOSE);
    }
    assert_eq!(caller.gathered, 0);

    let mut caller = Caller::new(Pair::new());
    caller.pair.to_engine.bytes.extend(b"\x05\0");
    while caller.pair.step(false) {}
    while caller.pair.engine.core.deadline().is_some_and(|due| {
        caller.pair.now = due;
        !caller.pair.engine.core.peer_splits_frames()
    }) {
        let now = caller.pair.now;
        caller.pair.engine.core.handle_timeout(now);
        while caller.pair.step(false) {}
    }
    caller.pair.to_engine.bytes.extend(b"agent");
    while caller.pair.step(false) {}
    assert!(caller.pair.engine.core.peer_splits_frames());
    for _ in 0..MANY {
        let mut frame = Some(Frame::from("frame"));
        let now = caller.pair.now;
        assert!(!caller.pair.engine.core.may_gather());
        assert_eq!(
            caller.pair.engine.core.gather(&mut frame, now),
            Gathered::No
        );
    }
}

#[test]
fn a_caller_that_has_gathered_as_much_as_one_write_takes_writes_it() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    let core = &caller.pair.engine.core;
    assert!(core.has_gathering_room());
    for _ in 0..15 {
        let outcome = caller.send(4_000, Duration::ZERO);
        if outcome == Gathered::Full {
            break;
        }
        assert_eq!(outcome, Gathered::Waits);
    }
    let core = &caller.pair.engine.core;
    assert!(!core.has_gathering_room());
    assert_eq!(core.wants_write(), Want::Now);
    caller.pair.settle();
    assert_eq!(caller.pair.agent.received.len(), caller.sent as usize);
}

#[test]
fn a_large_frame_does_not_wait_for_others() {
    let mut caller = Caller::new(Pair::open2());
    for _ in 0..MANY {
        caller.send(20_000, CLOSE);
        caller.pair.settle();
    }
    assert_eq!(caller.gathered, 0);
}

#[test]
fn the_bounds_of_the_queue_hold_for_frames_that_wait_for_others() {
    let mut caller = Caller::new(Pair::open2_with(&Limits::default().queue_messages(3)));
    caller.send_until_gathered();
    assert_eq!(caller.send(0, CLOSE), Gathered::Waits);
    assert_eq!(caller.send(0, CLOSE), Gathered::Full);
    let (mut frame, now) = (Some(numbered(caller.sent, 0)), caller.pair.now);
    let outcome = caller.pair.engine.core.gather(&mut frame, now);
    assert_eq!((outcome, frame.is_some()), (Gathered::No, true));
    caller.check_arrived();
}

#[test]
fn a_call_that_waits_for_something_has_what_was_gathered_written() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    caller.pair.engine.core.stop_gathering();
    assert_eq!(caller.pair.engine.core.wants_write(), Want::Now);
    caller.check_arrived();
    assert_eq!(caller.send(0, CLOSE), Gathered::No, "it begins anew");
    caller.check_arrived();
}

#[test]
fn frames_that_wait_for_others_arrive_in_front_of_all_that_is_sent_behind_them() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    let now = caller.pair.now;
    let body = caller.sent.to_be_bytes();
    caller.pair.engine.send(&body, now).expect("room");
    caller.sent += 1;
    caller.pair.engine.core.end(CloseReason::LocalBye, now);
    caller.check_arrived();
    assert!(caller.pair.agent.reason().is_some_and(|it| it.is_orderly()));
}

#[test]
fn a_frame_is_not_taken_for_gathered_when_the_connection_has_ended() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    let (core, now) = (&mut caller.pair.engine.core, caller.pair.now);
    assert!(core.has_gathering_room());
    core.abort(CloseReason::Aborted, now);
    assert!(!core.has_gathering_room());
    let outcome = core.outcome_of(core.accepted());
    assert_eq!(outcome, Some(Err(CloseReason::Aborted)));
}

#[test]
fn a_control_frame_takes_what_was_gathered_along() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    let now = caller.pair.now;
    assert!(caller.pair.engine.core.ping(now));
    assert_eq!(caller.pair.engine.core.wants_write(), Want::Now);
    caller.check_arrived();
}

#[test]
fn a_stream_that_takes_nothing_keeps_what_was_gathered_until_it_does() {
    let mut caller = Caller::new(Pair::open2());
    caller.send_until_gathered();
    caller.pair.to_agent.capacity = 0;
    caller.pair.agent.takes = false;
    while caller.pair.step(true) {}
    caller.pair.now += LATER;
    let now = caller.pair.now;
    caller.pair.engine.core.handle_timeout(now);
    caller.pair.write(false);
    assert_eq!(caller.pair.engine.core.wants_write(), Want::Ready);
    let mut frame = Some(numbered(caller.sent, 0));
    let outcome = caller.pair.engine.core.gather(&mut frame, now);
    assert_eq!(outcome, Gathered::No, "the caller waits for room");
    caller.pair.to_agent.capacity = 1 << 20;
    caller.pair.agent.takes = true;
    caller.check_arrived();
}
