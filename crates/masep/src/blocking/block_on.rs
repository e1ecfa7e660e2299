//! Waiting for what is no socket, and is the same in both shells: a queue, the door, the resolution of a name.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::thread::{self, Thread};
use crate::sync::{self, Instant};

/// Waits in this thread for a future that needs no runtime. `None` if it is not done at the deadline; the
/// future is dropped then.
pub(super) fn block_on<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match until {
            None => thread::park(),
            Some(until) if until <= sync::now() => return None,
            Some(until) => {
                thread::park_timeout(until.saturating_duration_since(sync::now()));
            }
        }
    }
}
