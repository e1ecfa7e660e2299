//! The means by which tasks and threads are synchronised, and wait: the types of the standard library and
//! of tokio, and two calls of the system.
//!
//! In the model check (`cargo xtask model`) they are those of a scheduler that tries out in which order
//! things can happen, see `crates/masep-model`. So whatever is synchronised by hand takes them from here.

use std::task::{Context, Waker};

#[cfg(not(masep_model))]
mod real {
    #[cfg(feature = "unstable-transport")]
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
    pub(crate) use std::time::Instant;
    pub(crate) use std::{thread, thread_local};

    pub(crate) use rustix::event::poll;
    pub(crate) use rustix::net::recv;
    pub(crate) use tokio::sync::{Mutex as FairMutex, Notify};
    pub(crate) use tokio::time;

    pub(crate) fn now() -> Instant {
        Instant::now()
    }
}
#[cfg(masep_model)]
use crate::model::sync as real;

pub(crate) use real::{
    Condvar, FairMutex, Instant, Mutex, MutexGuard, Notify, OnceLock, now, poll, recv, thread,
    thread_local, time,
};

#[cfg(feature = "unstable-transport")]
pub(crate) use real::atomic;

/// The earlier of two times, where `None` is never.
#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Has this task woken from here on.
pub(crate) fn set_waker(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}
