//! `cargo xtask instructions`: how many instructions the codec's work takes, counted by valgrind's
//! callgrind, beside what was recorded.
//!
//! A time tells a difference of a tenth only on a machine that does nothing else; a count is the same each
//! time. Each kind of work is run some times and twice as many times: the difference is without what the
//! program does before and after.

use std::thread;

use serde_json::{Map, Value as Json, json};

use crate::process::{Program, built, cargo, root};
use crate::step::Failure;
use crate::tally::Tally;

/// The recorded counts.
const RECORD: &str = "crates/instructions/counts.json";
/// The profile of the build, and the folder it goes into.
const PROFILE: &str = "instructions";
/// The number of times that each kind of work is done in the first of two runs.
const TIMES: u64 = 16;
/// Parts of a hundred by which a count may differ from the recorded one.
const TOLERANCE: f64 = 10.0;
/// The platform that a count is for: another one has others.
const PLATFORM: &str = std::env::consts::ARCH;

/// Counts, and compares with the record; with `record`, writes it instead.
pub(crate) fn run(record: bool) -> Result<Tally, Failure> {
    let valgrind = Program::new("valgrind", &["--version"]).output();
    let valgrind = valgrind.map_err(|failure| {
        Failure::new(format!(
            "instructions are counted by valgrind: on Debian and Ubuntu, `apt install valgrind` ({failure})"
        ))
    })?;
    let rustc = Program::new("rustc", &["--version"]).output()?;
    if record {
        let counts = count_all()?;
        let counts: Map<_, _> = counts
            .into_iter()
            .map(|(work, n)| (work, n.into()))
            .collect();
        return write(&json!({
            "platform": PLATFORM,
            "rustc": rustc.trim(),
            "valgrind": valgrind.trim(),
            "instructions": counts,
        }))
        .map(|()| Tally::default());
    }
    let recorded = read()?;
    let text = |key: &str| recorded[key].as_str().unwrap_or("none").to_owned();
    if text("platform") != PLATFORM {
        println!(
            "recorded for {}, this is {PLATFORM}: not compared",
            text("platform")
        );
        return Ok(Tally {
            skipped: 1,
            ..Tally::default()
        });
    }
    for (key, now) in [("rustc", rustc.trim()), ("valgrind", valgrind.trim())] {
        if text(key) != now {
            println!(
                "warning: recorded with {}, this is {now}: compared all the same; if that alone is the \
                 reason for a difference, record anew in a commit of its own",
                text(key)
            );
        }
    }
    let mut findings = Vec::new();
    for comparison in compare(&recorded_counts(&recorded), &count_all()?) {
        println!("{}", comparison.line);
        findings.extend(comparison.finding);
    }
    if findings.is_empty() {
        return Ok(Tally::default());
    }
    Err(Failure::new(format!(
        "{}; on purpose? `cargo xtask instructions --record`, and say why in the commit",
        findings.join("; ")
    )))
}

type Counts = Vec<(String, u64)>;

/// Builds the program and counts each kind of its work.
fn count_all() -> Result<Counts, Failure> {
    let build = [
        "build",
        "--quiet",
        "--package",
        "instructions",
        "--profile",
        PROFILE,
    ];
    cargo(&build).run()?;
    let works = Program::new(built(PROFILE, "instructions"), &[]).output()?;
    works
        .lines()
        .map(|work| {
            let (once, twice) = thread::scope(|scope| {
                let twice = scope.spawn(|| count(work, 2 * TIMES));
                (count(work, TIMES), twice.join())
            });
            let twice = twice.map_err(|_| Failure::new("counting panicked"))??;
            Ok((work.to_owned(), (twice - once?) / TIMES))
        })
        .collect()
}

/// The instructions of the whole program, with this work done so many times.
fn count(work: &str, times: u64) -> Result<u64, Failure> {
    let program = built(PROFILE, "instructions").display().to_string();
    let times = times.to_string();
    let options = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--log-fd=1",
    ];
    let log = Program::new(
        "valgrind",
        &[&options[..], &[&program, work, &times]].concat(),
    )
    .output()?;
    collected(&log).ok_or_else(|| Failure::new(format!("valgrind told no count: {log}")))
}

/// The count in `==123== Collected : 4567`.
fn collected(log: &str) -> Option<u64> {
    let (_, count) = log
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

/// One kind of work, recorded or counted.
struct Comparison {
    /// The line to print.
    line: String,
    /// The reason why it fails, if it does.
    finding: Option<String>,
}

fn compare(recorded: &Counts, counted: &Counts) -> Vec<Comparison> {
    let find = |counts: &Counts, work: &str| {
        let entry = counts.iter().find(|(other, _)| other == work);
        entry.map(|(_, count)| *count)
    };
    let mut comparisons: Vec<_> = counted
        .iter()
        .map(|(work, now)| compare_one(work, find(recorded, work), *now))
        .collect();
    let gone = recorded
        .iter()
        .filter(|(work, _)| find(counted, work).is_none());
    comparisons.extend(gone.map(|(work, _)| Comparison {
        line: format!("{work:36} is recorded, but no work of this name is done"),
        finding: Some(format!("{work} is gone")),
    }));
    comparisons
}

fn compare_one(work: &str, before: Option<u64>, now: u64) -> Comparison {
    let Some(before) = before else {
        return Comparison {
            line: format!("{work:36} {:>10} {now:>10}", "-"),
            finding: Some(format!("{work} is not recorded")),
        };
    };
    let percent = (now as f64 / before as f64 - 1.0) * 100.0;
    let line = format!("{work:36} {before:>10} {now:>10} {percent:>+7.1} %");
    if percent > TOLERANCE {
        return Comparison {
            finding: Some(format!("{work} takes {percent:+.1} % instructions")),
            line,
        };
    }
    let hint = if percent < -TOLERANCE {
        "  less: `cargo xtask instructions --record` keeps it so"
    } else {
        ""
    };
    Comparison {
        line: line + hint,
        finding: None,
    }
}

fn recorded_counts(record: &Json) -> Counts {
    let counts = record["instructions"].as_object();
    let counts = counts.into_iter().flatten();
    counts
        .filter_map(|(work, count)| Some((work.clone(), count.as_u64()?)))
        .collect()
}

fn read() -> Result<Json, Failure> {
    let unreadable = |why: String| Failure::new(format!("cannot read {RECORD}: {why}"));
    let text = std::fs::read_to_string(root().join(RECORD));
    let text = text.map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
}

fn write(record: &Json) -> Result<(), Failure> {
    std::fs::write(root().join(RECORD), format!("{record:#}\n"))
        .map_err(|error| Failure::new(format!("cannot write {RECORD}: {error}")))?;
    println!("{RECORD} is written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Counts {
        let owned = |(work, count): &(&str, u64)| ((*work).to_owned(), *count);
        counts.iter().map(owned).collect()
    }

    fn findings(recorded: &[(&str, u64)], counted: &[(&str, u64)]) -> Vec<String> {
        let comparisons = compare(&counts(recorded), &counts(counted));
        comparisons
            .into_iter()
            .filter_map(|one| one.finding)
            .collect()
    }

    #[test]
    fn a_tenth_more_is_tolerated_and_no_more() {
        assert!(findings(&[("a", 1_000)], &[("a", 1_099)]).is_empty());
        let found = findings(&[("a", 1_000), ("b", 10)], &[("a", 1_101), ("b", 10)]);
        assert_eq!(found, ["a takes +10.1 % instructions"]);
    }

    #[test]
    fn less_is_a_hint() {
        let comparisons = compare(&counts(&[("a", 1_000)]), &counts(&[("a", 899)]));
        assert!(comparisons[0].finding.is_none() && comparisons[0].line.contains("--record"));
        let comparisons = compare(&counts(&[("a", 1_000)]), &counts(&[("a", 901)]));
        assert!(!comparisons[0].line.contains("--record"));
    }

    #[test]
    fn what_is_new_or_gone_is_to_be_recorded() {
        let found = findings(&[("old", 1)], &[("new", 1)]);
        assert_eq!(found, ["new is not recorded", "old is gone"]);
    }

    #[test]
    fn the_count_is_found_in_the_log() {
        let log = "==7== Events    : Ir\n==7== Collected : 36406164\n==7== \n";
        assert_eq!(collected(log), Some(36_406_164));
        assert_eq!(collected("==7== "), None);
    }
}
