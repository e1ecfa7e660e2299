//! The connections whose threads stand aside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use masep_table::PeerKey;

use crate::blocking::Connection;
use crate::blocking::poller::{Poller, Remote};
use crate::blocking::stream::{Stream, WOKEN};
use crate::blocking::warn_of_scarcity;

/// The time between two looks of the clock while threads stand aside: if no call has read between two, they read again.
const PATIENCE: Duration = Duration::from_millis(20);
/// The same while one call waits for longer than that.
const SELDOM: Duration = Duration::from_secs(1);

/// The connections whose threads stand aside, and the call that reads them.
#[derive(Default)]
pub(super) struct Aside {
    connections: BTreeMap<PeerKey, Direct>,
    /// When their threads are to look at them.
    dues: BTreeSet<(Instant, PeerKey)>,
    /// Threads that are to read again, and do not know it.
    released: Vec<Thread>,
    /// Made with the first.
    set: Option<Set>,
    reading: Reading,
    /// Counts how often calls read, or were about to, and threads stood aside.
    uses: u64,
    /// The same at the last look of the clock, if there was one since they stand aside, and when that was.
    seen: Option<(u64, Instant)>,
    /// The clock does not look soon.
    clock_rests: bool,
}

struct Direct {
    connection: Connection,
    stream: Arc<Stream>,
    thread: Thread,
    due: Option<Instant>,
}

/// The streams of all of them.
struct Set {
    /// `None` while a call waits for it.
    poller: Option<Poller>,
    remote: Remote,
}

impl Set {
    fn new() -> io::Result<Self> {
        let poller = Poller::new()?;
        Ok(Self {
            remote: poller.remote()?,
            poller: Some(poller),
        })
    }
}

/// The call that reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Nobody,
    /// It waits for all of them.
    All { is_woken: bool },
    /// It reads this one, and is not woken by anything else.
    Alone(PeerKey),
}

impl Aside {
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn has(&self, key: PeerKey) -> bool {
        self.connections.contains_key(&key)
    }

    pub(super) fn connection(&self, key: PeerKey) -> Option<&Connection> {
        self.connections.get(&key).map(|direct| &direct.connection)
    }

    /// Has a connection read by calls from here on, in place of this thread. False if it is not.
    pub(super) fn add(&mut self, key: PeerKey, connection: &Connection) -> bool {
        // One that reads alone would not see it.
        if self.is_one_read_alone() {
            return false;
        }
        let set = match &self.set {
            Some(set) => set,
            None => match Set::new() {
                Ok(set) => self.set.insert(set),
                Err(error) => {
                    warn_of_scarcity("no way to wait for several connections", &error);
                    return false;
                }
            },
        };
        let Some((stream, due)) = connection.stand_aside() else {
            return false;
        };
        if set.remote.add(number(key), &stream, WOKEN).is_err() {
            connection.come_back();
            return false;
        }
        self.dues.extend(due.map(|due| (due, key)));
        self.use_them();
        let direct = Direct {
            connection: connection.clone(),
            stream,
            thread: thread::current(),
            due,
        };
        self.connections.insert(key, direct);
        true
    }

    /// The thread of this connection reads again.
    pub(super) fn remove(&mut self, key: PeerKey) {
        let removed = self.take(key);
        self.released.extend(removed.map(|direct| direct.thread));
    }

    /// [`remove`](Self::remove) in the thread itself.
    pub(super) fn leave(&mut self, key: PeerKey) {
        self.take(key);
    }

    fn take(&mut self, key: PeerKey) -> Option<Direct> {
        let direct = self.connections.remove(&key)?;
        if let Some(due) = direct.due {
            self.dues.remove(&(due, key));
        }
        if let Some(set) = &self.set {
            set.remote.remove(&direct.stream);
        }
        Some(direct)
    }

    /// The threads of all connections read again, but for one that a call reads alone.
    pub(super) fn remove_all(&mut self) {
        let keys: Vec<_> = self.connections.keys().copied().collect();
        let others = keys.into_iter().filter(|key| !self.is_read_alone(*key));
        for key in others.collect::<Vec<_>>() {
            self.remove(key);
        }
    }

    /// The threads that are to be told that they read again.
    pub(super) fn take_released(&mut self) -> Vec<Thread> {
        std::mem::take(&mut self.released)
    }

    /// Changes the time at which the thread of a connection is to look at it.
    pub(super) fn set_due(&mut self, key: PeerKey, due: Option<Instant>) {
        if let Some(direct) = self.connections.get_mut(&key)
            && direct.due != due
        {
            let old = std::mem::replace(&mut direct.due, due);
            if let Some(old) = old {
                self.dues.remove(&(old, key));
            }
            self.dues.extend(due.map(|due| (due, key)));
        }
    }

    // The call that reads.

    /// True if a call reads.
    pub(super) fn is_read(&self) -> bool {
        self.reading != Reading::Nobody
    }

    pub(super) fn is_read_alone(&self, key: PeerKey) -> bool {
        self.reading == Reading::Alone(key)
    }

    /// A call is about to wait for all of them.
    pub(super) fn begin(&mut self) -> Option<Poller> {
        let poller = self.set.as_mut()?.poller.take()?;
        self.reading = Reading::All { is_woken: false };
        Some(poller)
    }

    /// It has waited, and reads now.
    pub(super) fn end(&mut self, poller: Poller) {
        if let Some(set) = &mut self.set {
            set.poller = Some(poller);
        }
        self.end_alone();
    }

    /// A call is about to read this connection alone.
    pub(super) const fn begin_alone(&mut self, key: PeerKey) {
        self.reading = Reading::Alone(key);
    }

    pub(super) const fn end_alone(&mut self) {
        self.reading = Reading::Nobody;
        self.use_them();
    }

    pub(super) const fn is_one_read_alone(&self) -> bool {
        matches!(self.reading, Reading::Alone(_))
    }

    /// A call reads, or is about to.
    pub(super) const fn use_them(&mut self) {
        self.uses += 1;
    }

    /// Wakes the call that waits for all of them: something has happened.
    pub(super) fn wake(&mut self) {
        if let (Reading::All { is_woken, .. }, Some(set)) = (&mut self.reading, &self.set)
            && !std::mem::replace(is_woken, true)
        {
            let _ = set.remote.wake();
        }
    }

    // The clock.

    /// Has the threads read again for which that is due, and all of them if no call has read since the last look. Gives the
    /// time of the next one.
    pub(super) fn look(&mut self, now: Instant) -> Option<Instant> {
        let (uses, last) = self.seen.unwrap_or((0, now));
        if self.seen.is_none() || last + PATIENCE <= now {
            let is_used = self.seen.is_none() || uses != self.uses;
            if !is_used && !self.is_read() {
                self.remove_all();
            }
            self.clock_rests = !is_used;
            self.seen = Some((self.uses, now));
        }
        self.look_at_due(now);
        if self.is_empty() {
            self.clock_rests = true;
            self.seen = None;
        }
        let pause = if self.clock_rests { SELDOM } else { PATIENCE };
        let look = self.seen.map(|(_, last)| last + pause);
        let due = self.dues.first().map(|(due, _)| *due);
        look.into_iter().chain(due).min()
    }

    fn look_at_due(&mut self, now: Instant) {
        while let Some((due, key)) = self.dues.first().copied()
            && due <= now
        {
            let next = self.connection(key).and_then(Connection::due);
            match next {
                Some(next) if next <= now && self.is_read_alone(key) => {
                    self.set_due(key, Some(now + PATIENCE));
                }
                Some(next) if next <= now => self.remove(key),
                next => self.set_due(key, next),
            }
        }
    }

    /// True if the clock is to look soon, and would not.
    pub(super) fn hurries_clock(&mut self) -> bool {
        let hurries = self.clock_rests && !self.is_empty() && !self.is_read();
        self.clock_rests &= !hurries;
        hurries
    }
}

/// The number of a stream in the set.
fn number(key: PeerKey) -> usize {
    usize::try_from(key.0).unwrap_or(usize::MAX - 1)
}

/// The connection whose stream has this number.
pub(super) const fn key_of(number: usize) -> PeerKey {
    PeerKey(number as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::{Limits, SocketOptions};

    const KEY: PeerKey = PeerKey(1);

    /// A connection that this thread stands aside for, and its peer.
    fn aside() -> (Aside, Connection, UnixStream) {
        let (stream, peer) = UnixStream::pair().unwrap();
        let limits = Limits::default();
        let connection = Connection::over(stream, "ann", &limits, &SocketOptions::default());
        let (mut aside, connection) = (Aside::default(), connection.unwrap());
        assert!(aside.add(KEY, &connection));
        (aside, connection, peer)
    }

    #[test]
    fn a_thread_reads_again_when_no_call_has_between_two_looks_of_the_clock() {
        let (mut aside, _connection, _peer) = aside();
        let now = Instant::now();
        assert_eq!(aside.look(now), Some(now + PATIENCE));
        // A look for another reason is none of these.
        assert_eq!(aside.look(now + PATIENCE / 2), Some(now + PATIENCE));
        assert!(aside.has(KEY));
        aside.use_them();
        assert_eq!(aside.look(now + PATIENCE), Some(now + 2 * PATIENCE));
        assert!(aside.has(KEY) && aside.take_released().is_empty());
        assert_eq!(aside.look(now + 2 * PATIENCE), None);
        assert!(!aside.has(KEY));
        assert_eq!(aside.take_released().len(), 1);
    }

    #[test]
    fn the_clock_rests_while_a_call_waits_and_is_hurried_once_when_it_does_no_more() {
        let (mut aside, _connection, _peer) = aside();
        // It did not know that a thread stands aside.
        aside.look(Instant::now());
        let now = Instant::now();
        let poller = aside.begin().unwrap();
        assert_eq!(aside.look(now + PATIENCE), Some(now + PATIENCE + SELDOM));
        assert!(aside.has(KEY) && !aside.hurries_clock());
        aside.end(poller);
        assert!(aside.hurries_clock() && !aside.hurries_clock());
        assert!(aside.look(now + 2 * PATIENCE).is_some() && aside.has(KEY));
    }

    #[test]
    fn a_connection_that_is_read_alone_is_given_back_by_its_reader() {
        let (mut aside, connection, _peer) = aside();
        aside.begin_alone(KEY);
        assert!(!aside.add(PeerKey(2), &connection));
        aside.remove_all();
        aside.set_due(KEY, Some(Instant::now()));
        aside.look(Instant::now());
        assert!(aside.has(KEY));
        aside.end_alone();
        aside.remove_all();
        assert!(!aside.has(KEY));
    }
}
