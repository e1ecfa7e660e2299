//! Messages of those who are there.

use std::time::Instant;

use masep_proto::{Action, Message, MessageType, Value};

use crate::peer::{Answer, Manner, Registration};
use crate::seat::Presence;
use crate::wire;
use crate::{Cause, Code, Event, PeerKey, SeatId, Table};

/// Actions without an action in one turn, after which it is decided.
const MOST_EMPTY: u8 = 3;
/// Actions for turns that have not begun, after which a connection ends.
const MOST_BAD_TURNS: u8 = 3;

/// An action that has arrived.
struct Arrived<'a> {
    action: Option<&'a Value>,
    /// The turn that it is for, if it says so.
    turn: Option<u64>,
    at: Instant,
    /// The time of the table, which does not go back.
    now: Instant,
}

impl Table {
    /// A message has arrived, at this time, with the number of the turn that it says, if the peer speaks protocol 2. Of one peer
    /// they are to be told in order, with times that do not go back; a time may be earlier than that of other
    /// calls.
    ///
    /// The time is to be read when the message is there, and not before: an answer that seems to be older than its
    /// question is none.
    ///
    /// The table takes nothing from peers that it has not been told of, or has forgotten.
    pub fn handle_message(
        &mut self,
        peer: PeerKey,
        message: &Message,
        turn: Option<u64>,
        at: Instant,
    ) {
        let now = self.tick(at);
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        if let Some(seat) = known.seat()
            && let Some(player) = &mut self.seats[seat.0].player
        {
            player.is_heard = true;
        }
        let (registration, manner) = (known.registration, known.manner);
        let is_own = *message.src_sub_app == *known.id.as_str();
        match message.msg_type {
            MessageType::Register => self.handle_register(peer, message, now),
            // pymasep's engine believes each name that a message has.
            MessageType::Define | MessageType::Action | MessageType::Quit if !is_own => {
                self.ignore(peer, Code::NotYours, None);
            }
            MessageType::Define => self.handle_define(peer, message, now),
            MessageType::Action => {
                let action = message.param("action").filter(|it| **it != Value::None);
                let arrived = Arrived {
                    action,
                    turn: self.turn_of(turn, action, manner),
                    at,
                    now,
                };
                self.handle_action(peer, registration, manner, &arrived);
            }
            MessageType::Quit => self.handle_quit(peer, now),
            // Only engines say others.
            _ => {}
        }
        self.conclude(now);
    }

    /// The turn that an action says, beside it or in it.
    fn turn_of(&self, turn: Option<u64>, action: Option<&Value>, manner: Manner) -> Option<u64> {
        let hears_echo = manner == Manner::Pymasep && self.settings.hears_echo;
        turn.or_else(|| action.filter(|_| hears_echo).and_then(echoed))
    }

    fn handle_action(
        &mut self,
        peer: PeerKey,
        registration: Registration,
        manner: Manner,
        arrived: &Arrived<'_>,
    ) {
        let seat = match registration {
            Registration::Seat(seat) => seat,
            Registration::Spectator | Registration::None => {
                return self.ignore(peer, Code::NotAPlayer, None);
            }
        };
        self.wake(seat, arrived.now);
        match manner {
            Manner::Numbered => self.take_numbered(peer, seat, arrived),
            Manner::Pymasep => self.take_unnumbered(peer, seat, arrived),
        }
    }

    /// A player that acts is not asleep.
    fn wake(&mut self, seat: SeatId, now: Instant) {
        let place = &mut self.seats[seat.0];
        if let Presence::Here { is_asleep, .. } = &mut place.presence
            && std::mem::take(is_asleep)
        {
            place.misses = 0;
            self.tell(Event::Awake(seat));
            self.has_changed = true;
            self.conclude(now);
        }
    }

    fn take_numbered(&mut self, peer: PeerKey, seat: SeatId, arrived: &Arrived<'_>) {
        let number = match arrived.turn {
            Some(number) if number <= self.number => number,
            other => return self.refuse_turn(peer, other, arrived.now),
        };
        let place = &self.seats[seat.0];
        let asked = place
            .question
            .as_ref()
            .filter(|question| question.turn == number);
        let Some(asked) = asked else {
            let last = place.last.filter(|last| last.turn >= number);
            let code = match last {
                Some(last) if last.played == Some(number) => Code::Repeated,
                None if place.question.is_none() => Code::NotAsked,
                _ => Code::Late,
            };
            return self.ignore(peer, code, Some(number));
        };
        if arrived.at < asked.opened {
            return self.refuse_turn(peer, Some(number), arrived.now);
        }
        self.take(peer, seat, arrived);
    }

    /// An action for a turn that has not begun, or for none.
    fn refuse_turn(&mut self, peer: PeerKey, about: Option<u64>, now: Instant) {
        self.ignore(peer, Code::BadTurn, about);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.bad_turns = known.bad_turns.saturating_add(1);
        if known.bad_turns >= MOST_BAD_TURNS {
            self.turn_out(peer, Code::BadTurn, true, now);
        }
    }

    fn take_unnumbered(&mut self, peer: PeerKey, seat: SeatId, arrived: &Arrived<'_>) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let asked = match known.answer {
            Answer::Clear => None,
            // An action that was sent before the question does not answer it, nor one that came with the one before.
            Answer::Asked { turn, since } | Answer::Owing { turn, since } => {
                let is_early = arrived.at < since || arrived.at == since && known.unsent > 0;
                (!is_early).then_some(turn)
            }
        };
        let Some(asked) = asked else {
            return match arrived.turn {
                Some(turn) if turn > self.number => {
                    self.refuse_turn(peer, Some(turn), arrived.now);
                }
                turn => self.ignore(peer, Code::NotAsked, turn),
            };
        };
        match arrived.turn {
            Some(turn) if turn > self.number => {
                return self.refuse_turn(peer, Some(turn), arrived.now);
            }
            Some(turn) if turn != asked => return self.ignore(peer, Code::Late, Some(turn)),
            _ => {}
        }
        if matches!(known.answer, Answer::Asked { .. }) {
            return self.take(peer, seat, arrived);
        }
        if arrived.action.is_none() {
            return self.ignore(peer, Code::NoAction, Some(asked));
        }
        known.answer = Answer::Clear;
        known.unanswered = None;
        if self.seats[seat.0]
            .last
            .is_some_and(|last| last.turn == asked)
        {
            self.ignore(peer, Code::Late, Some(asked));
        }
        self.pump(seat, arrived.now);
        self.bid_farewell(peer, arrived.now);
    }

    /// Takes an action for the open question of a seat.
    fn take(&mut self, peer: PeerKey, seat: SeatId, arrived: &Arrived<'_>) {
        let number = self.asked(seat);
        let Some(action) = arrived.action else {
            self.ignore(peer, Code::NoAction, number);
            if let Some(question) = &mut self.seats[seat.0].question {
                question.empty += 1;
                if question.empty >= MOST_EMPTY {
                    self.decide(seat, Err(Cause::Late), arrived.at);
                }
            }
            return;
        };
        if let Some(known) = self.peers.get_mut(&peer) {
            known.answer = Answer::Clear;
            known.unanswered = None;
        }
        if self.is_in_time(seat, arrived.at) {
            self.decide(seat, Ok(action.clone()), arrived.at);
        } else {
            self.decide(seat, Err(Cause::Late), arrived.at);
            self.ignore(peer, Code::Late, number);
        }
        self.pump(seat, arrived.now);
    }

    fn is_in_time(&self, seat: SeatId, at: Instant) -> bool {
        let place = &self.seats[seat.0];
        place.question.as_ref().is_some_and(|question| {
            let limit = question.limit(place.bank);
            limit.is_none_or(|limit| question.watch.at(at) < limit)
        })
    }
}

/// The turn in the action of a pymasep peer, if it says one.
fn echoed(action: &Value) -> Option<u64> {
    let element = action.as_element()?;
    // Most do not, and reading an action takes time.
    if !element.as_xml().contains("name=\"turn\"") {
        return None;
    }
    let action = Action::try_from(element).ok()?;
    wire::to_u64(action.param("turn")?)
}
