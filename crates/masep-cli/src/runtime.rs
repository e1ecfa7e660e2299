//! The async runtime of the verbs that talk to the network.

use std::future::Future;
use std::time::Duration;

use crate::error::Error;

/// How long connections that are still open at the end may take to say `BYE`, and the system to
/// resolve a name that nobody waits for any more.
const END_TIME: Duration = Duration::from_secs(1);

/// The stack of a thread that reads or writes values as JSON, which recurses: what is nested as deep
/// as a message can be takes 1.5 MiB of it where nothing is optimised. The system gives what is used.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// Runs a verb on every core.
pub(crate) fn block_on<T>(verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(Error::Start)?;
    let result = runtime.block_on(verb);
    runtime.shutdown_timeout(END_TIME);
    result
}
