//! One simulation: the hosts, each with a runtime and a clock of its own, the network between them, and
//! what goes wrong.

use std::sync::Arc;

use rand::RngExt;
use rand_xorshift::XorShiftRng;

use crate::network::{Network, SERVER, TICK};
use crate::plan::{Fault, Plan, rng};
use crate::process::Process;
use crate::record::{Figures, Record};
use crate::seeds::Outcome;
use crate::software::{Stage, client, server};
use crate::stream::Ticks;
use crate::verdict;

/// The most time for events after all programs were asked to end.
const AFTERMATH: Ticks = 12_000;

struct World {
    stage: Arc<Stage>,
    rng: XorShiftRng,
    processes: Vec<Option<Process>>,
    /// When a host that is down is there again.
    restarts: Vec<Option<Ticks>>,
    lives: u64,
}

/// Runs one seed to its end.
pub(crate) fn simulate(seed: u64, prints: bool) -> Outcome<Figures> {
    let plan = Plan::of(seed);
    if prints {
        println!("{plan:#?}");
    }
    let hosts = plan.clients + 1;
    let record = Arc::new(Record::new(prints));
    let network = Network::new(rng(seed, 2), plan.quality, hosts);
    let stage = Stage {
        seed,
        plan,
        network: Arc::new(network),
        record,
    };
    let mut world = World {
        stage: Arc::new(stage),
        rng: rng(seed, 3),
        processes: Vec::new(),
        restarts: vec![None; hosts],
        lives: 0,
    };
    for host in 0..hosts {
        let process = world.start(host, 0);
        world.processes.push(Some(process));
    }
    world.run();
    world.judge()
}

impl World {
    fn start(&mut self, host: usize, now: Ticks) -> Process {
        self.lives += 1;
        let left = self.stage.plan.active.saturating_sub(now);
        let active = TICK * u32::try_from(left).unwrap_or(u32::MAX);
        let stage = self.stage.clone();
        if host == SERVER {
            Process::start(now, server(stage, active, self.lives))
        } else {
            Process::start(now, client(stage, host, active, self.lives))
        }
    }

    fn run(&mut self) {
        let last = self.stage.plan.active + AFTERMATH;
        let mut faults = self.stage.plan.faults.clone().into_iter().peekable();
        loop {
            let now = self.stage.network.tick();
            self.stage.record.lock().now = now;
            while let Some((_, fault)) = faults.next_if(|&(at, _)| at <= now) {
                self.inflict(fault, now);
            }
            self.restart(now);
            let mut alive = self.restarts.iter().flatten().count();
            for process in self.processes.iter().flatten() {
                alive += process.run_until(now);
            }
            if now > self.stage.plan.active && alive == 0 {
                return;
            }
            if now > last {
                let what = format!("{alive} tasks live on after all was ended");
                return self.stage.record.violation(what);
            }
        }
    }

    fn restart(&mut self, now: Ticks) {
        for host in 0..self.restarts.len() {
            if self.restarts[host].is_some_and(|at| at <= now) {
                self.restarts[host] = None;
                self.stage
                    .record
                    .event(format_args!("host {host} is there again"));
                self.stage.network.lock().hosts[host].up = true;
                self.processes[host] = Some(self.start(host, now));
            }
        }
    }

    fn inflict(&mut self, fault: Fault, now: Ticks) {
        let record = self.stage.record.clone();
        // The server is hit as often as all clients together.
        let clients = self.stage.plan.clients;
        let hit = if self.rng.random_bool(0.5) {
            SERVER
        } else {
            self.rng.random_range(1..=clients)
        };
        record.event(format_args!(
            "{fault:?} hits host {hit} or one of its links"
        ));
        record.lock().figures.faults += 1;
        match fault {
            Fault::Cut(time) => self.stage.network.change(|state| state.cut(hit, time)),
            Fault::Crash { machine, down } if self.processes[hit].is_some() => {
                record.gone(hit);
                self.stage.network.change(|state| state.crash(hit, machine));
                self.processes[hit] = None;
                self.restarts[hit] = Some(now + down);
            }
            Fault::Exit { down } if self.processes[hit].is_some() => {
                record.gone(hit);
                self.processes[hit] = None;
                self.restarts[hit] = Some(now + down);
            }
            Fault::Crash { .. } | Fault::Exit { .. } => {}
            Fault::Reset | Fault::HalfClose => {
                let half = self.rng.random_range(0..2);
                let half = matches!(fault, Fault::HalfClose).then_some(half);
                let chosen = self.rng.random_range(0..usize::MAX);
                self.stage.network.change(|state| {
                    let live = state.live_links();
                    if let Some(link) = chosen.checked_rem(live.len()) {
                        state.break_link(live[link], half);
                    }
                });
            }
        }
    }

    fn judge(self) -> Outcome<Figures> {
        let Self {
            stage, processes, ..
        } = self;
        // First, so that what a task still does when it is dropped is part of the trace.
        drop(processes);
        verdict::judge(&stage);
        let log = stage.record.lock();
        let figures = Figures {
            ticks: log.now,
            ..log.figures
        };
        Outcome {
            violations: log.violations.clone(),
            figures,
            hash: log.hash,
        }
    }
}
