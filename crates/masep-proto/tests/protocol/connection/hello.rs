//! The hello, the verdict, and refusals.

use std::time::Duration;

use masep_proto::admission::RejectReason;
use masep_proto::connection::{Action, Config, Event, HelloFailure, Protocols};
use masep_proto::{CloseReason, HelloError, Limit, Limits};

use super::pair::{Pair, exceeded};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"\x06\0engine\x03\0BYE";

/// A server's side whose peer the test plays.
fn engine() -> Pair {
    Pair::undecided(Protocols::Pymasep)
}

#[test]
fn an_id_that_no_peer_could_take_is_an_error() {
    let limits = Limits::default().id_bytes(5);
    assert!(matches!(
        Config::new("BYE", limits.clone()),
        Err(HelloError::Bye)
    ));
    assert!(matches!(
        Config::new("too long", limits),
        Err(HelloError::Limit(_))
    ));
}

#[test]
fn the_server_says_nothing_before_the_verdict_and_keeps_what_follows_the_hello() {
    let mut pair = engine();
    pair.to_engine.bytes.extend(b"\x05\0agent\x01\0x\x01\0y");
    pair.run(false);
    assert_eq!(pair.engine.events, [Event::Hello]);
    assert!(pair.written(false).is_empty());
    pair.wake_after(false, 60 * SECOND);
    assert_eq!(pair.engine.failure(), None, "the door minds the time");
    pair.engine.core.admit(pair.now);
    pair.run(false);
    assert_eq!(pair.written(false), b"\x06\0engine");
    assert_eq!(pair.engine.events[1], Event::Open);
    assert_eq!(pair.engine.received.len(), 2);
}

#[test]
fn little_is_read_of_a_peer_that_waits_for_a_verdict() {
    let mut pair = engine();
    pair.to_engine.bytes.extend(b"\x05\0agent");
    pair.run(false);
    pair.to_engine.bytes.extend(vec![0; 100_000]);
    pair.run(false);
    let read = 100_000 - pair.to_engine.bytes.len();
    assert!(read < 8 * 1024, "{read}");
}

#[test]
fn a_peer_that_is_refused_gets_our_hello_and_a_bye_when_its_own_is_whole() {
    for hear in [true, false] {
        let mut pair = engine();
        pair.to_engine.bytes.extend(b"\x05\0ag");
        pair.run(false);
        pair.engine.core.refuse(pair.now);
        pair.run(false);
        assert!(
            pair.written(false).is_empty(),
            "it is in the middle of a write"
        );
        if hear {
            pair.to_engine.bytes.extend(b"ent");
            pair.run(false);
        } else {
            pair.wake_after(false, 200 * MILLISECOND);
        }
        assert_eq!(pair.written(false), REFUSAL);
        assert_eq!(pair.engine.failure(), Some(HelloFailure::Refused));
        assert_eq!(pair.engine.reason(), None);
        pair.to_agent.bytes.clear();
        pair.run(false);
        assert_eq!(pair.engine.actions, [Action::HalfClose, Action::Close]);
    }
}

#[test]
fn one_that_is_refused_at_once_gets_what_its_stream_takes() {
    let mut pair = engine();
    pair.engine.core.abort(CloseReason::Aborted, pair.now);
    pair.run(false);
    assert_eq!(pair.written(false), REFUSAL);
    assert!(pair.engine.core.is_over());

    let mut pair = engine();
    pair.to_agent.capacity = 4;
    pair.engine.core.abort(CloseReason::Aborted, pair.now);
    pair.run(false);
    assert_eq!(pair.engine.actions, [Action::Reset]);
}

#[test]
fn a_refusal_that_is_not_taken_ends_after_a_second() {
    let mut pair = engine();
    pair.to_engine.bytes.extend(b"\x05\0agent");
    pair.run(false);
    pair.to_agent.capacity = 3;
    pair.engine.core.refuse(pair.now);
    pair.run(false);
    assert!(!pair.engine.core.is_over());
    pair.wake_after(false, SECOND);
    assert_eq!(pair.engine.actions, [Action::Reset]);
}

/// Frames of a peer that are no hello, and the reasons for which it is not taken.
#[test]
fn what_is_no_hello_is_refused_with_the_reason() {
    let id = |limit| RejectReason::Hello(HelloError::Limit(limit));
    for (bytes, shut, time, name) in [
        (&b""[..], false, 5, "hello_timeout"),
        (b"\x05\0ag", false, 5, "hello_timeout"),
        (b"", true, 0, "closed_before_hello"),
        (b"\x05\0ag", true, 0, "closed_before_hello"),
        (b"\x03\0BYE", false, 0, "closed_before_hello"),
        (b"\x01\0\xff", false, 0, "bad_hello"),
        (b"\x01\x04", false, 0, "bad_hello"),
    ] {
        let mut pair = engine();
        pair.to_engine.bytes.extend(bytes);
        pair.to_engine.shut = shut;
        pair.run(false);
        pair.wake_after(false, time * SECOND);
        let failure = pair.engine.failure().expect("it failed");
        let reason = RejectReason::from(failure);
        assert_eq!(reason.as_str(), name, "{bytes:?}");
        // One that is in the middle of its hello is let finish it.
        pair.wake_after(false, 200 * MILLISECOND);
        assert_eq!(pair.written(false), REFUSAL, "{bytes:?}");
        pair.to_agent.bytes.clear();
        pair.run(false);
        assert!(pair.engine.core.is_over());
        if bytes == b"\x01\x04" {
            let limit = exceeded(Limit::IdBytes, 1_025, 1_024);
            assert_eq!(reason, id(limit));
        }
    }
}

#[test]
fn a_reset_before_the_hello_is_answered_with_nothing() {
    let mut pair = engine();
    pair.to_engine.reset = true;
    pair.run(false);
    assert_eq!(pair.engine.failure(), Some(HelloFailure::Closed));
    assert_eq!(pair.engine.actions, [Action::Reset]);
}

#[test]
fn a_client_that_gives_up_has_said_hello_and_bye() {
    for (act, failure) in [
        ("time", HelloFailure::TimedOut(5 * SECOND)),
        ("end", HelloFailure::Refused),
        ("bye", HelloFailure::Bad(HelloError::Bye)),
        ("closed", HelloFailure::Closed),
    ] {
        let mut pair = Pair::new();
        pair.run(true);
        match act {
            "time" => {
                pair.now += 5 * SECOND;
                pair.agent.core.handle_timeout(pair.now);
            }
            "end" => pair.agent.core.end(CloseReason::LocalBye, pair.now),
            "bye" => pair.to_agent.bytes.extend(b"\x03\0BYE"),
            _ => pair.to_agent.shut = true,
        }
        pair.run(true);
        assert_eq!(pair.agent.failure(), Some(failure), "{act}");
        let written = pair.written(true);
        assert_eq!(written, b"\x05\0agent\x03\0BYE", "{act}");
    }
}

#[test]
fn a_bye_right_behind_the_servers_hello_is_a_rejection() {
    for (first, pause, looks, second, expected) in [
        (&b"\x01\0e\x03\0BYE"[..], 0, true, &b""[..], "rejected"),
        (b"\x01\0e", 199, true, b"\x03\0BYE", "rejected"),
        (b"\x01\0e", 200, true, b"\x03\0BYE", "peer_bye"),
        // A client that did not look cannot tell when it came.
        (b"\x01\0e", 10_000, false, b"\x03\0BYE", "rejected"),
        (b"\x01\0e\x01\0x\x03\0BYE", 0, true, b"", "peer_bye"),
        (b"\x01\0e\x01\0x", 1, true, b"\x03\0BYE", "peer_bye"),
    ] {
        let mut pair = Pair::new();
        pair.to_agent.bytes.extend(first);
        pair.run(true);
        pair.now += pause * MILLISECOND;
        if looks {
            pair.agent.core.handle_timeout(pair.now);
            pair.run(true);
        }
        pair.to_agent.bytes.extend(second);
        pair.run(true);
        let reason = pair.agent.reason().expect("it ended");
        assert_eq!(reason.as_str(), expected, "{first:?} {pause} {second:?}");
        assert_eq!(pair.agent.events[0], Event::Open);
    }
}

#[test]
fn a_peer_that_does_not_take_our_hello_is_gone() {
    let mut pair = engine();
    pair.to_agent.capacity = 2;
    pair.to_engine.bytes.extend(b"\x05\0agent");
    pair.run(false);
    pair.engine.core.admit(pair.now);
    pair.run(false);
    assert_eq!(pair.engine.events, [Event::Hello]);
    pair.wake_after(false, 5 * SECOND);
    assert_eq!(pair.engine.failure(), Some(HelloFailure::Closed));
    assert_eq!(pair.engine.actions, [Action::Reset]);
}
