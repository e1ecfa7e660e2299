//! Frames in several pieces of memory.

use bytes::Bytes;

use crate::{Frame, FrameKind};

/// The body of a frame in pieces: what was written for it, and between that large arrays where they are. See
/// [`Connection::send_pieces`](crate::connection::Connection::send_pieces).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    kind: FrameKind,
    /// The bytes that were written.
    written: Vec<u8>,
    /// The arrays that were not copied, each with the number of bytes of `written` before it.
    arrays: Vec<(usize, Bytes)>,
    size: usize,
}

impl Pieces {
    /// Arrays from this size on are pieces of their own. Smaller ones are copied, which takes less than a piece more.
    pub const ALONE_FROM: usize = 4 * 1024;

    pub(crate) fn new(kind: FrameKind, written: Vec<u8>, arrays: Vec<(usize, Bytes)>) -> Self {
        let size = arrays.iter().map(|(_, array)| array.len()).sum::<usize>() + written.len();
        Self {
            kind,
            written,
            arrays,
            size,
        }
    }

    /// The form of the body.
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Bytes in the body.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// True if it is in one piece.
    pub const fn is_whole(&self) -> bool {
        self.arrays.is_empty()
    }

    /// The frame, in one piece: a copy of them.
    pub fn into_frame(self) -> Frame {
        if self.arrays.is_empty() {
            return Frame::of(self.kind, self.written);
        }
        let mut body = Vec::with_capacity(self.size);
        let mut from = 0;
        for (place, array) in &self.arrays {
            body.extend_from_slice(&self.written[from..*place]);
            body.extend_from_slice(array);
            from = *place;
        }
        body.extend_from_slice(&self.written[from..]);
        Frame::of(self.kind, body)
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<(usize, Bytes)>) {
        (self.written, self.arrays)
    }
}
