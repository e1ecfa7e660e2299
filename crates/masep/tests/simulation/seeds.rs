//! The run of many seeds.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The outcome of a simulation, with its figures.
pub(crate) struct Outcome<F> {
    pub(crate) violations: Vec<String>,
    pub(crate) figures: F,
    /// The same for the same seed.
    pub(crate) hash: u64,
}

/// One kind of simulation: of a seed, which prints its trace if that is wanted.
pub(crate) type Simulate<F> = fn(u64, bool) -> Outcome<F>;

/// The seeds that a run is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) count: u64,
    prints: bool,
}

impl Seeds {
    /// Those that the variables of `cargo xtask simulate` name, or a few.
    pub(crate) fn asked() -> Self {
        Self {
            from: asked("MASEP_SIMULATE_FROM", 0),
            count: asked("MASEP_SIMULATE_SEEDS", 20),
            prints: asked("MASEP_SIMULATE_TRACE", 0) == 1,
        }
    }

    /// Runs them side by side; the figures, and those that failed with what they violate.
    pub(crate) fn run<F>(self, simulate: Simulate<F>) -> (F, Vec<(u64, Vec<String>)>)
    where
        F: AddAssign + Default + Send + 'static,
    {
        let next = AtomicU64::new(0);
        let done = Mutex::new((F::default(), Vec::new()));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..if self.prints { 1 } else { threads } {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.count {
                            return;
                        }
                        let outcome = alone(simulate, self.from + number, self.prints);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.0 += outcome.figures;
                        if !outcome.violations.is_empty() {
                            done.1.push((self.from + number, outcome.violations));
                        }
                    }
                });
            }
        });
        let (figures, mut failed) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort();
        (figures, failed)
    }

    /// Prints some of those that failed, and fails if there is any.
    ///
    /// `option` is that of `cargo xtask simulate` for the kind of simulation.
    pub(crate) fn judge(self, failed: &[(u64, Vec<String>)], option: &str) {
        for (seed, violations) in failed.iter().take(10) {
            println!(
                "seed {seed} failed; again with: cargo xtask simulate{option} --seed {seed} --trace"
            );
            violations
                .iter()
                .take(5)
                .for_each(|what| println!("    {what}"));
        }
        let count = self.count;
        assert!(
            failed.is_empty(),
            "{} of {count} seeds failed",
            failed.len()
        );
    }
}

fn asked(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// One seed on a thread of its own: what a thread keeps of buffers decides how much is read at once.
pub(crate) fn alone<F: Send + 'static>(
    simulate: Simulate<F>,
    seed: u64,
    prints: bool,
) -> Outcome<F> {
    let simulation = std::thread::spawn(move || simulate(seed, prints));
    simulation.join().expect("it does not panic")
}
