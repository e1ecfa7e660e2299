//! The rates at which a peer may send: what is over them waits, and so does the peer, by not being read.
//!
//! Frames that have arrived and are over a rate stay among the bytes that nobody has looked at. A peer that is behind
//! without a pause, so that something of it always waits, is ended after a time.

use std::time::{Duration, Instant};

use super::deadlines::earlier;
use super::{Connection, Phase};
use crate::{CloseReason, Limit, LimitExceeded, Limits};

/// One frame or byte in a bucket is so many parts: as many as a second has nanoseconds.
const ONE: i128 = 1_000_000_000;
/// A look that comes later than this was not made in time: timers are a little late.
const LATE: Duration = Duration::from_millis(100);

/// The amount that may arrive by now at one rate. A full bucket has what arrives in a second.
#[derive(Debug)]
struct Bucket {
    limit: Limit,
    /// In one second.
    rate: u64,
    level: i128,
    at: Instant,
}

impl Bucket {
    /// A full one. At a rate of 0 nothing would ever come: it is taken for 1.
    fn new(limit: Limit, rate: u64, now: Instant) -> Self {
        let rate = rate.max(1);
        Self {
            limit,
            rate,
            level: i128::from(rate) * ONE,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let more = i128::try_from(passed).unwrap_or(i128::MAX);
        let more = more.saturating_mul(i128::from(self.rate));
        self.level = self.level.saturating_add(more).min(self.most());
        self.at = self.at.max(now);
    }

    fn most(&self) -> i128 {
        i128::from(self.rate) * ONE
    }

    /// When there is as much, or the bucket is full: at the time of the last refill, if there is. `None` is never.
    fn ready_at(&self, cost: usize) -> Option<Instant> {
        let cost = i128::try_from(cost).unwrap_or(i128::MAX);
        let missing = cost.saturating_mul(ONE).min(self.most()) - self.level;
        if missing <= 0 {
            return Some(self.at);
        }
        let rate = i128::from(self.rate);
        let time = missing / rate + i128::from(missing % rate > 0);
        let time = u64::try_from(time).ok()?;
        self.at.checked_add(Duration::from_nanos(time))
    }

    fn take(&mut self, cost: usize) {
        let cost = i128::try_from(cost).unwrap_or(i128::MAX);
        self.level = self.level.saturating_sub(cost.saturating_mul(ONE));
    }
}

/// A frame that has arrived and is over a rate.
#[derive(Clone, Copy, Debug)]
struct Held {
    limit: Limit,
    /// In one second.
    rate: u64,
    /// Until when it waits; `None` is for ever.
    until: Option<Instant>,
}

/// The rates of one peer.
#[derive(Debug)]
pub(super) struct Rates {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    held: Option<Held>,
    /// The peer was held, and no read since has found nothing.
    is_behind: bool,
    /// If it stays behind, it is ended then; `None` is never.
    behind_until: Option<Instant>,
    /// The time for which it may be behind.
    patience: Duration,
    /// When the next look at what it sends was due, and how late this one is.
    due: Instant,
    late: Duration,
}

impl Rates {
    /// Those of an open connection with these bounds, if they have any.
    pub(super) fn new(limits: &Limits, now: Instant) -> Option<Box<Self>> {
        let of = |limit, rate| Bucket::new(limit, rate, now);
        let messages = limits.messages_per_second.map(u64::from);
        let messages = messages.map(|rate| of(Limit::MessagesPerSecond, rate));
        let bytes = limits.bytes_per_second;
        let bytes = bytes.map(|rate| of(Limit::BytesPerSecond, rate));
        if messages.is_none() && bytes.is_none() {
            return None;
        }
        Some(Box::new(Self {
            messages,
            bytes,
            held: None,
            is_behind: false,
            behind_until: None,
            patience: limits.rate_time,
            due: now,
            late: Duration::ZERO,
        }))
    }

    /// A look at what has arrived begins. Time in which nobody looked is not the peer's, and what it has sent in that time may
    /// take as long to come through.
    fn begin(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due);
        self.late = if late < LATE { Duration::ZERO } else { late };
        if self.is_behind {
            let until = self.behind_until;
            self.behind_until = until.and_then(|until| until.checked_add(self.late * 2));
        }
        self.held = None;
        for bucket in [&mut self.messages, &mut self.bytes] {
            bucket.iter_mut().for_each(|bucket| bucket.refill(now));
        }
        self.due = now;
    }

    /// True if a frame of so many bytes may come through now.
    pub(super) fn admits(&mut self, bytes: usize) -> bool {
        let costs = [(&mut self.messages, 1), (&mut self.bytes, bytes)];
        let buckets = costs.map(|(bucket, cost)| bucket.as_mut().map(|bucket| (bucket, cost)));
        for (bucket, cost) in buckets.iter().flatten() {
            let until = bucket.ready_at(*cost);
            let is_later = match (self.held.map(|held| held.until), until) {
                (None, until) => until != Some(bucket.at),
                (Some(held), until) => held.is_some_and(|held| until.is_none_or(|it| it > held)),
            };
            if is_later {
                let (limit, rate) = (bucket.limit, bucket.rate);
                self.held = Some(Held { limit, rate, until });
            }
        }
        if self.held.is_some() {
            return false;
        }
        for (bucket, cost) in buckets.into_iter().flatten() {
            bucket.take(cost);
        }
        true
    }

    /// The look is over. Gives the frame that waits of a peer that was behind for too long.
    fn end(&mut self, now: Instant) -> Option<Held> {
        let held = self.held?;
        if !self.is_behind {
            self.is_behind = true;
            self.behind_until = now
                .checked_add(self.patience)
                .and_then(|until| until.checked_add(self.late));
        }
        self.due = held.until.unwrap_or(now);
        let is_over = self.behind_until.is_some_and(|until| until <= now);
        is_over.then_some(held)
    }

    /// A read has found nothing: all that the peer has sent has come through.
    fn catch_up(&mut self, now: Instant) {
        self.is_behind = false;
        self.behind_until = None;
        self.due = now;
    }

    /// When the frame that waits comes through, or the connection ends.
    fn wakes_at(&self) -> Option<Instant> {
        let held = self.held?;
        earlier(held.until, self.behind_until)
    }
}

impl Connection {
    /// Nothing is read until then, because what has arrived is over a rate.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.rates.as_ref()?.wakes_at()
    }

    /// True if nothing is read, because what has arrived is over a rate.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.rates
            .as_ref()
            .is_some_and(|rates| rates.held.is_some())
    }

    /// Lets what has waited long enough come through.
    pub(super) fn see_to_rates(&mut self, now: Instant) {
        if !self.is_held() || self.inbound.is_out() {
            return;
        }
        self.walk(now);
        if !self.is_held() {
            // Time in which nobody reads does not count.
            self.silent_since = Some(now);
            self.find_early_end(now);
        }
    }

    pub(super) fn begin_look(&mut self, now: Instant) {
        if let Some(rates) = &mut self.rates {
            rates.begin(now);
        }
    }

    /// Ends the connection of a peer that was behind for too long.
    pub(super) fn end_look(&mut self, now: Instant) {
        let Some(rates) = &mut self.rates else {
            return;
        };
        match rates.end(now) {
            // Nothing was told of frames that have come meanwhile.
            None => self.probes |= rates.is_behind && rates.held.is_none(),
            Some(_) if self.phase == Phase::ReadingRest => self.conclude_failed_write(now),
            Some(Held { limit, rate, .. }) => {
                let (frames, bytes) = self.inbound.waiting(self.framing());
                let waiting = if limit == Limit::BytesPerSecond {
                    bytes
                } else {
                    frames
                };
                let allowed = usize::try_from(rate).unwrap_or(usize::MAX);
                // As much came in the last second, or could have come, and this waits.
                let limit = LimitExceeded {
                    limit,
                    actual: allowed.saturating_add(waiting),
                    allowed,
                };
                self.conclude(CloseReason::TooFast(limit), now);
            }
        }
    }

    /// A read has found nothing.
    pub(super) fn catch_up(&mut self, now: Instant) {
        if let Some(rates) = &mut self.rates {
            rates.catch_up(now);
        }
    }

    /// From here on nothing is held back: this side ends the connection, and takes only what has arrived.
    pub(super) fn end_rates(&mut self, now: Instant) {
        let is_held = self.is_held();
        self.rates = None;
        if is_held {
            self.walk(now);
        }
    }
}
