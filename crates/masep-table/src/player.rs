//! The player's side of a table, without any input or output: turns as they come, answers, and the way back after a
//! lost connection.
//!
//! A [`Session`] lives through any number of connections. A shell does what its [step](Session::step) says, tells what
//! comes of it, and sends what [`poll_message`](Session::poll_message) gives.
//!
//! ```text
//!                opened                     lost, BYE with may_return
//!     Connect ───────────> Talk ───────────────────────────────────────> Wait ──(time)──> Connect
//!        │ failed: Wait      │ BYE, END
//!        │ for good          v
//!        └────────────────> Over
//! ```
//!
//! An engine of pymasep's protocol numbers no turns: the session counts its observations. It answers its finals too, as
//! pymasep's interfaces do: with the last action, if its user has none for it.

mod backoff;
mod inbox;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use masep_proto::protocol2::{Bye, Notice, Rejected, Welcome};
use masep_proto::{Action, Dict, Element, Message, MessageType, PeerId, Role, TypeName, Value};

pub use backoff::Backoff;
pub use inbox::Turn;

use crate::wire::to_u64;
use crate::{How, Kind, Last, TurnData, action_turn};
use inbox::Inbox;

/// The most events that are kept. A user that does not take them loses the oldest.
const MOST_EVENTS: usize = 256;

/// A part in a game, and the wish to have it.
#[derive(Clone, Debug)]
pub struct Part {
    /// The own id.
    pub id: PeerId,
    /// A player or a spectator.
    pub role: Role,
    /// The game, a dotted name.
    pub game: TypeName,
    /// The pace of attempts, and their end.
    pub backoff: Backoff,
}

/// A thing that the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connect, with the [resume text](Session::resume) if there is one.
    Connect,
    /// Wait until then, and ask again.
    Wait(Instant),
    /// Receive: there is a connection.
    Talk,
    /// Nothing: it is [over](Session::end).
    Over,
}

/// The end of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The game is over, or the user has left it.
    Finished,
    /// The engine ended it with these words: the seat was lost for good, another connection has it, ...
    Ended(Bye),
    /// The engine does not take this player.
    Rejected(Rejected),
    /// No attempt to connect can succeed, for this reason on this side: its settings do not fit the server, or it does not
    /// trust the server's certificate. The engine has refused nothing.
    CannotConnect(String),
    /// No connection came about in the [time](Backoff::patience) for that, or none that lasted. The last reason.
    GaveUp(String),
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection.
    Joined {
        /// The seat, as an engine of protocol 2 names it.
        seat: Option<String>,
        /// The number of connections that the seat has had, with this one.
        epoch: u64,
        /// True if the engine is another than before: it was started anew, and knows nothing of the earlier game.
        is_new_engine: bool,
    },
    /// The connection was lost, or an attempt has failed, for this reason.
    Lost(String),
    /// The next attempt is made after this time.
    Retrying(Duration),
    /// The answer to this turn did not count.
    NotCounted {
        /// The number of the turn.
        turn: u64,
        /// The reason, as far as it is known: by the decision.
        how: Option<How>,
        /// The engine's word: `late`, `not_yours`, ...; empty if it said none.
        code: String,
    },
    /// The engine has forgotten this player before it told of the answer to this turn: the seat was gone, and it has one
    /// afresh. The answer may have counted or not. Of any other answer it is told; at an engine that was
    /// [started anew](Self::Joined) none counts.
    Unknown {
        /// The number of the turn.
        turn: u64,
    },
    /// The engine has said something else that is no end.
    Notice {
        /// The kind of thing.
        code: String,
        /// The same for people. It comes from outside and may hold anything.
        text: String,
    },
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The engine said `BYE`, without a reason.
    Bye,
    /// The engine said `BYE`, with a reason.
    ByeWith(Bye),
    /// The connection was lost without a `BYE`, for this reason.
    Lost(String),
}

/// An answer that was given.
#[derive(Clone, Debug)]
struct Answer {
    turn: u64,
    action: Value,
    /// True if it is not known whether it counted.
    is_open: bool,
}

/// A player's or spectator's part in a game. See the [module](self).
#[derive(Debug)]
pub struct Session {
    part: Part,
    step: Step,
    end: Option<End>,
    /// The engine speaks protocol 2, and numbers its turns.
    is_numbered: bool,
    resume: Option<String>,
    instance: Option<String>,
    /// Attempts that were begun, all together.
    begun: u64,
    /// The attempts since the last connection that has lived for a while, and their beginning, moved on by the lives of
    /// connections: a server that takes a player and ends it at once is not met more often than one that is not there.
    lost_at: Instant,
    attempts: u32,
    opened_at: Instant,
    inbox: Inbox,
    /// The last question that the user was given.
    asked: Option<u64>,
    answer: Option<Answer>,
    /// The newest decision of which the engine has told.
    known: Option<Last>,
    /// The newest turn of which the user knows whether its answer counted.
    settled: Option<u64>,
    outbox: VecDeque<(Message, Option<Dict>)>,
    events: VecDeque<Event>,
}

impl Session {
    /// A part that is still to be had.
    pub fn new(part: Part, now: Instant) -> Self {
        Self {
            part,
            step: Step::Connect,
            end: None,
            is_numbered: false,
            resume: None,
            instance: None,
            begun: 0,
            lost_at: now,
            attempts: 0,
            opened_at: now,
            inbox: Inbox::default(),
            asked: None,
            answer: None,
            known: None,
            settled: None,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The part.
    pub const fn part(&self) -> &Part {
        &self.part
    }

    /// The text with which the seat is had again, also by a later process: secret.
    pub fn resume(&self) -> Option<&str> {
        self.resume.as_deref()
    }

    /// Sets the resume text of an earlier process.
    pub fn set_resume(&mut self, resume: impl Into<String>) {
        self.resume = Some(resume.into());
    }

    /// The next thing to do.
    pub fn step(&mut self, now: Instant) -> Step {
        if let Step::Wait(until) = self.step
            && until <= now
        {
            self.step = Step::Connect;
        }
        self.step
    }

    /// An attempt to connect begins. It may be given up without a word.
    pub const fn connecting(&mut self) {
        self.begun += 1;
    }

    /// Its end, if it is over.
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// There is a connection, to a server of protocol 2 if there is a `WELCOME`. One that has no table, such as a proxy of a
    /// pymasep engine, is played by the customs of that.
    pub fn opened(&mut self, welcome: Option<&Welcome>, now: Instant) {
        let welcome = welcome.filter(|welcome| welcome.instance.is_some());
        self.step = Step::Talk;
        self.opened_at = now;
        self.outbox.clear();
        self.inbox.reconnected();
        self.is_numbered = welcome.is_some();
        let instance = welcome.and_then(|welcome| welcome.instance.as_ref());
        let instance = instance.map(ToString::to_string);
        let is_new_engine = self.instance.is_some() && self.instance != instance;
        let resume = welcome.and_then(|it| it.resume.as_ref().map(ToString::to_string));
        // A seat that was had by the resume text keeps it.
        let is_afresh = self.is_numbered && self.resume.is_some() && self.resume != resume;
        let answer = self
            .answer
            .take_if(|_| is_new_engine || is_afresh || !self.is_numbered);
        if is_new_engine || is_afresh || !self.is_numbered {
            self.inbox.clear();
            self.asked = None;
            (self.known, self.settled) = (None, None);
        }
        self.instance = instance;
        if self.is_numbered {
            self.resume = resume;
        }
        self.tell(Event::Joined {
            seat: welcome.and_then(|it| it.seat.as_ref().map(ToString::to_string)),
            epoch: welcome.and_then(|it| it.epoch).unwrap_or(0),
            is_new_engine,
        });
        if let Some(Answer { turn, .. }) = answer.filter(|it| it.is_open && !is_new_engine) {
            self.tell(Event::Unknown { turn });
        }
        match welcome {
            Some(welcome) => {
                let last = welcome.last.as_ref().and_then(Last::from_dict);
                self.learn(last);
            }
            None => {
                let Part { id, role, game, .. } = &self.part;
                let define = Message::define(id.as_str(), game.clone());
                let register = Message::register(id.as_str(), id.as_str(), 0, *role);
                self.outbox.extend([(define, None), (register, None)]);
            }
        }
    }

    /// The server does not take this client. `random` is any number, by which attempts of many players are spread.
    pub fn refused(&mut self, rejected: Rejected, now: Instant, random: u64) {
        // A connection that was lost, or given up, may still be known to the server.
        let is_own = rejected.code == "duplicate_id" && self.begun > 1;
        if rejected.retry_ms.is_none() && !is_passing(&rejected.code) && !is_own {
            self.finish(End::Rejected(rejected));
            return;
        }
        let least = Duration::from_millis(rejected.retry_ms.unwrap_or(0));
        let reason = format!("{}: {}", rejected.code, rejected.text);
        self.retry(reason, least, now, random);
    }

    /// No connection came about, for a reason of the network.
    pub fn failed(&mut self, reason: impl Into<String>, now: Instant, random: u64) {
        self.retry(reason.into(), Duration::ZERO, now, random);
    }

    /// No connection came about, and another attempt would end as this one, for a reason on this side.
    pub fn cannot_connect(&mut self, reason: impl Into<String>) {
        self.finish(End::CannotConnect(reason.into()));
    }

    /// The connection has ended.
    pub fn closed(&mut self, closed: Closed, now: Instant, random: u64) {
        if self.step != Step::Talk {
            return;
        }
        self.count_life(now);
        let reason = match closed {
            Closed::Lost(reason) => reason,
            Closed::ByeWith(bye) if may_return(&bye) => format!("{}: {}", bye.code, bye.text),
            Closed::ByeWith(bye) if matches!(&*bye.code, "over" | "bye") => {
                return self.finish(End::Finished);
            }
            Closed::ByeWith(bye) => return self.finish(End::Ended(bye)),
            Closed::Bye => return self.finish(End::Finished),
        };
        self.retry(reason, Duration::ZERO, now, random);
    }

    /// Begins to count attempts anew behind a connection that has lasted.
    fn count_life(&mut self, now: Instant) {
        let lived = now.saturating_duration_since(self.opened_at);
        let moved = self.lost_at.checked_add(lived);
        self.lost_at = match moved.filter(|_| !self.part.backoff.has_lasted(lived)) {
            Some(moved) => moved,
            None => {
                self.attempts = 0;
                now
            }
        };
    }

    fn retry(&mut self, reason: String, least: Duration, now: Instant, random: u64) {
        let wait = self.part.backoff.wait(self.attempts, random).max(least);
        self.attempts = self.attempts.saturating_add(1);
        self.tell(Event::Lost(reason.clone()));
        let waited = now.saturating_duration_since(self.lost_at);
        let until = now.checked_add(wait);
        match until.filter(|_| waited.saturating_add(wait) <= self.part.backoff.patience) {
            Some(until) => {
                self.step = Step::Wait(until);
                self.tell(Event::Retrying(wait));
            }
            None => self.finish(End::GaveUp(reason)),
        }
    }

    fn finish(&mut self, end: End) {
        self.step = Step::Over;
        self.end.get_or_insert(end);
    }

    /// The user leaves the game. The messages for that are behind [`poll_message`](Self::poll_message).
    pub fn leave(&mut self) {
        if self.step == Step::Talk {
            let quit = Message::quit(self.part.id.as_str());
            self.outbox.push_back((quit, None));
        }
        self.inbox.clear();
        self.finish(End::Finished);
    }

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
    fn learn(&mut self, last: Option<Last>) {
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

    /// The message that [`poll_message`](Self::poll_message) gives next.
    pub fn next_message(&self) -> Option<(&Message, Option<&Dict>)> {
        let (message, turn) = self.outbox.front()?;
        Some((message, turn.as_ref()))
    }

    /// The next message to be sent on the connection, with what belongs to a turn.
    pub fn poll_message(&mut self) -> Option<(Message, Option<Dict>)> {
        self.outbox.pop_front()
    }

    /// The next thing that has happened. The latest 256 are kept.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// True if there is something that has happened and was not taken.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// True if a refusal is about the server's load, so that it may be none later. Others say so by a time.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "too_many_connections" | "crowded_out" | "hello_timeout" | "undecided"
    )
}

/// True if this end is one to come back from.
fn may_return(bye: &Bye) -> bool {
    bye.may_return.unwrap_or(matches!(
        &*bye.code,
        "shutdown" | "aborted" | "idle_timeout" | "heartbeat_timeout" | "queue_full" | "failed"
    ))
}

/// True if the State of an observation ends an episode.
fn is_final(message: &Message) -> bool {
    let state = message.param("observation").and_then(Value::as_element);
    state.and_then(|state: &Element| state.attribute("is_final")) == Some("True".into())
}

fn idle_action() -> Element {
    Action::new(0).into()
}
