//! The simulation of a server, its clients and their connections.

use std::sync::Arc;
use std::time::Duration;

use crate::network::SERVER;
use crate::plan::Plan;
use crate::process::Process;
use crate::record::Figures;
use crate::seeds::Outcome;
use crate::software::{Stage, client, server};
use crate::stream::Ticks;
use crate::verdict;
use crate::world::{Ground, Scene, World};

/// Runs one seed to its end.
pub(crate) fn simulate(seed: u64, prints: bool) -> Outcome<Figures> {
    let plan = Plan::of(seed);
    if prints {
        println!("{plan:#?}");
    }
    let (hosts, faults) = (plan.clients + 1, plan.faults.clone());
    let ground = Ground::new(seed, 2, hosts, plan.quality, (plan.active, faults), prints);
    let stage = World::run(Stage { ground, plan });
    verdict::judge(&stage);
    let log = stage.record.lock();
    let figures = Figures {
        ticks: log.now,
        ..log.figures
    };
    log.outcome(figures)
}

impl Scene for Stage {
    /// As many as all clients together.
    const SERVERS_PART: f64 = 0.5;

    fn start(self: &Arc<Self>, host: usize, now: Ticks, time: Duration, life: u64) -> Process {
        if host == SERVER {
            Process::start(now, server(self.clone(), time, life))
        } else {
            Process::start(now, client(self.clone(), host, time, life))
        }
    }

    fn count_fault(&self) {
        self.record.lock().figures.faults += 1;
    }

    fn note_gone(&self, host: usize) {
        self.record.gone(host);
    }
}
