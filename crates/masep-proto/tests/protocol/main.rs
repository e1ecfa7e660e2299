//! The protocol, without sockets. All tests are threads of one process; memory is counted for each thread by itself.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../sayings/mod.rs"]
mod sayings;
mod wire;

mod access;
mod admission;
mod allocations;
mod answers;
mod cbor;
mod cbor_hostile;
#[cfg(feature = "json")]
mod cbor_vectors;
mod codec;
mod connection;
mod control;
mod debug;
mod gate;
mod hostile;
mod memory;
mod memory2;
#[cfg(feature = "json")]
mod protocol_md;
mod sizes;
