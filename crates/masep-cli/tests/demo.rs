//! `masep demo`, as somebody sees it who runs it.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is the report of a test that fails"
)]

mod program;

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use program::{Run, run, start};
use serde_json::Value;

/// The figures of a game to its end, and all that was printed.
fn figures(args: &[&str]) -> (Value, Run) {
    let run = run(&[&["demo", "--json"], args].concat(), "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.lines().len(), 1, "{}", run.stdout);
    (serde_json::from_str(&run.stdout).unwrap(), run)
}

/// The figures without those that depend on the machine.
fn game(mut figures: Value) -> Value {
    let object = figures.as_object_mut().unwrap();
    for time in ["seconds", "steps_per_second", "found_by_search"] {
        assert!(object.remove(time).is_some(), "{time}");
    }
    for time in ["p50_us", "p99_us"] {
        let round_trip = object["round_trip"].as_object_mut().unwrap();
        assert!(round_trip.remove(time).is_some(), "{time}");
    }
    figures
}

#[test]
fn the_same_seed_gives_the_same_game() {
    let play = |seed| game(figures(&["--seed", seed, "--episodes", "2"]).0);
    let first = play("1");
    assert_eq!(first, play("1"));
    assert_ne!(first, play("2"));
}

#[test]
fn everybody_takes_part_and_nobody_misses_a_step() {
    let args = ["--episodes", "3", "--actors", "4", "--observers", "3"];
    let (figures, _) = figures(&args);
    let number = |path: &str| figures.pointer(path).unwrap().as_u64().unwrap();
    assert_eq!(number("/episodes"), 3);
    let steps = number("/steps");
    assert!(steps > 3);
    let list = |name: &str| figures[name].as_array().unwrap().clone();
    assert_eq!(list("predators").len(), 4);
    assert_eq!(list("observers").len(), 3);
    for observer in list("observers") {
        assert_eq!(observer["observations"], steps + 3);
        assert_eq!(observer["missed"], 0);
    }
    assert_eq!(number("/round_trip/count"), steps * 4);
    let time = |path: &str| figures.pointer(path).unwrap().as_f64().unwrap();
    assert!(time("/round_trip/p50_us") > 0.0);
    assert!(time("/round_trip/p50_us") <= time("/round_trip/p99_us"));
    assert!(time("/round_trip/p99_us") < time("/seconds") * 1e6);
    // A DEFINE, a REGISTER and a QUIT of each, and the actions; observations, and an END for each.
    assert_eq!(number("/received/frames"), 7 * 3 + steps * 4);
    assert_eq!(number("/sent/frames"), 7 * (steps + 3) + 7);
    assert!(number("/sent/bytes") > 100 * number("/sent/frames"));
}

#[test]
fn without_json_it_explains_itself_and_prints_a_table() {
    let run = run(&["demo", "--episodes", "1", "--seed", "3"], "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.lines();
    assert!(lines[0].contains("3 predators and 1 observer, seed 3"));
    assert!(lines[1].contains("1 episode "));
    for row in [
        "episodes     1",
        "steps ",
        "round trip   p50 ",
        "sent ",
        "received ",
        "predator-03 ",
        "observer-01 ",
    ] {
        let count = lines.iter().filter(|line| line.starts_with(row)).count();
        assert_eq!(count, 1, "{row} in {}", run.stdout);
    }
    // No bar and no colors where there is no terminal.
    assert!(!run.stdout.contains(['\x1b', '\r']));
    assert!(!run.stderr.contains(['\x1b', '\r']));
}

/// When the search fails it is said, and makes no other difference.
#[test]
fn what_came_of_the_search_is_said() {
    let (figures, run) = figures(&["--episodes", "1"]);
    match figures["found_by_search"].as_bool().unwrap() {
        true => assert_eq!(run.stderr, ""),
        false => assert!(run.stderr.contains("the LAN search does not work here")),
    }
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_it_with_the_figures_so_far() {
    let mut child = start(&["demo", "--episodes", "1000000"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // The program has begun when it explains itself.
    stdout.read_line(&mut String::new()).unwrap();
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let mut table = String::new();
    stdout.read_to_string(&mut table).unwrap();
    assert!(table.contains("\nround trip "), "{table}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("interrupted after "), "{stderr}");
}

#[test]
fn wrong_numbers_are_refused_with_the_range() {
    for (option, value, range) in [
        ("--actors", "0", "1..=64"),
        ("--observers", "257", "0..=256"),
        ("--episodes", "0", "1..=1000000"),
    ] {
        let run = run(&["demo", option, value], "");
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains(range), "{}", run.stderr);
    }
}
