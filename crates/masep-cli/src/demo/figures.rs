//! The figures of a game, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use masep::Role;
use serde::Serialize;

use super::engine::Report;
use super::{Agent, agent};

/// The output of `masep demo --json`; its `Display` is the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    seed: u64,
    /// True if the engine was found by the LAN search.
    found_by_search: bool,
    episodes: u64,
    steps: u64,
    seconds: f64,
    steps_per_second: f64,
    round_trip: RoundTrip,
    sent: Traffic,
    received: Traffic,
    predators: Vec<Predator>,
    observers: Vec<Observer>,
}

#[derive(Debug, Serialize)]
struct RoundTrip {
    /// The number of round trips that the other figures are about: the latest ones.
    count: usize,
    p50_us: f64,
    p99_us: f64,
}

/// The messages of the engine to all agents, or of all agents to it, without the hello and the BYE of each connection.
#[derive(Debug, Default, Serialize)]
struct Traffic {
    frames: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Predator {
    id: String,
    caught: u64,
    reward: i64,
}

#[derive(Debug, Serialize)]
struct Observer {
    id: String,
    observations: i64,
    missed: i64,
}

impl FromIterator<agent::Traffic> for Traffic {
    fn from_iter<I: IntoIterator<Item = agent::Traffic>>(parts: I) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.frames += part.frames;
            all.bytes += part.bytes;
        }
        all
    }
}

impl Figures {
    pub(crate) fn new(seed: u64, found_by_search: bool, report: &Report, agents: &[Agent]) -> Self {
        let seconds = report.time.as_secs_f64();
        let predators = report.scores.iter().map(|score| Predator {
            id: score.id.to_string(),
            caught: score.caught,
            reward: score.reward,
        });
        let observers = agents.iter().filter(|it| it.role == Role::Observer);
        let mut observers: Vec<Observer> = observers
            .map(|observer| Observer {
                id: observer.id.clone(),
                observations: observer.played.observations,
                missed: observer.played.missed,
            })
            .collect();
        observers.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            seed,
            found_by_search,
            episodes: report.episodes,
            steps: report.steps,
            seconds,
            steps_per_second: if seconds > 0.0 {
                report.steps as f64 / seconds
            } else {
                0.0
            },
            round_trip: RoundTrip {
                count: report.round_trips.len(),
                p50_us: microseconds(report.round_trip_quantile(0.50)),
                p99_us: microseconds(report.round_trip_quantile(0.99)),
            },
            sent: agents.iter().map(|it| it.played.received).collect(),
            received: agents.iter().map(|it| it.played.sent).collect(),
            predators: predators.collect(),
            observers,
        }
    }
}

fn microseconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_nanos() as f64 / 1e3
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RoundTrip { p50_us, p99_us, .. } = self.round_trip;
        writeln!(f, "episodes     {}", grouped(self.episodes))?;
        writeln!(
            f,
            "steps        {} in {:.2} s: {} per second",
            grouped(self.steps),
            self.seconds,
            grouped(self.steps_per_second as u64),
        )?;
        writeln!(
            f,
            "round trip   p50 {:.3} ms, p99 {:.3} ms",
            p50_us / 1e3,
            p99_us / 1e3
        )?;
        for (what, traffic) in [("sent", &self.sent), ("received", &self.received)] {
            let (frames, bytes) = (grouped(traffic.frames), grouped(traffic.bytes));
            writeln!(f, "{what:<12} {frames} frames, {bytes} bytes")?;
        }
        write!(f, "\n{:<12} {:>12} {:>12}", "predator", "caught", "reward")?;
        for Predator { id, caught, reward } in &self.predators {
            write!(f, "\n{id:<12} {caught:>12} {reward:>12}")?;
        }
        if !self.observers.is_empty() {
            write!(
                f,
                "\n\n{:<12} {:>12} {:>12}",
                "observer", "observations", "missed"
            )?;
        }
        for Observer {
            id,
            observations,
            missed,
        } in &self.observers
        {
            write!(f, "\n{id:<12} {observations:>12} {missed:>12}")?;
        }
        Ok(())
    }
}

/// A number with its name, in the plural unless it is one.
pub(crate) fn count(number: u64, name: &str) -> String {
    match number {
        1 => format!("1 {name}"),
        _ => format!("{} {name}s", grouped(number)),
    }
}

/// A number with a comma before each group of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups_of_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
