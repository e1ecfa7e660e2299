//! Time that passes when the scheduler wants it to: a thread lets the next deadline pass.

use std::future::{Future, poll_fn};
use std::ops::Add;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};

/// No deadline behind this one passes: what a connection waits for so long is not what is tried out.
const HORIZON: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(CLOCK.state.lock().unwrap().now)
    }

    pub(crate) fn into_std(self) -> std::time::Instant {
        start() + self.0
    }

    pub(crate) fn from_std(instant: std::time::Instant) -> Self {
        Self(instant.saturating_duration_since(start()))
    }
}

/// The instant of the standard library that stands for the beginning.
fn start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

#[derive(Default)]
struct State {
    now: Duration,
    next: u64,
    waiting: Vec<(Duration, u64, Waker)>,
    stopped: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

shuttle::lazy_static! {
    static ref CLOCK: Arc<Shared> = Arc::new(Shared {
        state: Mutex::default(),
        changed: Condvar::new(),
    });
}

/// Lets so much time pass at once, if that is a time to be tried out.
pub(crate) fn pass(time: Duration) -> bool {
    let mut state = CLOCK.state.lock().unwrap();
    let passes = time < HORIZON;
    if passes {
        state.now += time;
    }
    passes
}

/// Lets time pass until it is stopped.
pub(crate) struct Clock(Option<JoinHandle<()>>);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Some(thread::spawn(run)))
    }

    pub(crate) fn stop(mut self) {
        CLOCK.state.lock().unwrap().stopped = true;
        CLOCK.changed.notify_all();
        self.0.take().unwrap().join().unwrap();
    }
}

fn run() {
    let mut state = CLOCK.state.lock().unwrap();
    while !state.stopped {
        let waiting = state.waiting.iter().enumerate();
        let first = waiting.min_by_key(|(_, (until, ..))| *until);
        match first.map(|(place, (until, ..))| (place, *until)) {
            Some((place, until)) if until < HORIZON => {
                state.now = state.now.max(until);
                let (_, _, waker) = state.waiting.swap_remove(place);
                drop(state);
                waker.wake();
                thread::yield_now();
                state = CLOCK.state.lock().unwrap();
            }
            _ => state = CLOCK.changed.wait(state).unwrap(),
        }
    }
}

pub(crate) struct Sleep {
    until: Instant,
    number: u64,
}

pub(crate) fn sleep_until(until: Instant) -> Sleep {
    let mut state = CLOCK.state.lock().unwrap();
    state.next += 1;
    Sleep {
        until,
        number: state.next,
    }
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.until
    }

    pub(crate) fn is_elapsed(&self) -> bool {
        self.until.0 <= CLOCK.state.lock().unwrap().now
    }

    pub(crate) fn reset(self: Pin<&mut Self>, until: Instant) {
        self.get_mut().until = until;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = CLOCK.state.lock().unwrap();
        state
            .waiting
            .retain(|(_, number, _)| *number != self.number);
        if self.until.0 <= state.now {
            return Poll::Ready(());
        }
        let waiting = (self.until.0, self.number, context.waker().clone());
        state.waiting.push(waiting);
        drop(state);
        CLOCK.changed.notify_all();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let mut state = CLOCK.state.lock().unwrap();
        state
            .waiting
            .retain(|(_, number, _)| *number != self.number);
    }
}

/// The call took too long.
#[derive(Debug)]
pub(crate) struct Elapsed;

pub(crate) async fn timeout<T>(
    time: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let mut sleep = pin!(sleep_until(Instant::now() + time));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| Err(Elapsed)),
    })
    .await
}
