//! The events of a table, until its host takes them.

use std::collections::VecDeque;

use masep_table::Event;

/// The most that are kept. A host that does not ask loses the oldest.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: VecDeque<Event>,
    missed: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.kept.len() == MOST {
            self.kept.pop_front();
            self.missed += 1;
        }
        self.kept.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.kept.pop_front()
    }

    /// The number of events that were dropped.
    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let mut events = Events::default();
        for spectators in 0..MOST + 2 {
            events.push(Event::Spectators(spectators));
        }
        assert_eq!(events.missed(), 2);
        assert_eq!(events.pop(), Some(Event::Spectators(2)));
        assert_eq!(std::iter::from_fn(|| events.pop()).count(), MOST - 1);
    }
}
