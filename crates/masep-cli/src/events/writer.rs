//! The thread that writes standard output.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::{Events, Line, Turns};
use crate::error::Error;
use crate::output::Output;
use crate::stdout;

/// The time that standard output may take for the last lines when time is up.
const GRACE: Duration = Duration::from_secs(1);

/// Writes events to standard output, in a thread of its own because that may block.
#[derive(Debug)]
pub(crate) struct EventWriter {
    events: Events,
    hurry: watch::Sender<bool>,
    ended: oneshot::Receiver<Result<(), Error>>,
    reader_gone: watch::Receiver<bool>,
}

impl EventWriter {
    /// Starts to write, with the time of day in front of each event if they are `timed`. With `newest`,
    /// standard output is asked to hold little that its reader has not taken, for [`Events::wanted`].
    pub(crate) fn start(timed: bool, newest: bool) -> Result<Self, Error> {
        let (lines, receiver) = mpsc::unbounded_channel();
        let (hurry, hurried) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let wanted = Arc::new(Notify::new());
        let events = Events {
            lines,
            turns: Arc::new(Turns::default()),
            timed,
            wanted: wanted.clone(),
            hurry: hurried,
            dropped: Arc::new(AtomicBool::new(false)),
        };
        thread::Builder::new()
            .name("stdout".into())
            .spawn(move || {
                if newest {
                    stdout::hold_little();
                }
                // Nobody listens any more when the program is about to end.
                let _ = end.send(write(receiver, newest.then_some(&*wanted)));
            })
            .map_err(Error::Start)?;
        Ok(Self {
            events,
            hurry,
            ended,
            reader_gone: stdout::watch_reader().map_err(Error::Start)?,
        })
    }

    /// The events that this writes.
    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Waits for the end of standard output: somebody closed it, or it failed. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        tokio::select! {
            biased;
            ended = &mut self.ended => ended.unwrap_or(Ok(())),
            () = stdout::reader_is_gone(&mut self.reader_gone) => Err(Error::StdoutClosed),
        }
    }

    /// Writes all that was told, and ends. Events that are told after that are not written.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        // Fails when the thread has already ended, which is then the result.
        let _ = self.events.lines.send(None);
        self.ended().await
    }

    /// Does the work, which still tells events, then [`finish`](Self::finish)es; all within `time`
    /// and a short grace even if nobody reads. Gives the result of the work.
    pub(crate) async fn finish_after<T>(
        self,
        work: impl Future<Output = T>,
        time: Duration,
    ) -> Result<T, Error> {
        let events = self.events();
        let hurry = self.hurry.clone();
        let end = async {
            let done = work.await;
            self.finish().await.map(|()| done)
        };
        let time_is_up = async {
            sleep(time + GRACE).await;
            hurry.send_replace(true);
            sleep(GRACE).await;
        };
        let done = tokio::select! {
            biased;
            ended = end => ended?,
            () = time_is_up => return Err(Error::StdoutNotRead(time + GRACE)),
        };
        if events.dropped.load(Ordering::Relaxed) {
            return Err(Error::StdoutNotRead(time + GRACE));
        }
        Ok(done)
    }
}

/// Writes lines until `None` comes. Tells `wanted` whenever the reader wants one.
fn write(
    mut lines: mpsc::UnboundedReceiver<Option<Line>>,
    wanted: Option<&Notify>,
) -> Result<(), Error> {
    let mut output = Output::new(io::stdout().lock());
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                output.flush()?;
                if let Some(wanted) = wanted {
                    stdout::wait_for_reader();
                    wanted.notify_one();
                }
                lines.blocking_recv().flatten()
            }
        };
        match line {
            Some(line) => output.text(&line.text)?,
            None => return output.flush(),
        }
    }
}
