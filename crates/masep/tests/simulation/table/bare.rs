//! Players and spectators that are bare clients.

use std::sync::Arc;
use std::time::Duration;

use masep::{Action, Client, Connection, Frame, Message, MessageType, Protocols, Role, TypeName};
use masep_table::{Kind, TurnData, action_turn};
use rand::RngExt;
use rand_xorshift::XorShiftRng;
use tokio::time::{Instant, sleep, timeout_at};

use super::ledger::Mark;
use super::players::over;
use super::{GAME, Stage, name_of};
use crate::plan::rng;

/// One that talks for as long is told of no end.
const FAREWELL: Duration = Duration::from_secs(10);

struct Bare {
    stage: Arc<Stage>,
    host: usize,
    role: Role,
    rng: XorShiftRng,
    stop: Instant,
    connection: Option<Connection>,
    id: String,
    /// The step of the last State on this connection.
    step: i64,
    /// An earlier question of this connection.
    earlier: Option<(Mark, u64)>,
    has_looked_ahead: bool,
}

/// A client: it comes, plays, and comes again.
pub(crate) async fn bare(
    stage: Arc<Stage>,
    host: usize,
    kind: super::plan::Kind,
    role: Role,
    active: Duration,
    life: u64,
) {
    let mut bare = Bare {
        rng: rng(stage.seed, 0xc_0000 + 0x100 * host as u64 + life),
        stage,
        host,
        role,
        stop: Instant::now() + active,
        connection: None,
        id: name_of(host),
        step: -1,
        earlier: None,
        has_looked_ahead: false,
    };
    let is_stranger = kind == super::plan::Kind::Pymasep { is_stranger: true };
    let mut attempts = 0;
    bare.pause(200).await;
    while Instant::now() < bare.stop {
        attempts += 1;
        if is_stranger {
            bare.id = format!("{}-{life}-{attempts}", name_of(host));
        }
        let client = match kind {
            super::plan::Kind::Unruly => bare.join().await,
            _ => bare.join_as_pymasep().await,
        };
        if let Some(client) = client {
            bare.connection = Some(client.connection().clone());
            bare.play().await;
            bare.connection = None;
            client.connection().bye().await;
        }
        bare.pause(400).await;
    }
}

impl Bare {
    async fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.rng.random_range(0..=most))).await;
    }

    fn builder(&self) -> masep::ClientBuilder {
        let plan = &self.stage.plan;
        Client::builder(self.id.clone())
            .limits(plan.limits.clone())
            .socket_options(plan.socket_options.clone())
    }

    async fn join_as_pymasep(&mut self) -> Option<Client> {
        let builder = self.builder().protocols(Protocols::Pymasep);
        let client = over(builder, self.stage.network.clone(), self.host);
        let client = client.await.ok()?;
        let (id, game) = (self.id.as_str(), TypeName::from(GAME));
        let first = Message::define(id, game);
        let register = Message::register(id, id, 0, self.role);
        for message in [first, register] {
            let _ = client.connection().send_message(&message).await;
        }
        self.step = -1;
        Some(client)
    }

    async fn join(&mut self) -> Option<Client> {
        let mut builder = self.builder().protocols(Protocols::Masep2);
        builder = builder.role(self.role).game(GAME);
        if let Some(resume) = self.stage.ledger.lock().resume(self.host) {
            builder = builder.resume(&resume);
        }
        let client = over(builder, self.stage.network.clone(), self.host).await;
        let resume = match &client {
            Ok(client) => client.connection().welcome()?.resume,
            // The seat is lost.
            Err(error) if error.to_string().contains("gone") => None,
            Err(_) => return None,
        };
        let mut book = self.stage.ledger.lock();
        book.keep_resume(self.host, resume.as_deref());
        drop(book);
        (self.earlier, self.has_looked_ahead) = (None, false);
        client.ok()
    }

    async fn play(&mut self) {
        let connection = self.connection.clone().expect("it is connected");
        loop {
            let Ok(received) = timeout_at(self.stop + FAREWELL, connection.recv()).await else {
                let what = format!("host {} is not told of the end", self.host);
                return self.stage.record.violation(what);
            };
            let Ok(frame) = received else {
                return;
            };
            if !self.take(&connection, frame).await {
                return;
            }
        }
    }

    /// Takes a message. False if that was the end.
    async fn take(&mut self, connection: &Connection, mut frame: Frame) -> bool {
        let is_unruly = connection.welcome().is_some();
        self.think().await;
        // pymasep's interfaces answer the newest observation. An end is behind all of them.
        while !is_unruly && let Ok(next) = connection.try_recv() {
            frame = next;
        }
        let Ok((message, turn)) = connection.message_encoding().decode_turn(frame) else {
            let what = format!("host {} cannot read what it is sent", self.host);
            self.stage.record.violation(what);
            return true;
        };
        if message.msg_type != MessageType::Observation {
            return message.msg_type != MessageType::End;
        }
        let Some(mark) = message.param("observation").and_then(Mark::of_view) else {
            let what = format!("host {} sees {message:?}", self.host);
            self.stage.record.violation(what);
            return true;
        };
        let turn = turn.as_ref().and_then(TurnData::from_dict);
        self.look(&message, mark, turn.as_ref());
        if self.role == Role::Observer {
            return true;
        }
        match turn {
            Some(turn) if turn.kind == Kind::Ask => {
                self.answer(connection, mark, turn.number).await;
            }
            Some(_) => {}
            None => self.act(connection, mark, 0, None).await,
        }
        !self.rng.random_bool(self.stage.plan.leaving)
    }

    async fn think(&mut self) {
        let plan = &self.stage.plan;
        let most = match self.rng.random_bool(plan.slowness) {
            true => 3_000,
            false => plan.delay,
        };
        // All is over then, and what has arrived is only read.
        if most > 0 && Instant::now() < self.stop {
            self.pause(most).await;
        }
    }

    fn look(&mut self, message: &Message, mark: Mark, turn: Option<&TurnData>) {
        let host = self.host;
        let mut book = self.stage.ledger.lock();
        let mut seen = book.saw(host, mark);
        if let Some(turn) = turn {
            if turn.kind == Kind::Ask {
                seen = seen.and_then(|()| book.saw_turn(mark, turn.number));
            }
            if let Some(last) = turn.last {
                book.claim(host, mark, last.turn, Some(last.how));
            }
        }
        book.figures.seen_by_spectators += u64::from(self.role == Role::Observer);
        drop(book);
        let state = message.param("observation").and_then(|it| it.as_element());
        let step = state.and_then(|state| state.attribute("env_step")?.parse::<i64>().ok());
        if turn.is_none() && self.role == Role::Actor {
            // pymasep's interfaces answer none that does not rise.
            if step.is_none_or(|step| step <= self.step) {
                seen = Err(format!(
                    "host {host} sees step {step:?} after {}",
                    self.step
                ));
            }
            self.step = step.unwrap_or(self.step);
        }
        self.stage
            .record
            .event(format_args!("host {host} (bare) {mark:?} {turn:?}"));
        seen.unwrap_or_else(|what| self.stage.record.violation(what));
    }

    /// Answers, and perhaps more than that.
    async fn answer(&mut self, connection: &Connection, mark: Mark, turn: u64) {
        if let Some((mark, turn)) = self.earlier
            && self.rng.random_bool(0.2)
        {
            self.act(connection, mark, 1, Some(turn)).await;
        }
        if !self.has_looked_ahead && self.rng.random_bool(0.1) {
            self.has_looked_ahead = true;
            self.act(connection, mark, 2, Some(turn + 1_000_000)).await;
        }
        if self.rng.random_bool(0.1) {
            let action = Message::action("somebody-else", Action::new(mark.number(3)));
            self.send(connection, &action, Some(turn)).await;
        }
        self.act(connection, mark, 0, Some(turn)).await;
        if self.rng.random_bool(0.3) {
            self.act(connection, mark, 4, Some(turn)).await;
        }
        self.earlier = Some((mark, turn));
    }

    async fn act(&mut self, connection: &Connection, mark: Mark, answer: u64, turn: Option<u64>) {
        if answer == 0 {
            self.stage.ledger.lock().answered(self.host, mark);
        }
        let action = Message::action(self.id.as_str(), Action::new(mark.number(answer)));
        self.send(connection, &action, turn).await;
    }

    async fn send(&self, connection: &Connection, message: &Message, turn: Option<u64>) {
        let turn = turn.map(action_turn);
        let frame = connection
            .message_encoding()
            .encode_turn(message, turn.as_ref());
        let frame = frame.expect("it is small");
        // A connection that has ended is noticed by the next call.
        let _ = connection.send(frame).await;
    }
}
