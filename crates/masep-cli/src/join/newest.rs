//! The messages that wait for a slow reader that wants the newest observation only.

use std::collections::VecDeque;

use masep::MessageType;

use crate::events::Received;

/// Messages that may wait: when there are as many, none of which may be skipped, nothing is received
/// and the server feels the back-pressure.
const CAPACITY: usize = 16;

/// Messages that wait, each observation that has another one right behind it left out.
///
/// pymasep's own `most_recent` also skips the last observation before an `end`. That one shows how
/// the game ended, so here it stays.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    received: VecDeque<Received>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.received.len() < CAPACITY
    }

    pub(super) fn push(&mut self, received: Received) {
        let is_observation = |it: &Received| it.is(&MessageType::Observation);
        if is_observation(&received) && self.received.back().is_some_and(is_observation) {
            self.received.pop_back();
        }
        self.received.push_back(received);
    }

    pub(super) fn pop(&mut self) -> Option<Received> {
        self.received.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use masep::Message;

    #[test]
    fn only_observations_with_a_newer_one_behind_them_are_skipped() {
        let observation = |step: i64| {
            let params = masep::Dict::new().with("observation", step);
            Message::new(MessageType::Observation, params, "engine")
        };
        let sent = [
            observation(1),
            observation(2),
            Message::new("news", masep::Value::None, "engine"),
            observation(3),
            observation(4),
            observation(5),
            Message::end("engine"),
            Message::end("engine"),
        ];
        let mut waiting = Waiting::default();
        for message in &sent {
            assert!(waiting.has_room());
            waiting.push(Received::within_defaults(message.to_frame().unwrap()));
        }
        let told: Vec<_> = std::iter::from_fn(|| waiting.pop())
            .map(|received| received.message.unwrap())
            .collect();
        let kept = [1, 2, 5, 6, 7].map(|index| sent[index].clone());
        assert_eq!(told, kept);
        assert!(waiting.is_empty());
    }
}
