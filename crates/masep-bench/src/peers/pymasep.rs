//! The real pymasep at both ends: `interop/bench_sockets.py`.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Does;
use crate::child::Process;
use crate::job::{Job, Work};
use crate::link::Outcome;
use crate::python;

/// The work that it can do.
pub(crate) fn does(work: Work) -> Does {
    match work {
        Work::RoundTrip | Work::OneWay => Does::It,
        Work::WholeTurn => Does::Not("its round trip is a stall of 88 ms, whatever is in it"),
        Work::FanOut | Work::Spectators => Does::Not("it cannot send to all"),
        Work::Handshakes => Does::Elsewhere,
        Work::Idle | Work::Turns => {
            Does::Not("it waits with select(), which takes 1,024 descriptors, three a connection")
        }
    }
}

/// The interpreter takes the place of this process.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let mut command = python::module("bench_sockets")?;
    let error = command.arg("serve").arg(serde_json::to_string(job)?).exec();
    Err(error).context("cannot start Python")
}

/// Asks an interpreter, which measures.
pub(crate) fn drive(job: &Job) -> Result<Outcome> {
    let mut command = python::module("bench_sockets")?;
    command.arg("drive").arg(serde_json::to_string(job)?);
    let patience = Duration::from_secs_f64(60.0 + job.seconds * 20.0);
    let line = Process::start(&mut command)?.line(patience)?;
    serde_json::from_str(&line).with_context(|| format!("pymasep said {line:?}"))
}
