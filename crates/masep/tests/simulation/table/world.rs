//! One simulation: the engine, players and spectators, each with a runtime of its own, and what goes wrong.

use std::sync::Arc;

use masep::Role;
use rand::RngExt;
use rand_xorshift::XorShiftRng;

use super::Stage;
use super::bare::bare;
use super::host::host;
use super::ledger::{Figures, Ledger};
use super::plan::{Kind, Plan};
use super::players::player;
use crate::network::{Network, SERVER};
use crate::plan::{Fault, rng};
use crate::process::Process;
use crate::record::Record;
use crate::seeds::Outcome;
use crate::stream::Ticks;

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
    let hosts = plan.hosts();
    let network = Network::new(rng(seed, 0x7ab1_0002), plan.quality, hosts);
    let stage = Stage {
        seed,
        plan,
        network: Arc::new(network),
        record: Arc::new(Record::new(prints)),
        ledger: Ledger::default(),
    };
    let mut world = World {
        stage: Arc::new(stage),
        rng: rng(seed, 0x7ab1_0003),
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
    fn start(&mut self, at: usize, now: Ticks) -> Process {
        self.lives += 1;
        let (life, stage) = (self.lives, self.stage.clone());
        let active = Plan::time_of(stage.plan.active.saturating_sub(now));
        if at == SERVER {
            return Process::start(now, host(stage, active, life));
        }
        let players = stage.plan.players.len();
        let (kind, role) = match at - 1 {
            player if player < players => (stage.plan.players[player], Role::Actor),
            spectator => (stage.plan.spectators[spectator - players], Role::Observer),
        };
        match kind {
            Kind::Player(protocols) => {
                Process::start(now, player(stage, at, protocols, role, active, life))
            }
            kind => Process::start(now, bare(stage, at, kind, role, active, life)),
        }
    }

    fn run(&mut self) {
        let last = self.stage.plan.active + AFTERMATH;
        let mut faults = self.stage.plan.faults.clone().into_iter().peekable();
        loop {
            let now = self.in_time(Network::tick);
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

    /// Changes the network. The engine notes when something has arrived, by its own clock.
    fn in_time<R>(&self, change: impl FnOnce(&Network) -> R) -> R {
        let _clock = self.processes[SERVER].as_ref().map(Process::clock);
        change(&self.stage.network)
    }

    fn restart(&mut self, now: Ticks) {
        for host in 0..self.restarts.len() {
            if self.restarts[host].is_some_and(|at| at <= now) {
                self.restarts[host] = None;
                let record = &self.stage.record;
                record.event(format_args!("host {host} is there again"));
                self.stage.network.lock().hosts[host].up = true;
                self.processes[host] = Some(self.start(host, now));
            }
        }
    }

    fn inflict(&mut self, fault: Fault, now: Ticks) {
        let hit = match self.rng.random_bool(0.3) {
            true => SERVER,
            false => self.rng.random_range(1..self.processes.len()),
        };
        let record = self.stage.record.clone();
        record.event(format_args!(
            "{fault:?} hits host {hit} or one of its links"
        ));
        self.stage.ledger.lock().figures.faults += 1;
        match fault {
            Fault::Cut(time) => {
                self.in_time(|network| network.change(|state| state.cut(hit, time)));
            }
            Fault::Crash { machine, down } if self.processes[hit].is_some() => {
                self.in_time(|network| network.change(|state| state.crash(hit, machine)));
                self.processes[hit] = None;
                self.restarts[hit] = Some(now + down);
            }
            Fault::Exit { down } if self.processes[hit].is_some() => {
                self.processes[hit] = None;
                self.restarts[hit] = Some(now + down);
            }
            Fault::Crash { .. } | Fault::Exit { .. } => {}
            Fault::Reset | Fault::HalfClose => {
                let half = self.rng.random_range(0..2);
                let half = matches!(fault, Fault::HalfClose).then_some(half);
                let chosen = self.rng.random_range(0..usize::MAX);
                self.in_time(|network| {
                    network.change(|state| {
                        let live = state.live_links();
                        if let Some(link) = chosen.checked_rem(live.len()) {
                            state.break_link(live[link], half);
                        }
                    });
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
        let mut book = stage.ledger.lock();
        let claims = book.judge();
        let log = stage.record.lock();
        let figures = Figures {
            ticks: log.now,
            ..book.figures
        };
        let mut violations = log.violations.clone();
        violations.extend(claims);
        Outcome {
            violations,
            figures,
            hash: log.hash,
        }
    }
}
