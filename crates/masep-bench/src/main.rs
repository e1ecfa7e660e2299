//! masep beside raw sockets and other messaging libraries: `cargo xtask bench`.
//!
//! Client and server are processes of this program. For each thing that is measured there are some
//! rounds, and in each round everybody is measured once; ratios are of figures of the same round.
#![forbid(unsafe_code)]

mod certificates;
mod child;
mod cli;
mod codec;
mod experiment;
mod job;
mod link;
mod machine;
mod memory;
mod peers;
mod placement;
mod plan;
mod python;
mod relay;
mod report;
mod results;
mod run;
mod stats;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Role};

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(&cli).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.role {
        None => cli.run(),
        Some(Role::Serve { job }) => child::serve(&serde_json::from_str(job)?),
        Some(Role::Drive { job }) => child::drive(&serde_json::from_str(job)?),
    }
}
