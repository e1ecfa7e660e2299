//! Waits of Python threads: without the GIL, and in the main thread so that Ctrl-C ends them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use masep::blocking;
use pyo3::intern;
use pyo3::prelude::*;

use crate::exit::detach;
use crate::{errors, exit};

/// The time that a wait of the main thread may keep a signal waiting: Python handles signals in that
/// thread only, and only when it is asked to.
const SLICE: Duration = Duration::from_millis(50);

/// The number of forks between the process that loaded the module and this one. `masep._live` has it counted: to ask the
/// system for the number of the process would be a system call more for each call.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// To be called in a process that was forked.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    exit::forked();
    blocking::forked();
}

/// The process that made something: after a fork, the child has the memory of its parent, but not its
/// threads, and shares its sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    forks: u32,
    /// For people.
    id: u32,
}

impl Process {
    pub(crate) fn this() -> Self {
        Self {
            forks: FORKS.load(Ordering::Relaxed),
            id: std::process::id(),
        }
    }

    pub(crate) fn is_this(self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    pub(crate) fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_this() {
            return Ok(());
        }
        let text = format!(
            "this belongs to the process {}; a process that was forked from it makes its own",
            self.id
        );
        Err(errors::caller(py, text))
    }
}

/// True if Python handles signals in this thread.
fn handles_signals(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        // Of the process too: whichever thread forks is the main one of the child.
        static HANDLES: Cell<Option<(Process, bool)>> = const { Cell::new(None) };
    }
    if let Some((process, handles)) = HANDLES.get()
        && process.is_this()
    {
        return Ok(handles);
    }
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    let this = threading.call_method0(intern!(py, "get_ident"))?;
    let handles = main.getattr(intern!(py, "ident"))?.eq(this)?;
    HANDLES.set(Some((Process::this(), handles)));
    Ok(handles)
}

/// A time to wait at most. None for one that is more than anybody waits.
pub(crate) fn time(py: Python<'_>, seconds: f64) -> PyResult<Option<Duration>> {
    if seconds.is_nan() || seconds < 0.0 {
        let text = format!("a timeout is a number of seconds, 0 or more, not {seconds}");
        return Err(errors::caller(py, text));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// Checks that this is a timeout: a number of seconds, or none for ever.
#[pyfunction]
#[pyo3(signature = (timeout))]
pub(crate) fn check_timeout(py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
    timeout.map_or(Ok(()), |seconds| time(py, seconds).map(|_time| ()))
}

/// The instant at which a time in seconds is over; none for a time without an end.
pub(crate) fn deadline(py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    let time = time(py, seconds)?;
    Ok(time.and_then(|time| Instant::now().checked_add(time)))
}

/// Waits for something until the deadline: `attempt` waits for as long as it is told, or without an
/// end, and gives nothing if nothing came.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    until: Option<Instant>,
    attempt: impl Fn(Option<Duration>) -> Option<T> + Sync,
) -> PyResult<T> {
    if until.is_none() && !handles_signals(py)? {
        if let Some(found) = detach(py, || attempt(None)) {
            return Ok(found);
        }
        return Err(errors::timed_out(py));
    }
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        if let Some(found) = detach(py, || attempt(Some(slice))) {
            return Ok(found);
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= slice) {
            return Err(errors::timed_out(py));
        }
    }
}

/// Makes a call that cannot be made in slices. In the main thread another one makes it: when a
/// signal ends the wait, that call goes on to its end, and what comes of it is dropped.
pub(crate) fn call<T: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    if !handles_signals(py)? {
        return Ok(detach(py, call));
    }
    let (result, mut outcome) = mpsc::sync_channel(1);
    let started = thread::Builder::new()
        .name("masep-call".into())
        .spawn(move || {
            let _ = result.send(call());
        });
    started.map_err(|error| errors::transport(py, error.to_string(), "io"))?;
    loop {
        let outcome = &mut outcome;
        match detach(py, move || outcome.recv_timeout(SLICE)) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors::transport(py, "a call of masep panicked", "aborted"));
            }
        }
    }
}

/// A call that may wait.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// Makes calls at the same time, and waits for them until the deadline. When that or a signal ends the wait, they go on.
pub(crate) fn at_once(py: Python<'_>, calls: Vec<Call>, until: Option<Instant>) -> PyResult<()> {
    let (done, mut ended) = mpsc::channel::<()>();
    for call in calls {
        let done = done.clone();
        // Without a thread for it, what it ends is ended with the process.
        let _ = thread::Builder::new()
            .name("masep-call".into())
            .spawn(move || {
                call();
                drop(done);
            });
    }
    drop(done);
    loop {
        let left = until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        });
        let ended = &mut ended;
        // Nothing is sent: the last sender that is dropped ends the wait.
        match detach(py, move || ended.recv_timeout(left.min(SLICE))) {
            Err(RecvTimeoutError::Timeout) if left > SLICE => py.check_signals()?,
            _ => return Ok(()),
        }
    }
}

/// As [`call`], for no longer than so many seconds, if that is given.
pub(crate) fn call_for<T: Send + 'static>(
    py: Python<'_>,
    seconds: Option<f64>,
    made: impl FnOnce() -> T + Send + 'static,
) -> PyResult<()> {
    match deadline(py, seconds)? {
        None => call(py, made).map(drop),
        until => at_once(py, vec![Box::new(move || drop(made()))], until),
    }
}

/// Drops something whose end may take a moment, without the GIL. In a process that was forked, the
/// end is the parent's: nothing is done then.
pub(crate) fn release<T: Send>(process: Process, owned: T) {
    if !process.is_this() {
        std::mem::forget(owned);
        return;
    }
    let mut owned = Some(owned);
    Python::try_attach(|py| {
        let owned = owned.take();
        detach(py, || drop(owned));
    });
    // Without an interpreter there is no GIL either.
    drop(owned);
}
