//! The real pymasep.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Direction, Sample};
use crate::child::Process;
use crate::python;

/// The nanoseconds that pymasep takes.
pub(super) fn nanoseconds(sample: Sample, direction: Direction, seconds: f64) -> Result<f64> {
    let direction = match direction {
        Direction::Decode => "decode",
        Direction::Encode => "encode",
        Direction::Both => "both",
    };
    let mut command = python::module("bench_codec")?;
    command.args([direction, sample.name, &seconds.to_string()]);
    let line = Process::start(&mut command)?.line(Duration::from_secs(60))?;
    line.parse()
        .with_context(|| format!("pymasep said {line:?}"))
}
