//! The async runtime of the verbs that talk to the network.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::Error;

/// The time that connections that are still open at the end may take to say `BYE`, and the system to
/// resolve a name that nobody waits for any more.
const END_TIME: Duration = Duration::from_secs(1);
/// Threads beside those of the runtime: one each for standard input, standard output, the watch over
/// its reader, and a name that is resolved.
const OTHER_THREADS: usize = 4;
/// Descriptors that a verb needs before it has a connection, and one for that.
const DESCRIPTORS: usize = 8;

/// The stack of a thread that reads or writes values as JSON, which recurses: what is nested as deep
/// as a message can be takes 1.5 MiB of it where nothing is optimised. The system gives what is used.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// Runs a verb on every core, or on fewer where the process may not have as many threads.
///
/// # Errors
/// The error of the verb, or the lack of something that the process needs to start it.
pub(crate) fn block_on<T>(verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = start().map_err(Error::Start)?;
    let result = runtime.block_on(verb);
    runtime.shutdown_timeout(END_TIME);
    result
}

/// The runtime, if the process has all that its parts need. They would panic, or wait for ever, for what
/// they do not get.
fn start() -> io::Result<tokio::runtime::Runtime> {
    check_descriptors()?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = count_threads(cores + OTHER_THREADS)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads - OTHER_THREADS)
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
}

/// Opens as many files as there will be descriptors, and closes them.
fn check_descriptors() -> io::Result<()> {
    if cfg!(unix) {
        let open = (0..DESCRIPTORS).map(|_| std::fs::File::open("/dev/null"));
        let opened: io::Result<Vec<_>> = open.collect();
        if let Err(error) = opened
            && error.kind() != io::ErrorKind::NotFound
        {
            let message = format!("too few file descriptors (ulimit -n): {error}");
            return Err(io::Error::new(error.kind(), message));
        }
    }
    Ok(())
}

/// The number of threads that can be had at the same time, at most as many as are wanted.
fn count_threads(wanted: usize) -> io::Result<usize> {
    let mut threads: Vec<(mpsc::Sender<()>, JoinHandle<()>)> = Vec::new();
    let mut refused = None;
    while threads.len() < wanted {
        let (end, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("probe".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // An error: the sender is gone.
                let _ = ended.recv();
            });
        match thread {
            Ok(thread) => threads.push((end, thread)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let count = threads.len();
    for (end, thread) in threads {
        drop(end);
        let _ = thread.join();
    }
    match refused {
        Some(error) if count <= OTHER_THREADS => {
            let needed = OTHER_THREADS + 1;
            let message = format!(
                "the process may have {count} threads more, needs {needed} (ulimit -u): {error}"
            );
            Err(io::Error::new(error.kind(), message))
        }
        _ => Ok(count),
    }
}
