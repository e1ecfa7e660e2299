//! The decision of a seat.

use std::time::Instant;

use masep_proto::Value;

use crate::peer::{Answer, Peer};
use crate::seat::{Presence, Unsent};
use crate::{
    Absence, Cause, Decision, Effect, Event, How, Last, Late, SeatId, SeatState, Settings, Table,
};

impl Table {
    /// Decides a seat, with its own action or without one, at this time. Once: if it is decided, nothing happens.
    pub(crate) fn decide(&mut self, seat: SeatId, outcome: Result<Value, Cause>, at: Instant) {
        let place = &mut self.seats[seat.0];
        let Some(question) = place.question.take() else {
            return;
        };
        let number = question.turn;
        let reading = question.watch.at(at);
        place.bank = question.bank_at(place.bank, reading);
        place.wait(false, reading);
        let (how, action) = match outcome {
            Ok(action) => (How::Played, Some(action)),
            Err(cause) => self.settings.without_action(cause, question.view.is_some()),
        };
        let after = (how == How::Played).then_some(reading);
        let earlier = place.last.and_then(|last| last.played);
        place.last = Some(Last {
            turn: number,
            how,
            after,
            played: after.map(|_| number).or(earlier),
        });
        let is_host_asked = matches!(how, How::Default(_)) && action.is_none();
        if how.cause() == Some(Cause::Asleep) {
            place.missed_view = question.view.clone().map(|view| Unsent {
                number,
                episode: self.episode,
                view,
            });
        }
        let decision = Decision {
            turn: number,
            seat,
            how,
            action,
            view: question.view.filter(|_| is_host_asked),
        };
        self.effects.push_back(Effect::Decision(decision));
        self.note_outcome(seat, number, how);
        self.open -= 1;
        if self.open == 0 {
            self.is_holding = false;
            self.is_stale = true;
        }
    }

    /// Notes an outcome for the player of a seat and its connection.
    fn note_outcome(&mut self, seat: SeatId, number: u64, how: How) {
        let place = &mut self.seats[seat.0];
        let Presence::Here { peer, is_asleep } = &mut place.presence else {
            return;
        };
        let is_missed = how.cause() == Some(Cause::Late);
        place.misses = match how {
            How::Played => 0,
            _ if is_missed => place.misses.saturating_add(1),
            _ => place.misses,
        };
        let falls_asleep =
            is_missed && !*is_asleep && (1..=place.misses).contains(&self.settings.misses);
        *is_asleep |= falls_asleep;
        if let Some(Peer { answer, .. }) = self.peers.get_mut(peer)
            && let Answer::Asked { turn, since } = *answer
            && turn == number
            && how != How::Played
        {
            *answer = Answer::Owing { turn, since };
        }
        if falls_asleep {
            self.effects.push_back(Effect::Event(Event::Asleep(seat)));
            self.has_changed = true;
        }
    }

    /// Decides those that no turn waits for.
    pub(crate) fn decide_unreachable(&mut self, now: Instant) {
        for seat in self.seats() {
            self.decide_if_unreachable(seat, now);
        }
    }

    pub(crate) fn decide_if_unreachable(&mut self, seat: SeatId, now: Instant) {
        if let Some(cause) = self.unreachable(seat) {
            self.decide(seat, Err(cause), now);
            self.pump(seat, now);
        }
    }

    fn unreachable(&self, seat: SeatId) -> Option<Cause> {
        let place = &self.seats[seat.0];
        place.question.as_ref()?;
        match place.state() {
            SeatState::Closed => Some(Cause::Dead),
            SeatState::Open => Some(Cause::Vacant),
            SeatState::Gone => Some(Cause::Gone),
            SeatState::Asleep if !self.is_holding => Some(Cause::Asleep),
            SeatState::Away if !self.is_holding && self.settings.absence == Absence::Proceed => {
                Some(Cause::Away)
            }
            SeatState::Present | SeatState::Asleep | SeatState::Away => None,
        }
    }
}

impl Settings {
    /// The decision of a seat that has no action of its own. The host can make one if there is a view.
    fn without_action(&self, cause: Cause, has_view: bool) -> (How, Option<Value>) {
        match &self.late {
            Late::Action(action) if cause.has_default() => {
                (How::Default(cause), Some(action.clone()))
            }
            Late::Host if cause.has_default() && has_view => (How::Default(cause), None),
            _ => (How::None(cause), None),
        }
    }
}
