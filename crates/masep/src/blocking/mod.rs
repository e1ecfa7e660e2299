//! The same without async: calls that block, for programs that have threads and no runtime.
//!
//! A [`Connection`] is driven by the threads that use it. [`send`](Connection::send) writes to the
//! socket and [`recv`](Connection::recv) reads from it in the thread that calls, with no other thread
//! in between, which is the shortest way there is. The consequences:
//!
//! * Nothing is read while nobody calls `recv`: the peer feels that as back-pressure, and its end is
//!   not noticed before somebody reads, writing fails, or the peer comes back with the same id.
//! * A call that waits returns when the socket has taken its frame. The rest of a frame that a call without a wait left
//!   is written by one background thread of the process, which also says farewells, and ends when it has nothing to do.
//! * A connection lives as long as a handle of it does: dropping the last clone says `BYE`. That of a client does
//!   so in the async shell too; that of an async [`Server`](crate::Server) belongs to the server, whose tasks read
//!   what nobody receives.
//!
//! With a [`SocketHandler`], each connection has a background thread that reads, and calls it.
//!
//! ```
//! use masep::blocking::{Client, Server};
//! use masep::{CloseReason, Frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder("engine").bind("127.0.0.1:0")?;
//! let address = server.local_address();
//!
//! let agent = std::thread::spawn(move || {
//!     let client = Client::builder("agent").connect(address)?;
//!     client.connection().send(&b"hello, engine"[..])?;
//!     client.connection().bye();
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//! });
//!
//! let connection = server.accept()?;
//! assert_eq!(connection.recv(), Ok(Frame::new(&b"hello, engine"[..])));
//! assert_eq!(connection.recv(), Err(CloseReason::PeerBye));
//! # agent.join().expect("no panic").map_err(|error| error.to_string())?;
//! # Ok(())
//! # }
//! ```
//!
//! # The time for which calls block
//!
//! | call | at most |
//! | --- | --- |
//! | [`Client::connect`](ClientBuilder::connect) | [`SocketOptions::connect_time`](crate::SocketOptions::connect_time) to resolve a name; for each address that again, and [`Limits::hello_time`](crate::Limits::hello_time); both twice with [`Protocols::Both`](crate::Protocols::Both) |
//! | [`Server::accept`], [`Server::next_request`], [`Connection::recv`] | until something comes or it has ended; each has a form with a time |
//! | [`Connection::send`] | as long as the peer takes some bytes every [`Limits::write_time`](crate::Limits::write_time) |
//! | [`Connection::bye`] | `write_time` |
//! | [`Server::shutdown`] | the deadline it is given |
//! | `try_…`, dropping anything | not at all |

mod announcing;
mod bindings;
mod block_on;
mod client;
mod connection;
mod door;
mod drive;
mod ending;
mod events;
mod handler;
mod handler_threads;
mod keeper;
mod pipe;
#[cfg(not(masep_model))]
mod player;
mod poller;
mod prefaces;
mod queue;
mod registry;
mod seen;
mod server;
mod shared;
mod stream;
#[cfg(not(masep_model))]
pub mod table;

#[cfg(feature = "unstable-bindings")]
pub(crate) use bindings::detached::Away;
#[cfg(all(feature = "unstable-bindings", not(masep_model)))]
pub use bindings::{Attempt, Attempted};
#[cfg(feature = "unstable-bindings")]
pub use bindings::{Detached, EventLoop, LoopCall, Offer, Waits, forked};
pub use client::{Client, ClientBuilder};
pub use connection::Connection;
pub use handler::SocketHandler;
#[cfg(not(masep_model))]
pub use player::Player;
pub use queue::{Received, SocketHandlerQueue};
pub use registry::Registry;
pub use server::{Server, ServerBuilder};
#[cfg(not(masep_model))]
pub use table::{Actions, Table, Turn};

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use masep_proto::PeerId;
use masep_proto::admission::Pace;

use crate::endpoint::Endpoint;
pub use crate::request::{Admitting, Request};

/// A peer with this feature answers pings of protocol 2 within calls alone: nothing runs behind them.
const PONG_IN_CALL: &str = "pong_in_call";

/// A side of this shell.
fn endpoint(id: PeerId) -> Endpoint {
    answering_in_calls(Endpoint::new(id))
}

fn answering_in_calls(mut endpoint: Endpoint) -> Endpoint {
    endpoint.offer.features.push(PONG_IN_CALL.into());
    endpoint
}

/// Begins a thread, whose name says what it is for.
///
/// # Errors
/// The system has none.
fn spawn<T: Send + 'static>(
    purpose: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let builder = thread::Builder::new().name(format!("masep-{purpose}"));
    builder.spawn(run)
}

/// Says that the process has no thread or no descriptor left for something, which may happen with each connection.
fn warn_of_scarcity(lacks: &str, error: &io::Error) {
    static LOG: Mutex<Pace> = Mutex::new(Pace::new(8, Duration::from_secs(60)));
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(skipped) = log.take(Instant::now()) {
        tracing::warn!(skipped, "{lacks}: {error}");
    }
}

/// Nothing came in the time that was given. It can still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing came in the time that was given")]
pub struct TimedOut;
