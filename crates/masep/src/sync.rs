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

/// The time at which somebody looks at the clock, for others who may need that earlier; `None` is perhaps never.
#[derive(Debug, Default)]
pub(crate) struct NextLook(pub(crate) Option<Instant>);

impl NextLook {
    /// True if the look is to be earlier than it would, because of this deadline. A later one is found when the earlier has
    /// passed.
    pub(crate) fn hurry(&mut self, deadline: Option<Instant>) -> bool {
        let is_earlier = deadline.is_some_and(|it| self.0.is_none_or(|at| it < at));
        if is_earlier {
            self.0 = deadline;
        }
        is_earlier
    }
}

/// Has this task woken from here on.
pub(crate) fn set_waker(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}
