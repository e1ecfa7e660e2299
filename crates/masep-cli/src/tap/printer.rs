//! Prints what goes through the proxy.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use masep::Address;
use masep_proto::protocol2::kind;
use serde::Serialize;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::entry::{Entry, What};
use super::recorder::Entries;
use super::{json, text};
use crate::clock;
use crate::error::Error;
use crate::output::{Output, json_line};
use crate::runtime::STACK_BYTES;
use crate::stdout;

/// The time that the reader of standard output may take for one line when ending.
const PATIENCE: Duration = Duration::from_secs(1);

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line of text, long messages shortened.
    Text,
    /// A line of text.
    FullText,
    /// An object of JSON a line, arrays as what they are.
    Json,
    /// An object of JSON a line, arrays with their bytes.
    FullJson,
}

/// Prints in a thread of its own, because standard output may block.
#[derive(Debug)]
pub(crate) struct Printer {
    ended: oneshot::Receiver<Result<(), Error>>,
    /// The number of entries that were printed.
    printed: Arc<AtomicU64>,
    reader_gone: watch::Receiver<bool>,
}

impl Printer {
    /// Starts to print: first where the proxy listens.
    pub(crate) fn start(
        format: Format,
        (timed, pings): (bool, bool),
        listening: (Address, Option<String>),
        entries: Entries,
    ) -> Result<Self, Error> {
        let (end, ended) = oneshot::channel();
        let printed = Arc::new(AtomicU64::new(0));
        let progress = printed.clone();
        thread::Builder::new()
            .name("stdout".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let mut print = Print {
                    format,
                    timed,
                    pings,
                    output: Output::new(io::stdout().lock()),
                    printed: progress,
                };
                let result = print
                    .listening(listening)
                    .and_then(|()| print.entries(entries));
                // Nobody listens any more when the program is about to end.
                let _ = end.send(result);
            })
            .map_err(Error::Start)?;
        Ok(Self {
            ended,
            printed,
            reader_gone: stdout::watch_reader().map_err(Error::Start)?,
        })
    }

    /// Waits until all is printed and no more can come, or standard output fails. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        tokio::select! {
            biased;
            ended = &mut self.ended => ended.unwrap_or(Ok(())),
            () = stdout::reader_is_gone(&mut self.reader_gone) => Err(Error::StdoutClosed),
        }
    }

    /// As [`ended`](Self::ended), but gives up when nobody reads. To be called when no more can come.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        loop {
            let before = self.printed.load(Ordering::Relaxed);
            if let Ok(ended) = timeout(PATIENCE, self.ended()).await {
                return ended;
            }
            if self.printed.load(Ordering::Relaxed) == before {
                tracing::warn!("standard output is not read: the last lines are lost");
                return Ok(());
            }
        }
    }
}

struct Print<W: Write> {
    format: Format,
    /// True if each line has the time of day in front.
    timed: bool,
    /// True if pings are shown.
    pings: bool,
    output: Output<W>,
    printed: Arc<AtomicU64>,
}

impl<W: Write> Print<W> {
    fn listening(&mut self, listening: (Address, Option<String>)) -> Result<(), Error> {
        match self.format {
            Format::Json | Format::FullJson => {
                self.json(SystemTime::now(), &json::Listening::on(listening))
            }
            _ => self.text(SystemTime::now(), &format!("listening on {}", listening.0)),
        }
    }

    fn json(&mut self, at: SystemTime, value: &impl Serialize) -> Result<(), Error> {
        let line = json_line(value).map_err(Error::Stdout)?;
        let at = self.timed.then_some(at);
        self.output.text(&clock::with_time(at, line))
    }

    fn text(&mut self, at: SystemTime, line: &str) -> Result<(), Error> {
        if self.timed {
            return self.output.text(&format!("{} {line}", clock::rfc_3339(at)));
        }
        self.output.text(line)
    }

    /// Prints until there is no more; what is printed is flushed before each wait.
    fn entries(&mut self, mut entries: Entries) -> Result<(), Error> {
        loop {
            let queued = match entries.queue.try_recv() {
                Ok(queued) => Some(queued),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.skipped(entries.skipped())?;
                    self.output.flush()?;
                    entries.queue.blocking_recv()
                }
            };
            let Some(queued) = queued else {
                self.skipped(entries.skipped())?;
                return self.output.flush();
            };
            self.skipped(queued.entry.skipped)?;
            self.entry(&queued.entry)?;
            self.printed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        if !self.pings && matches!(entry.what, What::Frame2(kind::PING | kind::PONG, ..)) {
            return Ok(());
        }
        match self.format {
            Format::Json => self.json(entry.at, &json::Line::of(entry, false)),
            Format::FullJson => self.json(entry.at, &json::Line::of(entry, true)),
            Format::FullText => self.text(entry.at, &text::line(entry, usize::MAX)),
            Format::Text => self.text(entry.at, &text::line(entry, text::SHORT)),
        }
    }

    /// Says that lines are missing here.
    fn skipped(&mut self, lines: u64) -> Result<(), Error> {
        let now = SystemTime::now();
        match (lines, self.format) {
            (0, _) => Ok(()),
            (_, Format::Json | Format::FullJson) => self.json(now, &json::Skipped::of(lines)),
            _ => {
                let line = format!("({lines} lines skipped: standard output is too slow)");
                self.text(now, &line)
            }
        }
    }
}
