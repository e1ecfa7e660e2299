//! Waits of threads. Those for sockets look again and again, with others in between: the threads are
//! none of the system's, which would wait for all of them.

use std::os::fd::RawFd;
use std::sync::LockResult;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout};
use nix::sys::socket::MsgFlags;
use shuttle::sync::MutexGuard;
use shuttle::thread;

use super::time::pass;
use crate::model::random;

/// Looks so often before time may pass.
const PATIENCE: usize = 4;

/// A condition variable whose waits can run out of time.
#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

pub(crate) struct Outcome {
    timed_out: bool,
}

impl Outcome {
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        waits: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait_while(guard, waits)
    }

    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
        mut waits: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, Outcome)> {
        let timed_out = waits(&mut guard) && pass(time);
        if !timed_out {
            guard = self.wait_while(guard, waits).unwrap();
        }
        Ok((guard, Outcome { timed_out }))
    }
}

pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: PollTimeout) -> nix::Result<i32> {
    loop {
        let ready = nix::poll::poll(fds, PollTimeout::ZERO)?;
        if ready > 0 || timeout == PollTimeout::ZERO {
            return Ok(ready);
        }
        if let (0, Some(milliseconds)) = (random(PATIENCE), timeout.as_millis())
            && pass(Duration::from_millis(milliseconds.into()))
        {
            return Ok(0);
        }
        thread::yield_now();
    }
}

pub(crate) fn recv(socket: RawFd, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
    loop {
        match nix::sys::socket::recv(socket, buffer, flags | MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) if !flags.contains(MsgFlags::MSG_DONTWAIT) => thread::yield_now(),
            read => return read,
        }
    }
}
