//! `cargo xtask soak`: ten thousand connections at one server, for as long as one likes.

use clap::Args;

use crate::process::{Program, built, cargo};
use crate::step::Failure;

#[derive(Args)]
pub(crate) struct Options {
    /// The time that the connections are held, in minutes.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// The number of connections.
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// Writes the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// A few hundred connections for some seconds, in a debug build: nothing is timed, only counted.
    #[arg(long, conflicts_with_all = ["minutes", "connections"])]
    quick: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut arguments = Vec::new();
    if !options.quick {
        arguments.extend(["--minutes".to_owned(), options.minutes.to_string()]);
        arguments.extend(["--connections".to_owned(), options.connections.to_string()]);
    }
    if let Some(file) = &options.json {
        let file = std::path::absolute(file)
            .map_err(|error| Failure::new(format!("cannot write {file}: {error}")))?;
        arguments.extend(["--json".to_owned(), file.display().to_string()]);
    }
    if options.quick {
        return quick(&arguments);
    }
    let example = ["--package", "masep", "--example", "soak"];
    cargo(&[&["build", "--quiet", "--release"], &example[..]].concat()).run()?;
    start("release", &arguments)
}

/// The step of `cargo xtask test --all`: three minutes.
pub(crate) fn full() -> Result<(), Failure> {
    run(&Options {
        minutes: 3.0,
        connections: 10_000,
        json: None,
        quick: false,
    })
}

fn quick(arguments: &[String]) -> Result<(), Failure> {
    // With the features of the whole workspace it is what the tests have built already.
    let example = ["--workspace", "--all-features", "--example", "soak"];
    cargo(&[&["build", "--quiet"], &example[..]].concat()).run()?;
    start("debug", &[&["--quick".to_owned()], arguments].concat())
}

fn start(profile: &str, arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Program::new(built(profile, "examples/soak"), &arguments).run()
}
