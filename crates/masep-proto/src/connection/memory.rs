//! The memory of large frames that were given to the user, to be taken again when they are gone: fresh memory for each
//! costs more than all else that is done for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Share};

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
            let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.push(Memory::Free(buffer), size);
        }
    }
}
