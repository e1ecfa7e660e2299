//! The signals that ask a program to end.

use std::io;

use crate::status::Status;

/// Waits for the signals that ask a program to end: SIGINT (Ctrl-C), SIGTERM, SIGHUP (its terminal is
/// gone) and SIGQUIT (Ctrl-\). None of them ends the program by itself any more, so that peers can be
/// told. SIGHUP stays ignored where it was (`nohup`).
pub(crate) struct Signals {
    #[cfg(unix)]
    signals: Vec<(tokio::signal::unix::Signal, Status)>,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut kinds = vec![
            (SignalKind::interrupt(), Status::Interrupted),
            (SignalKind::terminate(), Status::Terminated),
            (SignalKind::quit(), Status::Quit),
        ];
        if !is_hang_up_ignored() {
            kinds.push((SignalKind::hangup(), Status::HungUp));
        }
        let signals = kinds
            .into_iter()
            .map(|(kind, status)| Ok((signal(kind)?, status)))
            .collect::<io::Result<_>>()?;
        Ok(Self { signals })
    }

    /// The next signal, as the status of a program that it ends before it is done. Cancel safe.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Status {
        use std::task::Poll;
        std::future::poll_fn(|context| {
            for (signal, status) in &mut self.signals {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*status);
                }
            }
            Poll::Pending
        })
        .await
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
