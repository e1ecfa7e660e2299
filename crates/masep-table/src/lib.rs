//! The game above the connections.
#![forbid(unsafe_code)]

mod acting;
mod deadlines;
mod effect;
mod error;
mod joining;
mod leaving;
mod names;
mod peer;
mod seat;
mod sending;
mod settings;
mod spectators;
mod stopwatch;
mod table;
mod turn;
mod view;
mod wire;

pub use effect::{Code, Decision, Effect, Event, Notice, Outgoing, Verdict, ViewRequest, Welcome};
pub use error::TableError;
pub use joining::Hello;
pub use names::{Attachment, PeerKey, SeatId, Token};
pub use seat::SeatState;
pub use settings::{Absence, Clock, Late, Settings, TurnTime};
pub use table::Table;
pub use view::View;
pub use wire::{Cause, How, Kind, Last, TurnData, action_turn, turn_number};
