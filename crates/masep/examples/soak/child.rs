//! The processes of a run: they take a line of JSON on their standard input, and answer with one.

use std::io::{BufRead, BufReader, Write};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Outcome;

/// A process of this program in another role. It ends when it is dropped.
pub(crate) struct Child {
    role: &'static str,
    process: process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    pub(crate) fn start(role: &'static str, arguments: &[&str]) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            role,
            process,
            stdin,
            lines,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its next line, within `patience`.
    pub(crate) fn hear<R: DeserializeOwned>(&self, patience: Duration) -> Outcome<R> {
        let line = self.lines.recv_timeout(patience).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => format!("is silent for {patience:?}"),
                RecvTimeoutError::Disconnected => "has ended".to_owned(),
            };
            format!("the process of the {} {what}", self.role)
        })?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Tells it something, and gives its answer.
    pub(crate) fn ask<R: DeserializeOwned>(
        &mut self,
        command: &impl Serialize,
        patience: Duration,
    ) -> Outcome<R> {
        let stdin = self.stdin.as_mut().ok_or("no standard input")?;
        writeln!(stdin, "{}", serde_json::to_string(command)?)?;
        self.hear(patience)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In the child: the commands, until the leading process is gone.
pub(crate) fn commands<C: DeserializeOwned + Send + 'static>() -> tokio::sync::mpsc::Receiver<C> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let taken = match serde_json::from_str(&line) {
                Ok(command) => sender.blocking_send(command).is_ok(),
                Err(error) => {
                    eprintln!("a command that is not understood: {error}");
                    false
                }
            };
            if !taken {
                break;
            }
        }
    });
    receiver
}

/// In the child: answers.
pub(crate) fn answer(reply: &impl Serialize) -> Outcome<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(reply)?)?;
    Ok(stdout.flush()?)
}
