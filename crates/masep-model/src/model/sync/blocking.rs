//! Waits of threads. Those for sockets look again and again, with others in between: the threads are
//! none of the system's, which would wait for all of them.

use std::os::fd::AsFd;
use std::sync::LockResult;
use std::time::Duration;

use rustix::buffer::Buffer;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::RecvFlags;
use rustix::net::sockopt::Timeout;
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

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        waits: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait_while(guard, waits)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, Outcome)> {
        let timed_out = pass(time);
        let guard = match timed_out {
            true => guard,
            false => self.0.wait(guard).unwrap(),
        };
        Ok((guard, Outcome { timed_out }))
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

pub(crate) fn poll(
    fds: &mut [PollFd<'_>],
    timeout: Option<&Timespec>,
) -> rustix::io::Result<usize> {
    let time = timeout.and_then(|timeout| Duration::try_from(*timeout).ok());
    loop {
        let ready = rustix::event::poll(fds, Some(&Timespec::default()))?;
        if ready > 0 || time == Some(Duration::ZERO) {
            return Ok(ready);
        }
        if let (0, Some(time)) = (random(PATIENCE), time)
            && pass(time)
        {
            return Ok(0);
        }
        thread::yield_now();
    }
}

/// Only one thread reads from a socket at a time.
pub(crate) fn recv<Buf: Buffer<u8>>(
    socket: impl AsFd,
    buffer: Buf,
    flags: RecvFlags,
) -> rustix::io::Result<(Buf::Output, usize)> {
    if !flags.contains(RecvFlags::DONTWAIT) {
        let time = rustix::net::sockopt::socket_timeout(&socket, Timeout::Recv)?;
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        poll(&mut [PollFd::new(&socket, PollFlags::IN)], time.as_ref())?;
    }
    rustix::net::recv(socket, buffer, flags | RecvFlags::DONTWAIT)
}
