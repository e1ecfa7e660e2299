//! The things that a player is told, as lines of JSON.

use masep::player::{End, Event, Turn};
use masep::table::{How, Kind};
use masep::{Dict, Value};
use serde::Serialize;

/// Something that happened. Its name and keys are what programs read: they do not change.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum TurnEvent<'a> {
    Turn(Seen<'a>),
    Final(Seen<'a>),
    Show(Seen<'a>),
    Joined {
        #[serde(skip_serializing_if = "Option::is_none")]
        seat: Option<&'a str>,
        #[serde(skip_serializing_if = "is_zero")]
        epoch: u64,
        #[serde(skip_serializing_if = "is_false")]
        new_engine: bool,
    },
    Lost {
        detail: &'a str,
    },
    Retrying {
        after_ms: u64,
    },
    NotCounted {
        turn: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        how: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'static str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        code: &'a str,
    },
    Unknown {
        turn: u64,
    },
    Notice {
        code: &'a str,
        text: &'a str,
    },
    Over {
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
    },
}

/// An observation.
#[derive(Debug, Serialize)]
pub(super) struct Seen<'a> {
    turn: u64,
    episode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_ms: Option<u64>,
    view: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    information: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
}

/// The decision of the last turn.
#[derive(Debug, Serialize)]
struct Last {
    turn: u64,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
    /// The last turn in which an action of the player counted, where that is an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    played: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl<'a> TurnEvent<'a> {
    pub(super) fn turn(turn: &'a Turn) -> Self {
        let seen = Seen::new(turn);
        match turn.kind() {
            Kind::Ask => Self::Turn(seen),
            Kind::Final => Self::Final(seen),
            Kind::Show => Self::Show(seen),
        }
    }

    /// The event of a player; `None` for one that has no name here.
    pub(super) fn new(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Joined {
                seat,
                epoch,
                is_new_engine,
            } => Self::Joined {
                seat: seat.as_deref(),
                epoch: *epoch,
                new_engine: *is_new_engine,
            },
            Event::Lost(detail) => Self::Lost { detail },
            Event::Retrying(after) => Self::Retrying {
                after_ms: millis(*after),
            },
            Event::NotCounted { turn, how, code } => Self::NotCounted {
                turn: *turn,
                how: how.map(How::as_str),
                why: how.and_then(How::cause).map(|cause| cause.as_str()),
                code,
            },
            Event::Unknown { turn } => Self::Unknown { turn: *turn },
            Event::Notice { code, text } => Self::Notice { code, text },
            _ => return None,
        })
    }

    pub(super) fn over(end: &'a End) -> Self {
        let (reason, code, text) = match end {
            End::Finished => ("finished", None, None),
            End::Ended(bye) => ("ended", Some(&*bye.code), Some(&*bye.text)),
            End::Rejected(rejected) => ("rejected", Some(&*rejected.code), Some(&*rejected.text)),
            End::CannotConnect(text) => ("cannot_connect", None, Some(&**text)),
            End::GaveUp(text) => ("gave_up", None, Some(&**text)),
            _ => ("other", None, None),
        };
        Self::Over { reason, code, text }
    }
}

impl<'a> Seen<'a> {
    fn new(turn: &'a Turn) -> Self {
        let information = turn.information();
        let last = turn.last().map(|last| Last {
            turn: last.turn,
            how: last.how.as_str(),
            why: last.how.cause().map(|cause| cause.as_str()),
            after_ms: last.after.map(millis),
            played: last.played.filter(|played| *played != last.turn),
        });
        Self {
            turn: turn.number(),
            episode: turn.episode(),
            left_ms: turn.remaining().map(millis),
            bank_ms: turn.bank().map(millis),
            view: turn.view(),
            information: (!Dict::is_empty(information)).then(|| information.clone().into()),
            last,
            skipped: turn.skipped(),
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
