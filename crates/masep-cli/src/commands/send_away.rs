//! Kick and ban, as lines.

use std::net::IpAddr;

use masep::access::Subject;
use masep::{PeerId, Server};
use serde_json::Value as Json;

use crate::failure::Failure;

/// Somebody is sent away, or may come again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendAway {
    Kick(Subject),
    Ban(Subject),
    Unban(Subject),
}

impl SendAway {
    /// The keys that say so.
    pub(crate) const ACTIONS: [&str; 3] = ["kick", "ban", "unban"];

    /// Reads the value of such a key: `{"id":ID}`, `{"token":NAME}` or `{"address":IP}`.
    pub(crate) fn parse(action: &str, value: &Json) -> Result<Self, Failure> {
        let subject = subject(value).ok_or_else(|| {
            let message = format!(
                "{action:?} has one of {{\"id\":ID}}, {{\"token\":NAME}}, {{\"address\":IP}}"
            );
            Failure::new("unexpected", message)
        })?;
        Ok(match action {
            "kick" => Self::Kick(subject),
            "ban" => Self::Ban(subject),
            _ => Self::Unban(subject),
        })
    }

    pub(crate) fn carry_out(self, server: &Server) -> Result<(), Failure> {
        match self {
            Self::Kick(subject) if server.kick(&subject) == 0 => Err(Failure::new(
                "unknown_peer",
                format!("there is no connection of {subject}"),
            )),
            Self::Kick(_) => Ok(()),
            Self::Ban(subject) => {
                server.ban(subject);
                Ok(())
            }
            Self::Unban(subject) if !server.unban(subject.clone()) => Err(Failure::new(
                "unknown_peer",
                format!("{subject} is not banned"),
            )),
            Self::Unban(_) => Ok(()),
        }
    }
}

fn subject(value: &Json) -> Option<Subject> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (key, value) = object.iter().next()?;
    let text = value.as_str()?;
    match key.as_str() {
        "id" => Some(Subject::Id(PeerId::from(text))),
        "token" => Some(Subject::Token(text.into())),
        "address" => Some(Subject::Address(text.parse::<IpAddr>().ok()?)),
        _ => None,
    }
}
