//! Where the frames end in bytes that have arrived and that nobody has taken yet.

use masep_proto::FrameCodec;

/// The ends of the whole frames in a buffer, as far as it was looked through. Each frame is looked at once,
/// however many bytes wait and in however small pieces others follow: a peer decides on both.
#[derive(Debug, Default)]
pub(super) struct Boundaries {
    /// Bytes of whole frames at the beginning of the buffer.
    whole: usize,
    /// Where the first `BYE` begins.
    bye: Option<usize>,
}

impl Boundaries {
    /// Looks at the frames that are whole now and were not before; at how many.
    pub(super) fn look(&mut self, buffer: &[u8]) -> usize {
        let mut looked_at = 0;
        while let Some(rest) = buffer.get(self.whole..)
            && let Some(size) = FrameCodec::claimed_bytes(rest)
            && size <= rest.len()
        {
            if self.bye.is_none() && rest[FrameCodec::HEADER_BYTES..size] == *b"BYE" {
                self.bye = Some(self.whole);
            }
            self.whole += size;
            looked_at += 1;
        }
        looked_at
    }

    /// The first frame of the buffer, which has so many bytes, was taken out.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.whole = self.whole.saturating_sub(bytes);
        self.bye = self.bye.map(|bye| bye.saturating_sub(bytes));
    }

    /// How many bytes there are of a frame that is not whole yet.
    pub(super) const fn behind(&self, buffer: &[u8]) -> usize {
        buffer.len() - self.whole
    }

    /// How many bytes of frames are before the first `BYE`, if there is one among those that were looked at.
    pub(super) const fn bye(&self) -> Option<usize> {
        self.bye
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_whole_frames_is_counted() {
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"\x05", 1),
            (b"\x05\0", 2),
            (b"\x05\0a", 3),
            (b"\x05\0ab", 4),
            (b"\0\0", 0),
            (b"\x01\0a\0\0\x02\0", 2),
            (b"\x01\0a\0\0\x02\0ab", 0),
        ] {
            let mut boundaries = Boundaries::default();
            boundaries.look(bytes);
            assert_eq!(boundaries.behind(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_bye_is_a_frame_and_not_three_bytes_of_another() {
        let bye = |bytes: &[u8]| {
            let mut boundaries = Boundaries::default();
            boundaries.look(bytes);
            boundaries.bye().is_some()
        };
        assert!(bye(b"\x01\0a\0\0\x03\0BYE\x09"));
        assert!(!bye(b"\x05\0\x03\0BYE"));
        assert!(!bye(b"\x04\0BYE!\x03\0BY"));
    }

    #[test]
    fn each_frame_is_looked_at_once_however_many_wait() {
        let mut buffer = vec![0; 200_000];
        let mut boundaries = Boundaries::default();
        let mut looked_at = boundaries.look(&buffer);
        for byte in (0..3_000).flat_map(|_| b"\x01\0a") {
            buffer.push(*byte);
            looked_at += boundaries.look(&buffer);
        }
        assert_eq!(looked_at, 100_000 + 3_000);
        // Taking some out does not begin it again.
        buffer.drain(..2_000);
        (0..1_000).for_each(|_| boundaries.advance(2));
        buffer.extend_from_slice(b"\x03\0BYE\x05");
        assert_eq!(boundaries.look(&buffer), 1);
        assert_eq!(boundaries.bye(), Some(buffer.len() - 6));
        assert_eq!(boundaries.behind(&buffer), 1);
    }
}
