//! The bytes that raw sockets have received: frames that begin with their length, little endian.

use anyhow::{Result, ensure};

use crate::job::Job;

/// Bytes of pymasep's header, which is the length of the body.
pub(crate) const HEADER: usize = 2;
/// Bytes of a header for bodies that pymasep's protocol cannot send.
pub(crate) const WIDE: usize = 4;

/// Messages that wait go out together up to this many bytes: a little less than the system hands on in one
/// piece. A write of 64 KiB and a bit leaves a small piece behind, and is the slower for it, up to three times.
pub(crate) const BATCH: usize = 64_000;

/// The bytes that one read may bring at least, and at most.
const SPACE: std::ops::Range<usize> = 8 * 1024..64 * 1024;

/// Received bytes, of which some may still be needed.
pub(crate) struct Buffer<const H: usize> {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl<const H: usize> Buffer<H> {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; SPACE.start],
            start: 0,
            end: 0,
        }
    }

    /// The body of the next frame, if it is there as a whole; it is done with then.
    #[inline]
    pub(crate) fn frame(&mut self) -> Option<&[u8]> {
        let received = &self.bytes[self.start..self.end];
        let (header, rest) = received.split_first_chunk::<H>()?;
        let body = rest.get(..size(header))?;
        self.start += H + body.len();
        Some(body)
    }

    /// True if the next frame is there as a whole.
    #[inline]
    pub(crate) fn has_frame(&self) -> bool {
        let received = &self.bytes[self.start..self.end];
        let header = received.first_chunk::<H>();
        header.is_some_and(|header| received.len() >= H + size(header))
    }

    /// The place for the next read.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.bytes.len() - self.end < SPACE.start {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Takes note of what a read has brought.
    ///
    /// # Errors
    /// Nothing: the stream has ended.
    pub(crate) fn received(&mut self, count: usize) -> Result<()> {
        ensure!(count > 0, "the peer has closed the connection");
        self.end += count;
        if self.end == self.bytes.len() && self.bytes.len() < SPACE.end {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
        Ok(())
    }
}

/// Appends a frame.
pub(crate) fn put_frame<const H: usize>(output: &mut Vec<u8>, body: &[u8]) {
    output.extend_from_slice(&header::<H>(body));
    output.extend_from_slice(body);
}

/// The header of a frame; no body here is longer than it can say.
#[inline]
pub(crate) fn header<const H: usize>(body: &[u8]) -> [u8; H] {
    let mut header = [0; H];
    header.copy_from_slice(&body.len().to_le_bytes()[..H]);
    header
}

/// The bytes of a body with this header.
#[inline]
pub(crate) fn size<const H: usize>(header: &[u8; H]) -> usize {
    let mut size = [0; size_of::<usize>()];
    size[..H].copy_from_slice(header);
    usize::from_le_bytes(size)
}

/// True if the frames of a job need the wide header.
pub(crate) fn is_wide(job: &Job) -> bool {
    job.protocol == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let bodies: Vec<Vec<u8>> = [0, 1, 64, 1024, 60 * 1024, 65_535, 3]
            .iter()
            .map(|&size| vec![size as u8; size])
            .collect();
        let mut stream = Vec::new();
        for body in &bodies {
            put_frame::<HEADER>(&mut stream, body);
        }
        for piece in [1, 7, 4096, stream.len()] {
            let (mut buffer, mut rest, mut found) =
                (Buffer::<HEADER>::new(), &stream[..], Vec::new());
            while !rest.is_empty() {
                let space = buffer.space();
                let count = piece.min(space.len()).min(rest.len());
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                buffer.received(count).unwrap();
                while let Some(body) = buffer.frame() {
                    found.push(body.to_vec());
                }
            }
            assert!(found == bodies, "in pieces of {piece}");
        }
        assert!(Buffer::<HEADER>::new().received(0).is_err());
    }
}
