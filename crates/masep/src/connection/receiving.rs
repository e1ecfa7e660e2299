//! Calls that receive. The first of those that wait reads the stream itself, which is the shortest way for a
//! frame; the others wait for their turn.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use masep_proto::Frame;
use masep_proto::connection::Want;

use super::lock::Locked;
use super::shared::{Delivery, Shared};
use super::transfer::Reading;

/// One call. Its place among those that wait is given up when it is dropped.
pub(super) struct Receiving<'a> {
    shared: &'a Shared,
    key: Option<u64>,
}

impl<'a> Receiving<'a> {
    pub(super) const fn new(shared: &'a Shared) -> Self {
        Self { shared, key: None }
    }

    /// Looks for a frame, or the end, without letting the thread sleep.
    pub(super) async fn spin(&mut self) -> Option<Option<Frame>> {
        let busy_poll = self.shared.busy_poll;
        let start = Instant::now();
        while start.elapsed() < busy_poll {
            let poll = |context: &mut Context<'_>| Poll::Ready(self.poll_apart(context, true));
            if let Poll::Ready(received) = std::future::poll_fn(poll).await {
                return Some(received);
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// [`poll`](Self::poll), for those who do not call it for each frame.
    #[inline(never)]
    fn poll_apart(&mut self, context: &mut Context<'_>, spins: bool) -> Poll<Option<Frame>> {
        self.poll(context, spins)
    }

    /// `spins`: looks for bytes also where none are known to have arrived.
    #[inline(always)]
    pub(super) fn poll(&mut self, context: &mut Context<'_>, spins: bool) -> Poll<Option<Frame>> {
        let mut locked = self.shared.lock();
        locked.receive_calls = locked.receive_calls.wrapping_add(1);
        if self.shared.delivery == Delivery::Handler {
            return self.poll_end(&mut locked, context);
        }
        if !locked.batch.is_empty()
            && locked.receivers.is_empty()
            && let Some(frame) = locked.batch.next()
        {
            locked.release();
            return Poll::Ready(Some(frame));
        }
        let (mut has_spun, mut has_looked) = (false, false);
        loop {
            if let Some(frame) = locked.next_frame() {
                self.leave(&mut locked);
                // Others are not told of frames that a call has seen.
                if !locked.batch.is_empty() || locked.core.frames() > 0 {
                    let first = locked.receivers.wake_first();
                    locked.wake(first);
                }
                locked.let_go();
                return Poll::Ready(Some(frame));
            }
            if locked.core.is_settled() {
                self.leave(&mut locked);
                return Poll::Ready(None);
            }
            let is_woken = self.key.is_some() && !has_looked;
            has_looked = true;
            let key = *self.key.get_or_insert_with(|| locked.receivers.join());
            let reads = self.shared.calls_read()
                && !locked.core.is_ending()
                && locked.receivers.is_first(key);
            if !reads {
                locked.receivers.set_waker(key, context);
                return Poll::Pending;
            }
            locked.task.reads = false;
            locked.wakes_receiver = true;
            let want = locked.core.wants_read();
            let readable = if is_woken && want == Want::Ready {
                Poll::Ready(Reading::Woken)
            } else {
                poll_readable(&mut locked, want, context)
            };
            let way = match readable {
                Poll::Ready(way) => way,
                Poll::Pending if spins && !has_spun => Reading::Spinning,
                Poll::Pending => {
                    locked.receivers.set_waker(key, context);
                    locked.let_go();
                    return Poll::Pending;
                }
            };
            has_spun = way == Reading::Spinning;
            locked = self.shared.read(locked, way);
            locked.core.forget_frames();
        }
    }

    /// With a handler the frames go there.
    fn poll_end(&mut self, locked: &mut Locked<'_>, context: &Context<'_>) -> Poll<Option<Frame>> {
        if locked.core.is_settled() {
            self.leave(locked);
            return Poll::Ready(None);
        }
        let key = *self.key.get_or_insert_with(|| locked.receivers.join());
        locked.receivers.set_waker(key, context);
        Poll::Pending
    }

    fn leave(&mut self, locked: &mut Locked<'_>) {
        if let Some(key) = self.key.take() {
            let next = locked.receivers.leave(key);
            locked.wake(next);
            if locked.receivers.is_empty() {
                locked.leave_reading();
            }
        }
    }
}

/// The way to read, if a read is wanted and brings something.
#[inline(always)]
fn poll_readable(locked: &mut Locked<'_>, want: Want, context: &mut Context<'_>) -> Poll<Reading> {
    match want {
        Want::Nothing => locked.awaits_room = true,
        // Others on this thread have their turn.
        Want::Now => ready!(pin!(tokio::task::consume_budget()).poll(context)),
        Want::Ready => {}
    }
    locked.poll_readable(want, context)
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        if self.key.is_some() {
            let mut locked = self.shared.lock();
            self.leave(&mut locked);
        }
    }
}

impl Shared {
    /// The oldest frame that has arrived, without waiting.
    pub(super) fn try_next(&self) -> Option<Frame> {
        if self.delivery == Delivery::Handler {
            return None;
        }
        let mut locked = self.lock();
        locked.receive_calls = locked.receive_calls.wrapping_add(1);
        locked.next_frame()
    }

    /// Reads what has arrived, as far as there is room for it.
    pub(super) fn collect(&self) {
        if !self.calls_read() {
            return;
        }
        let mut locked = self.lock();
        loop {
            let frames = locked.core.frames();
            locked = self.read(locked, Reading::Known);
            let wants = locked.core.wants();
            if wants.read != Want::Now
                && (frames == locked.core.frames() || wants.read == Want::Nothing)
            {
                return;
            }
        }
    }
}

/// A place among those that receive, which is kept from one poll to the next: for one who polls many connections.
#[cfg(not(masep_model))]
#[derive(Debug, Default)]
pub(crate) struct Listening(Option<u64>);

#[cfg(not(masep_model))]
impl Listening {
    /// The next frame, or the end.
    pub(crate) fn poll(
        &mut self,
        shared: &Shared,
        context: &mut Context<'_>,
    ) -> Poll<Option<Frame>> {
        let key = self.0.take();
        let mut call = Receiving { shared, key };
        let polled = call.poll_apart(context, false);
        self.0 = call.key.take();
        polled
    }

    /// Reads what has arrived, though the stream is not known to be readable.
    pub(crate) fn read_now(&self, shared: &Shared) {
        if shared.calls_read() {
            drop(shared.read(shared.lock(), Reading::Asking));
        }
    }

    /// Gives the place up.
    pub(crate) fn leave(&mut self, shared: &Shared) {
        let key = self.0.take();
        drop(Receiving { shared, key });
    }
}
