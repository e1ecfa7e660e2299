//! `cargo xtask bench`: masep beside other messaging libraries, by the program in `crates/masep-bench`.
//!
//! It is a workspace of its own, so that none of them gets into masep's lock file, build or checks.

use std::path::PathBuf;

use crate::interop;
use crate::process::{Program, cargo, root};
use crate::python;
use crate::step::Failure;
use crate::tally::Tally;

const DIRECTORY: &str = "crates/masep-bench";

/// One with whom masep is compared: a feature of the program, under its name in the tables.
struct Peer {
    name: &'static str,
    /// Finds out whether the machine has what it needs: if not, why.
    probe: fn() -> Result<(), String>,
}

const PEERS: [Peer; 5] = [
    Peer {
        name: "tungstenite",
        probe: || Ok(()),
    },
    Peer {
        name: "tonic",
        probe: || Ok(()),
    },
    Peer {
        name: "zenoh",
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

/// Builds the program with every peer that is asked for and can be built here, and runs it with these arguments.
/// It is told which peers cannot be built, and names them in its tables.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args.split_first().map(|(first, rest)| (&**first, rest)) {
        Some(("python", rest)) => return python::bench("compare.py", rest),
        Some(("environments", rest)) => return python::bench_environments(rest),
        _ => {}
    }
    let mut missing = Vec::new();
    let mut features = Vec::new();
    for peer in PEERS.iter().filter(|peer| is_wanted(args, peer.name)) {
        match (peer.probe)() {
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
    cargo(&["clippy", "--all-targets", "--", "-D", "warnings"])
        .current_dir(&directory)
        .run()?;
    cargo(&["test"])
        .current_dir(&directory)
        .run_counting(Tally::of_cargo_test)
}

/// True if this peer is to be measured, as far as the arguments say: the program reads them again, and better.
fn is_wanted(args: &[String], peer: &str) -> bool {
    let (only, chosen) = (values(args, "--only"), values(args, "--peer"));
    let needs_none = |name: &&str| name.starts_with("codec") || name.starts_with("tls");
    let needs_none = !only.is_empty() && only.iter().all(needs_none);
    let is_chosen = chosen.is_empty() || chosen.contains(&peer);
    !needs_none && is_chosen && !values(args, "--without").contains(&peer)
}

/// The values of this option, one for each time that it is there.
fn values<'a>(args: &'a [String], option: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == option {
            values.extend(args.next().map(String::as_str));
        } else if let Some(value) = arg.strip_prefix(option) {
            values.extend(value.strip_prefix('='));
        }
    }
    values
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_not_built() {
        let wanted = |line: &str, peer| {
            let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            is_wanted(&args, peer)
        };
        assert!(wanted("", "tonic"));
        assert!(wanted("--quick --only fan-out", "tonic"));
        assert!(wanted("--only codec --only=fan-out", "tonic"));
        assert!(!wanted("--only codec-decode-7k --only=codec", "tonic"));
        assert!(!wanted("--only tls --only codec", "tonic"));
        assert!(wanted("--peer=masep --peer tonic", "tonic"));
        assert!(!wanted("--peer masep", "tonic"));
        assert!(!wanted("--without zenoh --without=tonic", "tonic"));
    }
}
