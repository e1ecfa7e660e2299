//! Players and spectators that are [`masep::Player`]s.

use std::sync::Arc;
use std::time::Duration;

use masep::player::{Backoff, End, Event, Turn};
use masep::table::{How, Kind, Last};
use masep::{Action, Client, ClientBuilder, ConnectError, Player, Protocols, Role};
use rand::{Rng, RngExt};
use rand_xorshift::XorShiftRng;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ledger::Mark;
use super::{GAME, Stage, name_of};
use crate::plan::rng;
use crate::transport::{connect, name};

/// A player may need as long after the end of all to notice it.
const FAREWELL: Duration = Duration::from_secs(10);

struct Part {
    stage: Arc<Stage>,
    host: usize,
    role: Role,
    rng: XorShiftRng,
    stop: Instant,
    /// The question that was seen last, of this process.
    mark: Option<Mark>,
    /// The engine numbers its turns: it speaks protocol 2 on this connection.
    is_numbered: bool,
    /// Its last answer to an engine that numbers turns, until it is told otherwise: the question and its turn.
    answered: Option<(Mark, u64)>,
    /// The last turn that it has answered.
    acted: Option<u64>,
}

/// A player or spectator: it comes, plays, and comes again.
pub(crate) async fn player(
    stage: Arc<Stage>,
    host: usize,
    protocols: Protocols,
    role: Role,
    active: Duration,
    life: u64,
) {
    let mut part = Part {
        rng: rng(stage.seed, 0xa_0000 + 0x100 * host as u64 + life),
        stage,
        host,
        role,
        stop: Instant::now() + active,
        mark: None,
        is_numbered: false,
        answered: None,
        acted: None,
    };
    part.pause(200).await;
    while Instant::now() < part.stop {
        let player = part.join(protocols, life);
        part.play(player).await;
        part.pause(300).await;
    }
}

impl Part {
    async fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.rng.random_range(0..=most))).await;
    }

    fn join(&self, protocols: Protocols, life: u64) -> Player {
        let plan = &self.stage.plan;
        let mut builder = Player::builder(name_of(self.host), GAME)
            .role(self.role)
            .protocols(protocols)
            .limits(plan.limits.clone())
            .socket_options(plan.socket_options.clone())
            .backoff(Backoff {
                longest: Duration::from_millis(700),
                patience: Duration::from_secs(5),
                ..Backoff::default()
            });
        if let Some(resume) = self.stage.ledger.lock().resume(self.host) {
            builder = builder.resume(resume);
        }
        let (network, host) = (self.stage.network.clone(), self.host);
        let dial = move |builder: ClientBuilder| {
            let network = network.clone();
            async move { over(builder, network, host).await }
        };
        let mut chance = rng(self.stage.seed, 0xb_0000 + 0x100 * host as u64 + life);
        let joined = builder.join_over(name(), dial, move || chance.next_u64());
        joined.expect("it is an address")
    }

    async fn play(&mut self, mut player: Player) {
        self.answered = None;
        loop {
            let told = timeout_at(self.stop + FAREWELL, player.next()).await;
            self.keep(&player);
            match told {
                Ok(Some(masep::player::Told::Event(event))) => self.happened(&event),
                Ok(Some(masep::player::Told::Turn(turn))) => {
                    if !self.turn(&mut player, &turn).await {
                        break;
                    }
                }
                Ok(None) => break,
                Err(_elapsed) => {
                    let what = format!("host {} is not told of the end", self.host);
                    self.stage.record.violation(what);
                    break;
                }
            }
        }
        let end = player.leave().await;
        self.stage
            .record
            .event(format_args!("host {} has ended: {end:?}", self.host));
        if !matches!(end, End::GaveUp(_)) {
            self.stage.ledger.lock().keep_resume(self.host, None);
        }
    }

    /// Writes the resume text to the disk.
    fn keep(&self, player: &Player) {
        if let Some(resume) = player.resume() {
            let mut book = self.stage.ledger.lock();
            book.keep_resume(self.host, Some(resume));
        }
    }

    fn happened(&mut self, event: &Event) {
        self.stage
            .record
            .event(format_args!("host {} {event:?}", self.host));
        match event {
            Event::NotCounted { turn, .. } => {
                self.answered.take_if(|(_, answered)| answered == turn);
            }
            Event::Joined {
                is_new_engine,
                seat,
                ..
            } => {
                self.is_numbered = seat.is_some();
                self.answered.take_if(|_| *is_new_engine || seat.is_none());
            }
            Event::Unknown { turn } => {
                let known = self.answered.take_if(|(_, answered)| answered == turn);
                self.stage.ledger.lock().figures.unknown += 1;
                if known.is_none() || !self.stage.plan.reopens {
                    let what = format!("host {} is told {event:?}", self.host);
                    self.stage.record.violation(what);
                }
            }
            _ => {}
        }
        // Of an answer of an earlier process nobody knows.
        if let (Event::NotCounted { turn, how, .. }, Some(mark)) = (event, self.mark) {
            self.stage.ledger.lock().claim(self.host, mark, *turn, *how);
        }
    }

    /// Takes a turn, and answers it. False if the player leaves.
    async fn turn(&mut self, player: &mut Player, turn: &Turn) -> bool {
        let (host, mark) = (self.host, Mark::of_view(turn.view()));
        let Some(mark) = mark else {
            let what = format!("host {host} sees {turn:?}");
            self.stage.record.violation(what);
            return true;
        };
        self.stage.record.event(format_args!(
            "host {host} turn {} {mark:?} {:?} {:?}",
            turn.number(),
            turn.kind(),
            turn.last()
        ));
        self.look(turn, mark);
        if !turn.is_question() || self.role == Role::Observer {
            // It would wait for a question, and the engine for its action.
            let sleeps_on = turn.kind() == Kind::Show && self.acted != Some(turn.number());
            if sleeps_on && self.role == Role::Actor {
                let what = format!("host {host} is not asked, and sleeps on: {turn:?}");
                self.stage.record.violation(what);
            }
            return true;
        }
        self.think(player).await;
        if self.rng.random_bool(self.stage.plan.leaving) {
            return false;
        }
        self.act(player, turn, mark).await;
        true
    }

    fn look(&mut self, turn: &Turn, mark: Mark) {
        let mut book = self.stage.ledger.lock();
        let mut seen = book.saw(self.host, mark);
        if self.is_numbered && turn.is_question() {
            seen = seen.and_then(|()| book.saw_turn(mark, turn.number()));
        }
        if let Some(last) = turn.last() {
            book.claim(self.host, mark, last.turn, Some(last.how));
        }
        // All that has happened was told before: an answer of which nothing was said has counted.
        if self.is_numbered
            && let Some((answered, number)) = self.answered.take_if(|(_, it)| *it < turn.number())
        {
            book.claim(self.host, answered, number, Some(How::Played));
        }
        let is_over = |last: Last| last.turn == turn.number();
        book.figures.woken += u64::from(turn.is_question() && turn.last().is_some_and(is_over));
        book.figures.seen_by_spectators += u64::from(self.role == Role::Observer);
        self.mark = Some(mark);
        drop(book);
        seen.unwrap_or_else(|what| self.stage.record.violation(what));
    }

    /// Some look after their connection while they think, some do not.
    async fn think(&mut self, player: &mut Player) {
        let plan = &self.stage.plan;
        let slow = self.rng.random_bool(plan.slowness);
        let most = if slow { 3_000 } else { plan.delay };
        if most == 0 || Instant::now() > self.stop {
            return;
        }
        let time = Duration::from_millis(self.rng.random_range(0..=most));
        if self.rng.random_bool(0.5) {
            return sleep(time).await;
        }
        let until = Instant::now() + time;
        while let Ok(Some(event)) = timeout_at(until, player.event()).await {
            self.happened(&event);
        }
    }

    async fn act(&mut self, player: &mut Player, turn: &Turn, mark: Mark) {
        if player.is_asked() {
            // Before the host can know of it.
            self.stage.ledger.lock().answered(self.host, mark);
            self.answered = self.is_numbered.then(|| (mark, turn.number()));
            self.acted = Some(turn.number());
        }
        let answer = player.act(Action::new(mark.number(0)));
        match timeout(Duration::from_secs(30), answer).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let what = format!("host {} cannot answer: {error}", self.host);
                self.stage.record.violation(what);
            }
            Err(_elapsed) => {
                let what = format!("host {} hangs in its answer", self.host);
                self.stage.record.violation(what);
            }
        }
        // A second answer is none.
        if !matches!(player.act(Action::new(mark.number(1))).await, Ok(false)) {
            let what = format!("host {} has answered twice", self.host);
            self.stage.record.violation(what);
        }
    }
}

/// Connects over the simulated network.
pub(super) async fn over(
    builder: ClientBuilder,
    network: Arc<crate::network::Network>,
    host: usize,
) -> Result<Client, ConnectError> {
    let go = |_address| connect(network.clone(), host);
    builder.connect_with(name(), go).await
}
