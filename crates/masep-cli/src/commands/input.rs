//! The lines of standard input, as a verb takes them.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::{Command, Form};
use crate::error::Error;
use crate::failure::Failure;
use crate::lines::{self, LineReader, MAX_LINE_BYTES};
use crate::runtime::STACK_BYTES;

/// Lines that are read ahead. Each holds at most one frame.
const READ_AHEAD: usize = 64;

/// A line of standard input.
#[derive(Debug)]
pub(crate) struct Line<C = Command> {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) command: Result<C, Failure>,
}

/// The lines of standard input, which a thread of its own reads because that blocks.
pub(crate) struct Input<C = Command> {
    lines: mpsc::Receiver<Line<C>>,
    /// True if the end of the input ends the lines.
    ends_with_stdin: bool,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    /// Lines that are still given after the stop.
    left: Option<usize>,
    /// True if the line that was given last may not be done.
    in_hand: bool,
    undone: Arc<AtomicUsize>,
}

impl Input {
    /// Starts to read. Messages without `src_sub_app` are from `sender`. An input that cannot be read ends
    /// with an error as its last line.
    pub(crate) fn start(sender: String, form: Form, ends_with_stdin: bool) -> Result<Self, Error> {
        let parse = move |line: &[u8]| Command::parse(line, &sender, form);
        Self::start_with(parse, ends_with_stdin)
    }
}

impl<C: Send + 'static> Input<C> {
    /// As [`start`](Input::start), with commands of another form.
    pub(crate) fn start_with(
        parse: impl Fn(&[u8]) -> Result<C, Failure> + Send + 'static,
        ends_with_stdin: bool,
    ) -> Result<Self, Error> {
        let (sender_of_lines, lines) = mpsc::channel(READ_AHEAD);
        thread::Builder::new()
            .name("stdin".into())
            .stack_size(STACK_BYTES)
            .spawn(move || read_lines(io::stdin().lock(), parse, &sender_of_lines))
            .map_err(Error::Start)?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            lines,
            ends_with_stdin,
            stop,
            stopped,
            left: None,
            in_hand: false,
            undone: Arc::default(),
        })
    }

    /// The means to end the lines, for one who does not have them any more.
    pub(crate) fn ending(&self) -> Ending {
        Ending {
            stop: self.stop.clone(),
            undone: self.undone.clone(),
        }
    }

    /// The next line; `None` when it was told to stop and has given all that was read before, and when the
    /// input has ended, if that ends the lines. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Line<C>> {
        self.in_hand = false;
        while self.left.is_none() {
            let has_ended = self.lines.is_closed() && self.lines.is_empty();
            if has_ended && self.ends_with_stdin {
                return None;
            }
            tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stopped| *stopped) => self.left = Some(self.lines.len()),
                line = self.lines.recv(), if !has_ended => {
                    if line.is_some() {
                        self.in_hand = true;
                        return line;
                    }
                }
            }
        }
        let left = self.left.as_mut()?;
        *left = left.checked_sub(1)?;
        let line = self.lines.try_recv().ok();
        self.in_hand = line.is_some();
        line
    }
}

/// The end of the lines of an [`Input`].
pub(crate) struct Ending {
    stop: watch::Sender<bool>,
    /// The number of lines that had been read and were not done when the input was dropped: the one that was being done, and
    /// those behind it.
    undone: Arc<AtomicUsize>,
}

impl Ending {
    /// Has only the lines that have been read by now be done, by `doing`, which has the input, until the deadline. The number
    /// of those that were not.
    pub(crate) async fn finish(self, doing: impl Future<Output = ()>, deadline: Instant) -> usize {
        self.stop.send_replace(true);
        let done = timeout_at(deadline, doing).await;
        match done {
            Ok(()) => 0,
            Err(_elapsed) => self.undone.load(Ordering::Relaxed),
        }
    }
}

impl<C> Drop for Input<C> {
    fn drop(&mut self) {
        let waiting = self.left.unwrap_or(self.lines.len());
        let undone = waiting + usize::from(self.in_hand);
        self.undone.store(undone, Ordering::Relaxed);
    }
}

fn read_lines<C>(
    input: impl Read,
    parse: impl Fn(&[u8]) -> Result<C, Failure>,
    lines: &mpsc::Sender<Line<C>>,
) {
    let mut input = LineReader::new(input, MAX_LINE_BYTES);
    for number in 1.. {
        let command = match input.next(|| Ok(())) {
            Ok(None) => return,
            Ok(Some(lines::Line::Whole(line))) => parse(line),
            Ok(Some(lines::Line::TooLong(length))) => Err(lines::too_long(length)),
            Err(error) => {
                let command = Err(Failure::new("stdin", error.to_string()));
                let _ = lines.blocking_send(Line { number, command });
                return;
            }
        };
        if lines.blocking_send(Line { number, command }).is_err() {
            return;
        }
    }
}
