//! Calls that send.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use masep_proto::connection::{PushError, Pushed};
use masep_proto::{Frame, Pieces};

use super::Connection;
use super::lock::Locked;
use super::shared::{Shared, now};
use crate::{SendError, WhenFull};

/// A call of [`Connection::send`].
///
/// Its own type, because a frame that is handed on from one `async fn` to another is moved each time, which
/// costs more than all else that is done for a small one.
#[must_use = "nothing is sent before this is awaited"]
pub struct Sending<'a> {
    pub(super) connection: &'a Connection,
    /// Until it is queued.
    pub(super) frame: Option<Frame>,
    /// The same in pieces, in place of the frame.
    pub(super) pieces: Option<Box<Pieces>>,
    /// The place among those that wait for room.
    pub(super) key: Option<u64>,
}

impl<'a> Sending<'a> {
    pub(super) const fn new(connection: &'a Connection, frame: Frame) -> Self {
        Self {
            connection,
            frame: Some(frame),
            pieces: None,
            key: None,
        }
    }

    /// A call that sends a message as it was encoded.
    pub(super) fn encoded(connection: &'a Connection, encoded: Result<Pieces, Frame>) -> Self {
        match encoded {
            Ok(pieces) => Self {
                connection,
                frame: None,
                pieces: Some(Box::new(pieces)),
                key: None,
            },
            Err(frame) => Self::new(connection, frame),
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    // In line, so that there is no result of the short way, which would be moved by the size of its error.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.send_plainly(context) {
            return Poll::Ready(Ok(()));
        }
        this.send_otherwise(context)
            .map(|sent| sent.map_err(|error| *error))
    }
}

impl Sending<'_> {
    /// True if the frame was sent, which is short work. False without a change where it is not.
    fn send_plainly(&mut self, context: &mut Context<'_>) -> bool {
        let shared = &*self.connection.shared;
        let mut locked = shared.lock();
        if self.key.is_some() || !locked.senders.is_empty() {
            locked.release();
            return false;
        }
        let time = locked.last_time;
        let single = match self.pieces {
            None => locked.core.send_single(&mut self.frame, time),
            Some(_) => locked.core.send_single_pieces(&mut self.pieces, time),
        };
        if let Some(transmit) = single {
            shared.write_out(locked, transmit).let_go();
            return true;
        }
        if locked.core.sends_by_time() {
            locked.last_time = now();
        }
        let time = locked.last_time;
        let Some(pushed) = locked.core.send_plainly(&mut self.frame, time) else {
            locked.release();
            return false;
        };
        if pushed == Pushed::Queued {
            // Others write, or are about to.
            locked.release();
        } else {
            shared.see_to_in_turn(locked, pushed, context);
        }
        self.frame = None;
        true
    }

    #[inline(never)]
    fn send_otherwise(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Box<SendError>>> {
        let mut locked = self.connection.shared.lock();
        let is_next = match self.key {
            Some(key) => locked.senders.is_first(key),
            None => locked.senders.is_empty(),
        };
        if !is_next && !locked.core.is_ending() {
            // Calls that came first go first. An end is told to all.
            return self.wait(&mut locked, context);
        }
        locked.last_time = now();
        let time = locked.last_time;
        let pushed = match self.pieces {
            None => locked.core.send(&mut self.frame, WhenFull::Wait, time),
            Some(_) => (locked.core).send_pieces(&mut self.pieces, WhenFull::Wait, time),
        };
        if let Err(PushError::Full(_)) = pushed {
            return self.wait(&mut locked, context);
        }
        if let Some(key) = self.key.take() {
            let next = locked.senders.leave(key);
            locked.wake(next);
        }
        self.frame = None;
        Poll::Ready(match pushed {
            Ok(pushed) => {
                let shared = &*self.connection.shared;
                shared.see_to_in_turn(locked, pushed, context);
                Ok(())
            }
            Err(error) => Err(Box::new(error.into())),
        })
    }

    /// Gives up its place.
    #[cold]
    fn leave(&self, key: u64) {
        let mut locked = self.connection.shared.lock();
        let next = locked.senders.leave(key);
        locked.wake(next);
    }

    /// Waits for room, behind the calls that came first.
    fn wait(
        &mut self,
        locked: &mut Locked<'_>,
        context: &Context<'_>,
    ) -> Poll<Result<(), Box<SendError>>> {
        let key = *self.key.get_or_insert_with(|| locked.senders.join());
        locked.senders.set_waker(key, context);
        Poll::Pending
    }
}

/// False if others on this thread have their turn. The queue is not written then, and its bound stops the sender.
fn may_go_on(context: &mut Context<'_>) -> bool {
    let mut turn = pin!(tokio::task::consume_budget());
    turn.as_mut().poll(context).is_ready()
}

impl Drop for Sending<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.leave(key);
        }
    }
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("connection", &self.connection.id())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Queues the frame that there is, or a copy of it, by a policy; `writes` if this call may write it.
    #[inline]
    pub(super) fn push(
        &self,
        frame: &mut Option<Frame>,
        when_full: WhenFull,
        writes: bool,
        time: Instant,
    ) -> Result<(), SendError> {
        let mut locked = self.lock();
        locked.last_time = time;
        match locked.core.send(frame, when_full, time) {
            Ok(Pushed::WriteNow) if !writes => {
                self.see_to(locked, Pushed::WakeWriter);
                Ok(())
            }
            Ok(pushed) => {
                self.see_to(locked, pushed);
                Ok(())
            }
            Err(error) => {
                if when_full == WhenFull::Disconnect && matches!(error, PushError::Full(_)) {
                    self.set_aborted();
                    locked.wake_task();
                }
                Err(error.into())
            }
        }
    }

    /// As [`see_to`](Self::see_to), but leaves a write in the middle of many to the task when others have their turn.
    #[inline]
    fn see_to_in_turn<'a>(&'a self, locked: Locked<'a>, pushed: Pushed, context: &mut Context<'_>) {
        let is_late = pushed == Pushed::WriteNow && locked.core.is_burst() && !may_go_on(context);
        self.see_to(locked, if is_late { Pushed::WakeWriter } else { pushed });
    }

    /// Writes a frame that was queued, if that is this call's to do.
    #[inline]
    fn see_to<'a>(&'a self, mut locked: Locked<'a>, pushed: Pushed) {
        match pushed {
            Pushed::WriteNow => drop(self.write(locked)),
            // It may be the end.
            Pushed::WakeWriter if locked.core.is_ending() => locked.wake_task(),
            Pushed::WakeWriter => {
                let task = locked.task.wake();
                locked.release();
                task.into_iter().for_each(Waker::wake);
            }
            // Others write, or are about to.
            Pushed::Queued => locked.release(),
        }
    }
}
