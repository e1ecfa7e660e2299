//! Waiting for many sockets, at the cost of those that are ready.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::stream::{Readiness, Stream, WOKEN, poll_fd, readiness, wait_for};
use crate::sync::Instant;

/// The most sockets that are told of at once. Others are told of by the next wait.
const MOST_EVENTS: usize = 256;
/// The key of what wakes a wait, which no stream has.
#[cfg(not(masep_model))]
const WAKER: Token = Token(usize::MAX);

/// The way to add streams to those that another thread waits for, which is not woken by that.
pub(super) struct Additions(Registry);

impl Additions {
    /// Has the thread wait for a stream from here on, which is known by this key. It is told of once, and may be added again
    /// when it was [removed](Poller::remove).
    pub(super) fn add(&self, key: usize, stream: &Stream, wanted: Readiness) -> io::Result<()> {
        add(&self.0, key, stream, wanted)
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

    /// Waits for a stream from here on, see [`Additions::add`].
    pub(super) fn add(&self, key: usize, stream: &Stream, wanted: Readiness) -> io::Result<()> {
        add(self.poll.registry(), key, stream, wanted)
    }

    /// For other threads, which add streams to those that this one waits for.
    pub(super) fn additions(&self) -> io::Result<Additions> {
        self.poll.registry().try_clone().map(Additions)
    }

    /// Waits no more for a stream.
    pub(super) fn remove(&self, stream: &Stream, wanted: Readiness) {
        if !wanted.is_none() {
            remove(self.poll.registry(), stream);
        }
    }

    /// The means by which other threads add and remove streams that are to be read, and end a wait.
    #[cfg(not(masep_model))]
    pub(super) fn remote(&self) -> io::Result<Remote> {
        Ok(Remote {
            waker: mio::Waker::new(self.poll.registry(), WAKER)?,
            additions: self.additions()?,
        })
    }

    /// Waits until some of the streams are ready, or the [remote](Self::remote) ends it; at the latest until the deadline, by one
    /// call of the system, which counts in milliseconds, rounded up.
    #[cfg(not(masep_model))]
    pub(super) fn wait_for_streams(&mut self, until: Option<Instant>) -> io::Result<()> {
        let left = until.map(|until| until.saturating_duration_since(crate::sync::now()));
        match self.poll.poll(&mut self.events, left) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// The streams that the last [wait](Self::wait_for_streams) found readable. True with those of which no more comes.
    #[cfg(not(masep_model))]
    pub(super) fn readable(&self) -> impl Iterator<Item = (usize, bool)> {
        let streams = self.events.iter().filter(|event| event.token() != WAKER);
        streams.map(|event| (event.token().0, event.is_error() || event.is_read_closed()))
    }

    /// Waits until some of the streams are ready, or a byte is in the pipe, which is taken out; at the latest until the
    /// deadline. True if it was the pipe.
    pub(super) fn wait(
        &mut self,
        mut woken: &PipeReader,
        until: Option<Instant>,
    ) -> io::Result<bool> {
        self.events.clear();
        // The set is ready when one of its streams is.
        let mut asked = [poll_fd(self.poll.registry(), WOKEN), poll_fd(&woken, WOKEN)];
        wait_for(&mut asked, until)?;
        let [streams, pipe] = asked.each_ref().map(|asked| readiness(asked).reads);
        if pipe {
            let _ = woken.read(&mut [0; 16]);
        }
        if streams {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(pipe)
    }

    /// The streams that the last wait found ready. An error or a hang-up counts as ready for everything: the next call gives
    /// the error.
    pub(super) fn ready(&self) -> impl Iterator<Item = (usize, Readiness)> {
        self.events.iter().map(|event| {
            let is_broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
            let found = Readiness {
                reads: is_broken || event.is_readable() || event.is_read_closed(),
                writes: is_broken || event.is_writable() || event.is_write_closed(),
            };
            (event.token().0, found)
        })
    }
}

/// A [`Poller`], as other threads use it while one waits.
#[cfg(not(masep_model))]
pub(super) struct Remote {
    waker: mio::Waker,
    additions: Additions,
}

#[cfg(not(masep_model))]
impl Remote {
    /// Has a stream waited for that is to be read. It is told of once for all that has come until it is read.
    pub(super) fn add(&self, key: usize, stream: &Stream) -> io::Result<()> {
        self.additions.add(key, stream, WOKEN)
    }

    pub(super) fn remove(&self, stream: &Stream) {
        remove(&self.additions.0, stream);
    }

    /// Ends the wait that there is, or the next one.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }
}

fn remove(registry: &Registry, stream: &Stream) {
    let descriptor = stream.0.as_fd().as_raw_fd();
    let _ = registry.deregister(&mut SourceFd(&descriptor));
}
