//! Which seat a peer gets, if any.

use masep_proto::PeerId;

use crate::names::Resume;
use crate::peer::Manner;
use crate::seat::Presence;
use crate::{Code, Hello, SeatId, SeatState, Table};

/// The reason why a peer gets a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Title {
    /// The seat was open.
    Open,
    /// The seat is the peer's own: by the resume text or by the id.
    Same,
    /// Its player is away, and the host lets others have it.
    Stranger,
}

impl Table {
    /// The seat that a resume text proves, or what its peer is to be told.
    pub(crate) fn find_resumed(
        &self,
        hello: &Hello,
    ) -> Result<(Option<SeatId>, Option<Code>), Code> {
        let Some(resume) = &hello.resume else {
            return Ok((None, None));
        };
        let secret = match Resume::read(resume, &self.settings.instance) {
            Resume::Ours(secret) => secret,
            Resume::Foreign => return Ok((None, Some(Code::EarlierLife))),
        };
        let seat = self.seats.iter().position(|seat| {
            let player = seat.player.as_ref();
            player.is_some_and(|it| {
                it.secret == Some(secret) && it.principal.as_deref() == hello.principal()
            })
        });
        match seat {
            Some(seat) if self.seats[seat].presence == Presence::Gone => Err(Code::Gone),
            // An id is in one seat at most.
            Some(seat) if self.holder(&hello.id).is_some_and(|other| other != seat) => {
                Err(Code::DuplicateId)
            }
            // The token may be for other seats than before.
            Some(seat) if !hello.may_sit(&self.seats[seat].name) => Err(Code::Forbidden),
            Some(seat) => Ok((Some(SeatId(seat)), None)),
            None => Ok((None, Some(Code::UnknownResume))),
        }
    }

    /// The seat for a peer that has proved nothing.
    pub(crate) fn find_seat(&self, hello: &Hello, manner: Manner) -> Result<(SeatId, Title), Code> {
        if let Some(found) = self.find_by_id(hello, manner) {
            return found;
        }
        let may_take = |seat: SeatId| self.seats[seat.0].state() == SeatState::Open;
        let may_take_over = |seat: SeatId| {
            let place = &self.seats[seat.0];
            let player = place.player.as_ref();
            let is_own = |name: &String| hello.principal() == Some(name);
            let may_be_others = player.is_some_and(|it| {
                it.manner == Manner::Pymasep && it.principal.as_ref().is_none_or(is_own)
            });
            self.settings.strangers && may_be_others && place.state() == SeatState::Away
        };
        let (candidates, taken) = match &hello.seat {
            Some(name) => (
                vec![self.seat(name).ok_or(Code::UnknownSeat)?],
                Code::SeatTaken,
            ),
            None => (self.seats().collect::<Vec<_>>(), Code::Full),
        };
        let may_sit = |seat: &SeatId| hello.may_sit(&self.seats[seat.0].name);
        let candidates: Vec<SeatId> = candidates.into_iter().filter(may_sit).collect();
        if candidates.is_empty() && !self.seats.is_empty() {
            return Err(Code::Forbidden);
        }
        let open = candidates.iter().find(|seat| may_take(**seat));
        let open = open.map(|seat| (*seat, Title::Open));
        let left = || candidates.iter().find(|seat| may_take_over(**seat));
        open.or_else(|| left().map(|seat| (*seat, Title::Stranger)))
            .ok_or(taken)
    }

    /// The place of the seat whose player has this id.
    fn holder(&self, id: &PeerId) -> Option<usize> {
        self.seats.iter().position(|seat| {
            let is_gone = seat.presence == Presence::Gone;
            !is_gone && seat.player.as_ref().is_some_and(|player| player.id == *id)
        })
    }

    /// The seat of the player with this id, if that is proof enough.
    fn find_by_id(&self, hello: &Hello, manner: Manner) -> Option<Result<(SeatId, Title), Code>> {
        let at = self.holder(&hello.id)?;
        let seat = &self.seats[at];
        let theirs = seat.player.as_ref().map(|player| player.manner);
        let player = seat.player.as_ref();
        let is_same_principal =
            player.is_some_and(|it| it.principal.as_deref() == hello.principal());
        let are_pymaseps = manner == Manner::Pymasep && theirs == Some(Manner::Pymasep);
        // One that has said nothing may not have had its WELCOME, and with it the resume text.
        let is_heard = player.is_none_or(|player| player.is_heard);
        let may_have = if seat.is_away() {
            are_pymaseps || self.settings.rejoins_by_id || !is_heard
        } else {
            are_pymaseps && self.settings.replaces_same_id
        };
        Some(
            (may_have && is_same_principal && hello.may_sit(&seat.name))
                .then_some((SeatId(at), Title::Same))
                .ok_or(Code::DuplicateId),
        )
    }
}
