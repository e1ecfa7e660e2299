//! The program `masep`: messages between a game engine and its interfaces, from the command line.
//!
//! One file a verb; what the verbs share (lines, output, exit codes) has a file each.
#![forbid(unsafe_code)]

mod address;
mod cert;
mod certificate;
mod check;
mod cli;
mod clock;
mod commands;
mod decode;
mod demo;
mod discover;
mod duration;
mod encode;
mod error;
mod events;
mod failure;
mod files;
mod id;
mod join;
mod limits;
mod lines;
mod log;
mod output;
mod pace;
mod payload;
mod protocol;
mod protocols;
mod proxy;
mod runtime;
mod serve;
mod signals;
mod status;
mod stdout;
mod tap;
mod tls;
mod token;
mod variables;

use std::io::Write;
use std::process::ExitCode;

use crate::status::Status;

fn main() -> ExitCode {
    let cli = cli::Cli::from_command_line();
    log::init(cli.log_format());
    variables::warn_of_misspelt();
    let status = cli.run().unwrap_or_else(|error| {
        let status = error.status();
        if status != Status::Done {
            // Not `eprintln!`: it panics when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "masep: {error}");
        }
        status
    });
    status.into()
}
