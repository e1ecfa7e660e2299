//! Buffers that each thread keeps for the next read or write. A connection that waits holds none, and one that
//! works need not ask the allocator for one, nor let it grow step by step.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::thread::LocalKey;

use bytes::Bytes;

/// Bytes in a small buffer: for a frame or two.
pub(super) const SMALL: usize = 1024;
/// Bytes in a large buffer: for as many frames as one read or write moves, and a little more than a frame of
/// pymasep's largest size.
pub(super) const LARGE: usize = 72 * 1024;
/// A request for so much gets a large buffer.
const MORE: usize = 32 * 1024;
/// The capacities that are kept as a small buffer, and as a large one. Others go back to the allocator.
const SMALL_ONES: RangeInclusive<usize> = SMALL..=4 * SMALL;
const LARGE_ONES: RangeInclusive<usize> = LARGE..=2 * LARGE;
/// The bytes by which a buffer for a single frame may be too large. Bytes that are read into the rest belong to
/// the next frame, and are copied.
const EXCESS: usize = 4 * SMALL;

thread_local! {
    static SMALL_ONE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static LARGE_ONE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The buffer of large frames that were given to the user, perhaps dropped since.
    static LENT: Cell<Bytes> = const { Cell::new(Bytes::new()) };
}

/// Puts something into the place of what a thread keeps. A thread that is about to end keeps nothing.
#[inline]
fn exchange<T: Default>(kept: &'static LocalKey<Cell<T>>, new: T) -> T {
    kept.try_with(|kept| kept.replace(new)).unwrap_or_default()
}

/// An empty buffer for at least so many bytes.
#[inline(always)]
pub(super) fn take(bytes: usize) -> Vec<u8> {
    match bytes {
        ..=SMALL => {
            let buffer = exchange(&SMALL_ONE, Vec::new());
            if buffer.capacity() >= SMALL {
                return buffer;
            }
            fresh_small()
        }
        _ => take_more(bytes),
    }
}

#[cold]
fn fresh_small() -> Vec<u8> {
    Vec::with_capacity(SMALL)
}

#[inline(never)]
fn take_more(bytes: usize) -> Vec<u8> {
    match bytes {
        MORE..=LARGE => take_large(),
        _ => Vec::with_capacity(bytes),
    }
}

fn take_large() -> Vec<u8> {
    let buffer = exchange(&LARGE_ONE, Vec::new());
    if buffer.capacity() > 0 {
        return buffer;
    }
    let returned = take_lent();
    if LARGE_ONES.contains(&returned.capacity()) {
        return returned;
    }
    Vec::with_capacity(LARGE)
}

/// An empty buffer for so many bytes and not many more: for a large frame that is read alone. The memory of a
/// frame before is taken if that is gone.
pub(super) fn take_exact(bytes: usize) -> Vec<u8> {
    let returned = take_lent();
    if (bytes..bytes + EXCESS).contains(&returned.capacity()) {
        return returned;
    }
    give(returned);
    Vec::with_capacity(bytes)
}

/// Does not remember the buffer any more of which these bytes are a slice.
pub(super) fn forget(bytes: &Bytes) {
    let lent = exchange(&LENT, Bytes::new());
    if !lent.as_ptr_range().contains(&bytes.as_ptr()) {
        exchange(&LENT, lent);
    }
}

/// The buffer that was lent, if all slices of it are gone; otherwise one without room.
fn take_lent() -> Vec<u8> {
    let lent = exchange(&LENT, Bytes::new());
    // An empty handle owns nothing, and is not unique.
    if !lent.is_unique() {
        exchange(&LENT, lent);
        return Vec::new();
    }
    let mut buffer = Vec::from(lent);
    buffer.clear();
    buffer
}

/// Gives a buffer back, whatever is still in it.
#[inline]
pub(super) fn give(mut buffer: Vec<u8>) {
    buffer.clear();
    if SMALL_ONES.contains(&buffer.capacity()) {
        exchange(&SMALL_ONE, buffer);
    } else if LARGE_ONES.contains(&buffer.capacity()) {
        exchange(&LARGE_ONE, buffer);
    }
}

/// Remembers a buffer of which slices were given away.
pub(super) fn lend(buffer: Bytes) {
    exchange(&LENT, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_all_its_room_and_nothing_in_it() {
        for bytes in [1, SMALL, LARGE] {
            let mut buffer = take(bytes);
            assert!(buffer.capacity() >= bytes);
            let (place, capacity) = (buffer.as_ptr(), buffer.capacity());
            buffer.resize(capacity, 7);
            give(buffer);
            let (again, other) = (take(bytes), take(bytes));
            assert_eq!((again.len(), again.as_ptr()), (0, place));
            assert_ne!(other.as_ptr(), place, "there is one");
            give(again);
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        give(Vec::with_capacity(3 * LARGE));
        assert!(take(LARGE).capacity() < 3 * LARGE);
    }

    #[test]
    fn the_memory_of_a_frame_is_taken_again_when_the_frame_is_gone() {
        let buffer = Bytes::from(vec![7; 10_000]);
        let place = buffer.as_ptr();
        let frame = buffer.slice(2..9_000);
        lend(buffer);
        let other = take_exact(9_900);
        assert_ne!(other.as_ptr(), place, "the frame is alive");
        drop(frame);
        let (again, other) = (take_exact(9_900), take_exact(9_900));
        assert_eq!(again.as_ptr(), place);
        assert_ne!(other.as_ptr(), place, "there is one");
    }
}
