//! Seats and moves, as a host sees them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use masep_proto::{PeerId, Value};
use masep_table::{Decision, How, SeatId, SeatState, TableError, View};

/// A seat at the moment in which a view is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub(super) id: SeatId,
    pub(super) name: Arc<str>,
    pub(super) player: Option<PeerId>,
    pub(super) state: SeatState,
    pub(super) has_pymaseps_player: bool,
}

impl Seat {
    /// Its place among the seats, from 0.
    pub const fn index(&self) -> usize {
        self.id.index()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of its player, who may be away or gone. pymasep's players look for it in `control` of the State.
    pub const fn player(&self) -> Option<&PeerId> {
        self.player.as_ref()
    }

    /// True if its player follows the customs of pymasep, so that its view is a State.
    pub const fn has_pymaseps_player(&self) -> bool {
        self.has_pymaseps_player
    }

    /// Its state.
    pub const fn state(&self) -> SeatState {
        self.state
    }

    /// Its id, as events have it.
    pub const fn id(&self) -> SeatId {
        self.id
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }
}

/// The decision of one seat in one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    seat: Arc<str>,
    index: usize,
    turn: u64,
    how: How,
    action: Option<Value>,
}

impl Move {
    /// The name of the seat.
    pub fn seat(&self) -> &str {
        &self.seat
    }

    /// The place of the seat among the seats, from 0.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The number of the turn.
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// The way in which it came about.
    pub const fn how(&self) -> How {
        self.how
    }

    /// The action: the player's own, or the one for the late. `None` if there is none.
    pub const fn action(&self) -> Option<&Value> {
        self.action.as_ref()
    }

    /// [`action`](Self::action), taken out.
    pub fn into_action(self) -> Option<Value> {
        self.action
    }
}

/// A function of the host that makes the action of a seat that has none of its own.
pub(crate) type LateAction = Arc<dyn Fn(&View) -> Value + Send + Sync>;

/// The move of a seat with this name, by its decision. Where the action is the host's to make, it is made here.
pub(crate) fn make_move(
    name: Arc<str>,
    decision: Decision,
    late: Option<&LateAction>,
) -> Result<Move, TableError> {
    let made = match (&decision.view, late) {
        (Some(view), Some(late)) => Some(guarded(|| late(view))?),
        _ => None,
    };
    Ok(Move {
        seat: name,
        index: decision.seat.index(),
        turn: decision.turn,
        how: decision.how,
        action: decision.action.or(made),
    })
}

/// Makes a call of a function of the host. The error has the words of its panic.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, TableError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let words = panic.downcast_ref::<&str>().copied();
        let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        TableError::Panicked(words.unwrap_or("without a word").to_owned())
    })
}
