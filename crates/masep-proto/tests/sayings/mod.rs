//! The things that a client says, in its own or in another's name: for the tests of what it may, at a gate and at a table.

use masep_proto::{Action, Dict, Message, MessageType, TypeName, Value};

/// The id of the one that the cases are about, and that of the other one, in whose name it speaks.
pub(crate) const OWN: &str = "own";
pub(crate) const OTHER: &str = "other";

/// Its part in the game so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Unregistered,
    Actor,
    Observer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Define,
    DefineOther,
    RegisterActor,
    RegisterObserver,
    RegisterNothing,
    /// In the name of the sender, for another id.
    RegisterAnother,
    Act,
    ActNothing,
    Quit,
    Observation,
    End,
    Other,
}

impl Says {
    pub(crate) const ALL: [Self; 12] = [
        Self::Define,
        Self::DefineOther,
        Self::RegisterActor,
        Self::RegisterObserver,
        Self::RegisterNothing,
        Self::RegisterAnother,
        Self::Act,
        Self::ActNothing,
        Self::Quit,
        Self::Observation,
        Self::End,
        Self::Other,
    ];

    /// The message in this name, in a game.
    pub(crate) fn message(self, name: &str, game: &str) -> Message {
        let register = |id: &str, role: Option<&str>| {
            let dict = Dict::new().with("id", id).with("queue_id", 0);
            let dict = match role {
                Some(role) => dict.with("role", role),
                None => dict,
            };
            Message::new(MessageType::Register, dict, name)
        };
        match self {
            Self::Define => Message::define(name, TypeName::from(game)),
            Self::DefineOther => Message::define(name, TypeName::from("other.Game")),
            Self::RegisterActor => register(name, Some("Actor")),
            Self::RegisterObserver => register(name, Some("Observer")),
            Self::RegisterNothing => register(name, None),
            Self::RegisterAnother => register("third", Some("Actor")),
            Self::Act => Message::action(name, Action::new(5)),
            Self::ActNothing => Message::action(name, Value::None),
            Self::Quit => Message::quit(name),
            Self::Observation => Message::observation(name, Value::None, Dict::new()),
            Self::End => Message::end(name),
            Self::Other => Message::new(MessageType::from("dance"), Dict::new(), name),
        }
    }
}
