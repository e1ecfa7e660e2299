//! `cargo xtask fuzz`: the targets in `fuzz/`, with libFuzzer, on the stable toolchain.
//!
//! cargo-fuzz would do the same with a nightly toolchain and a sanitizer of memory. There is no
//! unsafe code here for that to watch, and what it looks for (panics, wrong answers, endless loops)
//! needs the coverage counters alone, which stable has too.

use std::fs;
use std::path::Path;

use crate::process::{Program, cargo, root};
use crate::step::Failure;

/// What cargo-fuzz sets for coverage, and checks that a release build leaves out.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions \
     -Coverflow-checks";

/// The most memory a target may take, in MiB: messages are at most 1 MiB, decoded about 20 times that.
const MEMORY: u32 = 512;
/// How long one input may take, in seconds.
const PATIENCE: u32 = 10;

/// Runs the targets (all if none is named) for this many seconds each. What was found earlier, in
/// `fuzz/corpus`, is where a run begins.
pub(crate) fn run(targets: &[String], seconds: u32) -> Result<(), Failure> {
    let known = known_targets()?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        let known = known.join(", ");
        return Err(Failure::new(format!(
            "no fuzz target {unknown:?}; the targets are {known}"
        )));
    }
    let directory = root().join("fuzz");
    // With a target named, the flags are not applied to build scripts and macros.
    let host = host()?;
    cargo(&["build", "--release", "--bins", "--target", &host])
        .current_dir(&directory)
        .env("RUSTFLAGS", FLAGS)
        .run()?;
    for target in if targets.is_empty() { &known } else { targets } {
        fuzz(target, &directory, &host, seconds)?;
    }
    Ok(())
}

fn fuzz(target: &str, directory: &Path, host: &str, seconds: u32) -> Result<(), Failure> {
    let corpus = format!("corpus/{target}");
    let artifacts = format!("artifacts/{target}/");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(directory.join(folder))
            .map_err(|error| Failure::new(format!("cannot create fuzz/{folder}: {error}")))?;
    }
    let program = directory
        .join("target")
        .join(host)
        .join("release")
        .join(target);
    let options = [
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY}"),
        format!("-timeout={PATIENCE}"),
        format!("-artifact_prefix={artifacts}"),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
        corpus,
    ];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    Program::new(program, &options).current_dir(directory).run()
}

/// The targets, by the names of their files.
fn known_targets() -> Result<Vec<String>, Failure> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "fuzz/fuzz_targets",
    ];
    let files = Program::new("git", &list).output()?;
    let names = files
        .lines()
        .filter_map(|file| Path::new(file).file_stem()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// The platform that is compiled on.
fn host() -> Result<String, Failure> {
    let version = Program::new("rustc", &["-vV"]).output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc does not tell its host"))
}
