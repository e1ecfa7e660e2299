//! The stand-ins for what `masep::sync` takes from the standard library and from tokio.

mod blocking;
mod notify;
pub(crate) mod time;

use std::ops::Deref;

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
pub(crate) use shuttle::{thread, thread_local};

pub(crate) use blocking::{Condvar, poll, recv};
pub(crate) use notify::Notify;
pub(crate) use std::time::Instant;

/// As long after the first instant as time has passed.
pub(crate) fn now() -> Instant {
    time::Instant::now().into_std()
}

/// The standard library's, with a point in front of each use at which others may go on.
pub(crate) struct OnceLock<T> {
    point: atomic::AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            point: atomic::AtomicBool::new(false),
            value: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.point.load(atomic::Ordering::SeqCst);
        self.value.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.point.store(true, atomic::Ordering::SeqCst);
        self.value.set(value)
    }

    /// No point is within it: the value is one that was made before.
    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        self.point.store(true, atomic::Ordering::SeqCst);
        self.value.get_or_init(value)
    }
}

/// As tokio's `Mutex`, for those who only wait their turn: who came first has it first.
pub(crate) struct FairMutex<T> {
    turn: BatchSemaphore,
    value: T,
}

impl<T> FairMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            turn: BatchSemaphore::new(1, Fairness::StrictlyFair),
            value,
        }
    }

    pub(crate) async fn lock(&self) -> FairGuard<'_, T> {
        self.turn.acquire(1).await.expect("it is never closed");
        FairGuard(self)
    }
}

pub(crate) struct FairGuard<'a, T>(&'a FairMutex<T>);

impl<T> Deref for FairGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for FairGuard<'_, T> {
    fn drop(&mut self) {
        self.0.turn.release(1);
    }
}
