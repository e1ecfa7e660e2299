//! A run of the program that a test talks to, line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value as Json;

use crate::run::command;

/// The time that a test waits for one thing before it fails: a bound, never the expected way out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A run of the program. It is killed when this is dropped.
pub(crate) struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Standard output until somebody reads it.
    unread: Option<ChildStdout>,
    lines: Option<Receiver<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// A server with the id `engine` that is read, and its address.
pub(crate) fn serve(options: &[&str]) -> (Session, String) {
    let (mut server, address) = serve_unread(options);
    server.read();
    (server, address)
}

/// The same, whose standard output nobody reads beyond its first line.
pub(crate) fn serve_unread(options: &[&str]) -> (Session, String) {
    let args = ["serve", "127.0.0.1:0", "--id", "engine"];
    let mut server = Session::start_unread(&[&args, options].concat());
    let address = server.read_address();
    (server, address)
}

/// A `masep tap` before this address, that is read, and its own address.
pub(crate) fn tap(to: impl std::fmt::Display, options: &[&str]) -> (Session, String) {
    let (mut tap, address) = tap_unread(to, options);
    tap.read();
    (tap, address)
}

/// The same, whose standard output nobody reads beyond its first line.
pub(crate) fn tap_unread(to: impl std::fmt::Display, options: &[&str]) -> (Session, String) {
    let mut tap = Session::start_unread(&[&["tap", "--to", &to.to_string()], options].concat());
    let address = tap.read_address();
    (tap, address)
}

impl Session {
    /// Starts the program and reads its standard output.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn_read(&mut command(args))
    }

    /// Starts the program and leaves its standard output in the pipe.
    pub(crate) fn start_unread(args: &[&str]) -> Self {
        Self::spawn(&mut command(args))
    }

    /// Starts this and reads its standard output.
    pub(crate) fn spawn_read(command: &mut Command) -> Self {
        let mut session = Self::spawn(command);
        session.read();
        session
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let mut stderr = child.stderr.take().expect("a pipe");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        Self {
            stdin: child.stdin.take(),
            unread: child.stdout.take(),
            lines: None,
            stderr: Some(stderr),
            child,
        }
    }

    /// Starts to read standard output.
    pub(crate) fn read(&mut self) {
        let stdout = self.unread.take().expect("nobody reads it yet");
        let (lines, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if lines.send(line.expect("text")).is_err() {
                    return;
                }
            }
        });
        self.lines = Some(receiver);
    }

    /// Reads one line of standard output, and no more than is needed for it.
    pub(crate) fn read_one_line(&mut self) -> String {
        let stdout = self.unread.as_mut().expect("nobody reads it yet");
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            stdout.read_exact(&mut byte).expect("a line");
            line.extend(byte);
        }
        String::from_utf8(line).expect("text")
    }

    /// The address in the line `listening`, which has to be the next: of JSON or for people.
    fn read_address(&mut self) -> String {
        let line = self.read_one_line();
        if let Some(address) = line.strip_prefix("listening on ") {
            return address.trim_end().to_owned();
        }
        let listening: Json = serde_json::from_str(&line).expect("JSON");
        assert_eq!(listening["event"], "listening", "{line}");
        listening["address"].as_str().expect("text").to_owned()
    }

    /// Standard output, for a test that reads at its own pace.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.unread.take().expect("nobody reads it yet")
    }

    /// Closes the reading end of standard output.
    pub(crate) fn close_stdout(&mut self) {
        self.unread = None;
    }

    /// Writes a line.
    pub(crate) fn send(&mut self, line: impl std::fmt::Display) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").expect("the program reads");
    }

    /// Ends standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of standard output, or `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let lines = self.lines.as_ref().expect("it is read");
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line came"),
        }
    }

    /// The next line as JSON.
    pub(crate) fn json(&mut self) -> Json {
        let Some(line) = self.line() else {
            let stderr = self.stderr.take().expect("once").join().expect("text");
            panic!("the output ended; standard error: {stderr}");
        };
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next line, which has to be this event.
    pub(crate) fn event(&mut self, name: &str) -> Json {
        let json = self.json();
        assert_eq!(json["event"], name, "{json}");
        json
    }

    /// The next event of this name, behind whatever else is told.
    pub(crate) fn until(&mut self, name: &str) -> Json {
        loop {
            let json = self.json();
            if json["event"] == name {
                return json;
            }
        }
    }

    /// The address of the event `listening`, which has to be the next.
    pub(crate) fn address(&mut self) -> String {
        let listening = self.event("listening");
        listening["address"].as_str().expect("text").to_owned()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it is alive");
    }

    /// Waits until the program takes SIGTERM itself.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_signals(&self) {
        let path = format!("/proc/{}/status", self.child.id());
        let caught = || {
            let status = std::fs::read_to_string(&path).expect("it is alive");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("hexadecimal");
            mask & (1 << 14) != 0
        };
        let until = std::time::Instant::now() + PATIENCE;
        while !caught() {
            assert!(std::time::Instant::now() < until, "it takes no signals");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end: the exit code and the text on standard error. The rest of standard
    /// output is read and thrown away.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        while self.lines.is_some() && self.line().is_some() {}
        // Ends with the program.
        let stderr = self.stderr.take().expect("once").join().expect("text");
        let status = self.child.wait().expect("it ended");
        (status.code(), stderr)
    }

    /// As [`end`](Self::end), for a program that has nothing to complain about.
    pub(crate) fn end_in_peace(self) {
        assert_eq!(self.end(), (Some(0), String::new()));
    }

    /// The most memory that the program ever had, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        kilobytes
            .expect("a number")
            .parse::<usize>()
            .expect("a number")
            << 10
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
