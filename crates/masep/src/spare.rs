//! A small buffer for each thread, which whoever reads or writes a small frame takes and gives back: a
//! connection that waits holds none, and one that works need not ask the allocator for one.

use std::cell::Cell;

use bytes::BytesMut;

/// The least that a spare buffer has room for.
const LEAST: usize = 1024;
/// The most: larger ones go back to the allocator.
const MOST: usize = 4 * 1024;

thread_local! {
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// The spare buffer of this thread, empty; without memory if another has it.
pub(crate) fn take() -> BytesMut {
    SPARE.take()
}

/// Gives a buffer back, whatever is still in it.
pub(crate) fn give(mut buffer: BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    if (buffer.capacity() >= LEAST || buffer.try_reclaim(LEAST)) && buffer.capacity() <= MOST {
        SPARE.set(buffer);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn a_buffer_comes_back_with_all_its_room_and_nothing_in_it() {
        let mut buffer = BytesMut::with_capacity(LEAST);
        buffer.extend_from_slice(&[7; LEAST]);
        buffer.advance(LEAST - 1);
        give(buffer);
        let buffer = take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, LEAST));
        assert_eq!(take().capacity(), 0, "there is one");
    }

    #[test]
    fn neither_large_buffers_are_kept_nor_such_as_frames_still_use() {
        give(BytesMut::with_capacity(MOST + 1));
        assert_eq!(take().capacity(), 0);
        let mut buffer = BytesMut::with_capacity(LEAST);
        buffer.extend_from_slice(&[7; LEAST]);
        let frame = buffer.split_to(100);
        give(buffer);
        assert_eq!((take().capacity(), frame.len()), (0, 100));
    }
}
