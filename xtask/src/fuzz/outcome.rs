//! The outcome of a run of libFuzzer, from its lines and the file it leaves behind when it finds something.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::process::root;
use crate::step::Failure;

/// Lines kept of what a target says: enough for a panic with its backtrace.
const KEPT_LINES: usize = 60;

/// The time between two signs of life of a target that runs for long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// The outcome of the run of one target.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    executions: u64,
    per_second: u64,
    edges: u64,
    counters: u64,
    features: u64,
    corpus: String,
    /// The last lines since something was found.
    said: Vec<String>,
    /// The input that was found.
    artifact: Option<String>,
    failed: bool,
    /// When a line was last printed for it.
    printed: Option<Instant>,
}

impl Outcome {
    pub(crate) fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            printed: Some(Instant::now()),
            ..Self::default()
        }
    }

    /// Takes a line.
    pub(crate) fn read(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let behind = |word: &str| {
            let at = words.iter().position(|other| *other == word)?;
            words.get(at + 1).copied()
        };
        let number = |word: &str| behind(word)?.parse().ok();
        if let Some(executions) = words.first()
            && let Some(executions) = executions.strip_prefix('#')
        {
            self.executions = executions.parse().unwrap_or(self.executions);
            self.edges = number("cov:").unwrap_or(self.edges);
            self.features = number("ft:").unwrap_or(self.features);
            self.per_second = number("exec/s:").unwrap_or(self.per_second);
            self.corpus = behind("corp:").map_or(std::mem::take(&mut self.corpus), str::to_owned);
            if self.printed.is_some_and(|at| at.elapsed() >= SIGN_OF_LIFE) {
                println!("{self}");
                self.printed = Some(Instant::now());
            }
            return;
        }
        if let Some((_, counters)) = line.split_once(" modules (") {
            self.counters = first_number(counters);
        } else if let Some((_, counters)) = line.split_once(" inline 8-bit counters): ") {
            self.counters = first_number(counters);
        } else if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.artifact = Some(file.trim().to_owned());
        } else if let Some(executions) = number("stat::number_of_executed_units:") {
            self.executions = executions;
        }
        let begins = line.contains("panicked at") || line.contains("ERROR: libFuzzer");
        let is_statistics = line.starts_with("stat::") || line.starts_with("INFO:");
        if (begins || !self.said.is_empty()) && !is_statistics && self.said.len() < KEPT_LINES {
            self.said.push(line.to_owned());
        }
    }

    /// The run is over.
    pub(crate) fn finish(&mut self, succeeded: bool) {
        self.failed = !succeeded;
        println!("{self}");
    }

    /// Prints the finding, and the commands that show it again.
    fn print_finding(&self) {
        println!("\n--- {} found something:", self.target);
        for line in &self.said {
            println!("{line}");
        }
        let Some(file) = &self.artifact else {
            return;
        };
        let target = &self.target;
        println!("--- replay: cargo xtask fuzz {target} --replay {file}");
        println!("--- minimise: cargo xtask fuzz {target} --minimise {file}");
        if let Ok(bytes) = fs::read(root().join(file)) {
            let digits = hex::encode(bytes);
            println!("--- elsewhere: cargo xtask fuzz {target} --replay-hex {digits}");
        }
    }
}

/// The first number of a text; 0 if there is none.
fn first_number(text: &str) -> u64 {
    let digits = text
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A line of the table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:12} {:>13} executions {:>8}/s  {:>6} of {:>6} edges {:>7} features  corpus {:>12}  findings {}",
            self.target,
            self.executions,
            self.per_second,
            self.edges,
            self.counters,
            self.features,
            self.corpus,
            u8::from(self.failed),
        )
    }
}

/// Prints the table, and what was found.
///
/// # Errors
/// If something was found, or a target did not run.
pub(crate) fn print(outcomes: &[Outcome]) -> Result<(), Failure> {
    println!();
    for outcome in outcomes {
        println!("{outcome}");
    }
    println!(
        "edges: those of all code in the program, dependencies and what the target never calls included; \
         `--coverage` tells the share of masep's own lines"
    );
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.failed).collect();
    for outcome in &failed {
        outcome.print_finding();
    }
    if let Some(idle) = outcomes.iter().find(|outcome| outcome.executions == 0) {
        return Err(Failure::new(format!("{} ran nothing", idle.target)));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|outcome| &*outcome.target).collect();
    Err(Failure::new(format!(
        "found something: {}",
        names.join(", ")
    )))
}
