//! The plan of a run: the number of connections, the time, and the pace.

use std::time::Duration;

use masep::WhenFull;
use serde::{Deserialize, Serialize};

use crate::Outcome;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Connections that are held, besides that of the pair.
    pub(crate) connections: usize,
    /// The time for which they are held.
    #[serde(with = "crate::seconds")]
    pub(crate) hold: Duration,
    /// The time between two frames that each of them exchanges.
    #[serde(with = "crate::seconds")]
    pub(crate) every: Duration,
    /// The time for which the pair is timed at a stretch.
    #[serde(with = "crate::seconds")]
    pub(crate) window: Duration,
    /// [`masep::SocketOptions::connect_time`] and [`masep::Limits::hello_time`], at both ends.
    #[serde(with = "crate::seconds")]
    pub(crate) hello_time: Duration,
    /// [`masep::Limits::write_time`] of the server.
    #[serde(with = "crate::seconds")]
    pub(crate) write_time: Duration,
    /// The time between two looks at growth.
    #[serde(with = "crate::seconds")]
    pub(crate) sample_every: Duration,
    /// True if times and bytes are judged, not only counts: they say little of a debug build.
    pub(crate) judge_figures: bool,
}

const FULL: Plan = Plan {
    connections: 10_000,
    hold: Duration::from_secs(300),
    every: Duration::from_secs(10),
    window: Duration::from_secs(10),
    hello_time: Duration::from_secs(5),
    write_time: Duration::from_secs(30),
    sample_every: Duration::from_secs(60),
    judge_figures: true,
};

/// The form that a run of all tests includes.
const QUICK: Plan = Plan {
    connections: 300,
    hold: Duration::from_secs(4),
    every: Duration::from_millis(500),
    window: Duration::from_millis(500),
    // A machine that is busy with other tests may be slow at everything.
    hello_time: Duration::from_secs(60),
    write_time: Duration::from_secs(10),
    sample_every: Duration::from_secs(1),
    judge_figures: false,
};

impl Plan {
    pub(crate) fn parse(json: &str) -> Outcome<Self> {
        Ok(serde_json::from_str(json)?)
    }

    pub(crate) fn to_json(&self) -> Outcome<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The number of connections that are stalled at a time: one in a hundred, and at least one by each policy.
    pub(crate) fn stalled(&self) -> usize {
        (self.connections / 100).clamp(3, self.connections.max(3))
    }
}

/// The policies under which the server sends to readers that are stalled, in turns.
pub(crate) const POLICIES: [WhenFull; 3] =
    [WhenFull::Wait, WhenFull::NewestWins, WhenFull::Disconnect];

/// The plan, and the file that the figures go to.
pub(crate) fn from_arguments<'a>(arguments: &[&'a str]) -> Outcome<(Plan, Option<&'a str>)> {
    let quick = arguments.contains(&"--quick");
    let mut plan = if quick { QUICK } else { FULL };
    let mut json = None;
    let mut rest = arguments.iter().filter(|argument| **argument != "--quick");
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        match *name {
            "--minutes" => plan.hold = Duration::from_secs_f64(60.0 * value.parse::<f64>()?),
            "--connections" => plan.connections = value.parse()?,
            "--json" => json = Some(*value),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok((plan, json))
}
