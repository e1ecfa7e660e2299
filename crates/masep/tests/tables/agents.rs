//! Agents at a table, with messages by hand: as pymasep's interfaces, one question at a time.

use std::net::{Shutdown, TcpStream};

use masep::blocking::Client;
use masep::table::{Event, TableBuilder};
use masep::{Action, Message, MessageType, Protocols, RecvTimeoutError, Role, TypeName};

use crate::GAME;
use crate::shells::{SOON, Shell, Table};

/// An agent that does what it is told to.
pub(crate) struct Agent {
    pub(crate) client: Client,
    id: &'static str,
}

/// The thing that an agent is told.
#[derive(Debug)]
enum Told {
    Seen(i64),
    End,
    Closed,
}

impl Agent {
    /// As a pymasep interface joins.
    pub(crate) fn join(
        table: &dyn Table,
        id: &'static str,
        role: Role,
        protocols: Protocols,
    ) -> Self {
        let client = Client::builder(id).protocols(protocols);
        let client = client.connect(table.address()).unwrap();
        let agent = Self { client, id };
        agent.say(&Message::define(id, TypeName::from(GAME)));
        agent.say(&Message::register(id, id, 0, role));
        agent
    }

    /// Takes the next seat that is free, in pymasep's protocol.
    pub(crate) fn sit_down(table: &dyn Table, id: &'static str) -> Self {
        let agent = Self::join(table, id, Role::Actor, Protocols::Pymasep);
        table.wait_for(|event| matches!(event, Event::Seated { .. }));
        agent
    }

    pub(crate) fn say(&self, message: &Message) {
        self.client.connection().send_message(message).unwrap();
    }

    fn told(&self) -> Told {
        let connection = self.client.connection();
        let frame = match connection.recv_timeout(SOON) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Closed(_)) => return Told::Closed,
            Err(RecvTimeoutError::TimedOut) => panic!("nothing is told in time"),
        };
        let message = connection.decode(frame).unwrap();
        match message.msg_type {
            MessageType::End => Told::End,
            _ => Told::Seen(seen(&message)),
        }
    }

    /// The number of the next observation.
    pub(crate) fn asked(&self) -> i64 {
        match self.told() {
            Told::Seen(tick) => tick,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end of the game, and does not answer it.
    pub(crate) fn hear_end(&self) {
        while !matches!(self.told(), Told::End) {}
    }

    /// Waits for the end of its connection.
    pub(crate) fn wait_for_end(&self) {
        while !matches!(self.told(), Told::Closed) {}
    }

    pub(crate) fn action(&self, number: i64) -> Message {
        Message::action(self.id, Action::new(number))
    }

    pub(crate) fn act(&self, number: i64) {
        self.say(&self.action(number));
    }

    /// Answers so many questions with their numbers.
    pub(crate) fn answer(&self, questions: usize) {
        for _ in 0..questions {
            self.act(self.asked());
        }
    }

    /// Answers each question with its number, until the end; how many there were.
    pub(crate) fn play(self) -> usize {
        for questions in 0.. {
            match self.told() {
                Told::Seen(tick) => self.act(tick),
                Told::End => {
                    self.say(&Message::quit(self.id));
                    self.client.connection().bye();
                    return questions;
                }
                Told::Closed => return questions,
            }
        }
        unreachable!("it has no end")
    }

    pub(crate) fn socket(&self) -> TcpStream {
        self.client.connection().socket().unwrap().into()
    }

    /// Ends the stream without a `BYE`.
    pub(crate) fn cut(&self) {
        self.socket().shutdown(Shutdown::Both).unwrap();
    }
}

/// A table with the seats red and blue, and an agent on each.
pub(crate) fn seated(shell: Shell, builder: TableBuilder) -> (Box<dyn Table>, Agent, Agent) {
    let table = shell.table(builder);
    let ann = Agent::sit_down(&*table, "ann");
    let ben = Agent::sit_down(&*table, "ben");
    table.filled();
    (table, ann, ben)
}

/// The number of an observation.
pub(crate) fn seen(message: &Message) -> i64 {
    let state = message.param("observation").unwrap().as_element().unwrap();
    state.attribute("tick").unwrap().parse().unwrap()
}
