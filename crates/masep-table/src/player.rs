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
mod turns;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use masep_proto::protocol2::{Bye, Rejected, Welcome};
use masep_proto::{Dict, Message, PeerId, Role, TypeName, Value};

pub use backoff::Backoff;
pub use inbox::Turn;

use crate::{How, Last};
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
