//! Players and spectators that are bare clients.

use std::ops::{Deref, DerefMut};

use masep::{Action, Client, Connection, Frame, Message, MessageType, Protocols, Role, TypeName};
use masep_table::{Kind, TurnData, action_turn};
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout_at};

use super::ledger::Mark;
use super::part::{FAREWELL, Part, over};
use super::{GAME, name_of};

struct Bare {
    part: Part,
    connection: Option<Connection>,
    id: String,
    /// The step of the last State on this connection.
    step: i64,
    /// An earlier question of this connection.
    earlier: Option<(Mark, u64)>,
    has_looked_ahead: bool,
}

impl Deref for Bare {
    type Target = Part;

    fn deref(&self) -> &Part {
        &self.part
    }
}

impl DerefMut for Bare {
    fn deref_mut(&mut self) -> &mut Part {
        &mut self.part
    }
}

/// A client: it comes, plays, and comes again.
pub(crate) async fn bare(part: Part, kind: super::plan::Kind, life: u64) {
    let name = name_of(part.host);
    let mut bare = Bare {
        part,
        connection: None,
        id: name.clone(),
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
            bare.id = format!("{name}-{life}-{attempts}");
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
    fn builder(&self) -> masep::ClientBuilder {
        let plan = &self.stage.plan;
        Client::builder(self.id.clone())
            .limits(plan.limits.clone())
            .socket_options(plan.socket_options.clone())
    }

    async fn join_as_pymasep(&mut self) -> Option<Client> {
        let builder = self.builder().protocols(Protocols::Pymasep);
        let client = over(builder, self.stage.network.clone(), self.host)
            .await
            .ok()?;
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
                return self.violation("is not told of the end");
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
        if let Some(time) = self.thought() {
            sleep(time).await;
        }
        // pymasep's interfaces answer the newest observation. An end is behind all of them.
        while !is_unruly && let Ok(next) = connection.try_recv() {
            frame = next;
        }
        let Ok((message, turn)) = connection.message_encoding().decode_in_turn(frame) else {
            self.violation("cannot read what it is sent");
            return true;
        };
        if message.msg_type != MessageType::Observation {
            return message.msg_type != MessageType::End;
        }
        let Some(mark) = message.param("observation").and_then(Mark::of_view) else {
            self.violation(format_args!("sees {message:?}"));
            return true;
        };
        let turn = turn.as_deref().and_then(TurnData::from_cbor);
        self.see(&message, mark, turn.as_ref());
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
        !self.leaves()
    }

    fn see(&mut self, message: &Message, mark: Mark, turn: Option<&TurnData>) {
        let asked = turn.filter(|turn| turn.kind == Kind::Ask);
        let last = turn.and_then(|turn| turn.last);
        self.look(mark, asked.map(|turn| turn.number), last, |_| {});
        let state = message.param("observation").and_then(|it| it.as_element());
        let step = state.and_then(|state| state.attribute("env_step")?.parse::<i64>().ok());
        if turn.is_none() && self.role == Role::Actor {
            // pymasep's interfaces answer none that does not rise.
            if step.is_none_or(|step| step <= self.step) {
                self.violation(format_args!("sees step {step:?} after {}", self.step));
            }
            self.step = step.unwrap_or(self.step);
        }
        self.trace(format_args!("(bare) {mark:?} {turn:?}"));
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
