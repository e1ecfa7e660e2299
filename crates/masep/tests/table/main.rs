//! Tables over real sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod absence;
mod agents;
mod host;
mod players;
mod playing;
mod relay;
