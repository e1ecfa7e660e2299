//! A table over the simulated network: a host that plays turns with deadlines, players and spectators of all kinds that
//! are slow, lost, killed and started again, and engines that die in mid-turn.

mod bare;
mod host;
mod ledger;
mod plan;
mod players;
mod world;

use std::sync::Arc;
use std::time::Instant;

use crate::network::{Network, TICK};
use crate::plan::Fault;
use crate::record::Record;
use crate::seeds::{Seeds, alone};
use ledger::Ledger;
use plan::Plan;
use world::simulate;

const GAME: &str = "simulated.Game";

/// The things that all programs of one simulation share.
struct Stage {
    seed: u64,
    plan: Plan,
    network: Arc<Network>,
    record: Arc<Record>,
    ledger: Ledger,
}

fn names(seats: usize) -> Vec<String> {
    (0..seats).map(|seat| format!("seat-{seat}")).collect()
}

fn name_of(host: usize) -> String {
    format!("agent-{host}")
}

#[test]
fn every_seed_of_a_table_keeps_its_rules() {
    let seeds = Seeds::asked();
    let (from, count) = (seeds.from, seeds.count);
    let start = Instant::now();
    let (figures, failed) = seeds.run(simulate);
    println!(
        "{count} tables from {from}: {} turns in {} lives of engines, decisions: {} played, {} late, {} away, {} others; {} \
         times back, {} gone, {} emptied; {} things told to players compared, {} answers of forgotten players, {} times asked \
         while asleep, {} views seen by spectators, {} faults, {:.0} s \
         of virtual time in {:.1} s; {} failed",
        figures.turns,
        figures.lives,
        figures.played,
        figures.late,
        figures.away,
        figures.other,
        figures.back,
        figures.gone,
        figures.emptied,
        figures.claims,
        figures.unknown,
        figures.woken,
        figures.seen_by_spectators,
        figures.faults,
        TICK.as_secs_f64() * figures.ticks as f64,
        start.elapsed().as_secs_f64(),
        failed.len(),
    );
    seeds.judge(&failed, " --table");
    let kinds = [
        figures.played,
        figures.late,
        figures.away,
        figures.back,
        figures.gone,
        figures.claims,
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
    // See the test of the same kind without a table.
    let keeps_order = |seed: &u64| {
        let mut faults = Plan::of(*seed).faults.into_iter();
        !faults.any(|(_, fault)| matches!(fault, Fault::Exit { .. }))
    };
    for seed in (0..).filter(keeps_order).take(4) {
        let hashes = [
            alone(simulate, seed, false).hash,
            alone(simulate, seed, false).hash,
        ];
        assert_eq!(hashes[0], hashes[1], "of seed {seed}");
    }
}
