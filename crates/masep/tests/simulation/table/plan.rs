//! The meaning of one seed: a table, its players and spectators, the network between them, and the faults.

use std::time::Duration;

use masep::table::{Absence, Clock};
use masep::{Limits, Protocols, SocketOptions};
use rand::RngExt;
use rand_xorshift::XorShiftRng;

use crate::network::ticks;
use crate::plan::{Fault, Quality, faults, millis, one_of, quality, rng};
use crate::stream::Ticks;

/// The program of a player or spectator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A [`masep::Player`].
    Player(Protocols),
    /// A bare client with pymasep's customs. It comes back with the same id, or with another each time.
    Pymasep { is_stranger: bool },
    /// A bare client of protocol 2 that answers twice, late, for turns that are not, and in other names.
    Unruly,
}

/// The action for the late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LateRule {
    Nothing,
    Action,
    Host,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seats: usize,
    pub(crate) players: Vec<Kind>,
    pub(crate) spectators: Vec<Kind>,
    pub(crate) clock: Clock,
    pub(crate) late: LateRule,
    pub(crate) absence: Absence,
    pub(crate) misses: u32,
    pub(crate) forget_time: Duration,
    pub(crate) rejoins_by_id: bool,
    pub(crate) strangers: bool,
    pub(crate) replaces_same_id: bool,
    /// A seat whose player is gone is opened again.
    pub(crate) reopens: bool,
    pub(crate) limits: Limits,
    pub(crate) socket_options: SocketOptions,
    pub(crate) quality: Quality,
    /// Turns of an episode.
    pub(crate) episode: u64,
    /// The longest that the host thinks between turns, and a player about one, in milliseconds.
    pub(crate) think: u64,
    pub(crate) delay: u64,
    /// The probabilities that a player is slow, that it leaves, and that the host does something odd in a turn.
    pub(crate) slowness: f64,
    pub(crate) leaving: f64,
    pub(crate) oddity: f64,
    pub(crate) active: Ticks,
    pub(crate) faults: Vec<(Ticks, Fault)>,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut rng(seed, 0x7ab1_0001);
        let seats = rng.random_range(1..=4);
        // Now and then one comes for whom there is no seat.
        let players = seats + usize::from(rng.random_bool(0.15));
        let spectators = rng.random_range(0..3);
        let grace = millis(rng, 200..3_000);
        let active = rng.random_range(600..1_800);
        let per_turn = rng.random_bool(0.8).then(|| millis(rng, 80..1_500));
        let proceeds = rng.random_bool(0.15);
        Self {
            seats,
            players: (0..players).map(|_| one_of(rng, PLAYERS)).collect(),
            spectators: (0..spectators).map(|_| one_of(rng, SPECTATORS)).collect(),
            clock: Clock {
                per_turn,
                bank: rng
                    .random_bool(if per_turn.is_some() { 0.4 } else { 0.05 })
                    .then(|| millis(rng, 0..3_000)),
            },
            late: one_of(rng, &[LateRule::Nothing, LateRule::Action, LateRule::Host]),
            absence: match proceeds {
                true => Absence::Proceed,
                false => Absence::Wait(grace),
            },
            misses: rng.random_range(0..4),
            forget_time: millis(rng, 1_000..6_000),
            rejoins_by_id: rng.random_bool(0.3),
            strangers: rng.random_bool(0.3),
            replaces_same_id: rng.random_bool(0.3),
            reopens: rng.random_bool(0.5),
            limits: Limits::default()
                .hello_time(millis(rng, 700..2_000))
                .write_time(millis(rng, 800..2_500))
                .heartbeat(Some(millis(rng, 400..2_000))),
            socket_options: SocketOptions::default()
                .connect_time(millis(rng, 700..2_000))
                .keepalive_time(Some(millis(rng, 300..1_000))),
            quality: soon_empty(quality(rng, 2_000)),
            episode: rng.random_range(1..15),
            think: one_of(rng, &[1, 3, 20, 200]),
            delay: one_of(rng, &[0, 0, 20, 200]),
            slowness: one_of(rng, &[0.0, 0.05, 0.3]),
            leaving: one_of(rng, &[0.0, 0.0, 0.01]),
            oddity: one_of(rng, &[0.0, 0.1]),
            active,
            faults: faults(rng, 0.2, 7, 20..active, 200, |rng, down| {
                fault(rng, down, ticks(grace))
            }),
        }
    }

    /// The number of hosts, with the engine's.
    pub(crate) fn hosts(&self) -> usize {
        1 + self.players.len() + self.spectators.len()
    }

    /// True if each turn must be played by each player: nothing goes wrong, and there is no time to be late for.
    pub(crate) fn is_calm(&self) -> bool {
        let clock = self.clock.per_turn.is_none() && self.clock.bank.is_none();
        let is_good = self.quality.loss == 0.0 && self.faults.is_empty();
        clock && is_good && self.leaving == 0.0
    }
}

/// A sender's kernel that keeps much for a path that carries little tells its peer the end late, behind all of that.
fn soon_empty(quality: Quality) -> Quality {
    Quality {
        buffer: quality.buffer.min(4 * quality.window),
        ..quality
    }
}

const PLAYERS: &[Kind] = &[
    Kind::Player(Protocols::Both),
    Kind::Player(Protocols::Masep2),
    Kind::Player(Protocols::Masep2),
    Kind::Player(Protocols::Pymasep),
    Kind::Pymasep { is_stranger: false },
    Kind::Pymasep { is_stranger: true },
    Kind::Unruly,
];

const SPECTATORS: &[Kind] = &[
    Kind::Player(Protocols::Masep2),
    Kind::Player(Protocols::Pymasep),
    Kind::Pymasep { is_stranger: true },
];

fn fault(rng: &mut XorShiftRng, down: Ticks, grace: Ticks) -> Fault {
    match rng.random_range(0..8) {
        // Shorter than the grace, and longer.
        0 => Fault::Cut(rng.random_range(2..=grace / 2)),
        1 => Fault::Cut(grace + rng.random_range(100..400)),
        2 | 3 => Fault::Crash {
            machine: rng.random_bool(0.5),
            down,
        },
        4 => Fault::Exit { down },
        5 | 6 => Fault::Reset,
        _ => Fault::HalfClose,
    }
}
