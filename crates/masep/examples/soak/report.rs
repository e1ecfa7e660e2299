//! The report of a run: a table to read, JSON to keep.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::clients::Joined;
use crate::growth::{Growth, Sample};
use crate::member::Tallied;
use crate::pair::Trips;
use crate::plan::Plan;
use crate::server::{Counts, ShutDown};
use crate::system::Footprint;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    /// The things that the machine did not allow.
    pub(crate) missing: Vec<String>,
    pub(crate) joined: Option<Joined>,
    pub(crate) memory: Option<Memory>,
    /// The pair's round trips when nobody else was connected.
    pub(crate) alone: Option<Trips>,
    pub(crate) windows: Vec<Window>,
    pub(crate) samples: Vec<Sample>,
    /// Members that left, with somebody else in their place.
    pub(crate) replaced: usize,
    /// Stalled readers that were disconnected because their queue was full.
    pub(crate) cuts: usize,
    pub(crate) overdue: Option<Overdue>,
    /// The server's, before the shut-down.
    pub(crate) counts: Counts,
    /// The clients'.
    pub(crate) tallied: Tallied,
    pub(crate) shut_down: Option<ShutDown>,
    /// The server's process after the shut-down.
    pub(crate) left: Option<Footprint>,
    /// The promises that did not hold.
    pub(crate) broken: Vec<String>,
}

/// The server's memory.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) before: Footprint,
    pub(crate) after: Footprint,
    /// The most bytes with stalled readers.
    pub(crate) stalled: u64,
    /// By how much the kernel's memory of all sockets grew, both ends, with nobody stalled.
    pub(crate) sockets: u64,
    pub(crate) sockets_stalled: u64,
}

/// A stretch of time in which the pair's round trips were measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Window {
    pub(crate) stalled: bool,
    pub(crate) trips: Trips,
    /// Processors that other programs took meanwhile.
    pub(crate) others: f64,
}

/// Readers that were given up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overdue {
    pub(crate) ended: usize,
    #[serde(with = "crate::seconds")]
    pub(crate) time: Duration,
}

impl Report {
    pub(crate) fn new(plan: &Plan, missing: Vec<String>) -> Self {
        Self {
            plan: plan.clone(),
            missing,
            joined: None,
            memory: None,
            alone: None,
            windows: Vec::new(),
            samples: Vec::new(),
            replaced: 0,
            cuts: 0,
            overdue: None,
            counts: Counts::default(),
            tallied: Tallied::default(),
            shut_down: None,
            left: None,
            broken: Vec::new(),
        }
    }

    /// Frames that did not come back.
    pub(crate) fn lost(&self) -> u64 {
        self.tallied.sent.abs_diff(self.tallied.received)
    }

    pub(crate) fn pings_of_the_pair(&self) -> u64 {
        let windows = self.windows.iter().map(|window| &window.trips);
        windows.chain(&self.alone).map(|trips| trips.count).sum()
    }

    /// Bytes of the server's memory for each connection, with nobody stalled yet.
    pub(crate) fn bytes_per_connection(&self) -> f64 {
        let Some(memory) = &self.memory else {
            return f64::NAN;
        };
        let grown = memory.after.rss.saturating_sub(memory.before.rss);
        grown as f64 / self.plan.connections as f64
    }

    /// By how much stalled readers move the 99th percentile: the median of their windows by the median
    /// of the others.
    pub(crate) fn ratio(&self) -> f64 {
        let p99 = |stalled| Spread::of(self.micros(stalled, |trips| trips.p99)).median;
        p99(true) / p99(false)
    }

    fn micros(&self, stalled: bool, time: impl Fn(&Trips) -> Duration) -> Vec<f64> {
        self.windows
            .iter()
            .filter(|window| window.stalled == stalled)
            .map(|window| time(&window.trips).as_secs_f64() * 1e6)
            .collect()
    }
}

/// Median, least and most of some figures.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(figures.len() / 2),
            least: at(0),
            most: at(figures.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.0} ({least:.0} to {most:.0})")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            connections,
            hold,
            every,
            ..
        } = self.plan;
        writeln!(
            f,
            "{connections} connections for {:.1} min, a frame there and back on each every {every:?}",
            hold.as_secs_f64() / 60.0
        )?;
        for missing in &self.missing {
            writeln!(f, "NOT AS ASKED  {missing}")?;
        }
        self.write_connecting(f)?;
        self.write_memory(f)?;
        self.write_round_trips(f)?;
        self.write_growth(f)?;
        self.write_frames(f)?;
        self.write_end(f)?;
        if self.broken.is_empty() {
            return write!(f, "every promise held");
        }
        write!(f, "BROKEN")?;
        for broken in &self.broken {
            write!(f, "\n- {broken}")?;
        }
        Ok(())
    }
}

const MIB: f64 = 1_048_576.0;

impl Report {
    fn write_connecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(joined) = &self.joined else {
            return Ok(());
        };
        let seconds = joined.time.as_secs_f64();
        writeln!(
            f,
            "connecting    {} in {seconds:.2} s, {:.0}/s; median {:.0} ms, slowest {:.0} ms, {} over 1 s",
            joined.connected,
            joined.connected as f64 / seconds,
            joined.median.as_secs_f64() * 1e3,
            joined.slowest.as_secs_f64() * 1e3,
            joined.repeated,
        )
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        writeln!(
            f,
            "memory        {:.0} bytes per idle connection in the server (RSS {:.1} to {:.1} MiB)",
            self.bytes_per_connection(),
            memory.before.rss as f64 / MIB,
            memory.after.rss as f64 / MIB,
        )?;
        writeln!(
            f,
            "              with stalled readers {:.1} MiB; kernel, all sockets of the machine: {:.1} MiB \
             more, with stalled readers {:.1} MiB",
            memory.stalled as f64 / MIB,
            memory.sockets as f64 / MIB,
            memory.sockets_stalled as f64 / MIB,
        )
    }

    fn write_round_trips(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = |stalled| self.windows.iter().filter(move |w| w.stalled == stalled);
        if let Some(Trips { p50, p99, .. }) = &self.alone {
            let micros = |time: &Duration| time.as_secs_f64() * 1e6;
            writeln!(
                f,
                "round trips   nobody else connected: p50 {:.0} µs, p99 {:.0} µs",
                micros(p50),
                micros(p99)
            )?;
        }
        for stalled in [false, true] {
            let readers = if stalled { self.plan.stalled() } else { 0 };
            writeln!(
                f,
                "round trips   {readers:3} stalled: p50 {} µs, p99 {} µs, {} windows of {:?}",
                Spread::of(self.micros(stalled, |trips| trips.p50)),
                Spread::of(self.micros(stalled, |trips| trips.p99)),
                windows(stalled).count(),
                self.plan.window,
            )?;
        }
        let others = self.windows.iter().map(|window| window.others).collect();
        let others = Spread::of(others);
        writeln!(
            f,
            "              p99 moves by {:.2}; meanwhile other programs took {:.2} processors ({:.2} to {:.2})",
            self.ratio(),
            others.median,
            others.least,
            others.most,
        )
    }

    fn write_growth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Figure = fn(&Sample) -> f64;
        let figures: [(&str, Figure); 6] = [
            ("RSS, KiB", |sample| sample.footprint.rss as f64 / 1_024.0),
            ("PSS, KiB", |sample| sample.footprint.pss as f64 / 1_024.0),
            ("descriptors", |sample| sample.footprint.descriptors as f64),
            ("threads", |sample| sample.footprint.threads as f64),
            ("tasks", |sample| sample.tasks as f64),
            ("sockets, KiB", |sample| {
                sample.socket_memory as f64 / 1_024.0
            }),
        ];
        for (name, figure) in figures {
            let Some(growth) = Growth::of(&self.samples, figure) else {
                continue;
            };
            write!(
                f,
                "growth        {name:12}  first {:.0}, last {:.0}",
                growth.first, growth.last
            )?;
            match growth.slope {
                Some(slope) => writeln!(f, ", in the second half {slope:+.1} per hour")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn write_frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, tallied) = (&self.counts, &self.tallied);
        writeln!(
            f,
            "frames        {} there and {} back, and {} of the pair; {} lost, {} errors",
            tallied.sent,
            tallied.received,
            self.pings_of_the_pair(),
            self.lost(),
            tallied.errors,
        )?;
        writeln!(
            f,
            "              to stalled readers {} after all, {} gave way to newer ones",
            tallied.items, tallied.dropped,
        )?;
        writeln!(
            f,
            "ends          {} left and others came, {} had full queues; by the server's count {:?}",
            self.replaced, self.cuts, counts.ends,
        )?;
        if let Some(overdue) = &self.overdue {
            writeln!(
                f,
                "              {} that stayed stalled were given up, the last after {:.1} s",
                overdue.ended,
                overdue.time.as_secs_f64()
            )?;
        }
        Ok(())
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(down), Some(left)) = (&self.shut_down, &self.left) else {
            return Ok(());
        };
        writeln!(
            f,
            "shut-down     {} told in {:.2} s, {} cut off; left: {} descriptors, {:.1} MiB",
            down.ended,
            down.time.as_secs_f64(),
            down.cut,
            left.descriptors,
            left.rss as f64 / MIB,
        )
    }
}
