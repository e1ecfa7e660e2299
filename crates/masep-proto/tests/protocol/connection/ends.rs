//! The reason of a connection's end, in every order of events, and the state in which its stream is left.

use std::io::ErrorKind;
use std::time::Duration;

use masep_proto::connection::{Action, Connection, Event, HelloFailure, Read, Write};
use masep_proto::{CloseReason, Frame, Limit, Limits};

use super::pair::{Pair, exceeded};

const SECOND: Duration = Duration::from_secs(1);

/// An act of the other end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Frame,
    Bye,
    /// It shuts the stream.
    End,
    /// It shuts the stream in the middle of a frame.
    Cut,
    Reset,
    /// It claims more than is allowed.
    TooLarge,
}

/// An act of this side, or a thing that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Nothing,
    /// It ends the connection before it reads.
    End,
    Abort,
    /// A write finds an error before anything is read.
    Fails,
    FailsByTime,
    /// It ends the connection, and its writes find an error.
    EndFails,
}

struct Case {
    peer: &'static [Peer],
    own: Own,
    reason: &'static str,
    frames: usize,
    actions: &'static [Action],
}

const IN_ORDER: &[Action] = &[Action::HalfClose, Action::Close];
const CLOSE: &[Action] = &[Action::Close];
const RESET: &[Action] = &[Action::Reset];

const fn case(
    peer: &'static [Peer],
    own: Own,
    reason: &'static str,
    frames: usize,
    actions: &'static [Action],
) -> Case {
    Case {
        peer,
        own,
        reason,
        frames,
        actions,
    }
}

/// The first thing that settles it counts, in the order of the stream; what this side does counts when its `BYE`
/// is sent. A write that fails counts when the rest was read without a `BYE` in it.
const CASES: &[Case] = {
    use Own::{Abort, EndFails, Fails, FailsByTime, Nothing};
    use Peer::{Bye, Cut, End, Frame, Reset, TooLarge};
    &[
        case(&[Frame, Bye], Nothing, "peer_bye", 1, IN_ORDER),
        case(&[Bye, Frame], Nothing, "peer_bye", 0, IN_ORDER),
        case(&[Frame, Bye, End], Nothing, "peer_bye", 1, IN_ORDER),
        case(&[Frame, Bye, Reset], Nothing, "peer_bye", 1, IN_ORDER),
        case(&[Frame, End], Nothing, "end_of_stream", 1, CLOSE),
        case(&[Frame, Cut], Nothing, "end_of_stream mid frame", 1, CLOSE),
        case(&[Frame, Reset], Nothing, "reset", 1, RESET),
        case(&[Frame, TooLarge], Nothing, "protocol_error", 1, &[]),
        case(&[Frame, TooLarge, Bye], Nothing, "protocol_error", 1, &[]),
        case(&[Frame, TooLarge, End], Nothing, "protocol_error", 1, CLOSE),
        // Frames that had arrived when this side ends count, and are delivered.
        case(&[], Own::End, "local_bye", 0, &[Action::HalfClose]),
        case(&[Frame], Own::End, "local_bye", 1, &[Action::HalfClose]),
        case(&[Frame, Bye], Own::End, "peer_bye", 1, IN_ORDER),
        case(&[Frame, End], Own::End, "end_of_stream", 1, CLOSE),
        case(&[Frame, Reset], Own::End, "reset", 1, RESET),
        // Unless it is aborted: then nothing is looked at any more.
        case(&[Frame], Abort, "aborted", 0, IN_ORDER),
        case(&[Frame, Bye], Abort, "aborted", 0, IN_ORDER),
        case(&[Frame, End], Abort, "aborted", 0, IN_ORDER),
        // A write that fails: what came before is read, and a `BYE` in it is the reason.
        case(&[], Fails, "reset", 0, RESET),
        case(&[Frame], Fails, "reset", 1, RESET),
        case(&[Frame, Bye], Fails, "peer_bye", 1, IN_ORDER),
        case(&[Frame, End], Fails, "reset", 1, RESET),
        case(&[Frame, Cut], Fails, "reset", 1, RESET),
        case(&[Frame, Bye, Reset], Fails, "peer_bye", 1, IN_ORDER),
        case(&[Frame, Reset], Fails, "reset", 1, RESET),
        case(&[Frame, TooLarge], Fails, "reset", 1, RESET),
        case(&[Frame, Bye], FailsByTime, "write_timeout", 0, RESET),
        case(&[Frame], EndFails, "reset", 1, RESET),
        case(&[Frame, Bye], EndFails, "peer_bye", 1, IN_ORDER),
        case(&[Frame, End], EndFails, "end_of_stream", 1, RESET),
    ]
};

fn name(reason: &CloseReason) -> String {
    match reason {
        CloseReason::EndOfStream { mid_frame: true } => format!("{} mid frame", reason.as_str()),
        reason => reason.as_str().to_owned(),
    }
}

fn play(case: &Case) -> Pair {
    let mut pair = Pair::open_with(&Limits::default().frame_bytes(1_000));
    // The agent's part is ours: it would end too.
    let pipe = &mut pair.to_engine;
    for act in case.peer {
        match act {
            Peer::Frame => pipe.bytes.extend(b"\x05\0frame"),
            Peer::Bye => pipe.bytes.extend(b"\x03\0BYE"),
            Peer::TooLarge => pipe.bytes.extend(b"\xff\xff"),
            Peer::Cut => {
                pipe.bytes.extend(b"\x05\0fr");
                pipe.shut = true;
            }
            Peer::End => pipe.shut = true,
            Peer::Reset => pipe.reset = true,
        }
    }
    let engine = &mut pair.engine;
    match case.own {
        Own::Nothing => {}
        Own::End => engine.core.end(CloseReason::LocalBye, pair.now),
        Own::Abort => engine.core.abort(CloseReason::Aborted, pair.now),
        Own::Fails => pair.to_agent.fails = Some(ErrorKind::BrokenPipe),
        Own::FailsByTime => pair.to_agent.fails = Some(ErrorKind::HostUnreachable),
        Own::EndFails => {
            pair.to_agent.fails = Some(ErrorKind::ConnectionReset);
            engine.core.end(CloseReason::LocalBye, pair.now);
        }
    }
    if matches!(case.own, Own::Fails | Own::FailsByTime) {
        engine.send(b"in vain", pair.now).expect("there is room");
        pair.write(false);
    }
    pair.run(false);
    pair
}

#[test]
fn each_order_of_what_can_happen_has_one_reason() {
    for case in CASES {
        let told = format!("{:?}, {:?}", case.peer, case.own);
        let mut pair = play(case);
        if pair.engine.reason().is_none() {
            // It is settled when all is sent.
            pair.to_agent.bytes.clear();
            pair.run(false);
        }
        let reason = pair
            .engine
            .reason()
            .unwrap_or_else(|| panic!("{told}: none"));
        assert_eq!(name(&reason), case.reason, "{told}");
        assert_eq!(pair.engine.received.len(), case.frames, "{told}");
        assert_eq!(pair.engine.actions, case.actions, "{told}");
    }
}

#[test]
fn a_peer_that_only_shuts_its_side_gets_what_is_queued_and_a_bye() {
    for (bytes, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true)] {
        let mut pair = Pair::open();
        pair.to_engine.bytes.extend(bytes);
        pair.to_engine.shut = true;
        pair.engine.send(b"still yours", pair.now).unwrap();
        pair.run(false);
        assert_eq!(pair.written(false), b"\x0b\0still yours\x03\0BYE");
        assert!(pair.engine.core.has_said_bye());
        pair.settle();
        let end = CloseReason::EndOfStream { mid_frame };
        assert_eq!(pair.engine.reason(), Some(end));
        assert!(pair.engine.core.is_over());
        assert_eq!(pair.agent.received, [Frame::from("still yours")]);
    }
}

#[test]
fn a_peer_that_said_bye_gets_nothing_more() {
    let mut pair = Pair::open();
    pair.to_engine.bytes.extend(b"\x03\0BYE");
    pair.engine.send(b"too late", pair.now).unwrap();
    // It reads before it writes.
    pair.run(false);
    assert!(pair.to_agent.bytes.is_empty());
    assert!(pair.to_agent.shut);
}

#[test]
fn an_orderly_end_hears_the_peer_out_but_not_for_ever() {
    let mut pair = Pair::open();
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    pair.run(false);
    assert!(!pair.engine.events.contains(&Event::Closed), "it is unsent");
    // The peer reads it, but does not close.
    pair.to_agent.bytes.clear();
    pair.to_engine.bytes.extend(b"\x01\0x");
    pair.run(false);
    assert_eq!(pair.engine.events.last(), Some(&Event::Closed));
    assert_eq!(pair.engine.actions, [Action::HalfClose]);
    assert!(
        pair.engine.received.is_empty(),
        "nothing is heard behind a BYE"
    );
    pair.wake_after(false, SECOND);
    assert_eq!(pair.engine.actions, IN_ORDER);
    assert_eq!(pair.engine.events.last(), Some(&Event::Over));
}

#[test]
fn the_bye_of_a_peer_that_reads_nothing_is_awaited_for_a_second() {
    let mut pair = Pair::open();
    pair.engine.core.end(CloseReason::Shutdown, pair.now);
    pair.run(false);
    assert!(pair.engine.core.wants().sent);
    for expected in [Event::Closed, Event::Over] {
        pair.wake_after(false, SECOND);
        assert_eq!(pair.engine.events.last(), Some(&expected));
    }
    assert_eq!(pair.engine.reason(), Some(CloseReason::Shutdown));
}

#[test]
fn whoever_is_replaced_makes_room_at_once() {
    let mut pair = Pair::open();
    pair.engine.core.end(CloseReason::Replaced, pair.now);
    pair.run(false);
    assert!(pair.engine.core.is_over());
    assert!(pair.to_agent.bytes.iter().eq(b"\x03\0BYE"));
}

#[test]
fn an_abort_says_bye_behind_a_frame_in_part_or_resets() {
    for (room, reset) in [(10, false), (3, true)] {
        let mut pair = Pair::open();
        pair.to_agent.capacity = 2;
        pair.engine.send(b"abc", pair.now).unwrap();
        pair.run(false);
        pair.engine.send(b"never sent", pair.now).unwrap();
        pair.engine.core.abort(CloseReason::Shutdown, pair.now);
        pair.to_agent.capacity += room;
        pair.run(false);
        let sent = pair.written(false);
        let action = if reset {
            assert_eq!(sent, b"\x03\0abc");
            RESET
        } else {
            assert_eq!(sent, b"\x03\0abc\x03\0BYE");
            IN_ORDER
        };
        assert_eq!(pair.engine.actions, action);
        assert_eq!(pair.engine.reason(), Some(CloseReason::Shutdown));
    }
}

#[test]
fn an_abort_at_any_moment_ends_without_a_wait() {
    for steps in 0..40 {
        for engine in [false, true] {
            let mut pair = Pair::new();
            pair.to_agent.capacity = 8;
            pair.to_engine.capacity = 8;
            for step in 0..steps {
                pair.step(step % 2 == 0);
                if step == 20 {
                    let _ = pair.engine.send(&[1; 50], pair.now);
                    pair.engine.core.end(CloseReason::LocalBye, pair.now);
                }
            }
            let side = if engine {
                &mut pair.engine
            } else {
                &mut pair.agent
            };
            side.core.abort(CloseReason::Aborted, pair.now);
            // As a shell does that must not wait: the peer does nothing meanwhile.
            while pair.step(!engine) {}
            let side = if engine { &pair.engine } else { &pair.agent };
            assert!(side.core.is_over(), "{steps} steps: {side:?}");
        }
    }
}

#[test]
fn the_first_reason_of_ours_counts() {
    let mut pair = Pair::open();
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    pair.engine.core.end(CloseReason::Shutdown, pair.now);
    pair.engine.core.abort(CloseReason::Replaced, pair.now);
    pair.run(false);
    assert_eq!(pair.engine.reason(), Some(CloseReason::LocalBye));
}

#[test]
fn a_frame_of_bye_is_the_end_and_one_that_is_sent_again_changes_nothing() {
    let mut pair = Pair::open();
    pair.agent.send(b"before", pair.now).unwrap();
    for _ in 0..3 {
        assert!(pair.agent.send(b"BYE", pair.now).is_ok());
        assert!(pair.agent.send(b"behind", pair.now).is_err());
        pair.run(true);
    }
    assert_eq!(pair.written(true), b"\x06\0before\x03\0BYE");
    pair.settle();
    assert_eq!(pair.engine.received, [Frame::from("before")]);
    assert_eq!(pair.agent.reason(), Some(CloseReason::LocalBye));
}

#[test]
fn a_claim_that_is_too_large_names_both_sizes() {
    let mut pair = Pair::open_with(&Limits::default().frame_bytes(10));
    pair.to_engine.bytes.extend(b"\x0b\0");
    pair.settle();
    let limit = exceeded(Limit::FrameBytes, 11, 10);
    assert_eq!(
        pair.engine.reason(),
        Some(CloseReason::ProtocolError(limit))
    );
    assert_eq!(pair.agent.reason(), Some(CloseReason::PeerBye));
}

#[test]
fn the_end_of_the_peer_that_answers_our_bye_is_not_the_reason() {
    for (taken, expected) in [
        (usize::MAX, CloseReason::LocalBye),
        (1, CloseReason::EndOfStream { mid_frame: false }),
    ] {
        let mut pair = Pair::open();
        let now = pair.now;
        pair.engine.core.end(CloseReason::LocalBye, now);
        // Nothing has arrived before.
        let room = pair.engine.core.take_room().expect("room");
        pair.engine.core.put_room(room, Read::Blocked, now);
        let transmit = pair.engine.core.take_transmit().expect("a BYE");
        // The peer has read it, and closes, before the call that writes it has returned.
        let room = pair.engine.core.take_room().expect("room");
        pair.engine.core.put_room(room, Read::End, now);
        assert_eq!(pair.engine.core.reason(), None);
        let written = transmit.len().min(taken);
        pair.engine
            .core
            .put_transmit(transmit, Write::Bytes(written), now);
        assert_eq!(pair.engine.reason(), Some(expected));
    }
}

#[test]
fn an_end_that_nobody_waits_for_takes_a_second_at_most() {
    let mut pair = Pair::open();
    pair.to_agent.capacity = 1;
    pair.engine.send(b"unsent", pair.now).unwrap();
    pair.run(false);
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    pair.engine.core.hasten(pair.now);
    pair.run(false);
    assert_eq!(pair.engine.reason(), Some(CloseReason::LocalBye));
    assert!(!pair.engine.events.contains(&Event::Closed));
    pair.wake_after(false, SECOND);
    assert_eq!(pair.engine.actions, [Action::Reset]);
    assert!(!pair.engine.core.has_said_bye());
}

#[test]
fn a_peer_that_is_sent_away_has_a_second_for_its_last_frames_and_is_aborted_then() {
    let sent_away = |ends_before| {
        let mut pair = Pair::open();
        pair.to_agent.capacity = 1;
        pair.engine.send(b"unsent", pair.now).unwrap();
        pair.run(false);
        if ends_before {
            pair.engine.core.end(CloseReason::LocalBye, pair.now);
        }
        pair.engine.core.send_away(CloseReason::Kicked, pair.now);
        pair.run(false);
        assert_eq!(pair.engine.reason(), None);
        pair.now += SECOND;
        pair
    };
    for ends_before in [false, true] {
        let mut pair = sent_away(ends_before);
        pair.engine.core.handle_timeout(pair.now);
        pair.run(false);
        assert_eq!(pair.engine.reason(), Some(CloseReason::Kicked));
        assert_eq!(pair.engine.actions, [Action::Reset]);
        assert!(!pair.engine.core.has_said_bye());

        let mut pair = sent_away(ends_before);
        pair.to_agent.capacity = 1 << 20;
        pair.settle();
        assert_eq!(pair.agent.received, [Frame::new("unsent")]);
        assert_eq!(pair.engine.reason(), Some(CloseReason::Kicked));
        assert!(pair.engine.core.has_said_bye());
    }
}

#[test]
fn a_peer_that_is_sent_away_before_it_has_taken_our_hello_has_a_second_too() {
    // The second one takes the hello, and not the BYE.
    for (capacity, failure, reason) in [
        (1, Some(HelloFailure::Closed), None),
        (b"\x06\0engine\x03".len(), None, Some(CloseReason::Kicked)),
    ] {
        let mut pair = Pair::new();
        pair.to_agent.capacity = 1;
        pair.step(true);
        pair.run(false);
        pair.engine.core.send_away(CloseReason::Kicked, pair.now);
        pair.to_agent.capacity = capacity;
        pair.run(false);
        pair.wake_after(false, SECOND);
        assert_eq!(pair.engine.failure(), failure);
        assert_eq!(pair.engine.reason(), reason);
        assert_eq!(pair.engine.actions, [Action::Reset]);
    }
}

#[test]
fn a_reset_before_our_bye_was_sent_is_no_orderly_end() {
    let mut pair = Pair::open();
    pair.engine.send(b"last", pair.now).unwrap();
    pair.engine.core.end(CloseReason::LocalBye, pair.now);
    // Written, and still here.
    while pair.to_agent.bytes.len() < b"\x04\0last\x03\0BYE".len() {
        pair.step(false);
    }
    assert_eq!(pair.engine.reason(), None);
    pair.to_engine.reset = true;
    pair.run(false);
    assert_eq!(pair.engine.reason(), Some(CloseReason::Reset));
}

#[test]
fn frames_that_the_stream_took_count_as_written_though_the_end_came_meanwhile() {
    for (taken, written) in [(0, 0), (4, 1), (5, 1), (6, 2)] {
        let mut pair = Pair::open();
        pair.agent.send(b"1", pair.now).unwrap();
        pair.agent.send(b"2", pair.now).unwrap();
        let core = &mut pair.agent.core;
        let transmit = core.take_transmit().expect("two frames");
        let mut room = core.take_room().expect("it reads");
        room.fill(b"\x03\0BYE");
        core.put_room(room, Read::Bytes, pair.now);
        assert_eq!(core.reason(), Some(&CloseReason::PeerBye));
        // Not before it is known what was written: an end is told with the number of frames that were not.
        assert!(!events(core).contains(&Event::Closed));
        core.put_transmit(transmit, Write::Bytes(taken), pair.now);
        assert_eq!(core.written(), written, "{taken} bytes");
        assert!(events(core).contains(&Event::Closed));
    }
}

/// The events that are there to be taken.
fn events(core: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| core.poll_event()).collect()
}

#[test]
fn a_lost_frame_is_the_reason_however_the_connection_has_ended_meanwhile() {
    let lost = CloseReason::QueueFull(exceeded(Limit::QueueMessages, 2, 1));
    let own_end: fn(&mut Pair) = |pair| pair.engine.core.end(CloseReason::LocalBye, pair.now);
    let peers_end: fn(&mut Pair) = |pair| {
        pair.agent.core.end(CloseReason::LocalBye, pair.now);
        while pair.step(true) || pair.step(false) {}
    };
    for end in [own_end, peers_end, |_| {}] {
        let mut pair = Pair::open();
        pair.agent.send(b"1", pair.now).unwrap();
        while pair.step(true) || pair.step(false) {}
        end(&mut pair);
        pair.engine.core.lose(lost.clone(), pair.now);
        pair.settle();
        assert_eq!(pair.engine.reason(), Some(lost.clone()));
        assert!(pair.engine.core.is_over());
    }
}

#[test]
fn a_report_tells_those_who_got_all_from_those_who_were_cut_off_and_those_who_left() {
    let mut told = Pair::open();
    told.engine.send(b"last", told.now).expect("it is open");
    assert_eq!(told.engine.core.was_told(), Some(false));
    told.engine.core.end(CloseReason::Shutdown, told.now);
    told.settle();
    assert_eq!(told.engine.core.was_told(), Some(true));

    let mut left = Pair::open();
    left.agent.core.end(CloseReason::LocalBye, left.now);
    left.settle();
    assert_eq!(left.engine.core.was_told(), None);

    // It takes nothing, and is aborted.
    let mut cut = Pair::open();
    cut.to_agent.capacity = 0;
    cut.engine.send(b"last", cut.now).expect("it is open");
    cut.engine.core.end(CloseReason::Shutdown, cut.now);
    cut.settle();
    assert_eq!(cut.engine.core.was_told(), Some(false), "not yet");
    cut.engine.core.abort(CloseReason::Shutdown, cut.now);
    cut.settle();
    assert_eq!(cut.engine.core.was_told(), Some(false));

    // It has shut its side, and is told as long as it takes something.
    let mut shut = Pair::open();
    shut.to_engine.shut = true;
    shut.settle();
    assert_eq!(
        shut.engine.reason(),
        Some(CloseReason::EndOfStream { mid_frame: false })
    );
    assert_eq!(shut.engine.core.was_told(), Some(true));

    // It is gone: the BYE finds nobody, which is a loss only of frames.
    for (frames, was_told) in [(0, None), (1, Some(false))] {
        let mut gone = Pair::open();
        gone.to_agent.capacity = 0;
        for _ in 0..frames {
            gone.engine.send(b"last", gone.now).expect("it is open");
        }
        gone.to_engine.shut = true;
        gone.settle();
        assert_eq!(gone.engine.core.was_told(), was_told, "{frames} frames");
        gone.engine.core.abort(CloseReason::Shutdown, gone.now);
        gone.settle();
        assert_eq!(gone.engine.core.was_told(), was_told, "{frames} frames");
    }
}
