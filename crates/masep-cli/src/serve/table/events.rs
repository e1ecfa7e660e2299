//! The events of a table, as lines of JSON.

use masep::table::{Event, Table};
use masep::{Address, Protocol, Value};
use serde::Serialize;

use crate::address::{as_text, as_text_if_some};

/// Something that happened. Its name and keys are what programs read: they do not change.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum TableEvent<'a> {
    Listening {
        id: &'a str,
        #[serde(serialize_with = "as_text")]
        address: Address,
        target: String,
        #[serde(
            serialize_with = "as_text_if_some",
            skip_serializing_if = "Option::is_none"
        )]
        pymasep_address: Option<Address>,
        seats: &'a [String],
    },
    /// A player has a seat.
    Seated(Player),
    Filled,
    /// A turn was opened.
    Asked {
        turn: u64,
    },
    Decision {
        turn: u64,
        seat: &'a str,
        how: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        action: Option<&'a Value>,
    },
    Away {
        seat: String,
    },
    /// The player of a seat is back, with another connection.
    Back(Player),
    Asleep {
        seat: String,
    },
    Awake {
        seat: String,
    },
    Gone {
        seat: String,
    },
    Vacant {
        seat: String,
    },
    Emptied,
    Spectators {
        number: usize,
    },
    Ignored {
        #[serde(skip_serializing_if = "Option::is_none")]
        seat: Option<String>,
        code: &'static str,
        text: &'static str,
    },
    /// Somebody was not let in: by the table, which knows it by its id.
    Rejected {
        id: String,
        reason: &'static str,
        detail: &'static str,
    },
    StepNotRising {
        seat: String,
    },
    Ended,
}

/// A player with its connection. Of one that has ended already there is no more than its id.
#[derive(Debug, Serialize)]
pub(super) struct Player {
    seat: String,
    id: String,
    #[serde(
        serialize_with = "as_text_if_some",
        skip_serializing_if = "Option::is_none"
    )]
    address: Option<Address>,
    /// Not there where it is pymasep's.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u16>,
    /// The name of its access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TableEvent<'_> {
    /// The event of a table; `None` for one that has no name here.
    pub(super) fn new(table: &Table, event: Event) -> Option<Self> {
        let name = |seat| table.name(seat).to_string();
        Some(match event {
            Event::Seated { seat, id } => Self::Seated(Player::new(table, name(seat), id.as_str())),
            Event::Filled => Self::Filled,
            Event::Away(seat) => Self::Away { seat: name(seat) },
            Event::Back { seat, id } => Self::Back(Player::new(table, name(seat), id.as_str())),
            Event::Asleep(seat) => Self::Asleep { seat: name(seat) },
            Event::Awake(seat) => Self::Awake { seat: name(seat) },
            Event::Gone(seat) => Self::Gone { seat: name(seat) },
            Event::Vacant(seat) => Self::Vacant { seat: name(seat) },
            Event::Emptied => Self::Emptied,
            Event::Spectators(number) => Self::Spectators { number },
            Event::Ignored { seat, code } => Self::Ignored {
                seat: seat.map(name),
                code: code.as_str(),
                text: code.text(),
            },
            Event::Rejected { id, code } => Self::Rejected {
                id: id.as_str().to_owned(),
                reason: code.as_str(),
                detail: code.text(),
            },
            Event::StepNotRising(seat) => Self::StepNotRising { seat: name(seat) },
            Event::Ended => Self::Ended,
            _ => return None,
        })
    }
}

impl Player {
    fn new(table: &Table, seat: String, id: &str) -> Self {
        let connection = table.server().registry().get_connection(id);
        let connection = connection.as_ref();
        let protocol = connection.map(masep::Connection::protocol);
        let grant = connection.and_then(|it| it.grant());
        Self {
            seat,
            id: id.to_owned(),
            address: connection.map(masep::Connection::address),
            protocol: protocol
                .filter(|it| *it != Protocol::Pymasep)
                .map(Protocol::number),
            token: grant.map(|grant| grant.name.to_string()),
        }
    }
}
