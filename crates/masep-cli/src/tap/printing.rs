//! The run of a program that prints what goes through it: `masep tap` and `masep proxy`.
//!
//! Each takes connections in its own way. `tap` takes streams before a byte is read, since all goes through as it is, also what
//! is no hello; `proxy` takes clients of a server, which have said hello, and decides about them.

use std::future::Future;
use std::pin::pin;

use clap::Args;
use masep::Address;

use super::printer::{Format, Printer};
use super::recorder::Recorder;
use crate::error::Error;
use crate::signals::Signals;
use crate::status::Status;

/// The options for the lines that are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PrintOptions {
    /// Objects of JSON instead of lines of text
    #[arg(long)]
    json: bool,

    /// Put the time of day in front of each line: in UTC, as RFC 3339 has it; with --json as "time"
    #[arg(long)]
    time: bool,

    /// Show long messages whole, and arrays with their bytes
    #[arg(long)]
    full: bool,
}

impl PrintOptions {
    const fn format(self) -> Format {
        match (self.json, self.full) {
            (true, false) => Format::Json,
            (true, true) => Format::FullJson,
            (false, true) => Format::FullText,
            (false, false) => Format::Text,
        }
    }

    /// Prints what `carry` records, from the line on where it listens: until that ends, a signal comes, or nobody reads any
    /// more. Then `drain` ends what is still open, in its time, and the rest is printed. A second signal ends at once.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) async fn print_while<C: Future<Output = ()>>(
        self,
        pings: bool,
        listening: Address,
        signals: &mut Signals,
        carry: impl FnOnce(Recorder) -> C,
        drain: impl Future<Output = Status>,
    ) -> Result<Status, Error> {
        let (recorder, entries) = Recorder::new();
        let mut printer = Printer::start(self.format(), (self.time, pings), listening, entries)?;
        {
            // With it go its recorders: the printer's input ends with the last of them.
            let mut carry = pin!(carry(recorder));
            tokio::select! {
                () = &mut carry => {}
                _ = signals.next() => {}
                ended = printer.ended() => return ended.map(|()| Status::Done),
            }
        }
        let end = async {
            let status = drain.await;
            printer.finish().await.map(|()| status)
        };
        tokio::select! {
            ended = end => ended,
            status = signals.next() => Ok(status),
        }
    }
}
