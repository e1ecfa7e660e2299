//! The types of messages, and the roles of interfaces.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytestring::ByteString;

use crate::printable::Quoted;

/// The type of a message.
#[derive(Clone)]
pub enum MessageType {
    /// `define`, interface to engine: which game to play.
    Define,
    /// `register`, interface to engine: an interface joins.
    Register,
    /// `observation`, engine to interface: what the interface sees.
    Observation,
    /// `action`, interface to engine: what the interface does.
    Action,
    /// `quit`, interface to engine: the user ends the game.
    Quit,
    /// `end`, engine to interface: the game is over.
    End,
    /// Any other type: carried, not refused.
    Other(ByteString),
}

impl MessageType {
    /// The type as it stands in the message: `"define"`, ...
    pub fn as_str(&self) -> &str {
        match self {
            Self::Define => "define",
            Self::Register => "register",
            Self::Observation => "observation",
            Self::Action => "action",
            Self::Quit => "quit",
            Self::End => "end",
            Self::Other(other) => other,
        }
    }

    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "define" => Self::Define,
            "register" => Self::Register,
            "observation" => Self::Observation,
            "action" => Self::Action,
            "quit" => Self::Quit,
            "end" => Self::End,
            _ => return None,
        })
    }
}

impl From<&str> for MessageType {
    fn from(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl From<String> for MessageType {
    fn from(name: String) -> Self {
        ByteString::from(name).into()
    }
}

impl From<ByteString> for MessageType {
    fn from(name: ByteString) -> Self {
        Self::known(&name).unwrap_or(Self::Other(name))
    }
}

/// Types are equal if their texts are: `Other("end")` is `End`.
impl PartialEq for MessageType {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for MessageType {}

impl Hash for MessageType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Define => "Define",
            Self::Register => "Register",
            Self::Observation => "Observation",
            Self::Action => "Action",
            Self::Quit => "Quit",
            Self::End => "End",
            Self::Other(other) => return f.debug_tuple("Other").field(&Quoted(other)).finish(),
        })
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The role of an interface in the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `Actor`: controls an agent.
    Actor,
    /// `Observer`: watches.
    Observer,
}

impl Role {
    /// The role as it stands in the message: `"Actor"` or `"Observer"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "Actor",
            Self::Observer => "Observer",
        }
    }

    /// The role as it stands in a `HELLO`: `"actor"` or `"observer"`.
    pub const fn hello_name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Observer => "observer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_text() {
        for name in ["define", "register", "observation", "action", "quit", "end"] {
            let known = MessageType::from(name);
            assert!(!matches!(known, MessageType::Other(_)), "{name}");
            assert_eq!(known, MessageType::Other(name.into()));
            assert_eq!(known.to_string(), name);
        }
        assert_eq!(
            MessageType::from("dance"),
            MessageType::Other("dance".into())
        );
        assert_ne!(MessageType::from("End"), MessageType::End);
    }
}
