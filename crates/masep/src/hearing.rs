//! Streams of which the end of the peer's side is awaited, behind our `BYE`.

use std::sync::atomic::{AtomicUsize, Ordering};

use masep_proto::connection::Connection as Core;

/// The most of them in a process. Those beyond are closed at once.
const MOST: usize = 256;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One of them, as long as this lives.
#[derive(Debug)]
pub(crate) struct Hearing(());

impl Hearing {
    /// One for a connection whose end was told. If there are as many as may be, the end of the peer's side is not awaited.
    pub(crate) fn begin_for(core: &mut Core) -> Option<Self> {
        let hearing = Self::begin();
        if hearing.is_none() {
            core.stop_hearing();
        }
        hearing
    }

    /// `None` if there are as many as may be.
    pub(crate) fn begin() -> Option<Self> {
        let more = |count: usize| (count < MOST).then_some(count + 1);
        let counted = COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        // One that is made is one that is counted when it goes: not before there is room for it.
        counted.is_ok().then(|| Self(()))
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_however_many_are_refused_and_another_when_one_is_over() {
        let mut all: Vec<_> = (0..3 * MOST).filter_map(|_| Hearing::begin()).collect();
        assert!((1..=MOST).contains(&all.len()), "{}", all.len());
        all.truncate(all.len() / 2);
        assert!(Hearing::begin().is_some());
    }
}
