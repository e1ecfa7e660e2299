//! The things that are the same in each player and spectator, of whichever kind.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use masep::table::Last;
use masep::{Client, ClientBuilder, ConnectError, Role};
use rand::RngExt;
use rand_xorshift::XorShiftRng;
use tokio::time::{Instant, sleep};

use super::Stage;
use super::ledger::{Book, Mark};
use crate::network::Network;
use crate::plan::rng;
use crate::transport::{connect, name};

/// A player may need as long after the end of all to notice it.
pub(super) const FAREWELL: Duration = Duration::from_secs(10);

pub(super) struct Part {
    pub(super) stage: Arc<Stage>,
    pub(super) host: usize,
    pub(super) role: Role,
    pub(super) rng: XorShiftRng,
    pub(super) stop: Instant,
}

impl Part {
    /// One that plays for so long, by this stream of the seed.
    pub(super) fn new(
        stage: Arc<Stage>,
        host: usize,
        role: Role,
        time: Duration,
        stream: u64,
    ) -> Self {
        Self {
            rng: rng(stage.seed, stream),
            stage,
            host,
            role,
            stop: Instant::now() + time,
        }
    }

    pub(super) async fn pause(&mut self, most: u64) {
        sleep(self.time(most)).await;
    }

    fn time(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=most))
    }

    /// The time for which it thinks about its turn. All is over at the end, and what has arrived is only read.
    pub(super) fn thought(&mut self) -> Option<Duration> {
        let plan = &self.stage.plan;
        let is_slow = self.rng.random_bool(plan.slowness);
        let most = if is_slow { 3_000 } else { plan.delay };
        let thinks = most > 0 && Instant::now() < self.stop;
        thinks.then(|| self.time(most))
    }

    pub(super) fn leaves(&mut self) -> bool {
        self.rng.random_bool(self.stage.plan.leaving)
    }

    pub(super) fn trace(&self, what: impl Display) {
        let event = format_args!("host {} {what}", self.host);
        self.stage.record.event(event);
    }

    pub(super) fn violation(&self, what: impl Display) {
        let what = format!("host {} {what}", self.host);
        self.stage.record.violation(what);
    }

    /// It sees this, in an open question if that has the number of a turn, with what became of its last answer; and notes
    /// what else that tells.
    pub(super) fn look(
        &self,
        mark: Mark,
        question: Option<u64>,
        last: Option<Last>,
        note: impl FnOnce(&mut Book),
    ) {
        let mut book = self.stage.ledger.lock();
        let mut seen = book.saw(self.host, mark);
        if let Some(turn) = question {
            seen = seen.and_then(|()| book.saw_turn(mark, turn));
        }
        if let Some(last) = last {
            book.claim(self.host, mark, last.turn, Some(last.how));
        }
        book.figures.seen_by_spectators += u64::from(self.role == Role::Observer);
        note(&mut book);
        drop(book);
        seen.unwrap_or_else(|what| self.stage.record.violation(what));
    }
}

/// Connects over the simulated network.
pub(super) async fn over(
    builder: ClientBuilder,
    network: Arc<Network>,
    host: usize,
) -> Result<Client, ConnectError> {
    let go = |_address| connect(network.clone(), host);
    builder.connect_with(name(), go).await
}
