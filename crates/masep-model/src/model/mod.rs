//! The scenarios: parts of masep that are synchronised by hand, used by several threads at once.
//!
//! Each scenario is run in many orders. The scheduler finds when all threads wait for each other, which
//! is what a lost wake-up comes to; the rest is asserted. Chance (how often a call is polled before it is
//! dropped, say) is the scheduler's too, so that a run can be repeated.

mod blocking;
mod line;
mod queue;
pub(crate) mod sync;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex};

/// One thing to be tried out.
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
    /// Runs it once, in whatever order the scheduler chooses.
    pub run: fn(),
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "queue-wait",
        about: "two senders wait for room, two receivers for items; calls are dropped; it is closed",
        run: queue::waits,
    },
    Scenario {
        name: "queue-newest-wins",
        about: "two senders replace what is old, a receiver wants the newest",
        run: queue::newest_wins,
    },
    Scenario {
        name: "queue-disconnect",
        about: "two senders close the queue when it is full",
        run: queue::disconnects,
    },
    Scenario {
        name: "line-turns",
        about: "two calls and the task read; a third call sends; calls are dropped",
        run: line::turns,
    },
    Scenario {
        name: "line-nobody-calls",
        about: "the end is known though no call of recv comes back",
        run: line::nobody_calls,
    },
    Scenario {
        name: "line-end",
        about: "callers receive and send while the connection is ended, or its task is dropped",
        run: line::ends,
    },
    Scenario {
        name: "blocking-turns",
        about: "threads take turns to read and write one socket; a third flushes what is left",
        run: blocking::turns,
    },
    Scenario {
        name: "blocking-both-write",
        about: "two threads send to a peer that reads only when it has written all of its own",
        run: blocking::both_write,
    },
    Scenario {
        name: "blocking-gathers",
        about: "two threads send small frames one right behind another, and nobody flushes the last ones",
        run: blocking::gathers,
    },
    Scenario {
        name: "blocking-end",
        about: "threads receive and send while another one ends the connection, or the peer does",
        run: blocking::ends,
    },
    Scenario {
        name: "blocking-write-fails",
        about: "threads receive and send to a peer that closes, while another one ends the connection",
        run: blocking::write_fails,
    },
    Scenario {
        name: "blocking-event-loop",
        about: "an event loop drives a connection on which another thread sends, until one of the ends closes it",
        run: blocking::event_loop,
    },
];

/// A number below this one.
fn random(below: usize) -> usize {
    thread_rng().gen_range(0..below)
}

/// Polls a call so often, each time when it was woken, and drops it; what it gave, if it was done.
fn cut<T>(call: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut call = pin!(call);
    let mut polled = 0;
    block_on(poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }))
}

/// Makes calls which are dropped, a few times, and then one that is not; the first that was done counts.
fn insist<T, F: Future<Output = T>>(mut call: impl FnMut() -> F) -> T {
    for _ in 0..random(3) {
        if let Some(done) = cut(call(), random(3)) {
            return done;
        }
    }
    block_on(call())
}

/// A number that threads wait for.
#[derive(Default)]
struct Count {
    number: Mutex<usize>,
    changed: Condvar,
}

impl Count {
    fn up(&self) {
        *self.number.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, number: usize) {
        let mut now = self.number.lock().unwrap();
        while *now < number {
            now = self.changed.wait(now).unwrap();
        }
    }
}
