//! The run of many seeds.

use std::fmt::Display;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::plan::Fault;
use crate::stream::Ticks;

/// Figures of one run or of many, which are shown by their names.
macro_rules! figures {
    ($($(#[$document:meta])* $name:ident,)*) => {
        #[doc = "Figures of one run or of many."]
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Figures {
            $($(#[$document])* pub(crate) $name: u64,)*
        }

        impl std::ops::AddAssign for Figures {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl std::fmt::Display for Figures {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $(write!(f, "{} {}, ", self.$name, stringify!($name).replace('_', " "))?;)*
                Ok(())
            }
        }
    };
}

pub(crate) use figures;

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
    from: u64,
    count: u64,
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

    /// Runs them side by side: their figures, and the number of seeds. Prints some of those that failed, and fails if there is
    /// any.
    ///
    /// `option` is that of `cargo xtask simulate` for the kind of simulation.
    pub(crate) fn judge<F>(self, simulate: Simulate<F>, option: &str) -> (F, u64)
    where
        F: AddAssign + Default + Display + Send + 'static,
    {
        let (from, count, start) = (self.from, self.count, Instant::now());
        let (figures, failed) = self.run(simulate);
        let (took, number) = (start.elapsed().as_secs_f64(), failed.len());
        println!("{count} seeds from {from}{option}: {figures}in {took:.1} s; {number} failed");
        for (seed, violations) in failed.iter().take(10) {
            println!(
                "seed {seed} failed; again with: cargo xtask simulate{option} --seed {seed} --trace"
            );
            violations
                .iter()
                .take(5)
                .for_each(|what| println!("    {what}"));
        }
        assert!(failed.is_empty(), "{number} of {count} seeds failed");
        (figures, count)
    }

    fn run<F>(self, simulate: Simulate<F>) -> (F, Vec<(u64, Vec<String>)>)
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

/// That the first seeds give the same events again, and no two the same.
///
/// Not those in which a program ends. A runtime that is dropped drops its tasks in an order that depends on how many others the
/// process has made, and so it is luck which of them ends a connection, with which words of protocol 2.
pub(crate) fn repeat<F: Send + 'static>(
    simulate: Simulate<F>,
    faults: impl Fn(u64) -> Vec<(Ticks, Fault)>,
    count: usize,
) {
    let is_exit = |(_, fault): &(Ticks, Fault)| matches!(fault, Fault::Exit { .. });
    let keeps_order = |seed: &u64| !faults(*seed).iter().any(is_exit);
    let mut hashes = Vec::new();
    for seed in (0..).filter(keeps_order).take(count) {
        let [hash, again] = [(); 2].map(|()| alone(simulate, seed, false).hash);
        assert_eq!(hash, again, "of seed {seed}");
        assert!(!hashes.contains(&hash), "of seed {seed}");
        hashes.push(hash);
    }
}
