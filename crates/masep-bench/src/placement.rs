//! On which processors the processes of a measurement run.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The processors on which client and server run. Figures are compared within one placement only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Placement {
    /// All on one: what is compared is the work that is done, not how fast one processor wakes another.
    OneCore,
    /// Wherever the system puts them: what a user gets.
    Unpinned,
}

impl Placement {
    /// As it stands in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneCore => "one core",
            Self::Unpinned => "unpinned",
        }
    }
}

/// Prepares this process for a measurement: the processor it may use, and as many descriptors as the
/// system allows.
pub(crate) fn prepare(cpu: Option<usize>) -> Result<()> {
    if let Some(cpu) = cpu {
        let mut set = CpuSet::new();
        set.set(cpu)
            .with_context(|| format!("there is no processor {cpu}"))?;
        sched_setaffinity(Pid::from_raw(0), &set)
            .with_context(|| format!("cannot run on processor {cpu}"))?;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// The last processor that this process may use: the first serves most interrupts.
pub(crate) fn last_cpu() -> Result<usize> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| set.is_set(cpu).unwrap_or(false));
    last.context("this process may use no processor")
}
