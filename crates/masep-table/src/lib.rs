//! The game above the connections, without any input or output: seats, turns, deadlines, rejoining, spectators.
//!
//! An engine has a [`Table`] with a *seat* for each player. In a *turn* it asks some of them, and each is decided
//! exactly once: by the player's action, or without one, because the player is late, away, asleep or gone. A player
//! that is late, repeats itself, loses its connection or answers for others costs the others no more than the
//! [`Settings`] say, and no action is ever taken for another turn than the one that it was meant for.
//!
//! The table reads no clock, and has no socket, thread or randomness: a shell tells it what has happened and when,
//! does what its [effects](Effect) say, and calls it again at its [deadline](Table::deadline). The same calls have
//! the same effects.
//!
//! ```text
//!              a player joins                 turns missed in a row
//!      open ────────────────────> present ──────────────────────────> asleep
//!       ^                          │   ^  <──────────────────────────   │
//!       │                connection│   │             an action          │ connection
//!       │ the host             lost│   │ the same                       │ lost
//!       │ opens it                 v   │ player                         │
//!      gone <────────────────────  away  <──────────────────────────────┘
//!            its grace is used up
//!
//!      present, asleep ── QUIT ──> gone           before the game: ── QUIT, lost ──> open
//!      any ── the host closes it ──> closed ── the host opens it ──> as before
//! ```
//!
//! | a seat in a turn | is decided |
//! | --- | --- |
//! | an action with the turn's number, in time | [`Played`](How::Played) |
//! | its time and bank are spent | [`Late`](Cause::Late): by [the action for the late](Late), or without one |
//! | the host closes the turn | [`Closed`](Cause::Closed) |
//! | asleep, gone, closed or open when the turn comes to it | at once |
//! | away | when its time or its grace is over, whichever is first |
//! | nobody can decide, and somebody may return | not yet: the table *holds*, and its clocks stand still |
//!
//! # Kinds of players
//! A player of protocol 2 says the number of the turn with its action, is told what is not taken ([`Notice`]), and
//! learns from the next observation how its last turn was decided ([`Last`]). When it comes back, it proves its seat
//! with a resume text.
//!
//! A pymasep interface does none of this, skips observations and answers finals too. It is asked one question at a
//! time: while it owes an answer it is sent nothing that asks; its next action is dropped as that answer, and then
//! it is asked the open turn, with the time that is left. The turn's number stands in its State as `env_step`,
//! because it answers only steps that rise.
//!
//! ```text
//!     clear ── a question ──> asked ── its action: played ──────────────> clear
//!                               └── decided without it ──> owing ── its action: dropped ──> clear
//! ```
//!
//! # A game
//! ```
//! use std::time::{Duration, Instant};
//! use masep_proto::{Action, Element, Message, Role};
//! use masep_table::{
//!     Cause, Clock, Effect, Hello, How, Outgoing, PeerKey, ResumeSecret, Settings, Table, TurnTime, View, action_turn,
//! };
//!
//! let clock = Clock { per_turn: Some(Duration::from_secs(2)), bank: None };
//! let mut table = Table::new(Settings::new("engine", "life-1", ["red", "blue"]).clock(clock))?;
//! let (red, blue) = (table.seat("red").unwrap(), table.seat("blue").unwrap());
//!
//! // Two players of protocol 2 come.
//! let mut now = Instant::now();
//! for (key, id) in [(1u8, "ann"), (2, "ben")] {
//!     let hello = Hello { role: Some(Role::Actor), ..Hello::new(id) };
//!     let secret = ResumeSecret([key; 16]); // sixteen random bytes, in earnest
//!     table.handle_hello(PeerKey(key.into()), hello, secret, now);
//! }
//! while table.poll_effect().is_some() {} // the verdicts, and that the seats are filled
//!
//! // The host asks both. The observations are among the effects.
//! let view = View::new(Element::parse("<State />")?);
//! let turn = table.open([(red, view.clone()), (blue, view)], TurnTime::AsSet, now)?;
//! for _ in 0..2 {
//!     let Some(Effect::Send { to, what: Outgoing::Observation { .. } }) = table.poll_effect() else { panic!() };
//!     table.handle_sent(to, now);
//! }
//!
//! // Ann acts. Ben does not: when his time is over, the shell is asked for what has arrived, and then he is late.
//! let action = Message::action("ann", Action::new(4));
//! table.handle_message(PeerKey(1), &action, Some(turn), now);
//! now = table.deadline().unwrap();
//! table.handle_timeout(now);
//! table.handle_timeout(now);
//! let how = |seat| table.last(seat).unwrap().how;
//! assert_eq!((how(red), how(blue)), (How::Played, How::None(Cause::Late)));
//! assert!(!table.is_turn_open());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The duties of a shell
//! * It tells of a peer of pymasep's protocol when the door has taken it ([`Table::handle_connected`]), and of one of
//!   protocol 2 when its `HELLO` is there and the door waits for a verdict ([`Table::handle_hello`]).
//! * It tells of each message with its time of arrival ([`Table::handle_message`]), of each observation that a stream
//!   has taken ([`Table::handle_sent`]) or that cannot be written ([`Table::handle_undeliverable`]), and of each end
//!   ([`Table::handle_closed`]).
//! * After each call it does all effects, in order.
//! * It calls [`Table::handle_timeout`] at the deadline.
//!
//! The crate `masep` has such shells, on tokio and without async: there a host has a table that listens and waits.
//!
//! Versions follow Semantic Versioning; before 1.0, a minor version may break its predecessor. The oldest Rust that builds this
//! version is 1.95.
#![forbid(unsafe_code)]

mod acting;
mod asking;
mod claims;
mod control;
mod deadlines;
mod deciding;
mod effect;
mod error;
mod joining;
mod leaving;
mod names;
mod peer;
pub mod player;
mod question;
mod refusing;
mod seat;
mod sending;
mod settings;
mod spectators;
mod stopwatch;
mod table;
mod view;
mod wire;

pub use effect::{Code, Decision, Effect, Event, Notice, Outgoing, Verdict, ViewRequest, Welcome};
pub use error::TableError;
pub use joining::Hello;
pub use names::{PeerKey, ResumeSecret, SeatId};
pub use seat::SeatState;
pub use settings::{Absence, Clock, Late, Settings, TurnTime};
pub use table::Table;
pub use view::View;
pub use wire::{Cause, How, Kind, Last, TurnData, action_turn, turn_number_of};
