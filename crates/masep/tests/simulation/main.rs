//! The real server and client over a simulated network: latency, loss, cuts, crashes and ends of all
//! kinds, everything drawn from a seed.
//!
//! `cargo xtask simulate` runs many seeds, and a failed one again: see `Range`.

mod connections;
mod network;
mod plan;
mod process;
mod record;
mod seeds;
mod software;
mod stream;
mod table;
mod transport;
mod verdict;
mod world;

use std::time::Instant;

use connections::simulate;
use network::TICK;
use seeds::{Seeds, alone};

#[test]
fn every_seed_keeps_what_is_promised() {
    let seeds = Seeds::asked();
    let (from, count) = (seeds.from, seeds.count);
    let start = Instant::now();
    let (figures, failed) = seeds.run(simulate);
    let virtual_time = TICK.as_secs_f64() * figures.ticks as f64;
    println!(
        "{count} seeds from {from}: {} ends of connections ({} of protocol 2), {} frames received ({} over 64 KiB, \
         {} arrays), {} faults, {:.0} s of virtual time in {:.1} s; {} failed",
        figures.connections,
        figures.of_masep,
        figures.frames,
        figures.large,
        figures.arrays,
        figures.faults,
        virtual_time,
        start.elapsed().as_secs_f64(),
        failed.len(),
    );
    seeds.judge(&failed, "");
    assert!(
        count < 20 || figures.frames > count,
        "hardly a frame was received"
    );
    let mixes = figures.of_masep > 0 && figures.of_masep < figures.connections;
    assert!(count < 20 || mixes, "one generation alone was played");
}

#[test]
fn a_seed_gives_the_same_events_again() {
    // A runtime that is dropped drops its tasks in an order that depends on how many others the process has made, and so
    // it is luck which of them ends a connection, with which words of protocol 2.
    let keeps_order = |seed: &u64| {
        let mut faults = plan::Plan::of(*seed).faults.into_iter();
        !faults.any(|(_, fault)| matches!(fault, plan::Fault::Exit { .. }))
    };
    for seed in (0..).filter(keeps_order).take(8) {
        let hashes = [
            alone(simulate, seed, false).hash,
            alone(simulate, seed, false).hash,
        ];
        assert_eq!(hashes[0], hashes[1], "of seed {seed}");
    }
    assert_ne!(
        alone(simulate, 1, false).hash,
        alone(simulate, 2, false).hash
    );
}
