//! One connection, as the table sees it.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::PeerId;
use masep_proto::access::Grant;

use crate::SeatId;

/// The way in which a peer says which turn an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Manner {
    /// By the turn's number.
    Numbered,
    /// Not at all, as pymasep's: it is asked one question at a time.
    Pymasep,
}

/// Which protocol a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    V1,
    V2,
}

/// The part that a peer has in the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// The peer has not registered.
    None,
    Seat(SeatId),
    Spectator,
}

/// The state of a pymasep peer's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The peer owes no answer.
    Clear,
    /// Its next action is for this turn.
    Asked { turn: u64, since: Instant },
    /// Its next action is for this turn, which was decided without it.
    Owing { turn: u64, since: Instant },
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) wire: Wire,
    pub(crate) manner: Manner,
    pub(crate) registration: Registration,
    /// Its rights, until it has a place.
    pub(crate) grant: Option<Arc<Grant>>,
    /// Observations that the stream has not taken.
    pub(crate) unsent: u32,
    /// The number of its messages for which it may still get an answer, and the host an event, until its next
    /// observation.
    pub(crate) tellings: u8,
    /// Actions for turns that have not begun.
    pub(crate) bad_turns: u8,
    pub(crate) answer: Answer,
    /// The last turn in which it was asked.
    pub(crate) asked: u64,
    /// The last step that it was sent.
    pub(crate) step: Option<i64>,
    /// When it was sent an observation to which it has not answered.
    pub(crate) unanswered: Option<Instant>,
    /// A spectator was not sent the newest view.
    pub(crate) lacks_view: bool,
    /// Views that a spectator was not sent since the last that it was.
    pub(crate) skipped: u64,
    /// When it was told the end.
    pub(crate) end_told: Option<Instant>,
}

/// The number of things that a peer may be told, and told of, for each observation.
const MOST_TELLINGS: u8 = 3;

impl Peer {
    pub(crate) const fn new(id: PeerId, wire: Wire, manner: Manner) -> Self {
        Self {
            id,
            wire,
            manner,
            registration: Registration::None,
            grant: None,
            unsent: 0,
            tellings: MOST_TELLINGS,
            bad_turns: 0,
            answer: Answer::Clear,
            asked: 0,
            step: None,
            unanswered: None,
            lacks_view: false,
            skipped: 0,
            end_told: None,
        }
    }

    pub(crate) const fn seat(&self) -> Option<SeatId> {
        match self.registration {
            Registration::Seat(seat) => Some(seat),
            Registration::None | Registration::Spectator => None,
        }
    }

    /// An observation goes out.
    pub(crate) const fn observed(&mut self, now: Instant) {
        self.unsent += 1;
        self.tellings = MOST_TELLINGS;
        self.unanswered = Some(now);
    }

    /// True if it may be told something more, which is counted.
    pub(crate) const fn may_tell(&mut self) -> bool {
        let may_tell = self.tellings > 0;
        self.tellings = self.tellings.saturating_sub(1);
        may_tell
    }
}
