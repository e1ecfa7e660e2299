//! Peers that write header and body apart, as every pymasep peer does.
//!
//! Such a peer has to be treated in two ways. Its body waits, by Nagle's algorithm, until its header was
//! acknowledged, which a Linux kernel puts off for 40 ms unless it is told not to. And its reader takes the end of
//! a segment for the end of a frame, so that each frame that it is sent has to begin one.
//!
//! It shows itself: a read brings a header and nothing else, and nothing else comes while the acknowledgement
//! is withheld. A stream that was cut there on its way goes on at once. To miss such a peer loses frames; to mark another
//! one costs it a factor of a hundred.

use std::time::{Duration, Instant};

/// The time for which a header that came alone is not acknowledged. Bytes that come meanwhile were not waiting
/// for that.
const WITHHELD: Duration = Duration::from_millis(3);
/// Headers that came alone behind the hello, until the peer is marked: of a connection that was accepted late,
/// the hello was whole when it was read.
const STRIKES: u8 = 2;

/// The evidence about one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Splitting {
    marked: bool,
    strikes: u8,
    /// Nothing but a header has come, and this is when it will have been alone for long enough.
    until: Option<Instant>,
}

impl Splitting {
    /// True if the peer writes header and body apart.
    pub(super) const fn is_marked(self) -> bool {
        self.marked
    }

    /// The instant at which a header will have been alone for long enough.
    pub(super) const fn deadline(self) -> Option<Instant> {
        self.until
    }

    /// Notes a read, after which only a part of a frame is left or nothing. Returns true if it is to be acknowledged at
    /// once.
    pub(super) fn read(&mut self, header_alone: bool, part: bool, now: Instant) -> bool {
        self.until = None;
        if self.marked {
            return part;
        }
        if header_alone {
            self.until = now.checked_add(WITHHELD);
        }
        false
    }

    /// Notes that nothing has arrived by now. Returns true if the bytes before are to be
    /// acknowledged at once.
    pub(super) fn blocked(&mut self, in_hello: bool, now: Instant) -> bool {
        if self.until.is_none_or(|until| now < until) {
            return false;
        }
        self.until = None;
        self.strikes += 1;
        self.marked = in_hello || self.strikes >= STRIKES;
        true
    }
}
