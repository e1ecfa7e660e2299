//! The system's figures of processes and of itself. Linux has them in `/proc`.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Allows this process, and those it starts, as many descriptors as it may: how many that is.
pub(crate) fn raise_descriptor_limit() -> Outcome<u64> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The memory, descriptors and threads of a process.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// Bytes of resident memory; and with shared pages divided among those who share them.
    pub(crate) rss: u64,
    pub(crate) pss: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

pub(crate) fn footprint(process: u32) -> Outcome<Footprint> {
    let memory = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(Footprint {
        rss: figure(&memory, "Rss:")? * 1_024,
        pss: figure(&memory, "Pss:")? * 1_024,
        descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        threads: figure(&status, "Threads:")?,
    })
}

/// The number behind a name.
fn figure(text: &str, name: &str) -> Outcome<u64> {
    let mut words = text.split_whitespace().skip_while(|word| *word != name);
    let figure = words.nth(1).ok_or_else(|| format!("/proc has no {name}"))?;
    Ok(figure.parse()?)
}

/// Bytes of memory that could be had.
pub(crate) fn available_memory() -> Outcome<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    Ok(figure(&memory, "MemAvailable:")? * 1_024)
}

/// Bytes that the TCP sockets of the machine hold, in the kernel: pages of what waits to be read, to
/// be sent, or to be acknowledged, without the sockets themselves.
pub(crate) fn socket_memory() -> Outcome<u64> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"));
    Ok(figure(tcp.ok_or("no TCP in sockstat")?, "mem")? * 4_096)
}

/// The TCP ports that connections from this machine may have.
pub(crate) fn local_ports() -> Outcome<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut bounds = range.split_whitespace().map(str::parse::<u64>);
    match (bounds.next(), bounds.next()) {
        (Some(first), Some(last)) => Ok(last? - first? + 1),
        _ => Err("no range of local ports".into()),
    }
}

/// Computing time, since the start of each: the whole machine's, and that of some processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    machine: Duration,
    ours: Duration,
}

impl Busy {
    pub(crate) fn now(processes: &[u32]) -> Outcome<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let ticks: Vec<u64> = stat
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        // Of user, nice, system, idle, waiting, interrupts (two) and stolen, all but the idle ones.
        let busy = ticks.iter().sum::<u64>() - ticks[3] - ticks[4];
        let mut ours = 0;
        for process in processes {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name, in brackets, may hold spaces.
            let (_, behind) = stat.rsplit_once(") ").ok_or("no name in stat")?;
            for ticks in behind.split_whitespace().skip(11).take(2) {
                ours += ticks.parse::<u64>()?;
            }
        }
        // The kernel counts in hundredths of a second for all programs.
        let time = |ticks: u64| Duration::from_millis(ticks * 10);
        Ok(Self {
            machine: time(busy),
            ours: time(ours),
        })
    }

    /// The number of processors that others took since `before`.
    pub(crate) fn others_since(&self, before: &Self, time: Duration) -> f64 {
        let machine = self.machine.saturating_sub(before.machine);
        let ours = self.ours.saturating_sub(before.ours);
        machine.saturating_sub(ours).as_secs_f64() / time.as_secs_f64()
    }
}
