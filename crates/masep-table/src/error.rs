//! Errors of the host.

use std::fmt;

use masep_proto::protocol2;

/// A call of the host that cannot be done. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// A table without seats.
    NoSeats,
    /// Two seats of this name, or one that is asked twice in a turn.
    SeatTwice(String),
    /// A name that no seat can have, because no HELLO and no WELCOME can say it: empty, of more than 512 bytes, or with a
    /// character that is not [printable](masep_proto::is_printable).
    SeatName(String),
    /// A name of the engine's life that no WELCOME can say, as for a seat.
    Instance(String),
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
            Self::SeatName(name) => write!(
                f,
                "{name:.80?} is no name of a seat: it has 1 to {} bytes, all printable",
                protocol2::NAME_BYTES
            ),
            Self::Instance(name) => write!(
                f,
                "{name:.80?} is no name of an engine's life: it has 1 to {} bytes, all printable",
                protocol2::NAME_BYTES
            ),
            Self::UnknownSeat(name) => write!(f, "there is no seat {name:?}"),
            Self::TurnIsOpen(number) => write!(f, "turn {number} is still open: close it first"),
            Self::Over => f.write_str("the table has ended"),
            Self::Panicked(words) => write!(f, "a function of the host panicked: {words}"),
        }
    }
}

impl std::error::Error for TableError {}
