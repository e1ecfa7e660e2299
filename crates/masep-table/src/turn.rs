//! The open turn, and how a seat is decided in it.

use std::time::{Duration, Instant};

use masep_proto::Value;

use crate::peer::{Answer, Peer};
use crate::seat::{Presence, Unsent};
use crate::stopwatch::Stopwatch;
use crate::{
    Absence, Cause, Clock, Decision, Effect, Event, How, Last, Late, SeatId, SeatState, Table,
    TurnTime,
};

/// The turn that is open.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Those that are asked, in the order in which the host has named them.
    pub(crate) seats: Vec<SeatId>,
    pub(crate) undecided: usize,
    pub(crate) opened: Instant,
    pub(crate) watch: Stopwatch,
    /// The time of this turn; `None` for none.
    time: Option<Time>,
    extension: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Time {
    per_turn: Duration,
    uses_bank: bool,
    is_per_turn: bool,
}

impl Turn {
    pub(crate) fn new(seats: Vec<SeatId>, time: TurnTime, clock: Clock, now: Instant) -> Self {
        let time = match (time, clock.per_turn, clock.bank) {
            (TurnTime::Unlimited, ..) | (TurnTime::AsSet, None, None) => None,
            (TurnTime::Limited(per_turn), _, bank) | (TurnTime::AsSet, Some(per_turn), bank) => {
                Some(Time {
                    per_turn,
                    uses_bank: bank.is_some(),
                    is_per_turn: true,
                })
            }
            (TurnTime::AsSet, None, Some(_)) => Some(Time {
                per_turn: Duration::ZERO,
                uses_bank: true,
                is_per_turn: false,
            }),
        };
        Self {
            undecided: seats.len(),
            seats,
            opened: now,
            watch: Stopwatch::new(now),
            time,
            extension: Duration::ZERO,
        }
    }

    pub(crate) const fn extend(&mut self, by: Duration) {
        self.extension = self.extension.saturating_add(by);
    }

    /// The reading of the stopwatch at which a seat with this bank is late.
    pub(crate) fn limit(&self, bank: Option<Duration>) -> Option<Duration> {
        let time = self.time?;
        let bank = bank.filter(|_| time.uses_bank).unwrap_or_default();
        Some(self.free().saturating_add(bank))
    }

    /// The time that costs nothing of the bank.
    fn free(&self) -> Duration {
        let time = self.time.map_or(Duration::ZERO, |time| time.per_turn);
        time.saturating_add(self.extension)
    }

    /// The rest of the time of the turn, and of a bank.
    pub(crate) fn left(
        &self,
        bank: Option<Duration>,
        now: Instant,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(time) = self.time else {
            return (None, bank);
        };
        let reading = self.watch.at(now);
        let left = self.free().saturating_sub(reading);
        (
            time.is_per_turn.then_some(left),
            self.bank_at(bank, reading),
        )
    }

    /// The rest of a bank when the stopwatch shows this.
    fn bank_at(&self, bank: Option<Duration>, reading: Duration) -> Option<Duration> {
        let uses_bank = self.time.is_some_and(|time| time.uses_bank);
        let used = reading.saturating_sub(self.free());
        bank.map(|bank| {
            if uses_bank {
                bank.saturating_sub(used)
            } else {
                bank
            }
        })
    }
}

impl Table {
    /// Decides a seat, with its own action or without one, at this time. Once: if it is decided, nothing happens.
    pub(crate) fn decide(&mut self, seat: SeatId, outcome: Result<Value, Cause>, at: Instant) {
        let Some(turn) = &mut self.turn else { return };
        let place = &mut self.seats[seat.0];
        let Some(question) = place.question.take() else {
            return;
        };
        let reading = turn.watch.at(at);
        place.bank = turn.bank_at(place.bank, reading);
        place.wait(false, reading);
        turn.undecided -= 1;
        let (how, action) = match outcome {
            Ok(action) => (How::Played, Some(action)),
            Err(cause) => self.settings.without_action(cause),
        };
        let after = (how == How::Played).then_some(reading);
        let number = self.number;
        place.last = Some(Last {
            turn: number,
            how,
            after,
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
        self.decisions.push(decision.clone());
        self.effects.push_back(Effect::Decision(decision));
        self.note_outcome(seat, how);
        if self.turn.as_ref().is_some_and(|turn| turn.undecided == 0) {
            self.turn = None;
            self.is_holding = false;
            self.is_stale = true;
        }
    }

    /// Notes an outcome for the player of a seat and its connection.
    fn note_outcome(&mut self, seat: SeatId, how: How) {
        let number = self.number;
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
        let Some(turn) = &self.turn else { return };
        for seat in turn.seats.clone() {
            if let Some(cause) = self.unreachable(seat) {
                self.decide(seat, Err(cause), now);
                self.pump(seat, now);
            }
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

impl crate::Settings {
    /// The decision of a seat that has no action of its own.
    fn without_action(&self, cause: Cause) -> (How, Option<Value>) {
        match &self.late {
            Late::Action(action) if cause.has_default() => {
                (How::Default(cause), Some(action.clone()))
            }
            Late::Host if cause.has_default() => (How::Default(cause), None),
            _ => (How::None(cause), None),
        }
    }
}
