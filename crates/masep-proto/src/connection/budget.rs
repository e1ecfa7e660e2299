//! Memory for large frames that are on their way in, which all connections with one configuration share: a server's.
//!
//! Memory that connections keep for the next frame counts too, but keeps no frame out for ever.
//!
//! A connection needs a share of it when it is about to take more memory for a frame than it may have anyway. Without one
//! it does not read. A connection that has a share for long while others wait for one is ended: otherwise those who
//! send the beginning of a large frame, and little more, would keep all others out.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Connection;
use super::inbound::MOST_ROOM;
use crate::CloseReason;

/// A connection that waits for a share looks so often whether there is one.
const RETRY: Duration = Duration::from_millis(20);
/// A frame may take so long while others wait for memory.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time until the next look whether others wait.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The memory that there is. The numbers are counters; nothing is ordered by them.
#[derive(Debug)]
pub(super) struct Budget {
    allowed: usize,
    used: AtomicUsize,
    /// The part of that in which no frame is on its way in.
    spare: AtomicUsize,
    waiting: AtomicUsize,
}

impl Budget {
    pub(super) fn new(allowed: usize) -> Arc<Self> {
        Arc::new(Self {
            allowed,
            used: AtomicUsize::new(0),
            spare: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Takes so many bytes, if there are so many. One share of any size is given when no other frame has one, or such a
    /// frame could never come: connections that say nothing keep theirs.
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let is_first = |used| used == self.spare.load(Relaxed);
        self.take_if(bytes, |used, after| after <= self.allowed || is_first(used))
    }

    /// Takes so many bytes for memory that nothing is in, of which there may be half as much, so that frames come.
    pub(super) fn take_spare(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        self.take_if(bytes, |_, after| after <= self.allowed / 2)
            .map(Share::into_spare)
    }

    fn take_if(
        self: &Arc<Self>,
        bytes: usize,
        may: impl Fn(usize, usize) -> bool,
    ) -> Option<Share> {
        let taken = self.used.fetch_update(Relaxed, Relaxed, |used| {
            let after = used.saturating_add(bytes);
            may(used, after).then_some(after)
        });
        let budget = self.clone();
        taken.ok().map(|_| Share {
            budget,
            bytes,
            is_spare: false,
        })
    }
}

/// A part of a budget, which goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
    /// No frame is on its way into its memory.
    is_spare: bool,
}

impl Share {
    /// The same for a frame.
    pub(super) fn into_used(mut self) -> Self {
        self.set_spare(false);
        self
    }

    /// The same for memory that nothing is in.
    pub(super) fn into_spare(mut self) -> Self {
        self.set_spare(true);
        self
    }

    fn set_spare(&mut self, is_spare: bool) {
        let before = mem::replace(&mut self.is_spare, is_spare);
        match (before, is_spare) {
            (false, true) => self.budget.spare.fetch_add(self.bytes, Relaxed),
            (true, false) => self.budget.spare.fetch_sub(self.bytes, Relaxed),
            _ => 0,
        };
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Before the other, so that there is never less in use than is spare.
        self.set_spare(false);
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// One that waits for a share.
#[derive(Debug)]
struct Waits(Arc<Budget>);

impl Waits {
    fn new(budget: &Arc<Budget>) -> Self {
        budget.waiting.fetch_add(1, Relaxed);
        Self(budget.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// The memory of the frame that is on its way in on one connection.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    share: Option<Share>,
    waits: Option<Waits>,
    /// When it is seen to again.
    look_at: Option<Instant>,
}

impl Incoming {
    /// Takes a share over for the frame that comes next.
    pub(super) fn take_over(&mut self, share: Share) {
        self.share = Some(share.into_used());
        self.look_at = None;
    }

    /// True if no frame is on its way in that needs a share.
    #[inline]
    pub(super) const fn is_none(&self) -> bool {
        self.share.is_none() && self.waits.is_none() && self.look_at.is_none()
    }

    pub(super) const fn has_share(&self) -> bool {
        self.share.is_some()
    }

    fn share_bytes(&self) -> Option<usize> {
        self.share.as_ref().map(|share| share.bytes)
    }

    pub(super) const fn is_starved(&self) -> bool {
        self.waits.is_some()
    }

    pub(super) const fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Sees to a share of so many bytes. Returns false if it was had for too long while others waited.
    fn see_to(&mut self, bytes: usize, budget: &Arc<Budget>, now: Instant) -> bool {
        if self
            .share
            .as_ref()
            .is_some_and(|share| share.bytes >= bytes)
        {
            let look_at = self.look_at.or_else(|| now.checked_add(PATIENCE));
            self.look_at = look_at;
            if look_at.is_some_and(|at| at <= now) {
                self.look_at = now.checked_add(LOOK_AGAIN);
                return budget.waiting.load(Relaxed) == 0;
            }
            return true;
        }
        self.share = None;
        self.share = budget.take(bytes);
        if self.share.is_some() {
            self.waits = None;
            self.look_at = now.checked_add(PATIENCE);
        } else {
            self.waits.get_or_insert_with(|| Waits::new(budget));
            self.look_at = now.checked_add(RETRY);
        }
        true
    }
}

impl Connection {
    /// Sees to the memory for the frame that has arrived in part. `is_another` if it is not that of the last time.
    pub(super) fn see_to_memory(&mut self, is_another: bool, now: Instant) {
        let framing = self.framing();
        let Some(masep) = &mut self.masep else {
            return;
        };
        if is_another {
            masep.incoming.look_at = None;
        }
        let share = masep.incoming.share_bytes();
        let needed = if self.inbound.is_out() {
            // It is being read into.
            share
        } else {
            self.inbound.large_bytes(framing, share.is_some())
        };
        let Some(bytes) = needed else {
            masep.incoming = Incoming::default();
            return;
        };
        let was_starved = masep.incoming.is_starved();
        if !masep.incoming.see_to(bytes, &self.config.budget, now) {
            self.conclude(CloseReason::SlowFrame, now);
        } else if was_starved {
            // Time in which nobody reads does not count, and what has come meanwhile was not told.
            self.silent_since = Some(now);
            self.probes = !self.is_starved();
        }
    }

    /// True if nothing is read, for lack of memory for it.
    #[inline]
    pub(super) fn is_starved(&self) -> bool {
        self.masep
            .as_ref()
            .is_some_and(|masep| masep.incoming.is_starved())
    }

    /// Gives all memory for frames back that are on their way in.
    pub(super) fn release_memory(&mut self) {
        if let Some(masep) = &mut self.masep {
            drop(mem::take(&mut masep.incoming));
            masep.release();
        }
    }
}

/// A frame of so many bytes needs a share when so many of it have arrived.
pub(super) fn needs_share(whole: usize, arrived: usize) -> bool {
    whole > MOST_ROOM && arrived >= MOST_ROOM.min(whole / 16)
}
