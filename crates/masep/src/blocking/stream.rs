//! The socket of a connection, and the calls of the system on it. No lock is held in any of them.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use masep_proto::connection::{Action, Read, Room, Transmit, Write};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::pipe::Pipe;
use crate::sync::{self, Instant, earlier, poll, thread_local};
use crate::transport::{self, Socket, Stream as _, TcpOptions};

/// A stream socket that is set to block.
#[derive(Debug)]
pub(super) struct Stream(pub(super) Socket);

/// The longest wait of a thread that cannot be woken.
const UNWOKEN_TIME: Duration = Duration::from_millis(10);

/// True if a read may wait for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    No,
}

/// The kinds of readiness of a descriptor that are waited for, or were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// The readiness of a pipe that wakes a thread.
pub(super) const WOKEN: Readiness = Readiness::READS;

impl Readiness {
    pub(super) const READS: Self = Self {
        reads: true,
        writes: false,
    };
    pub(super) const WRITES: Self = Self {
        reads: false,
        writes: true,
    };

    /// Those that are wanted.
    pub(super) const fn of(self, wanted: Self) -> Self {
        Self {
            reads: self.reads && wanted.reads,
            writes: self.writes && wanted.writes,
        }
    }

    pub(super) const fn is_none(self) -> bool {
        !self.reads && !self.writes
    }
}

thread_local! {
    static WAKER: Cell<Option<Arc<Pipe>>> = const { Cell::new(None) };
    static HAS_WARNED: Cell<bool> = const { Cell::new(false) };
}

/// The pipe by which this thread is woken; `None` where the process has no descriptor for it.
pub(super) fn waker() -> Option<Arc<Pipe>> {
    let open = || match Pipe::new() {
        Ok(pipe) => Some(Arc::new(pipe)),
        Err(error) => {
            if !HAS_WARNED.with(|has| has.replace(true)) {
                // It looks again and again meanwhile.
                tracing::warn!("a thread that waits looks every {UNWOKEN_TIME:?}: {error}");
            }
            None
        }
    };
    let kept = WAKER.try_with(|kept| {
        let pipe = kept.take().or_else(open);
        kept.set(pipe.clone());
        pipe
    });
    // One that is about to end keeps none.
    kept.unwrap_or_else(|_| open())
}

/// Has this thread woken by another pipe from here on: the one that it has is that of the process from which this one was
/// forked.
#[cfg(feature = "unstable-bindings")]
pub(super) fn leave_waker() {
    let _ = WAKER.try_with(Cell::take);
}

impl Stream {
    /// One read.
    pub(super) fn read(&self, room: &mut Room, wait: Wait) -> Read {
        match wait {
            Wait::Yes => self.0.read(room.buffer()).into(),
            Wait::No => self.0.try_read(room.buffer()).into(),
        }
    }

    /// One write, which does not wait.
    pub(super) fn write(&self, transmit: &Transmit) -> Write {
        transport::write(&self.0, transmit)
    }

    pub(super) fn act(&self, action: Action) {
        match action {
            Action::Close => drop(self.0.shutdown(Shutdown::Both)),
            // At once, though others may still wait with it; or when they, who are woken, let go of it.
            Action::Reset => self.0.reset(),
            action => transport::act(&self.0, action),
        }
    }

    /// Makes the socket writable only when all written bytes are sent. Returns false if the socket cannot tell: bytes
    /// written to one that is not TCP have arrived.
    pub(super) fn tell_when_sent(&self) -> bool {
        self.0.tcp().is_some_and(TcpOptions::tell_when_sent)
    }

    /// True if the socket is writable now, or broken.
    pub(super) fn is_writable(&self) -> bool {
        let mut asked = [poll_fd(&self.0, Readiness::WRITES)];
        poll(&mut asked, Some(&Timespec::default())).is_ok() && readiness(&asked[0]).writes
    }

    /// Wakes a thread that waits for bytes. From here on nothing is waited for.
    pub(super) fn shut_reading(&self) {
        let _ = self.0.shutdown(Shutdown::Read);
    }

    /// Waits until the stream is ready, or the thread is woken, at the latest until the deadline. A thread that cannot be woken
    /// does not wait for long.
    pub(super) fn wait(
        &self,
        wanted: Readiness,
        until: Option<Instant>,
        woken: Option<&Pipe>,
    ) -> Result<Readiness, io::ErrorKind> {
        let Some(woken) = woken else {
            let mut asked = [poll_fd(&self.0, wanted)];
            wait_for(&mut asked, earlier(until, after(UNWOKEN_TIME)))?;
            return Ok(readiness(&asked[0]).of(wanted));
        };
        let mut asked = [poll_fd(&self.0, wanted), poll_fd(woken, WOKEN)];
        wait_for(&mut asked, until)?;
        if readiness(&asked[1]).reads {
            woken.take_out();
        }
        Ok(readiness(&asked[0]).of(wanted))
    }
}

pub(super) fn poll_fd(descriptor: &impl AsFd, wanted: Readiness) -> PollFd<'_> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, wanted.reads);
    flags.set(PollFlags::OUT, wanted.writes);
    PollFd::new(descriptor, flags)
}

/// The readiness that was found. An error or a hang-up counts as ready for everything: the next call gives the
/// error.
pub(super) fn readiness(asked: &PollFd<'_>) -> Readiness {
    let found = asked.revents();
    let broken = found.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    Readiness {
        reads: broken || found.contains(PollFlags::IN),
        writes: broken || found.contains(PollFlags::OUT),
    }
}

/// Waits until one of them is ready, at the latest until the deadline.
pub(super) fn wait_for(
    asked: &mut [PollFd<'_>],
    until: Option<Instant>,
) -> Result<(), io::ErrorKind> {
    let left = until.map(|until| until.saturating_duration_since(sync::now()));
    // A time that the system has no number for is never over.
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(asked, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(io::Error::from(error).kind()),
    }
}

/// The instant in `time` from now. `None`, which is never, if the clock cannot count that far.
pub(super) fn after(time: Duration) -> Option<Instant> {
    sync::now().checked_add(time)
}
