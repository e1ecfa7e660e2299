//! Waiting with a deadline: for sockets and for other threads.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::PoisonError;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::sync::{Condvar, Instant, MutexGuard, poll};

/// The instant in `time` from now; `None`, which is never, if the clock cannot count that far.
pub(super) fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// The earlier of two deadlines, where `None` is never.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether a deadline has passed.
pub(super) fn passed(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// Waits for other threads as long as `waits` holds. `None` if it still does at the deadline.
pub(super) fn wait_while<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    until: Option<Instant>,
    waits: impl FnMut(&mut T) -> bool,
) -> Option<MutexGuard<'a, T>> {
    let Some(until) = until else {
        let waited = changed.wait_while(guard, waits);
        return Some(waited.unwrap_or_else(PoisonError::into_inner));
    };
    let left = until.saturating_duration_since(Instant::now());
    let (guard, result) = changed
        .wait_timeout_while(guard, left, waits)
        .unwrap_or_else(PoisonError::into_inner);
    (!result.timed_out()).then_some(guard)
}

/// What became of one descriptor. An error or a hang-up counts as ready for all that was asked:
/// the read or write that follows says what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// What to wait for on one descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest<'fd> {
    descriptor: BorrowedFd<'fd>,
    flags: PollFlags,
}

impl<'fd> Interest<'fd> {
    pub(super) const fn readable(descriptor: BorrowedFd<'fd>) -> Self {
        Self {
            descriptor,
            flags: PollFlags::POLLIN,
        }
    }

    pub(super) const fn writable(descriptor: BorrowedFd<'fd>) -> Self {
        Self {
            descriptor,
            flags: PollFlags::POLLOUT,
        }
    }

    pub(super) fn or_readable_if(mut self, wanted: bool) -> Self {
        self.flags.set(PollFlags::POLLIN, wanted);
        self
    }

    pub(super) fn or_writable_if(mut self, wanted: bool) -> Self {
        self.flags.set(PollFlags::POLLOUT, wanted);
        self
    }
}

/// Waits until one of the descriptors is ready, at the latest until the deadline: then none is.
/// A deadline that has passed makes this a look without a wait.
pub(super) fn wait<const N: usize>(
    interests: [Interest<'_>; N],
    until: Option<Instant>,
) -> io::Result<[Ready; N]> {
    let mut fds = interests.map(poll_fd);
    wait_all(&mut fds, until)?;
    let mut ready = [Ready::default(); N];
    for (ready, fd) in ready.iter_mut().zip(&fds) {
        *ready = outcome(fd);
    }
    Ok(ready)
}

/// [`wait`] for any number of descriptors, when it does not matter which is ready.
pub(super) fn wait_for_any(interests: &[Interest<'_>], until: Option<Instant>) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = interests.iter().copied().map(poll_fd).collect();
    wait_all(&mut fds, until)
}

fn poll_fd(interest: Interest<'_>) -> PollFd<'_> {
    PollFd::new(interest.descriptor, interest.flags)
}

fn wait_all(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    loop {
        match poll(fds, timeout(until)) {
            Ok(0) if passed(until) => return Ok(()),
            // `poll` counts in milliseconds and at most 24 days.
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    let left = until.saturating_duration_since(Instant::now());
    // Rounded up, or the last fraction of a millisecond would be a loop without a wait.
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

fn outcome(fd: &PollFd<'_>) -> Ready {
    let asked = fd.events();
    let got = fd.revents().unwrap_or(PollFlags::empty());
    let broken = got.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
    let ready = |flag| asked.contains(flag) && (broken || got.contains(flag));
    Ready {
        readable: ready(PollFlags::POLLIN),
        writable: ready(PollFlags::POLLOUT),
    }
}
