//! The events of a table, until its host takes them.

use std::collections::VecDeque;

use masep_table::Event;

/// The most that are kept. A host that does not ask loses the oldest.
const MOST: usize = 4096;
/// The most rejections among them, which strangers bring about: further ones are not kept.
const MOST_REJECTIONS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: VecDeque<Event>,
    rejections: usize,
    missed: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        let is_rejection = is_rejection(&event);
        if is_rejection && self.rejections == MOST_REJECTIONS {
            self.missed += 1;
            return;
        }
        if self.kept.len() == MOST && self.pop().is_some() {
            self.missed += 1;
        }
        self.rejections += usize::from(is_rejection);
        self.kept.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.kept.pop_front()?;
        self.rejections -= usize::from(is_rejection(&event));
        Some(event)
    }

    /// The number of events that were dropped.
    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

const fn is_rejection(event: &Event) -> bool {
    matches!(event, Event::Rejected { .. })
}

#[cfg(test)]
mod tests {
    use masep_table::Code;

    use super::*;

    #[test]
    fn strangers_do_not_drive_other_events_out() {
        let mut events = Events::default();
        events.push(Event::Filled);
        for number in 0..MOST {
            let id = number.to_string().into();
            let code = Code::UnknownGame;
            events.push(Event::Rejected { id, code });
        }
        events.push(Event::Emptied);
        assert_eq!(events.pop(), Some(Event::Filled));
        assert_eq!(events.missed(), (MOST - MOST_REJECTIONS) as u64);
        for _ in 0..MOST_REJECTIONS {
            assert!(matches!(events.pop(), Some(Event::Rejected { .. })));
        }
        assert_eq!(events.pop(), Some(Event::Emptied));
        let (id, code) = ("late".into(), Code::Full);
        let rejected = Event::Rejected { id, code };
        events.push(rejected.clone());
        assert_eq!(events.pop(), Some(rejected));
    }

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
