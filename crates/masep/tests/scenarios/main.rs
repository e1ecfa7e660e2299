//! Situations that users of either library meet, as scenarios that are written once: each runs with the async library
//! and with `masep::blocking`, against bare sockets or clients. Rules of the protocol are tested byte by byte in
//! masep-proto.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

#[path = "../../../masep-proto/tests/corpus/mod.rs"]
mod corpus;
#[path = "../shells/mod.rs"]
mod shells;

mod calls;
mod coming_back;
mod door;
mod ends;
mod frames;
mod full_queues;
mod handlers;
mod hostile;
mod hostile2;
mod messages;
mod profiles;
mod protocol2;
mod proxied;
mod rates;
mod rejection;
mod requests;
mod sends;
mod shutdown;
mod unix_sockets;

use shells::directory;
