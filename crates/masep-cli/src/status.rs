//! The exit codes of the program: every verb ends with one of these and no other.

use std::fmt::Write;
use std::process::ExitCode;

/// The outcome of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Everything that was asked for is done.
    Done,
    /// Something could not be done; standard error or an error line says what.
    Failed,
    /// The arguments do not make sense.
    Usage,
    /// There is no connection: nobody was found, or did not take it.
    NoConnection,
    /// The connection ended without a `BYE`.
    ConnectionLost,
    /// The server took the connection and ended it at once.
    Rejected,
    /// Something that was to be sent was not sent.
    NotSent,
    /// A certificate cannot be trusted, or soon not any more.
    Certificate,
    /// SIGHUP came before it was done.
    HungUp,
    /// SIGINT (Ctrl-C) came before it was done.
    Interrupted,
    /// SIGQUIT (Ctrl-\) came before it was done.
    Quit,
    /// SIGTERM came before it was done.
    Terminated,
}

impl Status {
    const ALL: [Self; 12] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoConnection,
        Self::ConnectionLost,
        Self::Rejected,
        Self::NotSent,
        Self::Certificate,
        Self::HungUp,
        Self::Interrupted,
        Self::Quit,
        Self::Terminated,
    ];

    /// The exit code. Interrupted programs have those that a shell gives to a program that a signal
    /// killed: 128 and its number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::ConnectionLost => 4,
            Self::Rejected => 5,
            Self::NotSent => 6,
            Self::Certificate => 7,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Quit => 131,
            Self::Terminated => 143,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed, or a line could not be done",
            Self::Usage => "wrong usage: an unknown verb or option, a missing or bad value",
            Self::NoConnection => "no connection: no server was found, or it did not answer",
            Self::ConnectionLost => "the connection ended without a BYE",
            Self::Rejected => {
                "rejected: the server said BYE at once (the id is in use, or it is full, among others)"
            }
            Self::NotSent => "not all was sent, within --drain-time or before the connection ended",
            Self::Certificate => {
                "check: the server's certificate is not trusted, or ends within --days"
            }
            Self::HungUp => "hung up (SIGHUP, the terminal is gone) before it was done",
            Self::Interrupted => "interrupted (SIGINT, Ctrl-C) before it was done",
            Self::Quit => "quit (SIGQUIT, Ctrl-\\) before it was done",
            Self::Terminated => "terminated (SIGTERM) before it was done",
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// The table of exit codes as a section of a help text.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for status in Status::ALL {
        let _ = writeln!(text, "  {:<4} {}", status.code(), status.meaning());
    }
    text
}
