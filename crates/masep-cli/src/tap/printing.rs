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

/// The way in which a program goes on when the reader of its standard output is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenUnread {
    /// It ends, as at a signal: the lines are what it is for.
    End,
    /// It carries on without lines: others rely on what it carries.
    CarryOn,
}

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

    /// Prints what `carry` records, from the line on where it listens: until that ends, a signal comes, or standard output
    /// fails. Then `drain` ends what is still open, in its time, and the rest is printed. A second signal ends at once.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) async fn print_while<C: Future<Output = ()>>(
        self,
        (pings, unread): (bool, WhenUnread),
        listening: (Address, Option<String>),
        signals: &mut Signals,
        carry: impl FnOnce(Recorder) -> C,
        drain: impl Future<Output = Status>,
    ) -> Result<Status, Error> {
        let (recorder, entries) = Recorder::new();
        let mut printer = Printer::start(self.format(), (self.time, pings), listening, entries)?;
        let mut printed = None;
        {
            // With it go its recorders: the printer's input ends with the last of them.
            let mut carry = pin!(carry(recorder));
            loop {
                tokio::select! {
                    () = &mut carry => break,
                    _ = signals.next() => break,
                    ended = printer.ended(), if printed.is_none() => {
                        let is_unread = matches!(ended, Err(Error::StdoutClosed));
                        printed = Some(ended);
                        if !is_unread || unread == WhenUnread::End {
                            break;
                        }
                        tracing::warn!("standard output was closed: the proxy goes on without it");
                    }
                }
            }
        }
        let end = async {
            let status = drain.await;
            let printed = match printed {
                Some(printed) => printed,
                None => printer.finish().await,
            };
            match printed {
                Ok(()) | Err(Error::StdoutClosed) => Ok(status),
                Err(error) => Err(error),
            }
        };
        tokio::select! {
            ended = end => ended,
            status = signals.next() => Ok(status),
        }
    }
}
