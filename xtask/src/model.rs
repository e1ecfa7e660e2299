//! `cargo xtask model`: masep's hand-made synchronisation under a model checker, by the program in
//! `crates/masep-model`.
//!
//! It is a workspace of its own, with its own build of masep: there the locks and wake-ups of
//! `masep::sync` are those of the checker.

use crate::process::{Program, cargo, root};
use crate::step::Failure;

const DIRECTORY: &str = "crates/masep-model";
/// Schedules for each scenario in a run of all tests.
const ITERATIONS: &str = "10000";

/// Builds the program and runs it with these arguments.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    in_workspace(&[&["run", "--quiet", "--"], &args[..]].concat()).run()
}

/// The step of `cargo xtask test --all`.
pub(crate) fn test() -> Result<(), Failure> {
    in_workspace(&["clippy", "--", "-D", "warnings"]).run()?;
    run(&["--iterations", ITERATIONS].map(str::to_owned))
}

fn in_workspace(args: &[&str]) -> Program {
    cargo(args)
        .current_dir(&root().join(DIRECTORY))
        .env("CARGO_TARGET_DIR", root().join("target/model"))
}
