//! Walking over the bytes that have arrived: where frames end, and what is no frame of the user's.

use super::{ALONE_FROM, Inbound};
use crate::framing::{self, Framing, Next, Refused};
use crate::protocol2::kind;
use crate::{Limit, LimitExceeded, Limits};

/// The thing behind the whole frames at which a walk over the bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum Found {
    Bye,
    /// A control frame of protocol 2 that ends the connection, for the reason that it left.
    Ends,
    /// A frame of this kind, which is not known.
    Unsupported(u8),
    /// A frame with bits that have to be zero.
    Reserved,
    TooLarge(LimitExceeded),
    /// A frame for which there is no room.
    Overflow(LimitExceeded),
}

impl Inbound {
    /// Walks over the frames that have arrived since the last walk. Each header is looked at once, and again as
    /// long as its frame is not whole. Stops at the first one that is over the bounds, if they are given, and in front of the
    /// first one of so many bytes that is not admitted.
    #[inline]
    pub(in crate::connection) fn walk(
        &mut self,
        framing: Framing,
        bounds: Option<&Limits>,
        mut admits: impl FnMut(usize) -> bool,
    ) -> Option<Found> {
        let max = match framing {
            Framing::Pymasep { max } => max,
            Framing::Masep { .. } => return None,
        };
        let (waiting, waiting_bytes) = (self.frames, self.body_bytes);
        let last = &mut self.last;
        let (mut end, mut frames, mut body_bytes) = (last.end, 0, 0);
        let found = loop {
            #[cfg(test)]
            framing::looked_at::add(&last.bytes[end..]);
            match framing::scan(&last.bytes[end..], max) {
                Next::Frame(extent) => {
                    if !admits(extent.whole()) {
                        break None;
                    }
                    if let Some(limits) = bounds
                        && let Err(limit) = over(
                            limits,
                            waiting + frames + 1,
                            waiting_bytes + body_bytes + extent.body,
                        )
                    {
                        break Some(Found::Overflow(limit));
                    }
                    end += extent.whole();
                    frames += 1;
                    body_bytes += extent.body;
                }
                Next::Partial { .. } => break None,
                Next::Bye => break Some(Found::Bye),
                Next::TooLarge(limit) => break Some(Found::TooLarge(limit)),
                // pymasep's protocol has neither.
                Next::Control(..) | Next::Refused(_) => break None,
            }
        };
        last.end = end;
        last.frames += frames;
        last.body_bytes += body_bytes;
        self.frames += frames;
        self.body_bytes += body_bytes;
        found
    }

    /// Walks over the user's frames of protocol 2, up to the first thing that is none.
    pub(in crate::connection) fn walk_plainly(&mut self, framing: Framing) {
        while let Some(extent) = framing.users(self.rest()) {
            let whole = extent.whole();
            self.expected = if whole > ALONE_FROM { whole } else { 0 };
            self.last.end += whole;
            self.last.frames += 1;
            self.last.body_bytes += extent.body;
            self.frames += 1;
            self.body_bytes += extent.body;
        }
    }

    /// Walks as [`walk`](Self::walk) does over frames of protocol 2. Those that are none of the user's are told to
    /// `control`, which ends the walk by true, and taken out: what is left behind them moves up, once for all of them.
    pub(in crate::connection) fn walk_with(
        &mut self,
        framing: Framing,
        bounds: Option<&Limits>,
        mut admits: impl FnMut(usize) -> bool,
        mut control: impl FnMut(u8, &[u8]) -> bool,
    ) -> Option<Found> {
        let (mut at, mut end) = (self.last.end, self.last.end);
        let found = loop {
            match framing.scan(&self.last.bytes[at..]) {
                Next::Frame(extent) => {
                    if !admits(extent.whole()) {
                        break None;
                    }
                    if let Some(limits) = bounds
                        && let Err(limit) =
                            over(limits, self.frames + 1, self.body_bytes + extent.body)
                    {
                        break Some(Found::Overflow(limit));
                    }
                    let whole = extent.whole();
                    self.expected = if whole > ALONE_FROM { whole } else { 0 };
                    if at > end {
                        self.last.bytes.copy_within(at..at + whole, end);
                    }
                    at += whole;
                    end += whole;
                    self.last.frames += 1;
                    self.last.body_bytes += extent.body;
                    self.frames += 1;
                    self.body_bytes += extent.body;
                }
                Next::Control(kind, extent) => {
                    if kind != kind::BYE && !admits(extent.whole()) {
                        break None;
                    }
                    let payload = at + extent.header;
                    let payload = payload..payload + extent.body;
                    at += extent.whole();
                    if control(kind, &self.last.bytes[payload]) {
                        break Some(Found::Ends);
                    }
                }
                Next::Partial { .. } | Next::Bye => break None,
                Next::TooLarge(limit) => break Some(Found::TooLarge(limit)),
                Next::Refused(Refused::Kind(kind)) => break Some(Found::Unsupported(kind)),
                Next::Refused(Refused::Reserved) => break Some(Found::Reserved),
            }
        };
        if at > end {
            self.last.bytes.drain(end..at);
        }
        self.last.end = end;
        self.give_back();
        found
    }

    /// Frames that have arrived and were not looked at, and bytes with what there is of the next one.
    pub(in crate::connection) fn waiting(&self, framing: Framing) -> (usize, usize) {
        let (mut left, mut frames) = (self.rest(), 0);
        while let Next::Frame(extent) | Next::Control(_, extent) = framing.scan(left) {
            left = &left[extent.whole()..];
            frames += 1;
        }
        (frames, self.rest().len())
    }

    /// True if a whole frame of the user's has arrived that was not looked at.
    pub(in crate::connection) fn has_ahead(&self, framing: Framing) -> bool {
        let mut left = self.rest();
        while let Next::Control(_, extent) = framing.scan(left) {
            left = &left[extent.whole()..];
        }
        matches!(framing.scan(left), Next::Frame(_))
    }
}

/// Checks that so many frames may wait. A single one always may.
pub(super) fn over(limits: &Limits, frames: usize, body_bytes: usize) -> Result<(), LimitExceeded> {
    if frames <= 1 {
        return Ok(());
    }
    LimitExceeded::check(Limit::QueueMessages, frames, limits.queue_messages)?;
    LimitExceeded::check(Limit::QueueBytes, body_bytes, limits.queue_bytes)
}
