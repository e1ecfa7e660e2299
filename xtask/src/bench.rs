//! `cargo xtask bench`: masep beside other messaging libraries, by the program in `crates/masep-bench`.
//!
//! It is a workspace of its own, so that none of them gets into masep's lock file, build or checks.

use std::path::PathBuf;

use crate::interop;
use crate::process::{Program, cargo, root};
use crate::step::Failure;

const DIRECTORY: &str = "crates/masep-bench";

/// What masep is to be compared with and is not yet: the tables name it, with the reason.
const WITHOUT_DRIVER: [&str; 6] = [
    "tungstenite",
    "tonic",
    "zeromq",
    "zenoh",
    "nats",
    "pymasep-sockets",
];

/// Builds the program and runs it with these arguments.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    build(&[])?;
    let missing: Vec<_> = WITHOUT_DRIVER
        .iter()
        .map(|peer| format!("--missing={peer}=no driver for it yet"))
        .collect();
    let args: Vec<_> = args.iter().chain(&missing).map(String::as_str).collect();
    let program = Program::new(program(), &args);
    match interop::environment() {
        Ok(python) => program.env("MASEP_BENCH_PYTHON", python).run(),
        Err(failure) => {
            println!("without pymasep: {failure}");
            program.run()
        }
    }
}

/// Builds the program with these features, optimised as a user's program is.
fn build(features: &[&str]) -> Result<(), Failure> {
    let rustc = Program::new("rustc", &["--version"]).output()?;
    cargo(&["build", "--release", "--features", &features.join(",")])
        .current_dir(&root().join(DIRECTORY))
        .env("MASEP_BENCH_RUSTC", rustc.trim())
        .run()
}

fn program() -> PathBuf {
    let name = format!("masep-bench{}", std::env::consts::EXE_SUFFIX);
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join(DIRECTORY).join("target"), PathBuf::from);
    target.join("release").join(name)
}
