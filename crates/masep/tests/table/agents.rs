//! Agents at a table, with messages by hand: as pymasep's interfaces, one question at a time.

use std::time::Duration;

use masep::table::{Seat, Table, TableBuilder, View};
use masep::{
    Action, Client, Element, Message, MessageType, Protocols, RecvMessageError, Role, TypeName,
    Value,
};
use tokio::time::timeout;

pub(crate) const GAME: &str = "pursuit.PursuitGame";

/// Nothing takes as long as this unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} hangs"),
    }
}

/// A table with the seats red and blue.
pub(crate) fn builder() -> TableBuilder {
    Table::builder(GAME).seats(["red", "blue"])
}

/// The State in which a seat is asked for this number.
pub(crate) fn view(tick: i64, seat: &Seat) -> View {
    let player = seat.player().map_or("", |player| player.as_str());
    state(tick).with("control", player)
}

pub(crate) fn state(tick: i64) -> View {
    let state = format!(r#"<State env_step="0" tick="{tick}" />"#);
    View::new(Element::parse(state).unwrap())
}

/// The number in an action.
pub(crate) fn number(action: Option<&Value>) -> Option<i64> {
    let action = Action::try_from(action?.as_element()?).ok()?;
    action.action_type.as_i64()
}

pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) id: String,
}

/// An observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) tick: i64,
    pub(crate) step: i64,
    pub(crate) control: Option<String>,
}

/// The thing that an agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Seen(Seen),
    End,
    Closed,
}

impl Agent {
    pub(crate) async fn connect(table: &Table, id: &str, protocols: Protocols) -> Self {
        let connecting = Client::builder(id)
            .protocols(protocols)
            .connect(table.local_address());
        let client = patiently("connecting", connecting).await.unwrap();
        let id = id.to_owned();
        Self { client, id }
    }

    /// As a pymasep interface joins.
    pub(crate) async fn join(table: &Table, id: &str, role: Role, protocols: Protocols) -> Self {
        let agent = Self::connect(table, id, protocols).await;
        agent.register(role).await;
        agent
    }

    pub(crate) async fn register(&self, role: Role) {
        let game = TypeName::from(GAME);
        self.say(&Message::define(&*self.id, game)).await;
        self.say(&Message::register(&*self.id, &*self.id, 0, role))
            .await;
    }

    pub(crate) async fn say(&self, message: &Message) {
        self.client
            .connection()
            .send_message(message)
            .await
            .unwrap();
    }

    pub(crate) async fn told(&self) -> Told {
        let receiving = self.client.connection().recv_message();
        match patiently("an observation", receiving).await {
            Ok(message) if message.msg_type == MessageType::End => Told::End,
            Ok(message) => Told::Seen(seen(&message)),
            Err(RecvMessageError::Closed(_)) => Told::Closed,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn seen(&self) -> Seen {
        match self.told().await {
            Told::Seen(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn act(&self, number: i64) {
        self.say(&Message::action(&*self.id, Action::new(number)))
            .await;
    }

    /// Answers each question with its number, until the end; how many there were.
    pub(crate) async fn play(self) -> usize {
        let mut questions = 0;
        loop {
            match self.told().await {
                Told::Seen(seen) => {
                    questions += 1;
                    self.act(seen.tick).await;
                }
                Told::End => {
                    self.say(&Message::quit(&*self.id)).await;
                    self.client.connection().bye().await;
                    return questions;
                }
                Told::Closed => return questions,
            }
        }
    }
}

pub(crate) fn seen(message: &Message) -> Seen {
    let state = message.param("observation").unwrap().as_element().unwrap();
    let information = message.param("additional_information");
    let number = |name| state.attribute(name).unwrap().parse().unwrap();
    let control = information.and_then(|information| information.get("control"));
    Seen {
        tick: number("tick"),
        step: number("env_step"),
        control: control.and_then(Value::as_str).map(str::to_owned),
    }
}
