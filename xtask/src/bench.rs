//! `cargo xtask bench`: masep beside other messaging libraries, by the program in `crates/masep-bench`.
//!
//! It is a workspace of its own, so that none of them gets into masep's lock file, build or checks.

use std::path::PathBuf;

use crate::interop;
use crate::process::{Program, cargo, root};
use crate::step::Failure;
use crate::tally::Tally;

const DIRECTORY: &str = "crates/masep-bench";

/// One with whom masep is compared: a feature of the program, under its name in the tables.
struct Peer {
    name: &'static str,
    /// Finds out whether the machine has what it needs: if not, why.
    probe: fn() -> Result<(), String>,
}

const PEERS: [Peer; 4] = [
    Peer {
        name: "tungstenite",
        probe: || Ok(()),
    },
    Peer {
        name: "tonic",
        probe: || Ok(()),
    },
    Peer {
        name: "zeromq",
        probe: || {
            let libzmq = Program::new("pkg-config", &["--atleast-version=4.1", "libzmq"]);
            needs(libzmq, "libzmq 4.1 and pkg-config (Debian: libzmq3-dev)")
        },
    },
    Peer {
        name: "nats",
        probe: || {
            let server = Program::new("nats-server", &["--version"]);
            needs(server, "the program nats-server (Debian: nats-server)")
        },
    },
];

/// What masep is to be compared with and is not yet: the tables name it, with the reason.
const WITHOUT_DRIVER: [&str; 1] = ["zenoh"];

/// Builds the program with every peer that can be built here, and runs it with these arguments. What cannot
/// be built is told to it, and named in its tables.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut missing: Vec<_> = WITHOUT_DRIVER
        .map(|name| (name, "no driver for it yet".to_owned()))
        .into();
    let mut features = Vec::new();
    for peer in PEERS {
        match (peer.probe)() {
            _ if is_unwanted(args, peer.name) => {}
            Ok(()) => features.push(peer.name),
            Err(why) => missing.push((peer.name, why)),
        }
    }
    missing.extend(build(&features)?);
    let python = match interop::environment() {
        Ok(python) => python,
        Err(failure) => {
            missing.push(("pymasep", failure.to_string()));
            PathBuf::new()
        }
    };
    let missing: Vec<_> = missing
        .iter()
        .map(|(name, why)| format!("--missing={name}={why}"))
        .collect();
    let args: Vec<_> = args.iter().chain(&missing).map(String::as_str).collect();
    Program::new(program(), &args)
        .env("MASEP_BENCH_PYTHON", python)
        .run()
}

/// Checks the program, without optional features: what masep is compared with takes minutes to build.
pub(crate) fn test() -> Result<Tally, Failure> {
    let directory = root().join(DIRECTORY);
    for args in [
        &["fmt", "--all", "--check"][..],
        &["clippy", "--all-targets", "--", "-D", "warnings"],
    ] {
        cargo(args).current_dir(&directory).run()?;
    }
    cargo(&["test"])
        .current_dir(&directory)
        .run_counting(Tally::of_cargo_test)
}

/// Whether the arguments say `--without` this peer: the program will say that it is missing.
fn is_unwanted(args: &[String], peer: &str) -> bool {
    let pairs = args.windows(2);
    pairs.into_iter().any(|pair| pair == ["--without", peer])
        || args.contains(&format!("--without={peer}"))
}

fn needs(program: Program, what: &str) -> Result<(), String> {
    let found = program.output();
    found.map(drop).map_err(|_| format!("it needs {what}"))
}

/// Builds the program with these features, optimised as a user's program is. If that fails, whoever is the
/// reason is left out: those are returned.
fn build(features: &[&'static str]) -> Result<Vec<(&'static str, String)>, Failure> {
    if build_with(features).is_ok() {
        return Ok(Vec::new());
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for &feature in features {
        match check_with(feature) {
            Ok(()) => good.push(feature),
            Err(failure) => bad.push((feature, format!("it cannot be built: {failure}"))),
        }
    }
    build_with(&good)?;
    Ok(bad)
}

fn build_with(features: &[&str]) -> Result<(), Failure> {
    let rustc = Program::new("rustc", &["--version"]).output()?;
    cargo(&["build", "--release", "--features", &features.join(",")])
        .current_dir(&root().join(DIRECTORY))
        .env("MASEP_BENCH_RUSTC", rustc.trim())
        .run()
}

fn check_with(feature: &str) -> Result<(), Failure> {
    cargo(&["check", "--release", "--features", feature])
        .current_dir(&root().join(DIRECTORY))
        .run()
}

fn program() -> PathBuf {
    let name = format!("masep-bench{}", std::env::consts::EXE_SUFFIX);
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join(DIRECTORY).join("target"), PathBuf::from);
    target.join("release").join(name)
}
