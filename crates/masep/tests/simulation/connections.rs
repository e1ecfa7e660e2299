//! The simulation of a server, its clients and their connections.

use std::sync::Arc;

use crate::network::{Network, SERVER, TICK};
use crate::plan::{Fault, Plan, rng};
use crate::process::Process;
use crate::record::{Figures, Record};
use crate::seeds::Outcome;
use crate::software::{Stage, client, server};
use crate::stream::Ticks;
use crate::verdict;
use crate::world::{Scene, World};

/// Runs one seed to its end.
pub(crate) fn simulate(seed: u64, prints: bool) -> Outcome<Figures> {
    let plan = Plan::of(seed);
    if prints {
        println!("{plan:#?}");
    }
    let hosts = plan.clients + 1;
    let stage = Stage {
        seed,
        network: Arc::new(Network::new(rng(seed, 2), plan.quality, hosts)),
        plan,
        record: Arc::new(Record::new(prints)),
    };
    let stage = World::run(stage, hosts, seed, 3);
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

impl Scene for Stage {
    /// As many as all clients together.
    const SERVERS_PART: f64 = 0.5;

    fn network(&self) -> &Network {
        &self.network
    }

    fn record(&self) -> &Record {
        &self.record
    }

    fn faults(&self) -> &[(Ticks, Fault)] {
        &self.plan.faults
    }

    fn active(&self) -> Ticks {
        self.plan.active
    }

    fn start(self: &Arc<Self>, host: usize, now: Ticks, life: u64) -> Process {
        let left = self.plan.active.saturating_sub(now);
        let active = TICK * u32::try_from(left).unwrap_or(u32::MAX);
        if host == SERVER {
            Process::start(now, server(self.clone(), active, life))
        } else {
            Process::start(now, client(self.clone(), host, active, life))
        }
    }

    fn count_fault(&self) {
        self.record.lock().figures.faults += 1;
    }

    fn note_gone(&self, host: usize) {
        self.record.gone(host);
    }
}
