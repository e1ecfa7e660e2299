//! Players and spectators that are [`masep::Player`]s.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use masep::player::{Backoff, End, Event, Told, Turn};
use masep::table::{How, Kind, Last};
use masep::{Action, ClientBuilder, Player, Protocols, Role};
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ledger::Mark;
use super::part::{FAREWELL, Part, over};
use super::{GAME, name_of};
use crate::plan::rng;
use crate::transport::name;

struct Playing {
    part: Part,
    /// The question that was seen last, of this process.
    mark: Option<Mark>,
    /// The engine numbers its turns: it speaks protocol 2 on this connection.
    is_numbered: bool,
    /// Its last answer to an engine that numbers turns, until it is told otherwise: the question and its turn.
    answered: Option<(Mark, u64)>,
    /// The last turn that it has answered.
    acted: Option<u64>,
}

impl Deref for Playing {
    type Target = Part;

    fn deref(&self) -> &Part {
        &self.part
    }
}

impl DerefMut for Playing {
    fn deref_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

/// A player or spectator: it comes, plays, and comes again.
pub(crate) async fn player(part: Part, protocols: Protocols, life: u64) {
    let mut playing = Playing {
        part,
        mark: None,
        is_numbered: false,
        answered: None,
        acted: None,
    };
    playing.pause(200).await;
    while Instant::now() < playing.stop {
        let player = playing.join(protocols, life);
        playing.play(player).await;
        playing.pause(300).await;
    }
}

impl Playing {
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
        let dial = move |builder: ClientBuilder| over(builder, network.clone(), host);
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
                Ok(Some(Told::Event(event))) => self.happened(&event),
                Ok(Some(Told::Turn(turn))) => {
                    if !self.turn(&mut player, &turn).await {
                        break;
                    }
                }
                Ok(None) => break,
                Err(_elapsed) => {
                    self.violation("is not told of the end");
                    break;
                }
            }
        }
        let end = player.leave().await;
        self.trace(format_args!("has ended: {end:?}"));
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
        self.trace(format_args!("{event:?}"));
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
                    self.violation(format_args!("is told {event:?}"));
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
        let Some(mark) = Mark::of_view(turn.view()) else {
            self.violation(format_args!("sees {turn:?}"));
            return true;
        };
        let (number, kind, last) = (turn.number(), turn.kind(), turn.last());
        self.trace(format_args!("turn {number} {mark:?} {kind:?} {last:?}"));
        self.see(turn, mark);
        if !turn.is_question() || self.role == Role::Observer {
            // It would wait for a question, and the engine for its action.
            let sleeps_on = turn.kind() == Kind::Show && self.acted != Some(turn.number());
            if sleeps_on && self.role == Role::Actor {
                self.violation(format_args!("is not asked, and sleeps on: {turn:?}"));
            }
            return true;
        }
        self.think(player).await;
        if self.leaves() {
            return false;
        }
        self.act(player, turn, mark).await;
        true
    }

    fn see(&mut self, turn: &Turn, mark: Mark) {
        let number = turn.number();
        let asked = (self.is_numbered && turn.is_question()).then_some(number);
        // All that has happened was told before: an answer of which nothing was said has counted.
        let is_numbered = self.is_numbered;
        let counted = self.answered.take_if(|(_, it)| is_numbered && *it < number);
        let is_over = |last: Last| last.turn == number;
        let is_woken = turn.is_question() && turn.last().is_some_and(is_over);
        self.look(mark, asked, turn.last(), |book| {
            if let Some((answered, number)) = counted {
                book.claim(self.host, answered, number, Some(How::Played));
            }
            book.figures.woken += u64::from(is_woken);
        });
        self.mark = Some(mark);
    }

    /// Some look after their connection while they think, some do not.
    async fn think(&mut self, player: &mut Player) {
        let Some(time) = self.thought() else {
            return;
        };
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
            Ok(Err(error)) => self.violation(format_args!("cannot answer: {error}")),
            Err(_elapsed) => self.violation("hangs in its answer"),
        }
        // A second answer is none.
        if !matches!(player.act(Action::new(mark.number(1))).await, Ok(false)) {
            self.violation("has answered twice");
        }
    }
}
