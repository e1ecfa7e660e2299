//! Connections whose frames go to a handler.

use std::io::ErrorKind;
use std::time::Instant;

use masep_proto::connection::{Batch, Event, HandlerCall};
use masep_proto::protocol2::Notice;
use masep_proto::{CloseReason, Frame, Limits};

use super::pair::{Pair, Side};

/// Two sides of protocol 2, the engine with a handler that takes nothing yet.
fn handled(mut pair: Pair) -> Pair {
    pair.engine.core.set_handler();
    pair.engine.takes = false;
    pair
}

/// All that the handler is called for now; each call returns at once.
fn calls(side: &mut Side, now: Instant) -> Vec<(HandlerCall, Option<Frame>)> {
    let (mut batch, mut all) = (Batch::new(), Vec::new());
    loop {
        let mut frame = None;
        let next = side.core.next_for_handler(&mut batch, &mut frame, now);
        let Some(next) = next else {
            return all;
        };
        all.push((next, frame));
        if next == HandlerCall::End {
            return all;
        }
    }
}

#[test]
fn a_handler_gets_frames_in_order_and_then_the_end_and_notices_before_both() {
    let mut pair = handled(Pair::open2());
    assert!(!pair.engine.core.has_handler_call());
    for body in [b"one", b"two"] {
        pair.agent.send(body, pair.now).expect("it is open");
    }
    let notice = Notice::new("late", "");
    pair.agent
        .core
        .notice(notice, pair.now)
        .expect("it is open");
    pair.settle();
    assert!(pair.engine.core.has_handler_call());
    assert!(
        !pair.engine.events.contains(&Event::Frames),
        "it looks for them"
    );
    let frame = |body: &'static str| (HandlerCall::Frame, Some(Frame::from(body)));
    let told = calls(&mut pair.engine, pair.now);
    assert_eq!(
        told,
        [(HandlerCall::Notice, None), frame("one"), frame("two")]
    );
    assert!(!pair.engine.core.has_handler_call());

    pair.agent.send(b"last", pair.now).expect("it is open");
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    pair.settle();
    let told = calls(&mut pair.engine, pair.now);
    assert_eq!(told, [frame("last"), (HandlerCall::End, None)]);
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn after_an_abort_a_handler_gets_the_end_alone() {
    let mut pair = handled(Pair::open());
    pair.agent.send(b"late", pair.now).expect("it is open");
    pair.settle();
    pair.engine.core.abort(CloseReason::Shutdown, pair.now);
    let told = calls(&mut pair.engine, pair.now);
    assert_eq!(told, [(HandlerCall::End, None)]);
}

/// A peer that said `BYE` behind frames that nobody will handle would be told of success otherwise.
#[test]
fn one_that_is_aborted_before_its_handler_is_done_has_lost_frames() {
    for (takes, is_done, reason) in [
        (false, false, CloseReason::Shutdown),
        (true, false, CloseReason::Shutdown),
        (true, true, CloseReason::PeerBye),
    ] {
        let mut pair = handled(Pair::open());
        pair.agent.send(b"last", pair.now).expect("it is open");
        pair.agent.core.end(CloseReason::LocalBye, pair.now);
        pair.settle();
        assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
        let core = &mut pair.engine.core;
        let (mut batch, mut frame) = (Batch::new(), None);
        if takes {
            let next = core.next_for_handler(&mut batch, &mut frame, pair.now);
            assert_eq!(next, Some(HandlerCall::Frame));
        }
        if is_done {
            let next = core.next_for_handler(&mut batch, &mut frame, pair.now);
            assert_eq!(next, Some(HandlerCall::End));
        }
        core.abort(CloseReason::Shutdown, pair.now);
        assert_eq!(core.reason(), Some(&reason), "{takes} {is_done}");
        // Once more changes nothing.
        core.abort(CloseReason::Aborted, pair.now);
        assert_eq!(core.reason(), Some(&reason));
    }
}

#[test]
fn a_call_that_waits_is_given_up_at_once_when_this_side_ends_and_not_when_the_peer_does() {
    let mut pair = handled(Pair::open());
    pair.engine.core.handler_waits(pair.now);
    pair.agent.core.end(CloseReason::LocalBye, pair.now);
    pair.settle();
    assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
    assert!(!pair.engine.core.cancels_handler());

    let mut pair = handled(Pair::open());
    pair.engine.core.handler_waits(pair.now);
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    pair.settle();
    assert!(pair.engine.core.cancels_handler());
}

#[test]
fn behind_a_write_that_failed_a_call_is_given_up_after_the_write_time() {
    let write_time = Limits::default().write_time;
    for returns in [false, true] {
        let mut pair = handled(Pair::open());
        for body in [b"one", b"two"] {
            pair.agent.send(body, pair.now).expect("it is open");
        }
        pair.settle();
        pair.to_agent.fails = Some(ErrorKind::BrokenPipe);
        pair.engine.send(b"in vain", pair.now).expect("it is open");
        pair.settle();
        pair.now += write_time / 2;
        let core = &mut pair.engine.core;
        let (mut batch, mut frame) = (Batch::new(), None);
        let next = core.next_for_handler(&mut batch, &mut frame, pair.now);
        assert_eq!(next, Some(HandlerCall::Frame));
        core.handler_waits(pair.now);
        // It counts from the beginning of the call, which is later than the failure.
        let until = pair.now + write_time;
        core.handle_timeout(until - write_time / 4);
        assert!(!core.cancels_handler());
        assert!(core.deadline().is_some_and(|due| due <= until));
        core.handle_timeout(until);
        assert!(core.cancels_handler());
        core.handler_done(returns, until);
        let next = core.next_for_handler(&mut batch, &mut frame, until);
        let expected = if returns {
            HandlerCall::Frame
        } else {
            HandlerCall::End
        };
        assert_eq!(next, Some(expected));
    }
}
