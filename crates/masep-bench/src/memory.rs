//! The memory of a process that is another one's.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Bytes of a process that are in memory, as soon as they have not changed for a while.
pub(crate) fn settled(process: u32) -> Result<u64> {
    const QUIET: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let (mut last, mut since) = (resident(process)?, start);
    while since.elapsed() < QUIET && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        let now = resident(process)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// `VmRSS` would do as well, but Linux keeps that figure in pieces, one for each processor, and gives
/// the sum of those that it has collected; this one it counts when it is asked.
fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context(path)?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_seen() {
        let before = resident(std::process::id()).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident(std::process::id()).unwrap() >= before + (32 << 20));
        drop(touched);
    }
}
