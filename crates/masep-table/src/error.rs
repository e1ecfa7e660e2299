//! Errors of the host.

use std::fmt;

/// A call of the host that cannot be done. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// A table without seats.
    NoSeats,
    /// Two seats of this name, or one that is asked twice in a turn.
    SeatTwice(String),
    /// No seat of this name or place.
    UnknownSeat(String),
    /// The turn of this number is still open: it is to be closed first.
    TurnIsOpen(u64),
    /// The table has ended.
    Over,
    /// A function of the host has panicked, with these words.
    Panicked(String),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeats => f.write_str("a table needs a seat"),
            Self::SeatTwice(name) => write!(f, "the seat {name:?} is named twice"),
            Self::UnknownSeat(name) => write!(f, "there is no seat {name:?}"),
            Self::TurnIsOpen(number) => write!(f, "turn {number} is still open: close it first"),
            Self::Over => f.write_str("the table has ended"),
            Self::Panicked(words) => write!(f, "a function of the host panicked: {words}"),
        }
    }
}

impl std::error::Error for TableError {}
