//! Connections that a call of the host reads itself.
//!
//! A thread that reads a connection, and then wakes the call that waits for a move, costs a turn more than all else that
//! the table does. So while the host asks, the thread of a connection that has brought something stands aside, and the
//! call that waits reads the socket in its place: of several, when the set of all of them tells that something has come, and
//! of the only one that is asked by a read that waits. When no call has read for a moment, the threads read again, and tell
//! what comes while the host thinks. So does one whose connection needs it: for a sign of life that is due, for the end,
//! and for all that is more than a read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use masep_proto::Frame;
use masep_table::PeerKey;

use super::aside::key_of;
use super::shared::{Guard, Inner, Shared};
use crate::blocking::Connection;
use crate::blocking::connection::FromAside;
use crate::table::driver::Driver;

/// The time for which a call reads one connection alone: so long it learns of nothing else.
const ALONE: Duration = Duration::from_millis(20);
/// Frames of one connection at most until the others have their turn.
const MOST_FRAMES: usize = 8;

/// A call that asks seats and waits for all that they decide. Connections are read directly meanwhile.
#[must_use = "connections are read directly until it is dropped"]
pub(super) struct Asking<'a>(&'a Arc<Shared>);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.asks -= 1;
        // The time of arrival counts where a seat is still asked, and nobody looks.
        if inner.asks == 0 && inner.driver.table().is_turn_open() {
            inner.aside.remove_all();
            self.0.settle(inner);
        }
    }
}

impl Shared {
    /// Seats are about to be asked by a call that waits for all of their decisions.
    pub(super) fn ask(self: &Arc<Self>) -> Asking<'_> {
        let mut inner = self.lock();
        inner.asks += 1;
        if inner.asks > 1 && inner.aside.is_one_read_alone() {
            // The call that reads it does not see to the others.
            inner.aside.remove_all();
            self.settle(inner);
        }
        Asking(self)
    }

    /// [Calls](Self::call) what opens a turn. If its decisions may be waited for later, the threads of the connections read.
    pub(in crate::blocking) fn open<R>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut Driver<Connection>, Instant) -> R,
    ) -> R {
        self.with(|inner, now| {
            if inner.asks == 0 {
                inner.aside.remove_all();
            }
            let opened = call(&mut inner.driver, now);
            // With many seats that took a while.
            inner.aside.use_them();
            opened
        })
    }

    /// Tells the table of a frame, in the thread of its connection, which then stands aside if the host waits.
    pub(super) fn arrive(self: &Arc<Self>, connection: &Connection, frame: Frame) {
        let at = Instant::now();
        self.arriving.fetch_add(1, Ordering::AcqRel);
        let mut inner = self.lock();
        self.arriving.fetch_sub(1, Ordering::AcqRel);
        let Some(key) = inner.keys.get(&connection.id()).copied() else {
            return;
        };
        inner.driver.received(key, frame, at, Instant::now());
        // The call that waits is told by the news.
        let may_stand_aside = inner.asks > 0 && inner.driver.has_news();
        let stands_aside = may_stand_aside && inner.aside.add(key, connection);
        self.settle(inner);
        if stands_aside {
            self.stand_aside(key, connection);
        }
    }

    /// Waits until the thread of this connection is to read it again.
    fn stand_aside(&self, key: PeerKey, connection: &Connection) {
        loop {
            let mut inner = self.lock();
            if !inner.aside.has(key) {
                break;
            }
            // A call that reads it alone tells what it finds in order, and then looks for more.
            if !inner.aside.is_read_alone(key) && connection.wants_its_thread() {
                inner.aside.leave(key);
                break;
            }
            drop(inner);
            thread::park();
        }
        connection.come_back();
    }

    /// Waits for the connections whose threads stand aside, and for news, and reads what has come.
    pub(super) fn read_all(self: &Arc<Self>, mut inner: Guard<'_>, until: Option<Instant>) {
        let Some(mut poller) = inner.aside.begin() else {
            return;
        };
        drop(inner);
        let waited = poller.wait(until);
        let mut inner = self.lock();
        // In time: others see that by then.
        if waited.is_err() {
            // The threads can wait.
            inner.aside.remove_all();
        }
        for (stream, is_over) in poller.readable() {
            let key = key_of(stream);
            inner.read_directly(key);
            if is_over {
                // The thread reads the end.
                inner.aside.remove(key);
            }
        }
        inner.aside.end(poller);
        self.settle(inner);
    }

    /// Waits for a moment for the only connection of which something is awaited, by a read.
    pub(super) fn read_alone(self: &Arc<Self>, mut inner: Guard<'_>, key: PeerKey) {
        let Some(connection) = inner.aside.connection(key).cloned() else {
            return;
        };
        inner.aside.begin_alone(key);
        drop(inner);
        let found = connection.recv_aside_within(ALONE);
        let at = Instant::now();
        self.arriving.fetch_add(1, Ordering::AcqRel);
        let mut inner = self.lock();
        self.arriving.fetch_sub(1, Ordering::AcqRel);
        inner.aside.end_alone();
        if inner.take_found(key, found, at) {
            inner.read_directly(key);
        }
        if connection.wants_its_thread() {
            inner.aside.remove(key);
        }
        self.settle(inner);
    }
}

impl Inner {
    /// The connection of the only seat that a call waits for, if the call may wait for it alone: nothing else is to be done
    /// for a while, of which this much is left.
    pub(super) fn read_alone(&self, left: Option<Duration>) -> Option<PeerKey> {
        let is_soon = |left: Duration| left < 2 * ALONE;
        if self.asks != 1 || self.aside.is_read() || left.is_some_and(is_soon) {
            return None;
        }
        let key = self.driver.table().only_asked()?;
        self.aside.has(key).then_some(key)
    }

    /// Reads what has come on a connection, if its thread does not.
    pub(super) fn read_directly(&mut self, key: PeerKey) {
        if self.aside.is_read_alone(key) {
            return;
        }
        for _ in 0..MOST_FRAMES {
            let Some(connection) = self.aside.connection(key) else {
                return;
            };
            let found = connection.recv_aside();
            if !self.take_found(key, found, Instant::now()) {
                return;
            }
        }
        self.aside.remove(key);
    }

    /// Tells the table what was read. True if there may be more.
    fn take_found(&mut self, key: PeerKey, found: FromAside, at: Instant) -> bool {
        match found {
            FromAside::Frame(frame, has_more) => {
                self.driver.received(key, frame, at, at);
                return has_more;
            }
            FromAside::Nothing(due) => self.aside.set_due(key, due),
            FromAside::Apart => self.aside.remove(key),
        }
        false
    }
}
