//! `cargo xtask fuzz`: the targets in `fuzz/`, with libFuzzer, on the stable toolchain.
//!
//! cargo-fuzz would do the same with a nightly toolchain and a sanitizer of memory. There is no
//! unsafe code here for that to watch, and what it looks for (panics, wrong answers, endless loops)
//! needs the coverage counters alone, which stable has too.

mod build;
mod coverage;
mod outcome;
mod replay;
mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;

use crate::process::{Program, root};
use crate::step::{Failure, Form};
use build::Build;
use outcome::Outcome;

/// The most memory a target may take, in MiB.
const MEMORY: u32 = 512;
/// The time that one input may take, in seconds: hundreds of times that of the slowest.
const PATIENCE: u32 = 10;

#[derive(Args)]
pub(crate) struct Fuzz {
    /// The targets; all if none is named.
    targets: Vec<String>,
    /// Seconds for each.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// The number of targets that run at once; by default as many as there are processors.
    #[arg(long)]
    jobs: Option<usize>,
    /// Without searching: the share of the protocol's and the connections' code that the inputs found so
    /// far run through, file by file. Needs `rustup component add llvm-tools`.
    #[arg(long, conflicts_with_all = ["seconds", "jobs"])]
    coverage: bool,
    /// Runs the one target that is named with this input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "jobs", "coverage"])]
    replay: Option<PathBuf>,
    /// The same with an input in hexadecimal digits, as a run prints them.
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["seconds", "jobs", "coverage", "replay"])]
    replay_hex: Option<String>,
    /// Looks for a smaller input with which the target that is named fails as well.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jobs", "coverage", "replay", "replay_hex"])]
    minimise: Option<PathBuf>,
}

/// The step of `cargo xtask test`: the inputs known so far, or 40 seconds of search for each target.
pub(crate) fn test(form: Form) -> Result<(), Failure> {
    let targets = known_targets()?;
    match form {
        Form::Short => replay::run(&targets),
        Form::Long => search(&targets, 40, processors()),
    }
}

impl Fuzz {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let known = known_targets()?;
        if let Some(unknown) = self.targets.iter().find(|target| !known.contains(target)) {
            let known = known.join(", ");
            return Err(Failure::new(format!(
                "no fuzz target {unknown:?}; the targets are {known}"
            )));
        }
        let file = match (&self.replay, &self.replay_hex) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(digits)) => Some(write_input(digits)?),
            (None, None) => None,
        };
        if let Some(file) = file {
            return run_input(self.only_target()?, &file, &[]);
        }
        if let Some(file) = &self.minimise {
            let seconds = format!("-max_total_time={}", self.seconds);
            let minimise = [
                "-minimize_crash=1",
                "-exact_artifact_path=fuzz/artifacts/minimised",
                &seconds,
            ];
            return run_input(self.only_target()?, file, &minimise);
        }
        let targets = if self.targets.is_empty() {
            known
        } else {
            self.targets
        };
        if self.coverage {
            return coverage::report(&targets);
        }
        search(&targets, self.seconds, self.jobs.unwrap_or_else(processors))
    }

    fn only_target(&self) -> Result<&str, Failure> {
        match &self.targets[..] {
            [target] => Ok(target),
            _ => Err(Failure::new("name the one target that is meant")),
        }
    }
}

/// Runs the targets for this many seconds each. A run begins with the seeds and with the inputs that were found
/// earlier, in `fuzz/corpus`.
fn search(targets: &[String], seconds: u32, jobs: usize) -> Result<(), Failure> {
    let programs = Build::COUNTERS.programs()?;
    seeds::write_all(targets)?;
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, targets.len()) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = search_one(target, &programs.join(target), seconds);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let mut finished = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
    finished.sort_by_key(|outcome| targets.iter().position(|target| *target == outcome.target));
    outcome::print(&finished)
}

fn search_one(target: &str, program: &Path, seconds: u32) -> Result<Outcome, Failure> {
    let corpus = format!("fuzz/corpus/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    for folder in [&corpus, &artifacts] {
        create(&root().join(folder))?;
    }
    let mut options = vec![
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY}"),
        format!("-timeout={PATIENCE}"),
        format!("-artifact_prefix={artifacts}"),
        "-print_final_stats=1".to_owned(),
        corpus,
        seeds::folder(target),
    ];
    options.extend(dictionary(target).map(|file| format!("-dict=fuzz/dictionaries/{file}")));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let mut outcome = Outcome::new(target);
    let succeeded = Program::new(program, &options).run_reading(|line| outcome.read(line))?;
    outcome.finish(succeeded);
    Ok(outcome)
}

/// The words that a target's inputs are made of, as a file in `fuzz/dictionaries`.
fn dictionary(target: &str) -> Option<&'static str> {
    match target {
        "message" | "element" => Some("xml.txt"),
        "json" => Some("json.txt"),
        _ => None,
    }
}

/// Runs a target with one input.
fn run_input(target: &str, file: &Path, options: &[&str]) -> Result<(), Failure> {
    let program = Build::COUNTERS.programs()?.join(target);
    create(&root().join("fuzz/artifacts"))?;
    let file = file
        .canonicalize()
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    let file = file.display().to_string();
    let memory = format!("-rss_limit_mb={MEMORY}");
    let timeout = format!("-timeout={PATIENCE}");
    let options = [&[&*memory, &*timeout], options, &[&*file]].concat();
    Program::new(program, &options)
        .env("RUST_BACKTRACE", "1")
        .run()
}

/// The input of these digits as a file.
fn write_input(digits: &str) -> Result<PathBuf, Failure> {
    let bytes = hex::decode(digits.trim())
        .map_err(|error| Failure::new(format!("these are no hexadecimal digits: {error}")))?;
    let folder = root().join("fuzz/artifacts");
    create(&folder)?;
    let file = folder.join("replayed");
    write(&file, &bytes)?;
    Ok(file)
}

/// The targets, by the names of their files.
fn known_targets() -> Result<Vec<String>, Failure> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
        "fuzz/fuzz_targets",
    ];
    let files = Program::new("git", &list).output()?;
    let names = files
        .lines()
        .filter_map(|file| Path::new(file).file_stem()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", folder.display())))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}
