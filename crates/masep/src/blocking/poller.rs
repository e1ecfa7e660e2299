//! Waiting for many sockets, at the cost of those that are ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::stream::{Readiness, Stream};
use crate::sync::Instant;

/// The most sockets that are told of at once. Others are told of by the next wait.
const MOST_EVENTS: usize = 256;
/// The unit of a wait for streams.
#[cfg(not(masep_model))]
const MILLISECOND: Duration = Duration::from_millis(1);
/// The key of what wakes a wait, which no stream has.
const WAKER: Token = Token(usize::MAX);

/// Streams that one thread waits for.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(MOST_EVENTS),
        })
    }

    /// The means by which other threads add and remove streams, and end a wait. There is one of a poller.
    pub(super) fn remote(&self) -> io::Result<Remote> {
        Ok(Remote {
            waker: Waker::new(self.poll.registry(), WAKER)?,
            registry: self.poll.registry().try_clone()?,
        })
    }

    /// Waits for a stream from here on, which is known by this key. It is told of once, and may be added again when it was
    /// [removed](Self::remove).
    pub(super) fn add(&self, key: usize, stream: &Stream, wanted: Readiness) -> io::Result<()> {
        add(self.poll.registry(), key, stream, wanted)
    }

    /// Waits no more for a stream.
    pub(super) fn remove(&self, stream: &Stream, wanted: Readiness) {
        if !wanted.is_none() {
            remove(self.poll.registry(), stream);
        }
    }

    /// Waits until some of the streams are ready, or the [remote](Self::remote) ends it; at the latest until the deadline. True if
    /// it was the remote.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
        #[cfg(not(masep_model))]
        let left = self.wait_shortly(until)?;
        #[cfg(masep_model)]
        let left = self.wait_in_model(until)?;
        match self.poll.poll(&mut self.events, left) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(self.events.iter().any(|event| event.token() == WAKER)),
        }
    }

    /// The time that is left, which the call that follows counts in milliseconds, rounded up. A shorter one is waited for here.
    #[cfg(not(masep_model))]
    fn wait_shortly(&self, until: Option<Instant>) -> io::Result<Option<Duration>> {
        use super::stream::{WOKEN, poll_fd, wait_for};
        let left = until.map(|until| until.saturating_duration_since(crate::sync::now()));
        if !left.is_some_and(|left| !left.is_zero() && left < MILLISECOND) {
            return Ok(left);
        }
        wait_for(&mut [poll_fd(self.poll.registry(), WOKEN)], until)?;
        Ok(Some(Duration::ZERO))
    }

    /// Others go on meanwhile, as the scheduler says. The set is ready when one of its streams is.
    #[cfg(masep_model)]
    fn wait_in_model(&self, until: Option<Instant>) -> io::Result<Option<Duration>> {
        use super::stream::{WOKEN, poll_fd, wait_for};
        wait_for(&mut [poll_fd(self.poll.registry(), WOKEN)], until)?;
        Ok(Some(Duration::ZERO))
    }

    /// The streams that the last wait found ready. An error or a hang-up counts as ready for everything: the next call gives
    /// the error.
    pub(super) fn ready(&self) -> impl Iterator<Item = (usize, Readiness)> {
        self.streams().map(|event| {
            let is_broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
            let found = Readiness {
                reads: is_broken || event.is_readable() || event.is_read_closed(),
                writes: is_broken || event.is_writable() || event.is_write_closed(),
            };
            (event.token().0, found)
        })
    }

    /// The streams that the last wait found readable. True with those of which no more comes.
    #[cfg(not(masep_model))]
    pub(super) fn readable(&self) -> impl Iterator<Item = (usize, bool)> {
        let ends = |event: &mio::event::Event| event.is_error() || event.is_read_closed();
        (self.streams()).map(move |event| (event.token().0, ends(event)))
    }

    fn streams(&self) -> impl Iterator<Item = &mio::event::Event> {
        self.events.iter().filter(|event| event.token() != WAKER)
    }
}

/// A [`Poller`], as other threads use it while one waits.
pub(super) struct Remote {
    waker: Waker,
    registry: Registry,
}

impl Remote {
    /// Has a stream waited for, see [`Poller::add`]. The one who waits is not woken by that.
    pub(super) fn add(&self, key: usize, stream: &Stream, wanted: Readiness) -> io::Result<()> {
        add(&self.registry, key, stream, wanted)
    }

    #[cfg(not(masep_model))]
    pub(super) fn remove(&self, stream: &Stream) {
        remove(&self.registry, stream);
    }

    /// Ends the wait that there is, or the next one.
    pub(super) fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

fn add(registry: &Registry, key: usize, stream: &Stream, wanted: Readiness) -> io::Result<()> {
    let reads = wanted.reads.then_some(Interest::READABLE);
    let writes = wanted.writes.then_some(Interest::WRITABLE);
    let Some(interest) = reads.map_or(writes, |reads| {
        Some(writes.map_or(reads, |writes| reads | writes))
    }) else {
        return Ok(());
    };
    let descriptor = stream.0.as_fd().as_raw_fd();
    registry.register(&mut SourceFd(&descriptor), Token(key), interest)
}

fn remove(registry: &Registry, stream: &Stream) {
    let descriptor = stream.0.as_fd().as_raw_fd();
    let _ = registry.deregister(&mut SourceFd(&descriptor));
}
