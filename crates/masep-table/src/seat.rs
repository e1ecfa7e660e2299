//! One seat: who has it, what it is asked, and how it last decided.

use std::time::{Duration, Instant};

use masep_proto::PeerId;

use crate::names::ResumeSecret;
use crate::peer::Manner;
use crate::question::Question;
use crate::view::View;
use crate::{Last, PeerKey};

/// The state of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeatState {
    /// Nobody has it.
    Open,
    /// Its player is connected, and waited for.
    Present,
    /// Its player is connected, and not waited for until it acts.
    Asleep,
    /// The connection of its player is lost.
    Away,
    /// Its player does not come back. The host may open it again.
    Gone,
    /// The host has closed it, as for a dead agent: each turn is decided at once, without an action.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Vacant,
    Here { peer: PeerKey, is_asleep: bool },
    Away(Away),
    Gone,
}

/// A lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) since: Instant,
    /// The time that turns which were decided since have waited.
    pub(crate) waited: Duration,
    /// The reading of the turn's stopwatch since which the open turn waits.
    pub(crate) waits_from: Option<Duration>,
}

/// The holder of a seat.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    pub(crate) id: PeerId,
    pub(crate) manner: Manner,
    pub(crate) secret: Option<ResumeSecret>,
    /// Something has come from it, or it has proved its seat: so it knows its resume text.
    pub(crate) is_heard: bool,
    /// Its name by its access token.
    pub(crate) principal: Option<String>,
}

/// A view that its player has not been sent yet, and is not asked about.
#[derive(Clone, Debug)]
pub(crate) struct Unsent {
    pub(crate) number: u64,
    pub(crate) episode: u64,
    pub(crate) view: View,
}

#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) presence: Presence,
    /// Counts its connections.
    pub(crate) epoch: u64,
    pub(crate) is_closed: bool,
    pub(crate) player: Option<Player>,
    /// The rest of the bank.
    pub(crate) bank: Option<Duration>,
    /// Turns missed in a row.
    pub(crate) misses: u32,
    pub(crate) question: Option<Question>,
    /// The end of an episode.
    pub(crate) final_view: Option<Unsent>,
    /// The episode is over for it.
    pub(crate) is_finished: bool,
    /// The newest view while it is asleep.
    pub(crate) missed_view: Option<Unsent>,
    pub(crate) last: Option<Last>,
}

impl Seat {
    pub(crate) const fn new(name: String, bank: Option<Duration>) -> Self {
        Self {
            name,
            presence: Presence::Vacant,
            epoch: 0,
            is_closed: false,
            player: None,
            bank,
            misses: 0,
            question: None,
            final_view: None,
            is_finished: false,
            missed_view: None,
            last: None,
        }
    }

    pub(crate) const fn state(&self) -> SeatState {
        match self.presence {
            _ if self.is_closed => SeatState::Closed,
            Presence::Vacant => SeatState::Open,
            Presence::Here {
                is_asleep: false, ..
            } => SeatState::Present,
            Presence::Here {
                is_asleep: true, ..
            } => SeatState::Asleep,
            Presence::Away(_) => SeatState::Away,
            Presence::Gone => SeatState::Gone,
        }
    }

    /// True if there may be something that its player was not sent.
    pub(crate) const fn has_unsent(&self) -> bool {
        self.question.is_some() || self.final_view.is_some() || self.missed_view.is_some()
    }

    /// Its connection.
    pub(crate) const fn peer(&self) -> Option<PeerKey> {
        match self.presence {
            Presence::Here { peer, .. } => Some(peer),
            _ => None,
        }
    }

    pub(crate) const fn is_away(&self) -> bool {
        matches!(self.presence, Presence::Away(_))
    }

    /// Forgets all that belongs to the player that it had.
    pub(crate) fn clear(&mut self) {
        self.player = None;
        self.misses = 0;
        self.last = None;
        self.final_view = None;
        self.is_finished = false;
        self.missed_view = None;
    }

    /// The open turn begins to wait for a player that is away, or no longer waits.
    pub(crate) fn wait(&mut self, waits: bool, reading: Duration) {
        if let Presence::Away(away) = &mut self.presence {
            match (waits, away.waits_from) {
                (true, None) => away.waits_from = Some(reading),
                (false, Some(from)) => {
                    let waited = reading.saturating_sub(from);
                    away.waited = away.waited.saturating_add(waited);
                    away.waits_from = None;
                }
                _ => {}
            }
        }
    }

    /// The reading of the turn's stopwatch at which the grace is used up.
    pub(crate) fn grace_over(&self, grace: Duration) -> Option<Duration> {
        match self.presence {
            Presence::Away(away) => {
                let left = grace.saturating_sub(away.waited);
                Some(away.waits_from?.saturating_add(left))
            }
            _ => None,
        }
    }
}
