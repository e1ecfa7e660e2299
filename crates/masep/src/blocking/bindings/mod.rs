//! Calls and types for bindings to other languages alone (feature `unstable-bindings`), as the Python package uses them.
//!
//! Such a binding cannot leave a wait to Rust for long, lend a table to a turn, or move a value into a call. It may bring
//! an event loop of its own, and workers in processes of their own. So there are:
//!
//! * `connection`: calls that leave the rest of a frame to the caller, and waits that take nothing;
//! * `event_loop`: what drives connections in place of their calls and of the keeper;
//! * `player`: attempts to connect that are made without the player;
//! * `table`: turns that borrow no table;
//! * `detached`, with `relay`: clients that a server gives away, for another process to go on with.
//!
//! They are methods of the types of [`masep::blocking`](super), and look into their parts.

#[cfg(feature = "unstable-bindings")]
mod connection;
#[cfg(feature = "unstable-bindings")]
pub(super) mod detached;
// A connection has a place for one.
#[cfg_attr(not(feature = "unstable-bindings"), allow(dead_code, unreachable_pub))]
pub(super) mod event_loop;
#[cfg(all(feature = "unstable-bindings", not(masep_model)))]
mod player;
#[cfg(feature = "unstable-bindings")]
pub(super) mod relay;
#[cfg(all(feature = "unstable-bindings", not(masep_model)))]
mod table;

/// To be called in a process that was forked, by the one thread that it has: what wakes that thread is the parent's too.
#[cfg(feature = "unstable-bindings")]
pub fn forked() {
    super::stream::leave_waker();
}

#[cfg(feature = "unstable-bindings")]
pub use connection::Offer;
#[cfg(feature = "unstable-bindings")]
pub use detached::Detached;
#[cfg(feature = "unstable-bindings")]
pub use event_loop::{EventLoop, LoopCall, Waits};
#[cfg(all(feature = "unstable-bindings", not(masep_model)))]
pub use player::{Attempt, Attempted};
