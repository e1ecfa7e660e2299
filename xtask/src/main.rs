//! The development tasks of masep: `cargo xtask test`, `cargo xtask lint`, ...
//!
//! A task is a list of named steps. All of them run, also after one has failed, so that one run tells
//! everything; the summary at the end says what failed, and so does the exit code.
#![forbid(unsafe_code)]

mod bench;
mod beside;
mod deny;
mod faults;
mod fuzz;
mod instructions;
mod interop;
mod lint;
mod model;
mod process;
mod python;
mod simulate;
mod soak;
mod step;
mod tally;
mod test;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use step::{Failure, Form, Step};

/// The development tasks of masep.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must hold before a change lands, in about ten minutes. Creates what it needs.
    Test {
        /// All steps, each in full, in at most 45 minutes: before a release.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        selection: Selection,
    },
    /// Documentation, length of files, links, openings of sentences, the tests that SECURITY.md names. Needs no network.
    Lint(Selection),
    /// The tests against the real pymasep alone.
    Interop {
        /// Handed on to pytest, such as `-k discovery -x`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        pytest: Vec<String>,
    },
    /// Games and conversations over links that lose, delay and end, in network namespaces; a table.
    Faults {
        /// Ten times as many frames, and five seeds.
        #[arg(long)]
        long: bool,
        /// The first seed [default: 7]
        #[arg(long)]
        seed: Option<u32>,
        /// Handed on to pytest, such as `-- -k pulled -x`.
        #[arg(last = true)]
        pytest: Vec<String>,
    },
    /// The Python package, built, installed beside pymasep, and tested; the rest goes to pytest.
    Python {
        /// Handed on to pytest.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        pytest: Vec<String>,
    },
    /// Writes the files in interop/vectors through the real pymasep.
    Vectors {
        /// Writes nothing; fails if a file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// 10,000 connections at one server, some of them stalled: what is lost, what grows, who waits.
    Soak(soak::Options),
    /// The server and client over a simulated network that delays, loses, cuts and crashes, by seeds.
    Simulate(simulate::Options),
    /// masep beside raw sockets and other messaging libraries, `bench python` the Python package beside
    /// pymasep, `bench environments` remote environments beside bare sockets; `cargo xtask bench --help` tells more.
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed on to the program in crates/masep-bench, or behind `python` and `environments` to one in
        /// bindings/python/bench.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The instructions that the codec takes, counted by valgrind, beside those that are recorded.
    Instructions {
        /// Records what is counted, instead of comparing.
        #[arg(long)]
        record: bool,
    },
    /// All orders of events: masep's hand-made synchronisation under a model checker.
    #[command(disable_help_flag = true)]
    Model {
        /// Handed on to the program in crates/masep-model.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The fuzz targets in fuzz/, each for a while, as many at once as there are processors.
    Fuzz(fuzz::Fuzz),
    /// Licences, sources, versions and advisories of all dependencies, by cargo-deny, which is built if it is
    /// not installed. Needs a network.
    Deny,
}

#[derive(Args)]
struct Selection {
    /// Runs this step alone (can be given several times).
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leaves this step out (can be given several times).
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    skip: Vec<String>,
    /// Lists the steps and runs none.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test { all, selection } => {
            let form = if all { Form::Long } else { Form::Short };
            run_steps("test", &test::steps(), form, &selection)
        }
        Task::Lint(selection) => run_steps("lint", &lint::steps(), Form::Short, &selection),
        Task::Interop { pytest } => interop::test(&pytest).map(|tally| {
            println!("{tally}");
            ExitCode::SUCCESS
        }),
        Task::Python { pytest } => python::test(&pytest).map(|tally| {
            println!("{tally}");
            ExitCode::SUCCESS
        }),
        Task::Faults { long, seed, pytest } => faults::test(long, seed, &pytest).map(|tally| {
            println!("{tally}");
            ExitCode::SUCCESS
        }),
        Task::Vectors { check } => interop::vectors(check).map(|()| ExitCode::SUCCESS),
        Task::Simulate(options) => simulate::run(&options).map(|tally| {
            println!("{tally}");
            ExitCode::SUCCESS
        }),
        Task::Soak(options) => soak::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Bench { args } => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Instructions { record } => instructions::run(record).map(|_| ExitCode::SUCCESS),
        Task::Model { args } => model::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(fuzz) => fuzz.run().map(|()| ExitCode::SUCCESS),
        Task::Deny => deny::run().map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

/// Runs a task that is made of steps; the last line counts the tests, if there were any.
fn run_steps(
    task: &str,
    steps: &[Step],
    form: Form,
    selection: &Selection,
) -> Result<ExitCode, Failure> {
    if selection.list {
        for step in steps {
            let form = if step.is_long { " (--all)" } else { "" };
            println!("{:12} {}{form}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let selected = step::select(steps, form, &selection.only, &selection.skip)?;
    let (tests, ok) = step::run(task, steps, form, &selected);
    if task == "test" {
        println!("{tests}");
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
