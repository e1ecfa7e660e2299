//! The end of `masep serve`: its reason, and what is still done then.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::commands::Ending;
use crate::error::Error;
use crate::events::EventWriter;
use crate::signals::Signals;
use crate::status::Status;

/// The reason why a server stops.
enum Stop {
    /// A signal came.
    Signal,
    /// A line asked for it, or the end of all lines.
    Line,
    /// Nobody can hear its events any more.
    Output(Result<(), Error>),
}

/// The things that end a server.
pub(super) struct Stopping {
    pub(super) signals: Signals,
    pub(super) writer: EventWriter,
    pub(super) ending: Ending,
    pub(super) drain_time: Duration,
}

impl Stopping {
    /// Has the lines done until there is a reason to stop, and then `drain`, which gets the number of lines that were read and are
    /// not done, and the time by which it is to have ended. A second signal ends all at once.
    pub(super) async fn run<F: Future<Output = Status>>(
        mut self,
        lines: impl Future<Output = ()>,
        drain: impl FnOnce(usize, Instant) -> F,
    ) -> Result<Status, Error> {
        let mut lines = Box::pin(lines);
        let stop = tokio::select! {
            _ = self.signals.next() => Stop::Signal,
            () = &mut lines => Stop::Line,
            ended = self.writer.ended() => Stop::Output(ended),
        };
        let by_signal = matches!(stop, Stop::Signal);
        let deadline = Instant::now() + self.drain_time;
        let ending = self.ending;
        let drain = async {
            let undone = if by_signal {
                ending.finish(lines, deadline).await
            } else {
                drop(lines);
                0
            };
            drain(undone, deadline).await
        };
        let end = async {
            match stop {
                Stop::Signal | Stop::Line => self.writer.finish_after(drain, self.drain_time).await,
                Stop::Output(ended) => match (drain.await, ended) {
                    // Nobody wants to hear more, but not all was sent.
                    (status, Err(Error::StdoutClosed)) if status != Status::Done => Ok(status),
                    (status, ended) => ended.map(|()| status),
                },
            }
        };
        tokio::select! {
            ended = end => ended,
            status = self.signals.next() => Ok(status),
        }
    }
}
