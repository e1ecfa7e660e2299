//! The bounds on what a peer may send in a second: the rest waits, exactly as long as it must, and so does the peer.

use std::time::{Duration, Instant};

use masep_proto::connection::{Protocols, Want, WhenFull};
use masep_proto::protocol2::{Control, Notice, kind};
use masep_proto::{CloseReason, Limit, Limits};

use super::pair::{Pair, Random, config, exceeded};
use crate::wire::{control, frame};

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const EVER: Duration = Duration::from_secs(1_000_000);

/// One that has shaken hands, a second ago, of which the engine has these bounds.
fn open(protocols: Protocols, limits: &Limits) -> Pair {
    let of_agent = Limits::default().queue_messages(1 << 20);
    let config = |id, limits| config(id, limits, protocols);
    let mut pair = Pair::with(
        config("agent", &of_agent),
        config("engine", limits),
        1 << 24,
    );
    pair.pass(SECOND);
    assert!(pair.agent.core.is_open() && pair.engine.core.is_open());
    pair
}

fn messages(rate: u32) -> Limits {
    Limits::default().messages_per_second(Some(rate))
}

fn bytes(rate: u64) -> Limits {
    Limits::default().bytes_per_second(Some(rate))
}

impl Pair {
    /// Has the agent send so many frames, each with its number.
    fn flood(&mut self, frames: u32) {
        for number in 0..frames {
            let sent = self.agent.send(&number.to_be_bytes(), self.now);
            sent.expect("there is room");
        }
    }

    fn arrived(&self) -> usize {
        self.engine.received.len()
    }

    /// The numbers of the frames that have come are those from 0 on.
    fn check_order(&self) {
        for (number, frame) in (0_u32..).zip(&self.engine.received) {
            assert_eq!(&**frame.bytes(), &number.to_be_bytes());
        }
    }
}

#[test]
fn a_seconds_worth_comes_at_once_and_each_other_frame_exactly_in_its_time() {
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        let mut pair = open(protocols, &messages(3));
        pair.flood(10);
        pair.settle();
        assert_eq!(pair.arrived(), 3);
        let begin = pair.now;
        for more in 1..=7_u32 {
            assert_eq!(pair.engine.core.wants().read, Want::Nothing);
            assert!(pair.engine.core.take_room().is_none());
            // Rounded up to whole nanoseconds.
            let due = begin + SECOND * more / 3 + NANO * u32::from(more % 3 > 0);
            assert!(pair.engine.core.deadline().is_some_and(|at| at == due));
            pair.pass(due - NANO - pair.now);
            assert_eq!(pair.arrived(), 2 + more as usize);
            pair.pass(NANO);
            assert_eq!(pair.arrived(), 3 + more as usize);
        }
        assert_eq!(pair.engine.core.wants().read, Want::Ready);
        pair.check_order();
        // It has been quiet for a second: there is a second's worth again, and no more.
        pair.pass(60 * SECOND);
        pair.flood(10);
        pair.settle();
        assert_eq!(pair.arrived(), 13);
        assert_eq!(pair.engine.reason(), None);
    }
}

#[test]
fn bytes_count_with_their_headers_and_a_frame_of_more_comes_alone() {
    let mut pair = open(Protocols::Pymasep, &bytes(100));
    let send = |pair: &mut Pair, size| {
        let sent = pair.agent.send(&vec![7; size], pair.now);
        sent.expect("there is room");
        pair.settle();
    };
    for _ in 0..3 {
        send(&mut pair, 48);
    }
    assert_eq!(pair.arrived(), 2);
    pair.pass(SECOND / 2 - NANO);
    assert_eq!(pair.arrived(), 2);
    pair.pass(NANO);
    assert_eq!(pair.arrived(), 3);

    // 300 bytes: when as much as can be has built up.
    send(&mut pair, 298);
    pair.pass(SECOND - NANO);
    assert_eq!(pair.arrived(), 3);
    pair.pass(NANO);
    assert_eq!(pair.arrived(), 4);
    // And the next one when the rate has made up for it.
    send(&mut pair, 48);
    pair.pass(5 * SECOND / 2 - NANO);
    assert_eq!(pair.arrived(), 4);
    pair.pass(NANO);
    assert_eq!(pair.arrived(), 5);
    assert_eq!(pair.engine.reason(), None);
}

#[test]
fn the_narrower_of_two_rates_holds() {
    let mut pair = open(
        Protocols::Pymasep,
        &messages(10).bytes_per_second(Some(30)).rate_time(EVER),
    );
    pair.flood(20);
    pair.settle();
    // Of 6 bytes each.
    assert_eq!(pair.arrived(), 5);
    pair.pass(SECOND);
    assert_eq!(pair.arrived(), 10);
    let mut pair = open(Protocols::Pymasep, &messages(2).bytes_per_second(Some(60)));
    pair.flood(20);
    pair.settle();
    assert_eq!(pair.arrived(), 2);
}

#[test]
fn whoever_sends_more_without_a_pause_is_ended_after_a_time_and_told_why() {
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        let mut pair = open(protocols, &messages(10));
        pair.flood(1_000);
        // A second was quiet before.
        pair.pass(11 * SECOND - NANO);
        assert_eq!(pair.engine.reason(), None);
        pair.pass(NANO);
        let Some(CloseReason::TooFast(limit)) = pair.engine.reason() else {
            panic!("{pair:?}");
        };
        assert_eq!((limit.limit, limit.allowed), (Limit::MessagesPerSecond, 10));
        // As much as one read has brought.
        assert!((20..=10 + 880).contains(&limit.actual), "{limit}");
        // All that came before is there.
        assert_eq!(pair.arrived(), 120);
        pair.check_order();
        let reason = pair.agent.reason().expect("it ended");
        match protocols {
            Protocols::Pymasep => assert_eq!(reason, CloseReason::PeerBye),
            _ => {
                let words = reason.words().expect("a reason");
                assert_eq!(words.code, "too_fast");
                assert!(words.text.contains("exceeds the limit of 10"), "{words}");
            }
        }
    }
}

#[test]
fn a_frame_that_would_wait_for_longer_ends_the_connection_in_time() {
    let mut pair = open(Protocols::Pymasep, &bytes(10));
    for _ in 0..2 {
        let sent = pair.agent.send(&[7; 998], pair.now);
        sent.expect("there is room");
    }
    pair.pass(10 * SECOND - NANO);
    assert_eq!((pair.arrived(), pair.engine.reason()), (1, None));
    pair.pass(NANO);
    let limit = exceeded(Limit::BytesPerSecond, 10 + 1_000, 10);
    assert_eq!(pair.engine.reason(), Some(CloseReason::TooFast(limit)));
}

#[test]
fn whoever_pauses_until_all_has_come_through_is_never_ended() {
    let mut pair = open(Protocols::Pymasep, &messages(10));
    for round in 1..=100 {
        pair.flood(20);
        pair.pass(2 * SECOND);
        assert_eq!(pair.arrived(), 20 * round);
    }
    assert_eq!(pair.engine.reason(), None);
}

#[test]
fn one_that_is_held_back_is_not_silent() {
    let limits = bytes(10).rate_time(EVER).idle_time(Some(40 * SECOND));
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        let mut pair = open(protocols, &limits);
        for _ in 0..2 {
            let sent = pair.agent.send(&[7; 992], pair.now);
            sent.expect("there is room");
        }
        pair.pass(99 * SECOND);
        assert_eq!((pair.arrived(), pair.engine.reason()), (1, None));
        pair.pass(5 * SECOND);
        assert_eq!((pair.arrived(), pair.engine.reason()), (2, None));
        assert_eq!(pair.agent.reason(), None);
    }
    // From there on silence counts again.
    let mut pair = open(Protocols::Pymasep, &limits);
    pair.pass(39 * SECOND);
    assert_eq!(pair.engine.reason(), Some(CloseReason::IdleTimeout));
}

#[test]
fn time_in_which_this_side_does_not_read_is_not_the_peers() {
    let mut pair = open(Protocols::Pymasep, &messages(10).queue_messages(5));
    pair.engine.takes = false;
    // Half of what it may send, for which nobody asks.
    for number in 0..300_u32 {
        let sent = pair.agent.send(&number.to_be_bytes(), pair.now);
        sent.expect("there is room");
        pair.pass(SECOND / 5);
    }
    pair.engine.takes = true;
    pair.pass(40 * SECOND);
    assert_eq!((pair.arrived(), pair.engine.reason()), (300, None));
    pair.check_order();

    // Nor is that in which nobody looks at the clock.
    let mut pair = open(Protocols::Pymasep, &messages(10));
    pair.flood(15);
    pair.settle();
    for _ in 0..300 {
        let sent = pair.agent.send(b"more", pair.now);
        sent.expect("there is room");
        pair.run(true);
    }
    pair.now += 60 * SECOND;
    pair.pass(40 * SECOND);
    assert_eq!((pair.arrived(), pair.engine.reason()), (315, None));
}

#[test]
fn an_end_is_heard_behind_the_frames_that_wait() {
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        let mut pair = open(protocols, &messages(4));
        pair.flood(7);
        pair.agent.core.end(CloseReason::LocalBye, pair.now);
        pair.settle();
        assert_eq!((pair.arrived(), pair.engine.reason()), (4, None));
        pair.pass(3 * SECOND / 4 - NANO);
        assert_eq!((pair.arrived(), pair.engine.reason()), (6, None));
        // It needs no room of its own.
        pair.pass(NANO);
        assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
        assert_eq!(pair.arrived(), 7);
        pair.check_order();
    }
}

#[test]
fn what_has_arrived_when_this_side_ends_the_connection_waits_no_longer() {
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        let mut pair = open(protocols, &messages(4));
        pair.flood(10);
        pair.settle();
        assert_eq!(pair.arrived(), 4);
        pair.engine.core.end(CloseReason::LocalBye, pair.now);
        pair.settle();
        assert_eq!(pair.arrived(), 10);
        assert_eq!(pair.agent.reason(), Some(CloseReason::PeerBye));
        assert_eq!(pair.engine.reason(), Some(CloseReason::LocalBye));
    }
}

#[test]
fn all_that_is_sent_as_a_frame_counts() {
    let mut pair = open(Protocols::Masep2, &messages(3));
    let notice = control(&Control::Notice(Notice::new("code", "text")));
    let ping = control(&Control::Ping([7; 8]));
    let stream = [
        &notice[..],
        &ping,
        &notice,
        &frame(kind::BYTES, b"body"),
        &notice,
    ];
    pair.to_engine.bytes.extend(stream.concat());
    for (notices, frames) in [(2, 0), (2, 1), (3, 1)] {
        pair.settle();
        while let Some(notice) = pair.engine.core.poll_notice() {
            pair.engine.notices.push(notice);
        }
        let come = (pair.engine.notices.len(), pair.arrived());
        assert_eq!(come, (notices, frames));
        pair.pass(SECOND / 2);
    }
}

#[test]
fn empty_frames_that_wait_are_no_headers_without_a_body() {
    let mut pair = open(Protocols::Pymasep, &messages(1).rate_time(EVER));
    for _ in 0..50 {
        pair.to_engine.bytes.extend([0, 0]);
        pair.pass(SECOND / 2);
    }
    assert!(!pair.engine.core.peer_splits_frames());
    pair.pass(30 * SECOND);
    assert_eq!(pair.arrived(), 50);
}

#[test]
fn a_rate_of_0_is_one_of_1_and_without_a_rate_nothing_is_held() {
    let mut pair = open(
        Protocols::Pymasep,
        &messages(0).bytes_per_second(Some(0)).rate_time(EVER),
    );
    pair.flood(2);
    pair.pass(6 * SECOND - NANO);
    assert_eq!(pair.arrived(), 1);
    pair.pass(NANO);
    assert_eq!(pair.arrived(), 2);
    let mut pair = open(Protocols::Pymasep, &Limits::default());
    assert!(pair.engine.core.is_plain());
    pair.flood(10_000);
    pair.settle();
    assert_eq!(pair.arrived(), 10_000);
}

/// Over no time comes more than what may come at once, and the rate.
fn check_rate(arrivals: &[(Instant, u64)], rate: u64, seed: u64) {
    let most = arrivals.iter().map(|arrival| arrival.1).max();
    let burst = u128::from(rate.max(most.unwrap_or(0)));
    for (at, (begin, _)) in arrivals.iter().enumerate() {
        let mut sum = 0;
        for (end, cost) in &arrivals[at..] {
            sum += u128::from(*cost);
            let nanos = (*end - *begin).as_nanos();
            let may = burst * 1_000_000_000 + u128::from(rate) * nanos;
            assert!(sum * 1_000_000_000 <= may, "seed {seed}: {sum} at {rate}");
        }
    }
}

#[test]
fn over_any_time_comes_at_most_a_seconds_worth_and_the_rate_and_nothing_is_lost() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut limits = Limits::default()
            .rate_time(EVER)
            .queue_messages(1 + random.below(50));
        let rate = u32::try_from(5 + random.below(40)).expect("small");
        let byte_rate = 1_000 + random.below(5_000) as u64;
        let (by_messages, by_bytes) = (random.below(3) > 0, random.below(3) > 0);
        limits = limits
            .messages_per_second(by_messages.then_some(rate))
            .bytes_per_second(by_bytes.then_some(byte_rate));
        let protocols = [Protocols::Pymasep, Protocols::Masep2][random.below(2)];
        let mut pair = open(protocols, &limits);
        pair.cuts = (random.below(2) > 0).then(|| Random::new(seed));
        let (header, pads) = match protocols {
            Protocols::Pymasep => (2, 1),
            _ => (8, 8),
        };
        let note = |pair: &Pair, sent: &[Vec<u8>], arrivals: &mut Vec<(Instant, u64)>| {
            let arrived = pair.arrived() + pair.engine.core.frames();
            for body in &sent[arrivals.len()..arrived] {
                let whole = header + body.len().next_multiple_of(pads);
                arrivals.push((pair.now, whole as u64));
            }
        };
        let (mut sent, mut arrivals) = (Vec::new(), Vec::new());
        let until = pair.now + 5 * SECOND;
        while pair.now < until || arrivals.len() < sent.len() {
            if pair.now < until && random.below(3) == 0 {
                for _ in 0..random.below(20) {
                    let body = vec![sent.len().to_le_bytes()[0]; random.below(300)];
                    let pushed = pair.agent.send_or(&body, WhenFull::Wait, pair.now);
                    pushed.expect("there is room");
                    sent.push(body);
                }
            }
            pair.engine.takes = random.below(10) > 0;
            pair.settle();
            note(&pair, &sent, &mut arrivals);
            let next = pair.engine.core.deadline().map(|at| at - pair.now);
            let step = NANO * u32::try_from(random.below(400_000_000)).expect("small");
            pair.pass(next.map_or(step, |next| next.min(step)));
            note(&pair, &sent, &mut arrivals);
        }
        pair.engine.takes = true;
        pair.settle();
        let bodies = pair.engine.received.iter().map(|frame| frame.bytes());
        assert!(bodies.eq(&sent), "seed {seed}");
        assert_eq!(pair.engine.reason(), None, "seed {seed}");
        if by_bytes {
            check_rate(&arrivals, byte_rate, seed);
        }
        if by_messages {
            let one: Vec<_> = arrivals.iter().map(|(at, _)| (*at, 1)).collect();
            check_rate(&one, u64::from(rate), seed);
        }
    }
}
