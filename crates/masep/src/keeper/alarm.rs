//! The timer of a connection's task.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::sync::time::{self, Sleep};

/// One timer for all deadlines of a connection. It is set when it is needed, and moved only when it has
/// gone off too early: a deadline that is put off again and again costs nothing.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// True if it will go off by this deadline, and has not yet: for the task that has polled it last.
    pub(crate) fn is_set_for(&self, deadline: Instant) -> bool {
        let deadline = time::Instant::from_std(deadline);
        let sleep = self.0.as_ref();
        sleep.is_some_and(|sleep| sleep.deadline() <= deadline && !sleep.is_elapsed())
    }

    /// Ready with the time when this deadline has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        let deadline = time::Instant::from_std(deadline);
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            let now = time::Instant::now();
            if deadline <= now {
                return Poll::Ready(now.into_std());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
