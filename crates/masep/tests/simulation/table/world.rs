//! The simulation of an engine with a table, of players and of spectators.

use std::sync::Arc;
use std::time::Duration;

use masep::Role;

use super::Stage;
use super::bare::bare;
use super::host::host;
use super::ledger::{Figures, Ledger};
use super::part::Part;
use super::plan::{Kind, Plan};
use super::players::player;
use crate::network::SERVER;
use crate::process::Process;
use crate::seeds::Outcome;
use crate::stream::Ticks;
use crate::world::{Ground, Scene, World};

/// Runs one seed to its end.
pub(crate) fn simulate(seed: u64, prints: bool) -> Outcome<Figures> {
    let plan = Plan::of(seed);
    if prints {
        println!("{plan:#?}");
    }
    let (hosts, faults) = (plan.hosts(), plan.faults.clone());
    let times = (plan.active, faults);
    let ground = Ground::new(seed, 0x7ab1_0002, hosts, plan.quality, times, prints);
    let ledger = Ledger::default();
    let stage = World::run(Stage {
        ground,
        plan,
        ledger,
    });
    let mut book = stage.ledger.lock();
    let claims = book.judge();
    let log = stage.record.lock();
    let figures = Figures {
        ticks: log.now,
        ..book.figures
    };
    let mut outcome = log.outcome(figures);
    outcome.violations.extend(claims);
    outcome
}

impl Scene for Stage {
    const SERVERS_PART: f64 = 0.3;

    fn start(self: &Arc<Self>, at: usize, now: Ticks, time: Duration, life: u64) -> Process {
        let stage = self.clone();
        if at == SERVER {
            return Process::start(now, host(stage, time, life));
        }
        let players = stage.plan.players.len();
        let (kind, role) = match at - 1 {
            player if player < players => (stage.plan.players[player], Role::Actor),
            spectator => (stage.plan.spectators[spectator - players], Role::Observer),
        };
        let part = move |stream| {
            let stream = stream + 0x100 * at as u64 + life;
            Part::new(stage, at, role, time, stream)
        };
        match kind {
            Kind::Player(protocols) => Process::start(now, async move {
                player(part(0xa_0000), protocols, life).await;
            }),
            kind => Process::start(now, async move {
                bare(part(0xc_0000), kind, life).await;
            }),
        }
    }

    fn count_fault(&self) {
        self.ledger.lock().figures.faults += 1;
    }

    fn note_gone(&self, _host: usize) {}
}
