//! The exit codes of the program: every verb ends with one of these and no other.

use std::fmt::Write;
use std::process::ExitCode;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Everything that was asked for is done.
    Done,
    /// Something could not be done; standard error or an error line says what.
    Failed,
    /// Ctrl-C ended it before it was done.
    Interrupted,
}

/// The exit codes with their meaning, for `--help`. Usage errors and signals are not ours to return:
/// clap exits with 2, and who dies of a signal is seen by the shell as 128 and its number.
const TABLE: [(u8, &str); 4] = [
    (0, "done"),
    (1, "failed, or a line could not be done"),
    (
        2,
        "wrong usage: an unknown verb or option, a missing or bad value",
    ),
    (130, "interrupted (Ctrl-C) before it was done"),
];

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Interrupted => 130,
        })
    }
}

/// The table of exit codes as a section of a help text.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in TABLE {
        let _ = writeln!(text, "  {code:<4} {meaning}");
    }
    text
}
