//! The end of the interpreter, for the threads that call masep meanwhile.
//!
//! CPython ends a thread that wants the GIL when the interpreter is being finalized; up to 3.13 by `pthread_exit`, wherever the
//! thread is. That must not unwind frames of Rust: the process would be aborted. So a thread that comes back from a wait, or
//! makes an exception of masep's, waits for the end of the process before it wants the GIL, once the interpreter's last hook has run
//! ([`begin_exit`]). Threads that want it at that moment are waited for.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that knows of the interpreter's end"
)]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The longest wait for the end of the process. The hook of somebody else may be waiting for this thread.
const REST: Duration = Duration::from_secs(10);
/// The longest wait of the interpreter's end for threads that want the GIL, and for functions of the host that run: one may wait
/// for a person. Then the time from look to look.
const MOST: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

static IS_ENDING: AtomicBool = AtomicBool::new(false);
/// The threads that have frames of Rust and want the GIL, or may do so.
static WANTING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread ends the interpreter.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// This thread may want the GIL.
struct Wanting(());

impl Wanting {
    /// `None` if the interpreter is ending.
    fn new() -> Option<Self> {
        WANTING.fetch_add(1, Ordering::SeqCst);
        let this = Self(());
        let may = !IS_ENDING.load(Ordering::SeqCst) || ENDS.with(Cell::get);
        may.then_some(this)
    }

    /// Waits for the end of the process if the interpreter is ending. Without the GIL.
    fn wait() -> Self {
        Self::new().unwrap_or_else(|| {
            thread::sleep(REST);
            WANTING.fetch_add(1, Ordering::SeqCst);
            Self(())
        })
    }
}

impl Drop for Wanting {
    fn drop(&mut self) {
        WANTING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes a call without the GIL, for which the interpreter's end need not wait.
pub(crate) fn detach<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    let (result, _wanting) = py.detach(|| {
        let result = call();
        (result, Wanting::wait())
    });
    result
}

/// Makes a call that has Python run, in which the GIL may change hands.
pub(crate) fn running<T>(py: Python<'_>, call: impl FnOnce() -> T) -> T {
    let _wanting = Wanting::new().unwrap_or_else(|| py.detach(Wanting::wait));
    call()
}

/// Makes a call with the GIL, in a thread that may be without it.
pub(crate) fn attach<T>(call: impl FnOnce(Python<'_>) -> T) -> T {
    let _wanting = Wanting::wait();
    Python::attach(call)
}

/// From here on other threads wait for the end of the process before they want the GIL. To be called by the last hook of the
/// interpreter that uses masep, in the thread that ends it.
#[pyfunction]
pub(crate) fn begin_exit(py: Python<'_>) {
    ENDS.set(true);
    IS_ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let start = Instant::now();
        while WANTING.load(Ordering::SeqCst) > 0 && start.elapsed() < MOST {
            thread::sleep(LOOK);
        }
    });
}

/// To be called in a process that was forked: its parent's threads are not there, and its interpreter goes on.
pub(crate) fn forked() {
    IS_ENDING.store(false, Ordering::SeqCst);
    WANTING.store(0, Ordering::SeqCst);
    ENDS.set(false);
}
