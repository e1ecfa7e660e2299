//! Whether a peer writes the header and the body of a frame apart, as every pymasep peer does.
//!
//! Such a peer needs two things that cost all others a lot: each frame has to begin a segment of its own, and
//! what it sends has to be acknowledged at once. So it is looked for with care, by what its kernel does: Nagle's
//! algorithm holds the body back until the header is acknowledged, while something between the peers that cuts
//! the stream behind a header has the body already, and sends it too.

use std::time::Duration;

use masep_proto::FrameCodec;

/// A hello's body that has not come in this time, while nothing was acknowledged, is held back.
pub(crate) const HELD_BACK: Duration = Duration::from_millis(3);
/// The same for other frames, where nobody looks at a clock meanwhile, and the reader may be late: Linux puts an
/// acknowledgement off for 40 ms.
const LONG_HELD_BACK: Duration = Duration::from_millis(30);
/// No segment but the last of a write is smaller: a route of 576 bytes takes 524 of the stream in each.
const LEAST_SEGMENT: usize = 512;
/// So many reads that end where no peer of pymasep's ends a segment tell of something that cuts.
const ENOUGH_CUTS: u8 = 2;
/// So many reads without a header alone tell that one sign was wrong.
const ENOUGH_OTHERS: u8 = 16;
/// So many frames that come at once behind a silence, with the acknowledgement of the one before put off, tell that
/// the sign of the hello was wrong. A peer that Nagle's algorithm serves shows nothing else against it: what it
/// writes while bytes are on their way goes out together.
const ENOUGH_QUIET: u8 = 3;
/// A silence behind which all that was sent has been acknowledged.
const SILENCE: Duration = Duration::from_secs(1);

/// What is known of a peer's way to write. `I` is an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WritePattern<I> {
    verdict: Verdict,
    /// A header alone is no sign, if its body is not held back: in the hello, and where one came that was not.
    doubts: bool,
    cuts: u8,
    /// Reads since the one sign that tell against it.
    others: u8,
    /// The one sign is that of the hello, which takes more to be wrong: the instant of the read before.
    of_hello: Option<I>,
    /// When the header came alone that is last in the buffer.
    header: Option<I>,
    /// The last read left nothing in the socket.
    drained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is against it.
    Whole,
    /// One sign. What tells against it is still looked for.
    Perhaps,
    /// Two signs.
    Apart,
    /// Something between the peers cuts the stream anywhere: there is nothing to be known, and no segment of ours
    /// arrives as it is.
    Cut,
}

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought {
    pub(crate) bytes: usize,
    /// Whether there was room for more.
    pub(crate) all: bool,
}

impl Brought {
    /// So many bytes behind so many that were there, by a read of which the room is not known: it was more than both
    /// where both are small, see `blocking::receive`.
    pub(crate) const fn by(before: usize, bytes: usize) -> Self {
        const SMALL: usize = 4 * 1024;
        Self {
            bytes,
            all: before < SMALL && bytes < SMALL,
        }
    }
}

/// What is to be done about acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// Nothing.
    AsUsual,
    Now,
    /// Puts it off, so that it is seen what the peer does meanwhile.
    Withhold,
}

impl<I> WritePattern<I> {
    /// Of a peer whose hello is still to come.
    pub(crate) const fn before_hello() -> Self {
        Self {
            verdict: Verdict::Whole,
            doubts: true,
            cuts: 0,
            others: 0,
            of_hello: None,
            header: None,
            drained: true,
        }
    }
}

impl<I: Copy> WritePattern<I> {
    /// Whether the peer is treated as one that writes header and body apart.
    #[inline]
    pub(crate) const fn is_apart(&self) -> bool {
        matches!(self.verdict, Verdict::Perhaps | Verdict::Apart)
    }

    /// Whether a header has come alone, and it is to be seen whether its body is held back.
    pub(crate) const fn awaits_body(&self) -> bool {
        self.header.is_some()
    }

    /// The body of the hello has not come in [`HELD_BACK`].
    pub(crate) const fn hello_is_held_back(&mut self, now: I) {
        self.header = None;
        self.verdict = Verdict::Perhaps;
        self.of_hello = Some(now);
    }

    /// The hello has come whole.
    #[must_use]
    pub(crate) const fn end_hello(&mut self) -> Acknowledgement {
        self.doubts = self.header.is_some();
        self.header = None;
        Acknowledgement::Withhold
    }

    /// Takes note of a read that left `rest` bytes behind the last whole frame. `waited` tells how long it is since
    /// an instant, `now` the present one.
    #[inline]
    pub(crate) fn note(
        &mut self,
        brought: Brought,
        rest: usize,
        now: impl Fn() -> I,
        waited: impl Fn(I) -> Duration,
    ) -> Acknowledgement {
        let alone = self.drained && brought.all;
        self.drained = brought.all;
        if self.verdict == Verdict::Cut
            || (self.verdict == Verdict::Whole && rest == 0 && self.header.is_none())
        {
            return Acknowledgement::AsUsual;
        }
        let held_back = self.header.take().map(&waited);
        let is_header = rest == FrameCodec::HEADER_BYTES;
        if is_header && alone && brought.bytes == rest {
            return self.note_header(now);
        }
        if alone && brought.bytes < LEAST_SEGMENT && rest > 0 && !is_header {
            self.cuts += 1;
            if self.cuts >= ENOUGH_CUTS {
                self.verdict = Verdict::Cut;
                return Acknowledgement::AsUsual;
            }
        } else if held_back.is_some_and(|time| time >= LONG_HELD_BACK) {
            self.suspect();
        }
        match self.verdict {
            Verdict::Perhaps => self.note_no_header(rest, now, waited),
            Verdict::Apart => Acknowledgement::Now,
            Verdict::Whole | Verdict::Cut => Acknowledgement::AsUsual,
        }
    }

    fn note_header(&mut self, now: impl FnOnce() -> I) -> Acknowledgement {
        match self.verdict {
            Verdict::Whole if self.doubts => {
                self.header = Some(now());
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

    fn note_no_header(
        &mut self,
        rest: usize,
        now: impl Fn() -> I,
        waited: impl Fn(I) -> Duration,
    ) -> Acknowledgement {
        let silence = self.of_hello.map(waited);
        if silence.is_some() {
            self.of_hello = Some(now());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of frames of which a reader gets some bytes at a time, at a time in milliseconds.
    struct Reader {
        pattern: WritePattern<u64>,
        buffer: Vec<u8>,
        now: u64,
    }

    impl Reader {
        /// Behind a hello that has come at once.
        fn new() -> Self {
            let mut pattern = WritePattern::before_hello();
            let _ = pattern.end_hello();
            Self {
                pattern,
                buffer: Vec::new(),
                now: 0,
            }
        }

        /// Behind a hello of which the header came alone.
        fn after_split_hello(is_held_back: bool) -> Self {
            let mut pattern = WritePattern::before_hello();
            let brought = Brought::by(0, 2);
            let due = pattern.note(brought, 2, || 0, Duration::from_millis);
            assert_eq!(due, Acknowledgement::Withhold);
            assert!(pattern.awaits_body() && !pattern.is_apart());
            if is_held_back {
                pattern.hello_is_held_back(0);
            }
            let _ = pattern.end_hello();
            Self {
                pattern,
                ..Self::new()
            }
        }

        fn read(&mut self, bytes: &[u8]) -> Acknowledgement {
            let before = self.buffer.len();
            self.buffer.extend_from_slice(bytes);
            let mut rest = &self.buffer[..];
            while let Some((header, behind)) = rest.split_first_chunk() {
                match behind.get(usize::from(u16::from_le_bytes(*header))..) {
                    Some(behind) => rest = behind,
                    None => break,
                }
            }
            self.buffer = rest.to_vec();
            let brought = Brought::by(before, bytes.len());
            let now = self.now;
            let waited = |since| Duration::from_millis(now - since);
            self.pattern
                .note(brought, self.buffer.len(), || now, waited)
        }

        /// A frame of pymasep's: header and body apart.
        fn read_apart(&mut self, body: usize, waits: u64) -> [Acknowledgement; 2] {
            let frame = frame(body);
            let header = self.read(&frame[..2]);
            self.now += waits;
            [header, self.read(&frame[2..])]
        }
    }

    fn frame(body: usize) -> Vec<u8> {
        let mut frame = u16::try_from(body).unwrap().to_le_bytes().to_vec();
        frame.resize(2 + body, 7);
        frame
    }

    /// The bytes of a frame that has begun in front of this place.
    fn rest_of_frame(stream: &[u8], place: usize) -> &[u8] {
        let mut end = 0;
        while end < place {
            end += 2 + usize::from(u16::from_le_bytes([stream[end], stream[end + 1]]));
        }
        &stream[place..end]
    }

    #[test]
    fn a_body_that_is_held_back_is_a_sign_and_a_second_header_alone_confirms_it() {
        let mut reader = Reader::after_split_hello(true);
        assert!(reader.pattern.is_apart());
        assert_eq!(reader.read_apart(9, 0), [Acknowledgement::Now; 2]);
        // From here on, frames that come whole tell nothing: they were read late.
        for _ in 0..1_000 {
            assert_eq!(reader.read(&frame(9)), Acknowledgement::Now);
        }
        assert!(reader.pattern.is_apart());
    }

    #[test]
    fn one_sign_is_forgotten_when_frames_come_whole() {
        let mut reader = Reader::after_split_hello(true);
        // What comes together behind one another tells nothing: Nagle's algorithm joins it.
        for _ in 0..1_000 {
            assert_eq!(reader.read(&frame(9)), Acknowledgement::Now);
        }
        assert!(reader.pattern.is_apart());
        for _ in 1..ENOUGH_QUIET {
            reader.now += 1_000;
            assert_eq!(reader.read(&frame(9)), Acknowledgement::Withhold);
        }
        reader.now += 1_000;
        assert_eq!(reader.read(&frame(9)), Acknowledgement::AsUsual);
        assert!(!reader.pattern.is_apart());
        // It takes a body that is held back now.
        reader.read_apart(9, 1);
        assert!(!reader.pattern.is_apart());
        reader.read_apart(9, 40);
        assert!(reader.pattern.is_apart());
    }

    #[test]
    fn a_peer_whose_hello_was_accepted_late_is_known_by_its_next_frame() {
        let mut reader = Reader::new();
        assert_eq!(reader.read(&frame(9)), Acknowledgement::AsUsual);
        assert_eq!(reader.read(&frame(9)[..2]), Acknowledgement::Now);
        assert!(reader.pattern.is_apart());
    }

    #[test]
    fn a_header_alone_in_the_hello_that_was_not_held_back_is_no_sign() {
        let mut reader = Reader::after_split_hello(false);
        for _ in 0..100 {
            let unanswered = [Acknowledgement::Withhold, Acknowledgement::AsUsual];
            assert_eq!(reader.read_apart(9, 1), unanswered);
        }
        assert!(!reader.pattern.is_apart());
    }

    #[test]
    fn what_pymasep_sends_in_bursts_tells_nothing_against_it() {
        let mut reader = Reader::after_split_hello(true);
        reader.read_apart(9, 0);
        // Nagle's algorithm joins what waits, in segments that end anywhere if they are full.
        let burst = frame(100).repeat(100);
        let (header, rest) = burst.split_at(2);
        reader.read(header);
        for segment in rest.chunks(1_448) {
            reader.read(segment);
        }
        reader.read_apart(3_000, 0);
        let large = frame(3_000);
        for piece in [
            &large[..2],
            &large[2..1_450],
            &large[1_450..2_898],
            &large[2_898..],
        ] {
            assert_eq!(reader.read(piece), Acknowledgement::Now);
        }
        assert!(reader.pattern.is_apart());
    }

    #[test]
    fn whatever_cuts_the_stream_a_peer_that_writes_frames_whole_is_known_for_it() {
        let stream: Vec<u8> = (0..40_000).flat_map(|n| frame(n % 90 + 3)).collect();
        for size in [1, 2, 3, 4, 5, 7, 64, 66, 100, 511, 1_448, 1_449, 65_536] {
            for mut reader in [
                Reader::new(),
                Reader::after_split_hello(false),
                Reader::after_split_hello(true),
            ] {
                let mut arrived = 0;
                for piece in stream.chunks(size).take(20_000) {
                    arrived += piece.len();
                    reader.read(piece);
                }
                // Pieces of the size of a segment look as those of Nagle's algorithm do, until there is a pause.
                reader.read(rest_of_frame(&stream, arrived));
                for _ in 0..ENOUGH_QUIET {
                    reader.now += 1_000;
                    reader.read(&frame(9));
                }
                assert!(!reader.pattern.is_apart(), "cut at {size}");
            }
        }
    }
}
