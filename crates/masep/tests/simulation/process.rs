//! A program on a host, with a runtime and a clock of its own.

use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::time::{Instant, sleep_until};

use crate::network::TICK;
use crate::stream::Ticks;

/// A program. Dropping it ends all its tasks at once.
pub(crate) struct Process {
    runtime: Runtime,
    born: (Ticks, Instant),
}

impl Process {
    pub(crate) fn start(now: Ticks, program: impl Future<Output = ()> + Send + 'static) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime needs only memory");
        runtime.spawn(program);
        let start = runtime.block_on(async { Instant::now() });
        Self {
            runtime,
            born: (now, start),
        }
    }

    /// Within this the time is that of the program: for what the network wakes it of.
    pub(crate) fn clock(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Lets it run until this tick; the number of its tasks that live on.
    pub(crate) fn run_until(&self, now: Ticks) -> usize {
        let (born, start) = self.born;
        let passed = TICK * u32::try_from(now - born).unwrap_or(u32::MAX);
        if self.runtime.metrics().num_alive_tasks() == 0 {
            return 0;
        }
        self.runtime
            .block_on(async { sleep_until(start + passed).await });
        self.runtime.metrics().num_alive_tasks()
    }
}
