//! The signals that ask a program to end.

use std::io;
#[cfg(unix)]
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(unix)]
use std::time::{Duration, Instant};

use crate::status::Status;

/// The time in which a signal is taken by a verb that is not stuck.
#[cfg(unix)]
const STUCK_TIME: Duration = Duration::from_secs(2);

/// When a signal was taken last.
#[cfg(unix)]
type Taken = Arc<Mutex<Option<Instant>>>;

/// Waits for the signals that ask a program to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP (its terminal is
/// gone) and SIGQUIT (Ctrl-\). None of them ends the program by itself any more, so that peers can be
/// told. SIGHUP stays ignored where it was (`nohup`). One that nobody takes ends the program all the same: the verb is stuck, for
/// example in a file that is a pipe without a writer.
pub(crate) struct Signals {
    #[cfg(unix)]
    signals: Kinds,
    #[cfg(unix)]
    taken: Taken,
}

#[cfg(unix)]
type Kinds = Vec<(tokio::signal::unix::Signal, Status)>;

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        let taken = Taken::default();
        tokio::spawn(end_if_stuck(Self::kinds()?, taken.clone()));
        Ok(Self {
            signals: Self::kinds()?,
            taken,
        })
    }

    #[cfg(unix)]
    fn kinds() -> io::Result<Kinds> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut kinds = vec![
            (SignalKind::interrupt(), Status::Interrupted),
            (SignalKind::terminate(), Status::Terminated),
            (SignalKind::quit(), Status::Quit),
        ];
        if !is_hang_up_ignored() {
            kinds.push((SignalKind::hangup(), Status::HungUp));
        }
        let kinds = kinds.into_iter();
        kinds
            .map(|(kind, status)| Ok((signal(kind)?, status)))
            .collect()
    }

    /// The next signal, as the status of a program that it ends before it is done. Cancel safe.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Status {
        let status = next_of(&mut self.signals).await;
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        status
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The next Ctrl-C. Cancel safe.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Status {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Status::Interrupted
    }
}

#[cfg(unix)]
async fn next_of(signals: &mut Kinds) -> Status {
    use std::task::Poll;
    std::future::poll_fn(|context| {
        for (signal, status) in &mut *signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(*status);
            }
        }
        Poll::Pending
    })
    .await
}

/// Ends the program at a signal that nobody takes.
#[cfg(unix)]
async fn end_if_stuck(mut signals: Kinds, taken: Taken) {
    loop {
        let status = next_of(&mut signals).await;
        let arrived = Instant::now();
        tokio::time::sleep(STUCK_TIME).await;
        // The verb may have been told first, by a moment.
        let last = *taken.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last + STUCK_TIME < arrived) {
            std::process::exit(status.code().into());
        }
    }
}

/// True if the program was started with SIGHUP ignored. Known on Linux only: there is no call for it
/// that needs no unsafe code.
#[cfg(unix)]
fn is_hang_up_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// True if `/proc/PID/status` says so: the lowest bit is that of signal 1, SIGHUP.
#[cfg(unix)]
fn ignores_hang_up(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hang_up_is_the_lowest_bit() {
        for (status, ignored) in [
            ("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n", true),
            ("SigIgn:\t0000000000001000\n", false),
            ("SigCgt:\t0000000000000001\n", false),
            ("SigIgn:\t?\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hang_up(status), ignored, "{status}");
        }
    }
}
