//! Memory that one input takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Watches what is allocated from its making on.
#[derive(Debug)]
pub struct Memory {
    before: usize,
}

impl Memory {
    /// Starts to watch. One at a time: there is one peak in a process.
    #[must_use]
    pub fn watch() -> Self {
        ALLOCATOR.reset_peak_usage();
        Self {
            before: ALLOCATOR.current_usage(),
        }
    }

    /// The most bytes that were allocated at one time since, beyond those that were there before.
    #[must_use]
    pub fn peak(&self) -> usize {
        ALLOCATOR.peak_usage().saturating_sub(self.before)
    }
}
