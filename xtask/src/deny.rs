//! `cargo xtask deny`: cargo-deny for the dependencies of every workspace.

use std::path::PathBuf;

use crate::process::{Program, cargo, root};
use crate::step::Failure;

/// The version that is built where none is installed: over four minutes of computing, once.
const VERSION: &str = "0.20.2";
const TOOLS: &str = "target/tools";
/// Each workspace, by its manifest, with its policy.
const WORKSPACES: [(&str, &str); 5] = [
    ("Cargo.toml", "deny.toml"),
    ("bindings/python/Cargo.toml", "deny.toml"),
    ("crates/masep-model/Cargo.toml", "deny.toml"),
    ("fuzz/Cargo.toml", "deny.toml"),
    (
        "crates/masep-bench/Cargo.toml",
        "crates/masep-bench/deny.toml",
    ),
];

pub(crate) fn run() -> Result<(), Failure> {
    let program = program()?;
    let check = |what: &[&str]| {
        for (manifest, policy) in WORKSPACES {
            let policy = root().join(policy).display().to_string();
            let options = ["--manifest-path", manifest, "--config", &policy, "check"];
            // One policy for several workspaces: not each has all that it names.
            let quiet = [
                "--allow",
                "unmatched-skip",
                "--allow",
                "license-not-encountered",
            ];
            Program::new(&program, &[&options[..], &quiet, what].concat()).run()?;
        }
        Ok(())
    };
    check(&["licenses", "bans", "sources"])?;
    if Program::new(&program, &["fetch", "db"]).run().is_err() {
        println!(
            "NOT checked: advisories, yanked versions (their database could not be had, see above); \
             checked: licences, sources and duplicates"
        );
        return Ok(());
    }
    check(&["advisories"])
}

/// cargo-deny as it is installed, or built by this.
fn program() -> Result<PathBuf, Failure> {
    let is_there = |program: &PathBuf| Program::new(program, &["--version"]).output().is_ok();
    let installed = PathBuf::from("cargo-deny");
    if is_there(&installed) {
        return Ok(installed);
    }
    let built = root().join(TOOLS).join("bin/cargo-deny");
    if !is_there(&built) {
        let install = ["install", "cargo-deny", "--locked", "--version", VERSION];
        cargo(&[&install[..], &["--root", TOOLS]].concat()).run()?;
    }
    Ok(built)
}
