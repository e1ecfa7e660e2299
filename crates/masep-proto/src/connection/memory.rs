//! The memory of large frames that were given to the user, to be taken again when they are gone: fresh memory for each
//! costs more than all else that is done for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Share};
use super::pool;

/// The memory of the last two large frames of a connection: a user often lets go of one when it has the next.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<Mutex<Slots>>);

#[derive(Debug)]
struct Slots {
    slots: [Option<Slot>; 2],
    budget: Arc<Budget>,
}

/// Memory, and its share of the budget.
#[derive(Debug)]
struct Slot {
    memory: Memory,
    share: Share,
}

#[derive(Debug)]
enum Memory {
    /// The user has some of it.
    Lent(Bytes),
    Free(Vec<u8>),
}

impl Slot {
    fn size(&self) -> usize {
        match &self.memory {
            Memory::Lent(bytes) => bytes.len(),
            Memory::Free(buffer) => buffer.capacity(),
        }
    }

    fn is_free(&self) -> bool {
        match &self.memory {
            Memory::Lent(bytes) => bytes.is_unique(),
            Memory::Free(_) => true,
        }
    }

    /// True if these bytes are some of it.
    fn has(&self, bytes: &Bytes) -> bool {
        match &self.memory {
            Memory::Lent(lent) => lent.as_ptr_range().contains(&bytes.as_ptr()),
            Memory::Free(_) => false,
        }
    }
}

impl Slots {
    /// Keeps memory in place of the oldest, if there is a share for it.
    fn push(&mut self, memory: Memory, bytes: usize) {
        self.slots[1] = None;
        self.slots.rotate_right(1);
        let share = self.budget.take_spare(bytes);
        self.slots[0] = share.map(|share| Slot { memory, share });
    }
}

impl Kept {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self(Arc::new(Mutex::new(Slots {
            slots: [None, None],
            budget: budget.clone(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the memory of a frame that is given to the user.
    pub(super) fn lend(&self, bytes: &Bytes) {
        let memory = Memory::Lent(bytes.clone());
        self.lock().push(memory, bytes.len());
    }

    /// True if there is some.
    pub(super) fn is_any(&self) -> bool {
        self.lock().slots.iter().any(Option::is_some)
    }

    /// Gives it back to the system.
    pub(super) fn release(&self) {
        self.lock().slots = [None, None];
    }

    /// Memory that nobody uses any more, with its share, if so many bytes have room in it, but not many more.
    pub(super) fn take(&self, bytes: usize) -> Option<(Vec<u8>, Share)> {
        let fits = |slot: &Slot| (slot.size() / 2..=slot.size()).contains(&bytes) && slot.is_free();
        let mut slots = self.lock();
        let found = slots.slots.iter_mut();
        let Slot { memory, share } = found
            .filter(|slot| slot.as_ref().is_some_and(fits))
            .find_map(Option::take)?;
        let mut buffer = match memory {
            Memory::Lent(bytes) => Vec::from(bytes),
            Memory::Free(buffer) => buffer,
        };
        buffer.clear();
        (buffer.capacity() >= bytes).then_some((buffer, share))
    }

    /// Keeps memory again that was [taken](Self::take) in vain.
    pub(super) fn put_back(&self, buffer: Vec<u8>, share: Share) {
        let mut slots = self.lock();
        let free = slots.slots.iter_mut().find(|slot| slot.is_none());
        if let Some(slot) = free {
            let memory = Memory::Free(buffer);
            *slot = Some(Slot { memory, share });
        }
    }

    pub(super) fn handle(&self) -> FrameMemory {
        FrameMemory(Arc::downgrade(&self.0))
    }
}

/// The memory of a connection's large frames, for those who want that of a frame as their own, to write to it:
/// [`Connection::frame_memory`](super::Connection::frame_memory). It does not keep the connection alive.
#[derive(Clone, Debug)]
pub struct FrameMemory(Weak<Mutex<Slots>>);

impl FrameMemory {
    /// A part of a frame as one's own, without a copy, if nobody else has any of that frame.
    ///
    /// # Errors
    /// Somebody has: then it is given back.
    pub fn take_out(&self, bytes: Bytes) -> Result<BytesMut, Bytes> {
        pool::forget(&bytes);
        if let Some(slots) = self.0.upgrade() {
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            for slot in &mut slots.slots {
                if slot.as_ref().is_some_and(|slot| slot.has(&bytes)) {
                    *slot = None;
                }
            }
        }
        bytes.try_into_mut()
    }

    /// Has the connection read other frames into what was [taken out](Self::take_out), if there still is one.
    pub fn give_back(&self, mut memory: BytesMut) {
        if let Some(slots) = self.0.upgrade() {
            memory.clear();
            let buffer = Vec::from(memory);
            let size = buffer.capacity();
            if size <= pool::LARGE {
                // The thread that lets go of it is likely to read the next one.
                return pool::lend(Bytes::from(buffer));
            }
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.push(Memory::Free(buffer), size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept::new(&Budget::new(10 << 20))
    }

    #[test]
    fn memory_of_a_frame_that_was_taken_out_is_taken_again_when_it_is_given_back() {
        let kept = kept();
        let frame = Bytes::from(vec![7; 1 << 20]);
        let place = frame.as_ptr();
        kept.lend(&frame);
        let array = frame.slice(64..);
        drop(frame);
        let memory = kept.handle();
        let mut own = memory.take_out(array).unwrap();
        assert_eq!(
            (own.as_ptr(), own.len()),
            (place.wrapping_add(64), (1 << 20) - 64)
        );
        own[0] = 1;
        assert!(kept.take(1 << 20).is_none(), "somebody has it");
        memory.give_back(own);
        let (buffer, _share) = kept.take(1 << 20).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len()), (place, 0));
        assert!(kept.take(1 << 20).is_none(), "there is one");
    }

    #[test]
    fn memory_that_others_have_is_not_taken_out() {
        let kept = kept();
        let frame = Bytes::from(vec![7; 1 << 20]);
        kept.lend(&frame);
        let array = kept.handle().take_out(frame.slice(8..)).unwrap_err();
        assert_eq!(array, frame.slice(8..));
        assert!(kept.take(1 << 20).is_none());
    }

    #[test]
    fn memory_of_a_frame_of_medium_size_is_taken_again_by_the_thread_that_gives_it_back() {
        let kept = kept();
        let frame = Bytes::from(vec![7; 30_000]);
        let place = frame.as_ptr();
        let array = frame.slice(64..);
        drop(frame);
        let memory = kept.handle();
        memory.give_back(memory.take_out(array).unwrap());
        assert!(!kept.is_any(), "the thread has it, not the connection");
        let again = pool::take_exact(30_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn memory_outlives_its_connection() {
        let kept = kept();
        let frame = Bytes::from(vec![7; 1 << 20]);
        kept.lend(&frame);
        let memory = kept.handle();
        drop(kept);
        let own = memory.take_out(frame).unwrap();
        memory.give_back(own);
    }

    #[test]
    fn there_is_no_memory_beyond_the_budget() {
        let kept = Kept::new(&Budget::new(1 << 20));
        let memory = kept.handle();
        memory.give_back(BytesMut::zeroed(1 << 20));
        assert!(!kept.is_any());
        memory.give_back(BytesMut::zeroed(1 << 18));
        assert!(kept.is_any());
        kept.release();
        assert!(kept.take(1 << 18).is_none());
    }
}
