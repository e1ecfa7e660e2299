//! Dropping a call at a chosen point, and the loop over all of them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// More polls than any call here takes to be done.
const MOST_POLLS: usize = 500;

pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
/// The events around one call.
type World = fn(&Cut) -> Work<'_>;

/// One public call.
pub(crate) struct Call {
    /// The file in which it is defined, below `src`.
    pub(crate) file: &'static str,
    pub(crate) name: &'static str,
    /// Points at which it is dropped, all worlds together.
    pub(crate) at_least: usize,
    /// Makes the call through [`Cut::call`], and checks what is left of it.
    pub(crate) worlds: &'static [(Clock, World)],
}

/// The clock of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// That of the machine: for worlds with real sockets.
    Real,
    /// One that jumps to the next deadline when all wait.
    Paused,
}

/// When a call is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Right after its last poll.
    AtOnce,
    /// When it was woken after that.
    Woken,
}

/// Drops a call after so many polls.
pub(crate) struct Cut {
    polls: usize,
    moment: Moment,
    done: Cell<Option<bool>>,
}

impl Cut {
    /// The result of the call, unless it was dropped before.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        assert_eq!(self.done.get(), None, "one call for each run");
        let mut call = Box::pin(call);
        let mut polls = 0;
        let done = poll_fn(|context| {
            if polls == self.polls {
                return Poll::Ready(None);
            }
            polls += 1;
            match call.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if polls == self.polls && self.moment == Moment::AtOnce => {
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        drop(call);
        self.done.set(Some(done.is_some()));
        done
    }

    /// True if the call was never polled.
    pub(crate) fn is_unpolled(&self) -> bool {
        self.polls == 0
    }
}

/// Says which run it was, if that panics.
struct Report<'a>(&'a Call, usize, &'a Cut);

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(call, world, cut) = self;
            eprintln!(
                "{}: {}, world {world}, dropped after {} polls, {:?}",
                call.file, call.name, cut.polls, cut.moment
            );
        }
    }
}

/// Drops this call at every point in each of its worlds: at how many.
pub(crate) fn run(call: &Call) -> usize {
    let mut points = 0;
    for (number, (clock, world)) in call.worlds.iter().enumerate() {
        for moment in [Moment::AtOnce, Moment::Woken] {
            // Before its first poll there is nothing that could wake it.
            let mut polls = usize::from(moment == Moment::Woken);
            while !run_once(call, number, *clock, *world, polls, moment) {
                points += 1;
                polls += 1;
                assert!(polls < MOST_POLLS, "{} is never done", call.name);
            }
        }
    }
    points
}

/// True if the call was done before it would have been dropped.
fn run_once(
    call: &Call,
    number: usize,
    clock: Clock,
    world: World,
    polls: usize,
    moment: Moment,
) -> bool {
    let cut = Cut {
        polls,
        moment,
        done: Cell::new(None),
    };
    let _report = Report(call, number, &cut);
    runtime(clock).block_on(async {
        world(&cut).await;
        nothing_is_left().await;
    });
    cut.done.get().expect("the world makes the call")
}

fn runtime(clock: Clock) -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(clock == Clock::Paused)
        .build()
        .unwrap()
}

/// All is dropped now, so that all tasks end: their last deadlines are some seconds away.
async fn nothing_is_left() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let ended = async {
        while tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    assert!(ended.is_ok(), "{} tasks are left", tasks());
}

/// Ends a run that waits for something that does not come.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("it did not happen in a minute")
}

/// Lets all others go on as far as they can without time passing.
pub(crate) async fn breathe() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
