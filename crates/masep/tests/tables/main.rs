//! Tables over real sockets, in both libraries, with players of both.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

#[path = "../shells/mod.rs"]
mod shells;

mod absence;
mod agents;
mod host;
mod one_thread;
mod pace;
mod players;
mod playing;
mod reading;
mod relay;
mod signs_of_life;
mod spectators;

use std::time::Duration;

use masep::table::{Clock, How, Move, Seat, TableBuilder, View};
use masep::{Action, Element, Protocols};

use shells::Table;

const GAME: &str = "pursuit.PursuitGame";
const BOTH: [Protocols; 2] = [Protocols::Pymasep, Protocols::Masep2];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A table with the seats red and blue.
fn builder() -> TableBuilder {
    masep::Table::builder(GAME).seats(["red", "blue"])
}

/// The clock of a table whose players have so long in each turn.
const fn per_turn(millis: u64) -> Clock {
    Clock {
        per_turn: Some(ms(millis)),
        bank: None,
    }
}

/// The State in which a seat is asked for this number.
fn view(tick: i64, seat: &Seat) -> View {
    let player = seat.player().map_or("", |player| player.as_str());
    state(tick).with("control", player)
}

fn state(tick: i64) -> View {
    let state = format!(r#"<State env_step="0" tick="{tick}" />"#);
    View::new(Element::parse(state).unwrap())
}

/// The way in which a decision came about, and the number in its action.
fn made(its: &Move) -> (How, Option<i64>) {
    let action = its.action().and_then(|action| action.as_element());
    let action = action.and_then(|action| Action::try_from(action).ok());
    (its.how(), action.and_then(|it| it.action_type.as_i64()))
}

/// A turn in which both players answer with its number.
#[track_caller]
fn plays(table: &dyn Table, tick: i64) {
    let moves = table.ask_all(|seat| view(tick, seat)).unwrap();
    let moves: Vec<_> = moves.iter().map(|its| (its.seat(), made(its))).collect();
    let played = (How::Played, Some(tick));
    assert_eq!(moves, [("red", played), ("blue", played)]);
}
