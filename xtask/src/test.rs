//! `cargo xtask test`: everything that must hold before a change lands.

use crate::bench;
use crate::faults;
use crate::fuzz;
use crate::instructions;
use crate::interop;
use crate::lint;
use crate::model;
use crate::process::cargo;
use crate::python;
use crate::simulate;
use crate::soak;
use crate::step::{Failure, Step};
use crate::tally::Tally;

/// The libraries, each of which must also hold alone and with every feature.
const LIBRARIES: [&str; 2] = ["masep-proto", "masep"];

pub(crate) fn steps() -> Vec<Step> {
    vec![
        lint::FORMAT,
        lint::CLIPPY,
        Step {
            name: "features",
            about: "each library alone, without and with all its features",
            run: features,
        },
        Step {
            name: "rust",
            about: "unit, integration and doc tests of the workspace, with all features",
            run: rust,
        },
        Step {
            name: "model",
            about: "queues and turns in many orders of events; none in which somebody waits for ever",
            run: || model::test().map(|()| Tally::default()),
        },
        Step {
            name: "bench",
            about: "the bench, without what it compares masep with: format, clippy, tests",
            run: bench::test,
        },
        Step {
            name: "instructions",
            about: "the codec takes no more of them than recorded",
            run: || instructions::run(false),
        },
        Step {
            name: "simulate",
            about: "server and client over a simulated network, hundreds of seeds",
            run: simulate::quick,
        },
        Step {
            name: "soak",
            about: "hundreds of connections, some stalled: nothing is lost, nothing is left behind",
            run: || soak::quick(&[]).map(|()| Tally::default()),
        },
        Step {
            name: "interop",
            about: "the program masep against the real pymasep",
            run: || interop::test(&[]),
        },
        Step {
            name: "python",
            about: "the Python package, beside the real pymasep",
            run: || python::test(&[]),
        },
        Step {
            name: "faults",
            about: "games and conversations over bad networks, in namespaces",
            run: || faults::test(false, None, &[]),
        },
        Step {
            name: "fuzz",
            about: "each fuzz target for ten seconds",
            run: || fuzz::smoke().map(|()| Tally::default()),
        },
    ]
}

/// Built with the other crates, or with its own tests, a library gets the features that they ask for;
/// this finds what it uses without asking.
fn features() -> Result<Tally, Failure> {
    for library in LIBRARIES {
        for features in ["--no-default-features", "--all-features"] {
            for targets in ["--lib", "--tests"] {
                let check = ["clippy", "--package", library, targets, features];
                cargo(&[&check[..], &["--", "-D", "warnings"]].concat()).run()?;
            }
        }
    }
    Ok(Tally::default())
}

fn rust() -> Result<Tally, Failure> {
    cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"])
        .run_counting(Tally::of_cargo_test)
}
