//! Turns as they come, the answers to them, and what is known of those.

use std::time::Instant;

use masep_proto::protocol2::Notice;
use masep_proto::{Action, Element, Message, MessageType, Role, Value};

use super::{Answer, Event, Session, Step, Turn};
use crate::wire::to_u64;
use crate::{Kind, Last, TurnData, action_turn};

impl Session {
    /// A message has arrived, with the data of its turn, if it has any that can be read.
    pub fn received(&mut self, message: Message, turn: Option<TurnData>, now: Instant) {
        match message.msg_type {
            MessageType::Observation => self.observed(message, turn, now),
            MessageType::End => self.leave(),
            _ => {}
        }
    }

    fn observed(&mut self, message: Message, turn: Option<TurnData>, now: Instant) {
        let data = match turn {
            Some(data) => data,
            None if self.is_numbered => return,
            None => self.inbox.count(is_final(&message)),
        };
        self.learn(data.last);
        if data.kind == Kind::Ask
            && let Some(answer) = &self.answer
            && answer.turn == data.number
        {
            // It is asked again, on another connection: the answer is lost, and still the same.
            let answer = answer.clone();
            return self.send_answer(&answer);
        }
        let is_answered = self.is_numbered || data.kind != Kind::Final;
        self.inbox.push(Turn::new(message, data, now), is_answered);
    }

    /// Takes in the decision of a turn.
    pub(super) fn learn(&mut self, last: Option<Last>) {
        self.known = last.or(self.known);
        self.settle_answer();
    }

    /// Tells of the answer, as soon as it is known whether it counted.
    fn settle_answer(&mut self) {
        let Some((last, answer)) = self.known.zip(self.answer.as_mut()) else {
            return;
        };
        if last.turn < answer.turn || !std::mem::replace(&mut answer.is_open, false) {
            return;
        }
        let turn = answer.turn;
        self.settled = Some(turn);
        if last.played != Some(turn) {
            self.tell(Event::NotCounted {
                turn,
                // The engine tells of the last turn alone how it was decided.
                how: (last.turn == turn).then_some(last.how),
                code: String::new(),
            });
        }
    }

    /// The engine has said that something was not accepted.
    pub fn noticed(&mut self, notice: &Notice) {
        let about = notice.about.as_ref().and_then(|it| it.get("turn"));
        let about = about.and_then(to_u64);
        let code = notice.code.to_string();
        match (about, &mut self.answer) {
            // An action that has counted is no news.
            (Some(_), _) if code == "repeated" => {}
            // It was told already.
            (Some(turn), _) if self.settled >= Some(turn) => {}
            (Some(turn), answer) => {
                if let Some(answer) = answer.as_mut().filter(|answer| answer.turn == turn) {
                    answer.is_open = false;
                    self.settled = Some(turn);
                }
                let how = None;
                self.tell(Event::NotCounted { turn, how, code });
            }
            (None, _) => {
                let text = notice.text.to_string();
                self.tell(Event::Notice { code, text });
            }
        }
    }

    /// The next turn for the user: each final (of more than 16 the latest), and of other observations that have arrived
    /// the newest. The one before it is over for the user.
    ///
    /// A turn that a player is shown while its seat is asleep is a question too: see [`Turn::is_question`].
    pub fn next_turn(&mut self, now: Instant) -> Option<Turn> {
        self.answer_final();
        let turn = self.inbox.next()?;
        let turn = match self.part.role {
            Role::Actor if self.wakes(&turn) => turn.asking(),
            Role::Actor => turn,
            Role::Observer => turn.watching(),
        };
        let is_answered = match turn.kind() {
            Kind::Ask => true,
            Kind::Show => false,
            // A pymasep engine waits for an answer to the end of an episode too.
            Kind::Final => !self.is_numbered,
        };
        let is_asked = is_answered && self.part.role == Role::Actor;
        self.asked = is_asked.then_some(turn.number());
        Some(turn.at(now))
    }

    /// True if an action for this turn wakes the seat. A player is shown turns while it is not waited for, and would never
    /// act again if it answered questions alone. If it has answered the same turn already, that wakes it.
    fn wakes(&self, turn: &Turn) -> bool {
        let is_answered = |answer: &Answer| answer.turn == turn.number();
        turn.kind() == Kind::Show && !self.answer.as_ref().is_some_and(is_answered)
    }

    /// True if there is a turn for the user, which may be older than what the connection has by now.
    pub fn has_turn(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The number of the turn that the user was given and has not answered.
    pub const fn asked(&self) -> Option<u64> {
        self.asked
    }

    /// Answers the end of an episode to a pymasep engine, if the user has not.
    fn answer_final(&mut self) {
        if !self.is_numbered
            && self.part.role == Role::Actor
            && let Some(turn) = self.asked.take_if(|turn| self.inbox.was_final(*turn))
        {
            let last = self.answer.as_ref().map(|answer| answer.action.clone());
            let action = last.unwrap_or_else(|| idle_action().into());
            self.answer_turn(turn, action);
        }
    }

    /// Answers the turn that the user was given. False if none is asked that was not answered: nothing is sent then.
    pub fn act(&mut self, action: impl Into<Value>) -> bool {
        let Some(turn) = self.asked.take() else {
            return false;
        };
        self.answer_turn(turn, action.into());
        true
    }

    fn answer_turn(&mut self, turn: u64, action: Value) {
        let answer = Answer {
            turn,
            action,
            is_open: self.is_numbered,
        };
        self.send_answer(&answer);
        self.answer = Some(answer);
        // The turn may have been over before. Its answer is sent all the same: it wakes a seat that is asleep.
        self.settle_answer();
    }

    fn send_answer(&mut self, answer: &Answer) {
        if self.step == Step::Talk {
            let message = Message::action(self.part.id.as_str(), answer.action.clone());
            let turn = self.is_numbered.then(|| action_turn(answer.turn));
            self.outbox.push_back((message, turn));
        }
    }

    /// The answer to this turn cannot be sent: it may be given again.
    pub fn take_back(&mut self, turn: u64) {
        let is_this = |answer: &mut Answer| answer.turn == turn;
        if self.answer.take_if(is_this).is_some() {
            self.asked = Some(turn);
        }
    }
}

/// True if the State of an observation ends an episode.
fn is_final(message: &Message) -> bool {
    let state = message.param("observation").and_then(Value::as_element);
    state.and_then(|state: &Element| state.attribute("is_final")) == Some("True".into())
}

fn idle_action() -> Element {
    Action::new(0).into()
}
