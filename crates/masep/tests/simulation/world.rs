//! The world of one simulation: the hosts, each with a runtime and a clock of its own, the network between them, and what
//! goes wrong.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_xorshift::XorShiftRng;

use crate::network::{Network, SERVER, TICK};
use crate::plan::{Fault, Quality, rng};
use crate::process::Process;
use crate::record::Record;
use crate::stream::Ticks;

/// The most time for events after all programs were asked to end.
const AFTERMATH: Ticks = 12_000;

/// The things that are the same in each kind of simulation, and that all programs of one share.
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) network: Arc<Network>,
    pub(crate) record: Record,
    /// The number of hosts, with that of the server.
    hosts: usize,
    /// The time from which on all programs end.
    active: Ticks,
    /// In order of time.
    faults: Vec<(Ticks, Fault)>,
    stream: u64,
}

impl Ground {
    /// The network and the faults are drawn from the seed, from this stream and the next one.
    pub(crate) fn new(
        seed: u64,
        stream: u64,
        hosts: usize,
        quality: Quality,
        (active, faults): (Ticks, Vec<(Ticks, Fault)>),
        prints: bool,
    ) -> Self {
        Self {
            seed,
            network: Arc::new(Network::new(rng(seed, stream), quality, hosts)),
            record: Record::new(prints),
            hosts,
            active,
            faults,
            stream: stream + 1,
        }
    }
}

/// A kind of simulation: what its hosts run, and what it keeps.
pub(crate) trait Scene: Deref<Target = Ground> + Sized {
    /// The part of the faults that hits the server.
    const SERVERS_PART: f64;

    /// Starts the program of a host, which is the life of this number and has so much time.
    fn start(self: &Arc<Self>, host: usize, now: Ticks, time: Duration, life: u64) -> Process;

    /// A fault happens.
    fn count_fault(&self);

    /// The program of a host is gone, in the middle of whatever it did.
    fn note_gone(&self, host: usize);
}

/// See the [module](self).
pub(crate) struct World<S> {
    scene: Arc<S>,
    rng: XorShiftRng,
    processes: Vec<Option<Process>>,
    /// When a host that is down is there again.
    restarts: Vec<Option<Ticks>>,
    lives: u64,
}

impl<S: Scene> World<S> {
    /// Runs all hosts to their end.
    pub(crate) fn run(scene: S) -> Arc<S> {
        let hosts = scene.hosts;
        let mut world = Self {
            rng: rng(scene.seed, scene.stream),
            scene: Arc::new(scene),
            processes: Vec::new(),
            restarts: vec![None; hosts],
            lives: 0,
        };
        for host in 0..hosts {
            let process = world.start(host, 0);
            world.processes.push(Some(process));
        }
        world.go_on();
        // The trace has also the last acts of a task that is dropped.
        drop(world.processes);
        world.scene
    }

    fn start(&mut self, host: usize, now: Ticks) -> Process {
        self.lives += 1;
        let left = self.scene.active.saturating_sub(now);
        let time = TICK * u32::try_from(left).unwrap_or(u32::MAX);
        self.scene.start(host, now, time, self.lives)
    }

    fn go_on(&mut self) {
        let (active, scene) = (self.scene.active, self.scene.clone());
        let mut faults = scene.faults.iter().peekable();
        loop {
            let now = self.in_time(Network::tick);
            scene.record.lock().now = now;
            while let Some((_, fault)) = faults.next_if(|&&(at, _)| at <= now) {
                self.inflict(fault, now);
            }
            self.restart(now);
            let mut alive = self.restarts.iter().flatten().count();
            for process in self.processes.iter().flatten() {
                alive += process.run_until(now);
            }
            if now > active && alive == 0 {
                return;
            }
            if now > active + AFTERMATH {
                let what = format!("{alive} tasks live on after all was ended");
                return scene.record.violation(what);
            }
        }
    }

    /// Changes the network. The server notes when something has arrived, by its own clock.
    fn in_time<R>(&self, change: impl FnOnce(&Network) -> R) -> R {
        let _clock = self.processes[SERVER].as_ref().map(Process::clock);
        change(&self.scene.network)
    }

    fn restart(&mut self, now: Ticks) {
        for host in 0..self.restarts.len() {
            if self.restarts[host].is_some_and(|at| at <= now) {
                self.restarts[host] = None;
                let again = format_args!("host {host} is there again");
                self.scene.record.event(again);
                self.scene.network.lock().hosts[host].up = true;
                self.processes[host] = Some(self.start(host, now));
            }
        }
    }

    fn inflict(&mut self, fault: &Fault, now: Ticks) {
        let hit = if self.rng.random_bool(S::SERVERS_PART) {
            SERVER
        } else {
            self.rng.random_range(1..self.processes.len())
        };
        self.scene.record.event(format_args!(
            "{fault:?} hits host {hit} or one of its links"
        ));
        self.scene.count_fault();
        match *fault {
            Fault::Cut(time) => {
                self.in_time(|network| network.change(|state| state.cut(hit, time)));
            }
            Fault::Crash { machine, down } if self.processes[hit].is_some() => {
                self.scene.note_gone(hit);
                self.in_time(|network| network.change(|state| state.crash(hit, machine)));
                self.processes[hit] = None;
                self.restarts[hit] = Some(now + down);
            }
            Fault::Exit { down } if self.processes[hit].is_some() => {
                self.scene.note_gone(hit);
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
}
