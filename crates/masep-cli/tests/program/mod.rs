//! Runs the built program.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value as Json;

/// The result of a run of the program.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The lines of standard output.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// The program with these arguments, with its standard streams piped and none of our environment's
/// settings.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_masep"));
    command
        .args(args)
        .env_remove("MASEP_ADDRESS")
        .env_remove("MASEP_TOKEN")
        .env_remove("MASEP_LOG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts the program.
pub(crate) fn start(args: &[&str]) -> Child {
    command(args).spawn().expect("the program starts")
}

/// Runs the program to its end with this input.
pub(crate) fn run(args: &[&str], input: impl AsRef<[u8]>) -> Run {
    let mut child = start(args);
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.as_ref().to_vec();
    // A thread of its own: input and output may both be larger than a pipe holds.
    let writer = thread::spawn(move || {
        // The program may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the input is written");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs `masep check` with these arguments: with its report.
pub(crate) fn check(args: &[&str]) -> (Run, Json) {
    let ran = run(&[&["check", "--json"], args].concat(), "");
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| {
        panic!("{error}: {:?} {:?}", ran.stdout, ran.stderr);
    });
    (ran, report)
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
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The bytes as a frame: two bytes with the length in front.
pub(crate) fn framed(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = u16::try_from(body.len()).expect("it fits into a frame");
    [&length.to_le_bytes(), body].concat()
}
