//! `cargo xtask test`: everything that must hold before a change lands; with `--all`, before a release.

use crate::bench;
use crate::deny;
use crate::faults;
use crate::fuzz;
use crate::instructions;
use crate::interop;
use crate::model;
use crate::process::cargo;
use crate::python;
use crate::simulate;
use crate::soak;
use crate::step::{Beside, Failure, Form, Step};
use crate::tally::Tally;

/// The libraries, each of which must also hold alone and with every feature.
const LIBRARIES: [&str; 3] = ["masep-proto", "masep-table", "masep"];
/// The workspaces beside the main one.
const WORKSPACES: [&str; 4] = [
    "bindings/python",
    "crates/masep-bench",
    "crates/masep-model",
    "fuzz",
];
/// Seeds of the simulated network in the short form.
const SEEDS: &str = "100";

pub(crate) fn steps() -> Vec<Step> {
    let mut steps = short_steps();
    steps.extend(long_steps());
    steps
}

fn short_steps() -> Vec<Step> {
    let on = |beside, name, about, run| Step {
        name,
        about,
        is_long: false,
        beside,
        run,
    };
    let beside = |name, about, run| on(Beside::Always, name, about, run);
    let step = |name, about, run| on(Beside::Never, name, about, run);
    vec![
        step("format", "rustfmt would change nothing", |_| format()),
        step("clippy", "no warning in any target", |_| clippy()),
        step(
            "rust",
            "unit, integration and doc tests; server and client over a simulated network",
            |_| rust(),
        ),
        beside(
            "python",
            "the Python package, beside the real pymasep",
            |_| python::test(&side_by_side("2", "loadgroup")),
        ),
        beside(
            "interop",
            "the program masep against the real pymasep",
            |_| interop::test(&side_by_side("4", "loadfile")),
        ),
        step(
            "faults",
            "games and conversations over bad networks, in namespaces",
            |form| faults::test(form == Form::Long, None, &[]),
        ),
        // Its programs are built while the tests of Rust and Python wait.
        on(
            Beside::Short,
            "fuzz",
            "the fuzz targets with the inputs known so far; in the long form they search for new ones",
            |form| no_tests(fuzz::test(form)),
        ),
    ]
}

fn long_steps() -> Vec<Step> {
    let step = |name, about, run| Step {
        name,
        about,
        is_long: true,
        beside: Beside::Never,
        run,
    };
    vec![
        step(
            "features",
            "each library alone, without and with all its features",
            |_| no_tests(features()),
        ),
        step(
            "bench",
            "the bench, without what it compares masep with: clippy, tests",
            |_| bench::test(),
        ),
        step(
            "model",
            "what is synchronised by hand, in many orders of events",
            |_| no_tests(model::test()),
        ),
        step(
            "simulate",
            "server and client over a simulated network, thousands of seeds",
            |_| simulate::full(),
        ),
        step(
            "soak",
            "10,000 connections, some stalled: nothing is lost, nothing is left behind",
            |_| no_tests(soak::full()),
        ),
        step(
            "instructions",
            "the codec takes no more of them than recorded",
            |_| instructions::run(false),
        ),
        step(
            "deny",
            "licences, sources, versions and advisories of dependencies",
            |_| no_tests(deny::run()),
        ),
    ]
}

/// Options of pytest: tests run side by side in so many processes, because most of them wait for peers. Those of one
/// file, or of one group, run one after the other.
fn side_by_side(processes: &str, distribution: &str) -> [String; 4] {
    ["-n", processes, "--dist", distribution].map(str::to_owned)
}

fn no_tests(result: Result<(), Failure>) -> Result<Tally, Failure> {
    result.map(|()| Tally::default())
}

fn format() -> Result<Tally, Failure> {
    cargo(&["fmt", "--all", "--check"]).run()?;
    for workspace in WORKSPACES {
        let manifest = format!("{workspace}/Cargo.toml");
        cargo(&["fmt", "--manifest-path", &manifest, "--check"]).run()?;
    }
    Ok(Tally::default())
}

/// The features are those of the tests and of the documentation: what clippy checks of other crates is used again.
fn clippy() -> Result<Tally, Failure> {
    let targets = ["--workspace", "--all-targets", "--all-features"];
    cargo(&[&["clippy"], &targets[..], &["--", "-D", "warnings"]].concat()).run()?;
    no_tests(python::clippy())
}

/// Built with the other crates, or with its own tests, a library gets the features that they ask for;
/// this finds what it uses without asking.
fn features() -> Result<(), Failure> {
    for library in LIBRARIES {
        for features in ["--no-default-features", "--all-features"] {
            for targets in ["--lib", "--tests"] {
                let check = ["clippy", "--package", library, targets, features];
                cargo(&[&check[..], &["--", "-D", "warnings"]].concat()).run()?;
            }
        }
    }
    Ok(())
}

/// Most of the time of a test is spent waiting: more of them than processors run side by side.
fn rust() -> Result<Tally, Failure> {
    cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"])
        .env("RUST_TEST_THREADS", "4")
        .env(simulate::SEEDS, SEEDS)
        .run_counting(Tally::of_cargo_test)
}
