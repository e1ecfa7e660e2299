//! The program `masep`: messages between a game engine and its interfaces, from the command line.
//!
//! One file a verb; what the verbs share (lines, output, exit codes) has a file each.
#![forbid(unsafe_code)]

mod cli;
#[cfg_attr(not(test), expect(dead_code, reason = "for the verbs serve and join"))]
mod commands;
mod decode;
mod demo;
mod encode;
mod error;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for the verbs serve, join and tap")
)]
mod events;
mod failure;
mod lines;
mod log;
mod output;
mod status;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use crate::status::Status;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::init();
    let status = match cli.run() {
        Ok(status) => status,
        // Whoever read the output has what they wanted (`masep decode | head -1`).
        Err(Error::StdoutClosed) => Status::Done,
        Err(error) => {
            // Not `eprintln!`: it panics when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "masep: {error}");
            Status::Failed
        }
    };
    status.into()
}
