//! Observations that the user has not been given.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use masep_proto::{Dict, Message, Value};

use crate::{Kind, Last, TurnData};

/// Finals that wait. A user that takes none loses the oldest.
const MOST_FINALS: usize = 16;

/// An observation, for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    data: TurnData,
    observation: Value,
    information: Dict,
    received: Instant,
}

impl Turn {
    pub(super) fn new(message: Message, data: TurnData, now: Instant) -> Self {
        let mut params = match message.params {
            Value::Dict(params) => params,
            _ => Dict::new(),
        };
        let mut take = |name| params.get_mut(name).map(mem::take);
        let information = match take("additional_information") {
            Some(Value::Dict(information)) => information,
            _ => Dict::new(),
        };
        Self {
            data,
            observation: take("observation").unwrap_or_default(),
            information,
            received: now,
        }
    }

    /// The same with the time that is left now.
    pub(super) fn at(mut self, now: Instant) -> Self {
        let waited = now.saturating_duration_since(self.received);
        self.received = now;
        let left = self.data.left.as_mut();
        if let Some(left) = left {
            *left = left.saturating_sub(waited);
        }
        self
    }

    /// The same as a question.
    pub(super) const fn asking(mut self) -> Self {
        self.data.kind = Kind::Ask;
        self
    }

    /// The same for one who only watches.
    pub(super) fn watching(mut self) -> Self {
        if self.data.kind == Kind::Ask {
            self.data.kind = Kind::Show;
        }
        self
    }

    /// The number of the turn, as the engine counts; at an engine of pymasep's protocol as this side does, from 1.
    pub const fn number(&self) -> u64 {
        self.data.number
    }

    /// The episode, from 0.
    pub const fn episode(&self) -> u64 {
        self.data.episode
    }

    /// The kind of the observation: whether an action is wanted.
    pub const fn kind(&self) -> Kind {
        self.data.kind
    }

    /// True if an action is wanted: for [`Kind::Ask`]. Never for a spectator, which a pymasep engine shows what it asks players.
    ///
    /// So it is for a player that has missed too many turns and is not waited for any more. Its action brings it back into
    /// the game, from the next turn on, and counts for none: this turn is the one of [`last`](Self::last) already, and an
    /// event says the same.
    pub fn is_question(&self) -> bool {
        self.data.kind == Kind::Ask
    }

    /// The time for an action, without the bank, as it was when the turn was given to the user; `None` for any.
    pub const fn remaining(&self) -> Option<Duration> {
        self.data.left
    }

    /// The rest of the bank, where there is one.
    pub const fn bank(&self) -> Option<Duration> {
        self.data.bank
    }

    /// The decision of the last turn of this player: whether its action counted.
    pub const fn last(&self) -> Option<Last> {
        self.data.last
    }

    /// Observations between the turn before and this one that the user was not given: those that the engine did not send,
    /// and those that came and were not taken in time.
    pub const fn skipped(&self) -> u64 {
        self.data.skipped
    }

    /// This one is not given to the user: the next one tells of it.
    fn skip(self, next: &mut Self) {
        let skipped = &mut next.data.skipped;
        // The engine's part of the number is any.
        *skipped = skipped.saturating_add(self.data.skipped).saturating_add(1);
    }

    /// The State, or what the engine shows instead.
    pub const fn view(&self) -> &Value {
        &self.observation
    }

    /// Anything else that the engine tells: a reward, a log, ...
    pub const fn information(&self) -> &Dict {
        &self.information
    }
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The latest finals, and behind them at most one other: a view may be large, and only the newest is given.
    turns: VecDeque<Turn>,
    /// Counts the observations of an engine that does not.
    counted: u64,
    episode: u64,
    /// The number of the last final of such an engine.
    last_final: Option<u64>,
}

impl Inbox {
    /// The data of an observation that has none.
    pub(super) fn count(&mut self, is_final: bool) -> TurnData {
        self.counted += 1;
        let episode = self.episode;
        self.episode += u64::from(is_final);
        TurnData {
            number: self.counted,
            episode,
            kind: if is_final { Kind::Final } else { Kind::Ask },
            left: None,
            bank: None,
            last: None,
            skipped: 0,
        }
    }

    /// `is_over`: nothing waits for an answer to it if it is a final.
    pub(super) fn push(&mut self, mut turn: Turn, is_over: bool) {
        if !is_over {
            self.last_final = Some(turn.number());
        }
        if let Some(older) = self.turns.pop_back_if(|it| it.kind() != Kind::Final) {
            older.skip(&mut turn);
        }
        if turn.kind() == Kind::Final
            && self.turns.len() == MOST_FINALS
            && let Some(oldest) = self.turns.pop_front()
            && let Some(next) = self.turns.front_mut()
        {
            oldest.skip(next);
        }
        self.turns.push_back(turn);
    }

    /// Each final, and else the newest.
    pub(super) fn next(&mut self) -> Option<Turn> {
        self.turns.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn was_final(&self, turn: u64) -> bool {
        self.last_final == Some(turn)
    }

    /// Questions of an earlier connection are asked again, where they are open.
    pub(super) fn reconnected(&mut self) {
        self.turns.retain(|turn| turn.kind() == Kind::Final);
    }

    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }
}
