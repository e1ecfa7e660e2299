//! The real pymasep, in an interpreter of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// The Python in whose environment pymasep is; `cargo xtask bench` sets it.
const PYTHON: &str = "MASEP_BENCH_PYTHON";

/// Runs a module of `interop/`, on the processors that this thread may use.
pub(crate) fn module(name: &str) -> Result<Command> {
    let python = std::env::var_os(PYTHON).with_context(|| format!("{PYTHON} is not set"))?;
    let mut command = Command::new(python);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop"))
        .args(["-m", name])
        .env("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        .env("SDL_VIDEODRIVER", "dummy");
    Ok(command)
}
