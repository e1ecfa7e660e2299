//! What ends a verb before it is done.

use std::io;

/// Why a verb could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Whoever read standard output is gone: an end, but nobody's fault.
    #[error("standard output was closed")]
    StdoutClosed,
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Stdin(#[source] io::Error),
    /// The demo's game did not come to its end.
    #[error(transparent)]
    Demo(#[from] crate::demo::DemoError),
}

impl Error {
    /// The error of a write to standard output.
    pub(crate) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::StdoutClosed,
            _ => Self::Stdout(error),
        }
    }
}
