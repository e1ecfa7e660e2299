//! Calls that send.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use masep_proto::Frame;
use masep_proto::connection::{PushError, Pushed};

use super::Connection;
use super::shared::{By, Locked, Shared, now};
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
    /// The place among those that wait for room.
    pub(super) key: Option<u64>,
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = &*this.connection.shared;
        let mut locked = shared.lock(By::Other);
        if locked.core.sends_by_time() {
            locked.last_time = now();
        }
        let time = locked.last_time;
        let is_next = match this.key {
            Some(key) => locked.senders.is_first(key),
            None => locked.senders.is_empty(),
        };
        let pushed = if is_next || locked.core.is_ending() {
            locked.core.send(&mut this.frame, WhenFull::Wait, time)
        } else {
            // Calls that came first go first. An end is told to all.
            let key = *this.key.get_or_insert_with(|| locked.senders.join());
            locked.senders.set_waker(key, context);
            return Poll::Pending;
        };
        if pushed == Ok(Pushed::Queued) && this.key.is_none() {
            // Others write, or are about to.
            locked.release();
            this.frame = None;
            return Poll::Ready(Ok(()));
        }
        if let Err(PushError::Full(_)) = pushed {
            let key = *this.key.get_or_insert_with(|| locked.senders.join());
            locked.senders.set_waker(key, context);
            return Poll::Pending;
        }
        if let Some(key) = this.key.take() {
            let next = locked.senders.leave(key);
            locked.wake_next(next);
        }
        this.frame = None;
        Poll::Ready(match pushed {
            Ok(pushed) => {
                shared.see_to(locked, pushed);
                Ok(())
            }
            Err(error) => Err(error.into()),
        })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut locked = self.connection.shared.lock(By::Other);
            let next = locked.senders.leave(key);
            locked.wake_next(next);
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
        let mut locked = self.lock(By::Other);
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
                    self.set_aborted(&mut locked);
                    locked.wake_keeper();
                }
                Err(error.into())
            }
        }
    }

    /// Writes a frame that was queued, if that is this call's to do.
    #[inline]
    fn see_to<'a>(&'a self, mut locked: Locked<'a>, pushed: Pushed) {
        match pushed {
            Pushed::WriteNow => drop(self.write(locked)),
            // It may be the end.
            Pushed::WakeWriter if locked.core.is_ending() => locked.wake_keeper(),
            Pushed::WakeWriter => {
                let keeper = locked.keeper.wake();
                locked.release();
                keeper.into_iter().for_each(Waker::wake);
            }
            // Others write, or are about to.
            Pushed::Queued => locked.release(),
        }
    }
}
