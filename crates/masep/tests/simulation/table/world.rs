//! The simulation of an engine with a table, of players and of spectators.

use std::sync::Arc;

use masep::Role;

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
use crate::world::{Scene, World};

/// Runs one seed to its end.
pub(crate) fn simulate(seed: u64, prints: bool) -> Outcome<Figures> {
    let plan = Plan::of(seed);
    if prints {
        println!("{plan:#?}");
    }
    let hosts = plan.hosts();
    let stage = Stage {
        seed,
        network: Arc::new(Network::new(rng(seed, 0x7ab1_0002), plan.quality, hosts)),
        plan,
        record: Arc::new(Record::new(prints)),
        ledger: Ledger::default(),
    };
    let stage = World::run(stage, hosts, seed, 0x7ab1_0003);
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

impl Scene for Stage {
    const SERVERS_PART: f64 = 0.3;

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

    fn start(self: &Arc<Self>, at: usize, now: Ticks, life: u64) -> Process {
        let stage = self.clone();
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

    fn count_fault(&self) {
        self.ledger.lock().figures.faults += 1;
    }

    fn note_gone(&self, _host: usize) {}
}
