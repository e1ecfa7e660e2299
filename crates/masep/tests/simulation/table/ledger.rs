//! The game as its host and its players saw it, checked while it is played and against each other at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use masep::table::{Cause, How, Move};
use masep::{Action, Value};

use crate::seeds::figures;

/// A question to a seat, which stands in its view; an action carries that of the question for which it was made.
///
/// Questions of a later turn, and of a later life of the engine, are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) life: u64,
    pub(crate) ask: u64,
    pub(crate) seat: usize,
}

/// The action of the host for the late.
pub(crate) const LATE: i64 = -1;

impl Mark {
    /// As a number, with the one of the answer: the first is 0.
    pub(crate) fn number(self, answer: u64) -> i64 {
        let number = ((self.life * 100_000 + self.ask) * 10 + self.seat as u64) * 10 + answer;
        i64::try_from(number).expect("few turns")
    }

    pub(crate) fn read(number: i64) -> Option<(Self, u64)> {
        let number = u64::try_from(number).ok()?;
        let seat = usize::try_from(number / 10 % 10).ok()?;
        let (asks, answer) = (number / 100, number % 10);
        let (life, ask) = (asks / 100_000, asks % 100_000);
        Some((Self { life, ask, seat }, answer))
    }

    /// The mark in a view.
    pub(crate) fn of_view(view: &Value) -> Option<Self> {
        let number = view.as_element()?.attribute("mark")?.parse().ok()?;
        Self::read(number).map(|(mark, _)| mark)
    }
}

/// The number in an action.
fn number(action: Option<&Value>) -> Option<i64> {
    let action = Action::try_from(action?.as_element()?).ok()?;
    action.action_type.as_i64()
}

/// Something that a player was told of an answer of its own or of its seat.
#[derive(Debug)]
struct Claim {
    host: usize,
    life: u64,
    turn: u64,
    seat: usize,
    /// `None`: it did not count, for a reason that is not named.
    how: Option<How>,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<Book>);

figures! {
    turns,
    lives,
    played,
    late,
    away,
    other,
    back,
    gone,
    emptied,
    /// Things that a player was told of an answer, and that its host knows of.
    claims_compared,
    /// Answers of which a player was told that nobody knows.
    unknown,
    /// Questions that were put to players whose seats were asleep.
    woken,
    seen_by_spectators,
    faults,
    ticks,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) figures: Figures,
    /// Of each turn of a life of the engine: the question that it put.
    asks: BTreeMap<(u64, u64), u64>,
    decisions: BTreeMap<(u64, u64, usize), How>,
    /// The answers that were sent, by question and host.
    answers: BTreeMap<i64, usize>,
    /// The lives that had an end in order.
    ended: Vec<u64>,
    claims: Vec<Claim>,
    /// The newest question that each host has seen.
    seen: BTreeMap<usize, Mark>,
    /// The resume texts that players have on their disks.
    resumes: BTreeMap<usize, String>,
}

impl Ledger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    pub(crate) fn opened(&mut self, life: u64, turn: u64, ask: u64) {
        self.figures.turns += 1;
        self.asks.insert((life, turn), ask);
    }

    pub(crate) fn ended(&mut self, life: u64) {
        self.ended.push(life);
    }

    /// A seat has decided.
    pub(crate) fn decided(&mut self, life: u64, ask: u64, its: &Move) -> Result<(), String> {
        let (turn, seat, how) = (its.turn(), its.index(), its.how());
        let key = (life, turn, seat);
        if let Some(before) = self.decisions.insert(key, how) {
            return Err(format!("{key:?} was decided twice: {before:?}, {how:?}"));
        }
        let figures = &mut self.figures;
        *match how {
            How::Played => &mut figures.played,
            How::Default(Cause::Late) | How::None(Cause::Late) => &mut figures.late,
            How::Default(Cause::Away) | How::None(Cause::Away) => &mut figures.away,
            _ => &mut figures.other,
        } += 1;
        let number = number(its.action());
        let made_for = number.and_then(Mark::read);
        let mark = Mark { life, ask, seat };
        match how {
            How::Played if made_for != Some((mark, 0)) => Err(format!(
                "{key:?} was played by an action for {made_for:?} instead of {mark:?}"
            )),
            How::Played if !self.answers.contains_key(&mark.number(0)) => {
                Err(format!("{key:?} was played by an action that nobody sent"))
            }
            How::Default(_) if number != Some(LATE) => {
                Err(format!("{key:?}: {how:?} with the action {number:?}"))
            }
            How::None(_) if its.action().is_some() => {
                Err(format!("{key:?}: {how:?} with an action"))
            }
            _ => Ok(()),
        }
    }

    /// A host has seen a view.
    pub(crate) fn saw(&mut self, host: usize, mark: Mark) -> Result<(), String> {
        let seen = self.seen.entry(host).or_insert(mark);
        if (mark.life, mark.ask) < (seen.life, seen.ask) {
            return Err(format!("host {host} sees {mark:?} after {seen:?}"));
        }
        *seen = mark;
        Ok(())
    }

    /// A player has seen the question of a turn by its number.
    pub(crate) fn saw_turn(&self, mark: Mark, turn: u64) -> Result<(), String> {
        match self.asks.get(&(mark.life, turn)) {
            // Its host died when it had opened it.
            None => Ok(()),
            Some(ask) if *ask == mark.ask => Ok(()),
            Some(ask) => Err(format!("turn {turn} shows {mark:?} instead of ask {ask}")),
        }
    }

    pub(crate) fn answered(&mut self, host: usize, mark: Mark) {
        self.answers.insert(mark.number(0), host);
    }

    pub(crate) fn claim(&mut self, host: usize, mark: Mark, turn: u64, how: Option<How>) {
        let Mark { life, seat, .. } = mark;
        self.claims.push(Claim {
            host,
            life,
            turn,
            seat,
            how,
        });
    }

    pub(crate) fn resume(&self, host: usize) -> Option<String> {
        self.resumes.get(&host).cloned()
    }

    pub(crate) fn keep_resume(&mut self, host: usize, resume: Option<&str>) {
        match resume {
            Some(resume) => drop(self.resumes.insert(host, resume.to_owned())),
            None => drop(self.resumes.remove(&host)),
        }
    }

    /// Compares what players were told with what their host knows.
    pub(crate) fn judge(&mut self) -> Vec<String> {
        let mut violations = Vec::new();
        for claim in &self.claims {
            let key = (claim.life, claim.turn, claim.seat);
            let Some(known) = self.decisions.get(&key) else {
                // The engine may have died before its host took the decision.
                let later = self.decisions.range((claim.life, claim.turn + 1, 0)..);
                let has_later = later.take(1).any(|((life, ..), _)| *life == claim.life);
                if has_later || self.ended.contains(&claim.life) {
                    violations.push(format!("{claim:?} is about a turn that there was not"));
                }
                continue;
            };
            self.figures.claims_compared += 1;
            let is_own = || {
                let ask = self.asks.get(&(claim.life, claim.turn)).copied();
                let (life, seat) = (claim.life, claim.seat);
                let mark = ask.map(|ask| Mark { life, ask, seat }.number(0));
                mark.and_then(|mark| self.answers.get(&mark)) == Some(&claim.host)
            };
            let agrees = match claim.how {
                Some(how) => how == *known,
                None => *known != How::Played || !is_own(),
            };
            if !agrees {
                violations.push(format!("{claim:?}, but its host has {known:?}"));
            }
        }
        violations
    }
}
