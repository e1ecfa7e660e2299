//! The turns of a host, as far as they are the same in both shells, which wait: what a turn waits for, and what is done
//! with that.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_table::{Absence, Decision, SeatId, SeatState, TableError, TurnTime, View, ViewRequest};

use super::driver::{Driver, Link};
use super::seat::{LateAction, Move, Seat, guarded, make_move};

/// A table of either shell, as its turns use it.
pub(crate) trait Host {
    type Link: Link;

    fn late(&self) -> Option<&LateAction>;

    /// A call that does not wait.
    fn call<R>(&self, call: impl FnOnce(&mut Driver<Self::Link>, Instant) -> R) -> R;

    /// Changes nothing that others wait for.
    fn look<R>(&self, look: impl FnOnce(&mut Driver<Self::Link>) -> R) -> R;

    /// A call that opens a turn, and does not wait.
    fn open<R>(&self, call: impl FnOnce(&mut Driver<Self::Link>, Instant) -> R) -> R;
}

/// The same, for turns that others can name: their calls that do not wait.
pub trait TurnHost {
    /// Adds to the time of a turn.
    fn extend_turn(&self, turn: u64, by: Duration);

    /// Closes a turn, if it is open.
    fn close_turn(&self, turn: u64);

    /// Nobody takes the decisions of this turn any more.
    fn forget_turn(&self, turn: u64);

    /// Closes turns whose decisions nobody takes.
    fn end_turns(&self, turns: Vec<u64>);
}

impl<H: Host> TurnHost for H {
    fn extend_turn(&self, turn: u64, by: Duration) {
        self.call(|driver, now| driver.call(now, |table| table.extend(turn, by, now)));
    }

    fn close_turn(&self, turn: u64) {
        self.call(|driver, now| driver.call(now, |table| table.close(turn, now)));
    }

    fn forget_turn(&self, turn: u64) {
        self.look(|driver| driver.forget_turn(turn));
    }

    fn end_turns(&self, turns: Vec<u64>) {
        self.call(|driver, now| {
            for turn in turns {
                driver.forget_turn(turn);
                driver.call(now, |table| table.close(turn, now));
            }
        });
    }
}

/// A thing that a turn waits for.
pub(crate) enum Found {
    /// A seat has got another player, who is to be shown a view.
    Request(ViewRequest, Seat),
    Decision(Box<Decision>, Arc<str>),
}

impl Found {
    /// Makes a view anew, of which only an error is told, or a move.
    pub(crate) fn see_to<V: Into<View>>(
        self,
        host: &impl Host,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Option<Result<Move, TableError>> {
        match self {
            Self::Request(request, seat) => match guarded(|| view(&seat).into()) {
                Ok(view) => {
                    host.call(|driver, now| {
                        driver.call(now, |table| table.set_view(request, view, now));
                    });
                    None
                }
                Err(error) => {
                    // The seat has no view, and would wait for ever.
                    host.close_turn(request.turn);
                    Some(Err(error))
                }
            },
            Self::Decision(decision, name) => {
                let made = make_move(name, *decision, host.late());
                if made.is_err() {
                    host.call(|driver, now| driver.fail(now));
                }
                Some(made)
            }
        }
    }
}

/// A turn that is open, without its table.
#[derive(Debug)]
pub struct OpenTurn {
    number: u64,
    undecided: usize,
}

impl OpenTurn {
    /// The number of the turn.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The number of seats whose decision was not taken.
    pub(crate) const fn undecided(&self) -> usize {
        self.undecided
    }

    /// Takes the next thing that it waits for, if it is there.
    pub(crate) fn find<L: Link>(&mut self, driver: &mut Driver<L>) -> Option<Found> {
        let found = driver.find_in_turn(self.number)?;
        self.undecided -= usize::from(matches!(found, Found::Decision(..)));
        Some(found)
    }
}

/// The turns of seats that act at their own pace, without their table.
#[derive(Debug, Default)]
pub struct OpenActions {
    /// The open turns, by seat.
    turns: BTreeMap<usize, u64>,
}

/// The outcome of a look at such turns.
pub(crate) enum Look {
    Found(Found),
    /// These can be asked.
    Free(Vec<Seat>),
    /// Nobody plays any more.
    Over,
}

impl OpenActions {
    /// Looks what there is, and takes it. `None` if there is nothing now.
    pub(crate) fn look<L: Link>(&mut self, driver: &mut Driver<L>) -> Option<Look> {
        let turns = self.turns.values();
        let found = turns.copied().find_map(|turn| driver.find_in_turn(turn));
        if let Some(found) = found {
            if let Found::Decision(decision, _) = &found
                && let Some(turn) = self.turns.remove(&decision.seat.index())
            {
                driver.forget_turn(turn);
            }
            return Some(Look::Found(found));
        }
        if driver.has_ended() {
            return Some(Look::Over);
        }
        let waits = matches!(driver.table().absence(), Absence::Wait(_));
        let seats: Vec<Seat> = driver.table().seats().map(|it| driver.seat(it)).collect();
        let may_ask = |seat: &&Seat| match seat.state() {
            _ if self.turns.contains_key(&seat.index()) => false,
            SeatState::Present => true,
            SeatState::Away => waits,
            _ => false,
        };
        let free: Vec<Seat> = seats.iter().filter(may_ask).cloned().collect();
        if !free.is_empty() {
            return Some(Look::Free(free));
        }
        let is_out = |seat: &Seat| matches!(seat.state(), SeatState::Gone | SeatState::Closed);
        (self.turns.is_empty() && seats.iter().all(is_out)).then_some(Look::Over)
    }

    /// Asks seats that can be asked, or sees to what was found. Gives the answer for the host, if there is one by that.
    pub(crate) fn see_to<V: Into<View>>(
        &mut self,
        look: Look,
        host: &impl Host,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Option<Option<Result<Move, TableError>>> {
        match look {
            Look::Over => Some(None),
            Look::Free(seats) => match self.ask(&seats, host, view) {
                Ok(()) => None,
                Err(error) => Some(Some(Err(error))),
            },
            Look::Found(found) => found.see_to(host, view).map(Some),
        }
    }

    fn ask<V: Into<View>>(
        &mut self,
        seats: &[Seat],
        host: &impl Host,
        view: &mut impl FnMut(&Seat) -> V,
    ) -> Result<(), TableError> {
        for seat in seats {
            let views = vec![(seat.id(), guarded(|| view(seat).into())?)];
            let turn = host.open(|driver, now| driver.open(views, TurnTime::AsSet, now))?;
            self.turns.insert(seat.index(), turn);
        }
        Ok(())
    }

    /// Closes the turns, whose decisions nobody takes.
    pub(crate) fn close(&mut self, host: &impl TurnHost) {
        host.end_turns(mem::take(&mut self.turns).into_values().collect());
    }
}

/// The views of these seats. A function of the host makes them, so no lock is held.
pub(crate) fn make_views<V: Into<View>>(
    seats: &[Seat],
    view: &mut impl FnMut(&Seat) -> V,
) -> Result<Vec<(SeatId, View)>, TableError> {
    let views = || {
        seats
            .iter()
            .map(|seat| (seat.id(), view(seat).into()))
            .collect()
    };
    guarded(views)
}

/// Opens a turn for these seats.
pub(crate) fn open_turn<V: Into<View>>(
    host: &impl Host,
    seats: &[SeatId],
    time: TurnTime,
    view: &mut impl FnMut(&Seat) -> V,
) -> Result<OpenTurn, TableError> {
    let mut seen: Vec<Seat> =
        host.look(|driver| seats.iter().map(|seat| driver.seat(*seat)).collect());
    let mut views = make_views(&seen, view)?;
    // Somebody may come to a seat while its view is made, but not again and again.
    for _ in 0..seats.len() {
        let changed = host.look(|driver| {
            let mut seats = seen.iter();
            let at = seats.position(|seat| !driver.has_player_of(seat))?;
            Some((at, driver.seat(seen[at].id())))
        });
        let Some((at, now)) = changed else {
            break;
        };
        views[at].1 = guarded(|| view(&now).into())?;
        seen[at] = now;
    }
    let undecided = views.len();
    let number = host.open(|driver, now| driver.open(views, time, now))?;
    Ok(OpenTurn { number, undecided })
}
