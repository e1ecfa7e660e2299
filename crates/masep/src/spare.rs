//! Buffers that each thread keeps for whoever reads or writes next. A connection that waits holds none, and
//! one that works need not ask the allocator for one, nor let it grow step by step.

use std::cell::Cell;
use std::ops::RangeInclusive;

use bytes::BytesMut;

/// The room of a small buffer: for a frame or two.
pub(crate) const SMALL: usize = 1024;
/// The room of a large buffer: for as many frames as one read or write moves, and a little more than a
/// frame of any size.
pub(crate) const LARGE: usize = 72 * 1024;
/// What is kept as a small buffer, and as a large one. Others go back to the allocator.
const SMALL_ONES: RangeInclusive<usize> = SMALL..=4 * SMALL;
const LARGE_ONES: RangeInclusive<usize> = LARGE..=2 * LARGE;

thread_local! {
    static SPARE_SMALL: Cell<BytesMut> = Cell::new(BytesMut::new());
    static SPARE_LARGE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// An empty buffer with room for [`SMALL`] bytes.
pub(crate) fn take_small() -> BytesMut {
    let mut buffer = SPARE_SMALL.take();
    buffer.reserve(SMALL);
    buffer
}

/// An empty buffer with room for [`LARGE`] bytes.
pub(crate) fn take_large() -> BytesMut {
    let mut buffer = SPARE_LARGE.take();
    buffer.reserve(LARGE);
    buffer
}

/// Gives a buffer back, whatever is still in it.
pub(crate) fn give(mut buffer: BytesMut) {
    buffer.clear();
    if SMALL_ONES.contains(&buffer.capacity()) {
        SPARE_SMALL.set(buffer);
    } else if buffer.try_reclaim(LARGE) {
        if LARGE_ONES.contains(&buffer.capacity()) {
            SPARE_LARGE.set(buffer);
        }
    } else if buffer.try_reclaim(SMALL) && SMALL_ONES.contains(&buffer.capacity()) {
        SPARE_SMALL.set(buffer);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    /// Where the memory of a buffer begins.
    fn place(buffer: &BytesMut) -> *const u8 {
        buffer.as_ptr()
    }

    #[test]
    fn a_buffer_comes_back_with_all_its_room_and_nothing_in_it() {
        for (take, room) in [(take_small as fn() -> BytesMut, SMALL), (take_large, LARGE)] {
            for used in [0, 1, room - 1, room] {
                let mut buffer = take();
                let first = place(&buffer);
                buffer.resize(room, 7);
                buffer.advance(used);
                give(buffer);
                let again = take();
                assert_eq!((again.len(), again.capacity()), (0, room));
                assert_eq!(place(&again), first, "{used} of {room}");
                assert_ne!(place(&take()), first, "there is one");
                give(again);
            }
        }
    }

    #[test]
    fn what_is_too_large_or_still_used_is_not_kept() {
        give(BytesMut::with_capacity(3 * LARGE));
        assert_eq!(take_large().capacity(), LARGE);
        let mut buffer = take_small();
        buffer.resize(SMALL, 7);
        let frame = buffer.split_to(100).freeze();
        give(buffer);
        let mut other = take_small();
        other.resize(SMALL, 8);
        assert_eq!(frame, [7; 100][..]);
    }
}
