//! The inputs known so far, each once: the seeds, and what earlier runs found and kept in `fuzz/corpus`.
//!
//! The targets are built without coverage counters, which nobody reads here: that takes a fraction of the time.

use std::fs;

use super::build::Build;
use super::{MEMORY, PATIENCE, seeds};
use crate::process::{Program, root};
use crate::step::Failure;

/// The number of files that one process is given: less than a command line holds.
const FILES: usize = 500;

pub(super) fn run(targets: &[String]) -> Result<(), Failure> {
    let programs = Build::PLAIN.programs()?;
    seeds::write_all(targets)?;
    for target in targets {
        let folders = [seeds::folder(target), format!("fuzz/corpus/{target}")];
        let mut inputs = Vec::new();
        for folder in folders {
            inputs.extend(files(&folder)?);
        }
        for inputs in inputs.chunks(FILES) {
            let limits = [
                format!("-rss_limit_mb={MEMORY}"),
                format!("-timeout={PATIENCE}"),
            ];
            let args: Vec<_> = limits.iter().chain(inputs).map(String::as_str).collect();
            // Its output ends with the input that failed.
            Program::new(programs.join(target), &args)
                .env("RUST_BACKTRACE", "1")
                .run_quietly()
                .map_err(|failure| Failure::new(format!("{target} fails: {failure}")))?;
        }
        println!("{target:12} {} inputs", inputs.len());
    }
    Ok(())
}

/// The files of a folder, from the root of the repository; none if it does not exist.
fn files(folder: &str) -> Result<Vec<String>, Failure> {
    let path = root().join(folder);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&path)
        .map_err(|error| Failure::new(format!("cannot read {folder}: {error}")))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut files: Vec<_> = names.map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    Ok(files)
}
