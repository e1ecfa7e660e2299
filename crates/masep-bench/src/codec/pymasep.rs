//! The real pymasep, in an interpreter of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Direction, Sample};
use crate::child::Process;

/// The Python in whose environment pymasep is; `cargo xtask bench` sets it.
const PYTHON: &str = "MASEP_BENCH_PYTHON";

/// The nanoseconds that pymasep takes. The interpreter runs where this thread may run.
pub(super) fn nanoseconds(sample: Sample, direction: Direction, seconds: f64) -> Result<f64> {
    let python = std::env::var_os(PYTHON).with_context(|| format!("{PYTHON} is not set"))?;
    let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    let direction = match direction {
        Direction::Decode => "decode",
        Direction::Encode => "encode",
        Direction::Both => "both",
    };
    let mut command = Command::new(python);
    command
        .current_dir(interop)
        .args([
            "-m",
            "bench_codec",
            direction,
            sample.name,
            &seconds.to_string(),
        ])
        .env("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        .env("SDL_VIDEODRIVER", "dummy");
    let line = Process::start(&mut command)?.line(Duration::from_secs(60))?;
    line.parse()
        .with_context(|| format!("pymasep said {line:?}"))
}
