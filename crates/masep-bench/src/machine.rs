//! The machine that was measured on.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// The properties of a machine that a reader has to know to judge its figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// The number of processors for this process.
    pub(crate) cores: usize,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// The system and its version.
    pub(crate) kernel: String,
    /// The number of processes that were running or waiting to, on average over a minute.
    pub(crate) load: f64,
    /// The compiler that built this program.
    pub(crate) rustc: String,
}

impl Machine {
    /// This machine, now. A property that cannot be found out is said to be unknown.
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |path: &str, name: &str| -> Option<String> {
            let text = text(path);
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = after("/proc/meminfo", "MemTotal");
        let memory = memory.and_then(|memory| memory.strip_suffix(" kB")?.parse::<u64>().ok());
        let load = text("/proc/loadavg");
        Self {
            cpu: after("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: memory.unwrap_or(0) * 1024,
            kernel: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
            load: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(f64::NAN),
            rustc: option_env!("MASEP_BENCH_RUSTC").map_or_else(unknown, str::to_owned),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            memory,
            kernel,
            load,
            rustc,
        } = self;
        let gigabytes = *memory as f64 / 1e9;
        write!(
            f,
            "{cpu}, {cores} cores, {gigabytes:.0} GB, {kernel}, load {load} at the start, {rustc}"
        )
    }
}
