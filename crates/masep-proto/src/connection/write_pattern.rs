//! Peers that write the header and the body of a frame apart, as every pymasep peer does.
//!
//! Such a peer needs two things that are costly for all others: each frame has to begin a segment of its own, and
//! its bytes have to be acknowledged at once. So the sign of such a peer has to be a safe one, and its kernel gives it.
//! Nagle's algorithm holds the body back until the header is acknowledged. A network that cuts the stream behind a
//! header has the body already, and delivers it too.

use std::time::{Duration, Instant};

use crate::FrameCodec;

/// A hello's header that has come alone is acknowledged after this time: its body, if it is held back, comes at once then.
const HELD_BACK: Duration = Duration::from_millis(3);
/// The same for other frames, where nobody looks at a clock meanwhile, and the reader may be late: Linux puts an
/// acknowledgement off for 40 ms.
const LONG_HELD_BACK: Duration = Duration::from_millis(30);
/// No segment but the last of a write is smaller: a route of 576 bytes takes 524 of the stream in each, and 496 where
/// packets were lost and the options of TCP tell which.
const LEAST_SEGMENT: usize = 480;
/// The number of reads, ending where no peer of pymasep's ends a segment, that show that the network cuts the stream.
const ENOUGH_CUTS: u8 = 2;
/// The same for a peer of two signs, more than there were other reads: a window that is nearly full cuts its frames too,
/// now and then.
const MANY_CUTS: u8 = 8;
/// The number of reads without a header alone that show that the one sign was wrong.
const ENOUGH_OTHERS: u8 = 250;
/// The number of frames that come whole behind a silence, with the acknowledgement of the one before put off, that show
/// that the sign of the hello was wrong. A peer under Nagle's algorithm shows nothing else against the sign: bytes that
/// it writes while others are on their way go out together.
const ENOUGH_QUIET: u8 = 3;
/// A silence behind which all that was sent has been acknowledged.
const SILENCE: Duration = Duration::from_secs(1);

/// The evidence about one peer's way to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct WritePattern {
    verdict: Verdict,
    /// A header alone is no sign if its body is not held back. So it is in the hello, and after one that was split by others.
    doubts: bool,
    cuts: u8,
    /// Reads since the one sign that tell against it.
    others: u8,
    /// The one sign is that of the hello, which takes more to be wrong: the instant of the read before.
    of_hello: Option<Instant>,
    /// The last read left nothing in the stream.
    drained: bool,
    /// The instant at which the header came alone that is last in the buffer.
    header: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is against it.
    Whole,
    /// One sign. Signs against it are still looked for.
    Perhaps,
    /// Two signs.
    Apart,
    /// The network cuts the stream anywhere: nothing can be known of the peer, and no segment of ours arrives as it
    /// is.
    Cut,
}

/// The time at which bytes that have arrived are to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    AsUsual,
    Now,
    /// Later, so that the behaviour of the peer meanwhile is seen.
    Withhold,
}

impl Default for WritePattern {
    /// The pattern of a peer whose hello is still to come.
    fn default() -> Self {
        Self {
            verdict: Verdict::Whole,
            doubts: true,
            cuts: 0,
            others: 0,
            of_hello: None,
            drained: true,
            header: None,
        }
    }
}

impl WritePattern {
    /// True if the peer is treated as one that writes header and body apart.
    #[inline]
    pub(super) const fn is_apart(&self) -> bool {
        matches!(self.verdict, Verdict::Perhaps | Verdict::Apart)
    }

    /// The instant at which the body of the hello is held back, if it has not come.
    pub(super) fn hello_deadline(&self) -> Option<Instant> {
        self.header?.checked_add(HELD_BACK)
    }

    /// Notes that nothing of the hello had arrived at this instant.
    pub(super) fn found_nothing_of_hello(&mut self, now: Instant) -> Acknowledgement {
        if self.hello_deadline().is_none_or(|until| now < until) {
            return Acknowledgement::AsUsual;
        }
        self.header = None;
        self.verdict = Verdict::Perhaps;
        self.of_hello = Some(now);
        Acknowledgement::Now
    }

    /// Notes that the hello has come whole.
    pub(super) fn end_hello(&mut self, now: Instant) -> Acknowledgement {
        self.doubts = self.header.is_some();
        if self.header.take().is_some() {
            // Something may have cut the stream just there. Or the network has doubled or delayed packets, to which our
            // kernel has answered: that lets the body go. To take a peer for one of pymasep's costs time alone.
            self.verdict = Verdict::Perhaps;
            self.of_hello = Some(now);
        }
        Acknowledgement::Withhold
    }

    /// True if nothing is to be learnt from a read that brings whole frames alone.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        match self.verdict {
            Verdict::Whole => self.header.is_none(),
            Verdict::Cut => true,
            Verdict::Perhaps | Verdict::Apart => false,
        }
    }

    /// True if nothing is to be learnt from a read of so many bytes that ends within a frame, where it is
    /// [plain](Self::is_plain).
    #[inline]
    pub(super) fn is_plain_cut(&self, bytes: usize) -> bool {
        self.verdict == Verdict::Cut || bytes >= LEAST_SEGMENT
    }

    /// [Notes](Self::note) such a read.
    #[inline]
    pub(super) const fn note_plain(&mut self, all: bool) {
        self.drained = all;
    }

    /// Notes a read of so many bytes, `all` that had arrived, that left `rest` bytes behind the last whole frame.
    #[inline]
    pub(super) fn note(
        &mut self,
        bytes: usize,
        all: bool,
        rest: usize,
        now: Instant,
    ) -> Acknowledgement {
        let alone = self.drained && all;
        self.drained = all;
        if self.verdict == Verdict::Cut
            || (self.verdict == Verdict::Whole && rest == 0 && self.header.is_none())
        {
            return Acknowledgement::AsUsual;
        }
        let held_back = self.header.take();
        let held_back = held_back.map(|since| now.saturating_duration_since(since));
        let is_header = rest == FrameCodec::HEADER_BYTES;
        if is_header && alone && bytes == rest {
            return self.note_header(now);
        }
        if alone && bytes < LEAST_SEGMENT && rest > 0 && !is_header {
            self.cuts += 1;
            let enough = match self.verdict {
                Verdict::Apart => MANY_CUTS,
                _ => ENOUGH_CUTS,
            };
            if self.cuts >= enough {
                self.verdict = Verdict::Cut;
                return Acknowledgement::AsUsual;
            }
        } else if self.verdict == Verdict::Apart {
            self.cuts = self.cuts.saturating_sub(1);
        } else if held_back.is_some_and(|time| time >= LONG_HELD_BACK) {
            self.suspect();
        }
        match self.verdict {
            Verdict::Perhaps => self.note_no_header(rest, now),
            Verdict::Apart => Acknowledgement::Now,
            Verdict::Whole | Verdict::Cut => Acknowledgement::AsUsual,
        }
    }

    fn note_header(&mut self, now: Instant) -> Acknowledgement {
        match self.verdict {
            Verdict::Whole if self.doubts => {
                self.header = Some(now);
                return Acknowledgement::Withhold;
            }
            Verdict::Whole => self.suspect(),
            Verdict::Perhaps => self.verdict = Verdict::Apart,
            Verdict::Apart => self.cuts = 0,
            Verdict::Cut => return Acknowledgement::AsUsual,
        }
        Acknowledgement::Now
    }

    const fn suspect(&mut self) {
        self.verdict = Verdict::Perhaps;
        self.of_hello = None;
        self.others = 0;
    }

    fn note_no_header(&mut self, rest: usize, now: Instant) -> Acknowledgement {
        let silence = self
            .of_hello
            .map(|before| now.saturating_duration_since(before));
        if silence.is_some() {
            self.of_hello = Some(now);
        }
        let is_quiet = silence.is_some_and(|time| time >= SILENCE);
        // The acknowledgement of the read before was put off if that was behind a silence too.
        let enough = match silence {
            None => ENOUGH_OTHERS,
            Some(_) if is_quiet => ENOUGH_QUIET,
            Some(_) => {
                self.others = 0;
                return Acknowledgement::Now;
            }
        };
        self.others += 1;
        if self.others >= enough {
            self.verdict = Verdict::Whole;
            self.doubts = true;
            return Acknowledgement::AsUsual;
        }
        match rest {
            // Or the next header may be acknowledged, and its body here, before it is read.
            0 => Acknowledgement::Withhold,
            _ => Acknowledgement::Now,
        }
    }
}
