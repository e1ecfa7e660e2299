//! Clients that a server gives away: somebody else goes on with their streams, in another process for example.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use masep_proto::admission::Ticket;
use masep_proto::connection::{HandOver, Heard};

use super::event_loop::{EventLoop, Wakeups};
use super::relay::Relays;
use crate::CloseReason;
use crate::admitting::{Admits, Visit};
use crate::blocking::door::Door;
use crate::blocking::shared::Shared;
use crate::blocking::stream::Stream;

/// A client that was [given away](crate::Request::detach): its stream, of which nothing is said or shut here any more, and
/// what was heard on it.
///
/// It has no place at its server, whose end is not its own. But as long as this lives the server's rules hold for it: when its
/// access token is taken out or expires, and when the host kicks or bans it, [`end`](Self::end) tells so, and whoever goes on
/// with the stream is to end the connection for that reason.
pub struct Detached {
    stream: OwnedFd,
    heard: Heard,
    away: Arc<Away>,
    visit: Visit<Door>,
}

/// The part of one that its door has.
#[derive(Default)]
pub(crate) struct Away {
    ended: OnceLock<CloseReason>,
    watcher: OnceLock<(Arc<Wakeups>, u64)>,
}

impl Away {
    /// The door has ended it, for this reason.
    pub(crate) fn end(&self, reason: CloseReason) {
        let _ = self.ended.set(reason);
        self.wake();
    }

    fn wake(&self) {
        if let (Some(_), Some((wakeups, key))) = (self.ended.get(), self.watcher.get()) {
            wakeups.wake(*key);
        }
    }
}

impl Detached {
    /// All that the server has heard of the client.
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The reason for which the server's rules end the client, if they do.
    pub fn end(&self) -> Option<&CloseReason> {
        self.away.ended.get()
    }

    /// Has this loop [woken](EventLoop::take_woken) with this key when there is an [`end`](Self::end). To be called once.
    pub fn watch(&self, event_loop: &EventLoop, key: u64) {
        let _ = self.away.watcher.set((event_loop.wakeups(), key));
        // It may have ended before.
        self.away.wake();
    }
}

/// The stream: a client's socket, or one behind which its TLS is.
impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.visit.leave();
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("stream", &self.stream)
            .field("heard", &self.heard)
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

impl Door {
    /// Gives up a client, as [`Admits::give_up`].
    pub(in crate::blocking) fn detach(
        self: &Arc<Self>,
        ticket: Ticket,
    ) -> Option<io::Result<Detached>> {
        let shared = self.parts().lock().get(ticket).cloned()?;
        let (stream, heard) = match shared.detach(&self.relays)? {
            Ok(detached) => detached,
            Err(error) => return Some(Err(error)),
        };
        self.accepted.leave();
        let visit = Visit {
            door: self.clone(),
            ticket,
        };
        let away = Arc::new(Away::default());
        let is_given_away = self.update(|state| state.give_away(ticket, &away));
        let detached = Detached {
            stream,
            heard,
            away,
            visit,
        };
        // Refused in the same moment, it finds the end of the stream.
        is_given_away.then_some(Ok(detached))
    }
}

impl Shared {
    /// Gives up the peer, which waits for the verdict, for somebody who goes on with its stream: that, and what was heard on
    /// it. `None` if it has gone.
    fn detach(self: &Arc<Self>, relays: &Arc<Relays>) -> Option<io::Result<(OwnedFd, Heard)>> {
        let state = self.lock();
        let is_secure = state.core.is_secure();
        let socket = state.stream.as_ref()?.0.as_fd().try_clone_to_owned();
        drop(state);
        // All that it takes, before anything is given up: without it, the peer is refused in order.
        let prepared = match is_secure {
            false => socket.map(|socket| (socket, None)),
            true => UnixStream::pair().and_then(|(ours, theirs)| {
                let relay = relays.prepare(ours)?;
                Ok((theirs.into(), Some(relay)))
            }),
        };
        let (theirs, relay) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Some(Err(error)),
        };
        let (stream, heard) = self.hand_over()?;
        if let Some(relay) = relay {
            relay.begin(stream);
        }
        Some(Ok((theirs, heard)))
    }

    /// Gives up the peer and its stream, of which nothing is said or shut here any more.
    fn hand_over(self: &Arc<Self>) -> Option<(Arc<Stream>, Heard)> {
        let mut state = self.lock();
        loop {
            match state.core.hand_over() {
                HandOver::Done(heard) => {
                    let stream = state.stream.take();
                    state.is_given_away = true;
                    self.unlock(state);
                    return Some((stream?, heard));
                }
                HandOver::Later => state = self.wait_for_others(state, None),
                HandOver::Never => return None,
            }
        }
    }
}
