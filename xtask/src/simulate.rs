//! `cargo xtask simulate`: the real server and client, and a table with its players, over a simulated network, by seeds.

use clap::Args;

use crate::process::cargo;
use crate::step::Failure;
use crate::tally::Tally;

/// The variable that tells the test how many seeds to run.
pub(crate) const SEEDS: &str = "MASEP_SIMULATE_SEEDS";
/// Seeds of a run that names no number: less than half a minute in a debug build.
const DEFAULT: u64 = 400;
/// Seeds of `cargo xtask test --all`.
const FULL: u64 = 20_000;

#[derive(Args)]
pub(crate) struct Options {
    /// The number of seeds.
    #[arg(long, default_value_t = DEFAULT, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// One seed, again.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Only the simulation of a table.
    #[arg(long)]
    table: bool,
    /// With optimizations, for many seeds.
    #[arg(long)]
    optimized: bool,
}

pub(crate) fn run(options: &Options) -> Result<Tally, Failure> {
    let (from, seeds) = match options.seed {
        Some(seed) => (seed, 1),
        None => (options.from, options.seeds),
    };
    // With the features of the whole workspace it is what the other tests are built with.
    let mut args = vec![
        "test",
        "--workspace",
        "--all-features",
        "--test",
        "simulation",
    ];
    if options.optimized {
        args.extend(["--profile", "instructions"]);
    }
    args.extend(["--", "--nocapture"]);
    match (options.table, options.seed) {
        (true, _) => args.push("every_seed_of_a_table"),
        (false, Some(_)) => args.push("every_seed_keeps"),
        (false, None) => {}
    }
    cargo(&args)
        .env("MASEP_SIMULATE_FROM", from.to_string())
        .env(SEEDS, seeds.to_string())
        .env("MASEP_SIMULATE_TRACE", u8::from(options.trace).to_string())
        .run_counting(Tally::of_cargo_test)
}

/// The step of `cargo xtask test --all`.
pub(crate) fn full() -> Result<Tally, Failure> {
    run(&Options {
        seeds: FULL,
        from: 0,
        seed: None,
        trace: false,
        table: false,
        optimized: true,
    })
}
