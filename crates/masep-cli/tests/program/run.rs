//! Runs the built program.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value as Json;

pub(crate) const MASEP: &str = env!("CARGO_BIN_EXE_masep");

/// The result of a run of the program.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Run {
    /// The lines of standard output.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The lines of standard output as JSON.
    pub(crate) fn json(&self) -> Vec<Json> {
        let read =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        self.stdout.lines().map(read).collect()
    }

    /// That it ended with this exit code, and has this on standard error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{part}: {}", self.stderr);
        assert!(self.stderr.contains(part), "{part}: {}", self.stderr);
    }

    /// That it succeeded, and has nothing to complain about.
    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{}", self.stdout);
    }

    /// That standard output has this.
    #[track_caller]
    pub(crate) fn prints(&self, part: &str) {
        assert!(
            self.stdout.contains(part),
            "{part}: {} {}",
            self.stdout,
            self.stderr
        );
    }
}

/// With standard streams that are piped and none of our environment's settings.
fn bare(mut command: Command) -> Command {
    for name in ["MASEP_ADDRESS", "MASEP_TOKEN", "MASEP_LOG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The program with these arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(MASEP);
    command.args(args);
    bare(command)
}

/// A shell with this script, which finds the program as `masep`.
pub(crate) fn shell(script: &str) -> Command {
    let directory = Path::new(MASEP).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command
        .args(["-ec", script])
        .env("PATH", format!("{}:{path}", directory.display()));
    bare(command)
}

/// The program with these arguments, in place of a shell that has done this first.
pub(crate) fn command_behind(first: &str, args: &[&str]) -> Command {
    let mut command = shell(&format!("{first}; exec masep \"$@\""));
    command.arg("sh").args(args);
    command
}

/// Starts the program.
pub(crate) fn start(args: &[&str]) -> Child {
    command(args).spawn().expect("the program starts")
}

/// Runs the program to its end with this input.
pub(crate) fn run(args: &[&str], input: impl AsRef<[u8]>) -> Run {
    run_command(&mut command(args), input)
}

/// Runs this to its end with this input.
pub(crate) fn run_command(command: &mut Command, input: impl AsRef<[u8]>) -> Run {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.as_ref().to_vec();
    // A thread of its own: input and output may both be larger than a pipe holds.
    let writer = thread::spawn(move || {
        // The program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the input is written");
    output.into()
}

/// Runs `masep check` with these arguments: with its report.
pub(crate) fn check(args: &[&str]) -> (Run, Json) {
    let ran = run(&[&["check", "--json"], args].concat(), "");
    let report = ran.json().pop().expect("a report");
    (ran, report)
}

/// The report of `masep check` with these arguments, which has this exit code, status and reason.
#[track_caller]
pub(crate) fn check_fails(args: &[&str], code: i32, status: &str, reason: &str) -> Json {
    let (ran, report) = check(args);
    assert_eq!(
        (ran.code, picked(&report, ["status", "reason"])),
        (Some(code), [status, reason].into_iter().collect()),
        "{args:?} {report}"
    );
    report
}

/// The report of `masep check` with these arguments, which finds nothing wrong.
#[track_caller]
pub(crate) fn check_succeeds(args: &[&str]) -> Json {
    let (ran, report) = check(args);
    ran.succeeds();
    assert_eq!(report["status"], "ok", "{report}");
    report
}

/// The values of these keys.
pub(crate) fn picked<const N: usize>(json: &Json, keys: [&str; N]) -> Json {
    keys.map(|key| json[key].clone()).to_vec().into()
}

/// The arguments of a player that keeps in this file what proves its seat.
pub(crate) const fn join_with_file<'a>(address: &'a str, file: &'a str) -> [&'a str; 7] {
    let game = "pkg.Game";
    [
        "join",
        address,
        "--turns",
        "--game",
        game,
        "--resume-file",
        file,
    ]
}

/// The bytes in hexadecimal digits.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(bytes)
}

/// The bytes as a frame: two bytes with the length in front.
pub(crate) fn framed(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = u16::try_from(body.len()).expect("it fits into a frame");
    [&length.to_le_bytes(), body].concat()
}

/// Says that a test was skipped, also when the test harness keeps the output of passing tests.
pub(crate) fn skipped(test: &str, why: impl std::fmt::Display) {
    writeln!(std::io::stdout(), "SKIPPED a test of {test}: {why}").expect("standard output");
}
