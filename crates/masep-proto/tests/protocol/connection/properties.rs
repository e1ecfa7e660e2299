//! Properties of every connection, in every order of events.

use std::time::Duration;

use masep_proto::connection::{Config, Event, Protocols, PushError, WhenFull};
use masep_proto::{CloseReason, Frame, Limits};

use super::pair::{Pair, Random, Side};

/// A frame with its number in front, of any size.
fn body(number: u32, random: &mut Random) -> Vec<u8> {
    let most = [8, 300, 3_000, 20_000][random.below(4)];
    let mut body = number.to_le_bytes().to_vec();
    body.resize(4 + random.below(most), 7);
    body
}

fn number(frame: &Frame) -> u32 {
    u32::from_le_bytes(*frame.bytes().first_chunk().expect("its number"))
}

/// The frames that a side was asked to send, and has accepted.
#[derive(Default)]
struct Sent {
    next: u32,
    accepted: Vec<u32>,
    drops: bool,
}

impl Sent {
    fn send(&mut self, side: &mut Side, pair_now: std::time::Instant, random: &mut Random) {
        let policy = match random.below(12) {
            0 => WhenFull::NewestWins,
            1 => WhenFull::Disconnect,
            _ => WhenFull::Wait,
        };
        let number = self.next;
        self.next += 1;
        match side.send_or(&body(number, random), policy, pair_now) {
            Ok(_) => {
                self.accepted.push(number);
                self.drops |= policy == WhenFull::NewestWins;
            }
            Err(PushError::Full(_) | PushError::Closed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn limits(random: &mut Random) -> Limits {
    let idle = [None, Some(Duration::from_secs(40))][random.below(2)];
    Limits::default()
        .queue_messages(1 + random.below(20))
        .queue_bytes(1 + random.below(100_000))
        .idle_time(idle)
}

fn check(side: &Side, other: &Side, sent: &Sent, policy: WhenFull, seed: u64) {
    let received: Vec<u32> = other.received.iter().map(number).collect();
    let drops = sent.drops || policy == WhenFull::NewestWins;
    let mut accepted = sent.accepted.iter();
    for number in &received {
        let expected = if drops {
            accepted.any(|accepted| accepted == number)
        } else {
            accepted.next() == Some(number)
        };
        assert!(expected, "seed {seed}: {received:?} of {:?}", sent.accepted);
    }
    // Accepted is delivered before an end that both know to be in order.
    let in_order = side.reason() == Some(CloseReason::LocalBye)
        && other.reason() == Some(CloseReason::PeerBye);
    if in_order && !drops {
        assert_eq!(received, sent.accepted, "seed {seed}");
    }
}

#[test]
fn frames_ends_and_rest_hold_for_every_seed() {
    hold(3_000, Some(Protocols::Pymasep));
}

#[test]
fn frames_ends_and_rest_hold_for_every_seed_in_protocol_2() {
    hold(1_000, Some(Protocols::Both));
}

#[test]
fn frames_ends_and_rest_hold_for_every_seed_whatever_each_side_speaks() {
    hold(1_000, None);
}

fn hold(seeds: u64, protocols: Option<Protocols>) {
    for seed in 0..seeds {
        let random = &mut Random::new(seed);
        let policies = [WhenFull::Wait, WhenFull::NewestWins, WhenFull::Disconnect];
        let (first, second) = (policies[random.below(6) % 3], policies[random.below(3)]);
        let config = |id, random: &mut Random| {
            let config = Config::new(id, limits(random)).expect("an id");
            let all = [Protocols::Pymasep, Protocols::Both, Protocols::Masep2];
            config.protocols(protocols.unwrap_or_else(|| all[random.below(3)]))
        };
        let agent = config("agent", random).when_full(first);
        let engine = config("engine", random).when_full(second);
        let capacity = 1 + random.below(30_000);
        let mut pair = Pair::with(agent, engine, capacity);
        pair.cuts = Some(random.clone());
        let mut sent = (Sent::default(), Sent::default());
        for _ in 0..random.below(200) {
            let now = pair.now;
            match random.below(24) {
                0..4 => sent.0.send(&mut pair.agent, now, random),
                4..8 => sent.1.send(&mut pair.engine, now, random),
                8 => pair.agent.takes = random.below(2) == 0,
                9 => pair.engine.takes = random.below(2) == 0,
                10 => pair.pass(Duration::from_millis(random.below(3_000) as u64)),
                11 if random.below(20) == 0 => pair.agent.core.end(CloseReason::LocalBye, now),
                12 if random.below(20) == 0 => pair.engine.core.end(CloseReason::LocalBye, now),
                13 if random.below(40) == 0 => pair.engine.core.abort(CloseReason::Shutdown, now),
                14 if random.below(60) == 0 => pair.to_engine.reset = true,
                15 if random.below(60) == 0 => pair.to_agent.shut = true,
                16 if random.below(60) == 0 => {
                    pair.to_engine.fails = Some(std::io::ErrorKind::BrokenPipe);
                }
                17 if random.below(20) == 0 => pair.agent.core.refuse(now),
                _ => {
                    pair.step(random.below(2) == 0);
                }
            }
        }
        (pair.agent.takes, pair.engine.takes) = (true, true);
        if random.below(2) == 0 {
            pair.agent.core.end(CloseReason::LocalBye, pair.now);
        } else {
            pair.engine.core.end(CloseReason::LocalBye, pair.now);
        }
        pair.pass(Duration::from_secs(100));
        for side in [&pair.agent, &pair.engine] {
            assert!(side.core.is_over(), "seed {seed}: {side:?}");
            assert_eq!(side.events.last(), Some(&Event::Over), "seed {seed}");
            let ends = usize::from(side.core.reason().is_some())
                + usize::from(side.core.failure().is_some());
            assert_eq!(ends, 1, "seed {seed}: one reason: {side:?}");
        }
        check(&pair.agent, &pair.engine, &sent.0, second, seed);
        check(&pair.engine, &pair.agent, &sent.1, first, seed);
    }
}

#[test]
fn any_sequence_of_calls_comes_to_an_end() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let played = std::panic::catch_unwind(move || {
            super::calls::play(&mut |bound| random.below(bound));
        });
        assert!(played.is_ok(), "seed {seed}");
    }
}
