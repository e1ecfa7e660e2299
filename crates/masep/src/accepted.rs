//! Connections on their way from the door to a call that accepts, in both shells.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use masep_proto::admission::Pace;

use crate::handle::Handle;
use crate::sync::{Mutex, MutexGuard, Notify};

/// Connections that wait to be accepted, and the number of those that may still come.
pub(crate) struct Arrivals<C> {
    state: Mutex<State<C>>,
    changed: Notify,
}

struct State<C> {
    waiting: Accepted<C>,
    /// Those that may still come. The door counts as one, as long as it lets others in.
    arriving: usize,
    /// Nobody takes any more.
    is_over: bool,
}

impl<C: Handle> Arrivals<C> {
    /// Those of a door that is open. `connections`: the most that live at a time.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Accepted::new(connections),
                arriving: 1,
                is_over: false,
            }),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more may come, until it [leaves](Self::leave).
    pub(crate) fn expect(&self) {
        self.lock().arriving += 1;
    }

    /// One that was expected has come, and waits.
    pub(crate) fn push(&self, connection: C, now: Instant) {
        let mut state = self.lock();
        let dropped = match state.is_over {
            true => Some(connection),
            false => state.waiting.push(connection, now),
        };
        drop(state);
        // It may be the last handle.
        drop(dropped);
        self.changed.notify_one();
    }

    /// One that was expected is not any more: it has come, or will not.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.arriving -= 1;
        let is_last = state.arriving == 0;
        drop(state);
        if is_last {
            self.changed.notify_waiters();
        }
    }

    /// The next connection; `None` when none comes any more. Cancel safe.
    pub(crate) async fn next(&self) -> Option<C> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(next) = self.try_next() {
                return next;
            }
            changed.await;
        }
    }

    /// `None` if one has to wait.
    fn try_next(&self) -> Option<Option<C>> {
        let mut state = self.lock();
        let Some(next) = state.waiting.pop() else {
            return (state.arriving == 0).then_some(None);
        };
        let has_more = !state.waiting.waiting.is_empty();
        drop(state);
        if has_more {
            // Our wake-up may have been the only one for several.
            self.changed.notify_one();
        }
        Some(Some(next))
    }

    /// Drops those that wait, and those that come later: nobody takes them any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let waiting = std::mem::take(&mut state.waiting.waiting);
        drop(state);
        drop(waiting);
    }
}

/// Connections that wait to be accepted. Never more than may live at a time: those that have ended make room for others, the
/// oldest first.
struct Accepted<C> {
    waiting: VecDeque<C>,
    most: usize,
    log: Pace,
}

impl<C: Handle> Accepted<C> {
    fn new(connections: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            most: connections.max(1),
            log: Pace::new(8, Duration::from_secs(60)),
        }
    }

    /// Adds one. This must not wait for room: nobody would drive the connection meanwhile. The one for which it came, which
    /// is not to be dropped under a lock: it may be the last handle.
    fn push(&mut self, connection: C, now: Instant) -> Option<C> {
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
    fn pop(&mut self) -> Option<C> {
        self.waiting.pop_front()
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
        assert!(left.eq(["one", "three", "four"]) && accepted.waiting.is_empty());
    }
}
