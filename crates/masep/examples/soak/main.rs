//! Thousands of connections held by one server, for as long as one likes: `cargo xtask soak`.
//!
//! Four processes: this one leads and measures, one is the server, one holds all the clients, and one
//! the client of the pair whose round trips are timed. Each connection exchanges a frame now and then,
//! and every content is checked. In turns, nobody is stalled, and one connection in a hundred reads
//! nothing while the server keeps sending to it. The findings go into a table, and into JSON.
//!
//! Ends with 1 if a promise was broken, with 2 if the run itself could not be done.
#![forbid(unsafe_code)]

mod child;
mod clients;
mod feeder;
mod frames;
mod growth;
mod judge;
mod member;
mod pair;
mod plan;
mod report;
mod run;
mod seconds;
mod server;
mod system;

use std::process::ExitCode;

use plan::Plan;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome<T> = Result<T, Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["server", plan] => Plan::parse(plan).and_then(|plan| server::serve(&plan)),
        ["clients", plan, address] => {
            Plan::parse(plan).and_then(|plan| clients::hold(&plan, address))
        }
        ["pair", address] => pair::measure(address),
        _ => return lead(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak {}: {error}", arguments[0]);
            ExitCode::from(2)
        }
    }
}

fn lead(arguments: &[&str]) -> ExitCode {
    let outcome = plan::from_arguments(arguments).and_then(|(plan, json)| {
        let report = run::run(&plan)?;
        println!("{report}");
        if let Some(file) = json {
            std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
        }
        Ok(report.broken.is_empty())
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}
