//! `cargo xtask model`: tries out orders in which things can happen, at random, and says in which of them
//! something went wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use masep::model::{SCENARIOS, Scenario};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The most threads that go on at the wrong moment, for the scheduler that is best at finding that.
const DEPTH: usize = 4;
/// Steps after which a run is taken for one that never ends.
const MOST_STEPS: usize = 100_000;

/// The time that a schedule may take: one that goes round without a step is found by no count of steps.
const LONGEST_SCHEDULE: Duration = Duration::from_secs(120);

/// Schedules that were begun.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Tries out in which order things can happen.
#[derive(Parser)]
struct Options {
    /// Schedules for each scenario: half of them at random, half with few changes at the worst moments.
    #[arg(long, default_value_t = 10_000)]
    iterations: usize,
    /// The seed of the first schedule. The same seed gives the same schedules.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs this scenario alone.
    #[arg(long, value_name = "SCENARIO")]
    only: Option<String>,
    /// Runs the one scenario that is named in this order, as a failure prints it.
    #[arg(long, value_name = "SCHEDULE", requires = "only")]
    replay: Option<String>,
    /// Lists the scenarios.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<(), String> {
    let options = Options::parse();
    let is_wanted = |scenario: &&Scenario| {
        let only = options.only.as_deref();
        only.is_none_or(|only| only == scenario.name)
    };
    let wanted: Vec<_> = SCENARIOS.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Err("there is no such scenario; --list names them".to_owned());
    }
    if !options.list {
        thread::spawn(watch);
    }
    let mut schedules = 0;
    for scenario in wanted {
        if options.list {
            println!("{:24} {}", scenario.name, scenario.about);
            continue;
        }
        let start = Instant::now();
        let tried = explore(scenario, &options);
        let seconds = start.elapsed().as_secs_f64();
        println!("{:24} {tried:8} schedules {seconds:7.1} s", scenario.name);
        schedules += tried;
    }
    if !options.list {
        println!("{schedules} schedules, nothing went wrong");
    }
    Ok(())
}

/// Says how to see a failure again; the schedule itself is printed by the scheduler.
struct Hint(&'static str);

impl Drop for Hint {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = self.0;
            eprintln!(
                "\nscenario {name}: again with `cargo xtask model --only {name} --replay` and the schedule above"
            );
        }
    }
}

/// The number of schedules that were tried.
fn explore(scenario: &Scenario, options: &Options) -> usize {
    let _hint = Hint(scenario.name);
    if let Some(schedule) = &options.replay {
        return run(scenario, ReplayScheduler::new_from_encoded(schedule));
    }
    let (seed, half) = (options.seed, options.iterations.div_ceil(2));
    run(scenario, RandomScheduler::new_from_seed(seed, half))
        + run(scenario, PctScheduler::new_from_seed(seed, DEPTH, half))
}

fn run(scenario: &Scenario, scheduler: impl Scheduler + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    let scenario = scenario.run;
    Runner::new(scheduler, config).run(move || {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        scenario();
    })
}

/// Ends the process when a schedule goes on for too long. The schedule cannot be printed from outside.
fn watch() {
    let mut last = BEGUN.load(Ordering::Relaxed);
    loop {
        thread::sleep(LONGEST_SCHEDULE);
        let now = BEGUN.load(Ordering::Relaxed);
        if now == last {
            eprintln!(
                "schedule {now} of this run goes round without a step, in the scenario after the last above"
            );
            std::process::exit(1);
        }
        last = now;
    }
}
