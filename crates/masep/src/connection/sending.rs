//! The future of a call that sends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use masep_proto::Frame;

use super::Connection;
use crate::SendError;

/// Waits for room.
type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// A call of [`Connection::send`].
///
/// Its own type, because a frame that is handed on from one `async fn` to another is moved each time, which
/// costs more than all else that is done for a small one.
#[must_use = "nothing is sent before this is awaited"]
pub struct Sending<'a> {
    pub(super) connection: &'a Connection,
    /// Until it is queued.
    pub(super) frame: Option<Frame>,
    pub(super) waiting: Option<Waiting<'a>>,
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            return waiting.as_mut().poll(context);
        }
        if let Err(error) = this.connection.push(&mut this.frame) {
            return this.poll_refused(error, context);
        }
        this.frame = None;
        Poll::Ready(Ok(()))
    }
}

impl Sending<'_> {
    /// Waits, if it is only room that there is not.
    #[cold]
    fn poll_refused(
        &mut self,
        error: SendError,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        match (error, self.frame.take()) {
            (SendError::Full(_), Some(frame)) => {
                let waiting = self.waiting.insert(self.connection.wait_for_room(frame));
                waiting.as_mut().poll(context)
            }
            (error, _) => Poll::Ready(Err(error)),
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

impl Connection {
    /// Queues a frame when there is room for it. In a box: those that need not wait, which are most, do not
    /// have to carry about what this one waits with.
    #[cold]
    pub(super) fn wait_for_room(&self, frame: Frame) -> Waiting<'_> {
        Box::pin(async {
            let pushed = self.shared.outbound.push(frame).await;
            pushed.map_err(|error| self.refused(error))
        })
    }
}
