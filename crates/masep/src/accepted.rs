//! Connections on their way from the door to a call that accepts, in both shells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use masep_proto::admission::Pace;

use crate::handle::Handle;

/// Connections that wait to be accepted. Never more than may live at a time: those that have ended make room for others, the
/// oldest first.
#[derive(Debug)]
pub(crate) struct Accepted<C> {
    waiting: VecDeque<C>,
    most: usize,
    log: Pace,
}

impl<C: Handle> Accepted<C> {
    /// `connections`: the most that live at a time.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            most: connections.max(1),
            log: Pace::new(8, Duration::from_secs(60)),
        }
    }

    /// Adds one. This must not wait for room: nobody would drive the connection meanwhile. The one for which it came, which
    /// is not to be dropped under a lock: it may be the last handle.
    pub(crate) fn push(&mut self, connection: C, now: Instant) -> Option<C> {
        let oldest = if self.waiting.len() < self.most {
            None
        } else {
            // Most often there is one, because no more than so many live, this one included.
            self.waiting.iter().position(Handle::is_ended)
        };
        let dropped = oldest.and_then(|oldest| self.waiting.remove(oldest));
        self.waiting.push_back(connection);
        if let Some(dropped) = &dropped
            && let Some(skipped) = self.log.take(now)
        {
            let skipped = (skipped > 0).then_some(skipped);
            tracing::warn!(
                connection = %dropped.id(),
                peer = ?dropped.peer(),
                skipped,
                "a connection that ended before it was accepted is dropped for a newer one"
            );
        }
        dropped
    }

    /// The one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<C> {
        self.waiting.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out all that wait.
    pub(crate) fn take_all(&mut self) -> VecDeque<C> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use masep_proto::PeerId;

    use super::*;
    use crate::ConnectionId;

    #[derive(Clone)]
    struct Peer(ConnectionId, PeerId, Rc<Cell<bool>>);

    impl Peer {
        fn new(id: &str) -> Self {
            Self(ConnectionId::next(), id.into(), Rc::default())
        }
    }

    impl Handle for Peer {
        fn id(&self) -> ConnectionId {
            self.0
        }

        fn peer(&self) -> &PeerId {
            &self.1
        }

        fn is_ended(&self) -> bool {
            self.2.get()
        }

        fn is_live(&self) -> bool {
            !self.is_ended()
        }
    }

    #[test]
    fn the_oldest_that_has_ended_makes_room_and_none_that_lives() {
        let now = Instant::now();
        let mut accepted = Accepted::new(2);
        let [one, two, three, four] = ["one", "two", "three", "four"].map(Peer::new);
        for peer in [&one, &two, &three] {
            assert!(accepted.push(peer.clone(), now).is_none(), "all live");
        }
        for ended in [&two, &three] {
            ended.2.set(true);
        }
        let dropped = accepted.push(four, now).expect("two have ended");
        assert_eq!(dropped.peer(), &two.1);
        let left: Vec<_> = std::iter::from_fn(|| accepted.pop()).collect();
        let left = left.iter().map(|peer| peer.peer().as_str());
        assert!(left.eq(["one", "three", "four"]) && accepted.is_empty());
    }
}
