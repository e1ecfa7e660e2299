//! A table over the simulated network: a host that plays turns with deadlines, players and spectators of all kinds that
//! are slow, lost, killed and started again, and engines that die in mid-turn.

mod bare;
mod host;
mod ledger;
mod part;
mod plan;
mod players;
mod world;

use std::ops::Deref;

use crate::seeds::{Seeds, repeat};
use crate::world::Ground;
use ledger::Ledger;
use plan::Plan;
use world::simulate;

const GAME: &str = "simulated.Game";

/// The things that all programs of one simulation share.
struct Stage {
    ground: Ground,
    plan: Plan,
    ledger: Ledger,
}

impl Deref for Stage {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

fn names(seats: usize) -> Vec<String> {
    (0..seats).map(|seat| format!("seat-{seat}")).collect()
}

fn name_of(host: usize) -> String {
    format!("agent-{host}")
}

#[test]
fn every_seed_of_a_table_keeps_its_rules() {
    let (figures, count) = Seeds::asked().judge(simulate, " --table");
    let kinds = [
        figures.played,
        figures.late,
        figures.away,
        figures.back,
        figures.gone,
        figures.claims_compared,
        figures.woken,
        figures.seen_by_spectators,
    ];
    assert!(
        count < 20 || kinds.iter().all(|count| *count > 0),
        "something never happened: {figures:?}"
    );
}

#[test]
fn a_seed_of_a_table_gives_the_same_game_again() {
    repeat(simulate, |seed| Plan::of(seed).faults, 4);
}
