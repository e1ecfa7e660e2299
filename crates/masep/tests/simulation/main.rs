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

use connections::simulate;
use plan::Plan;
use seeds::{Seeds, repeat};

#[test]
fn every_seed_keeps_what_is_promised() {
    let (figures, count) = Seeds::asked().judge(simulate, "");
    let is_received = figures.frames_received > count;
    assert!(count < 20 || is_received, "hardly a frame was received");
    let mixes = figures.of_protocol_2 > 0 && figures.of_protocol_2 < figures.ends_of_connections;
    assert!(count < 20 || mixes, "one generation alone was played");
}

#[test]
fn a_seed_gives_the_same_events_again() {
    repeat(simulate, |seed| Plan::of(seed).faults, 8);
}
