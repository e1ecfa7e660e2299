//! Tables over real sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod agents;
mod players;
mod playing;
