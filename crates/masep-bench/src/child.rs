//! The processes of a measurement: the server, then the client; both end with it.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::job::{Job, Work};
use crate::link::{HELD, Outcome};
use crate::{memory, peers, placement, relay};

/// The time that a process may take beyond the measurement that it was asked for: the first connections of ten
/// thousand, or an interpreter that starts.
const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of a server's first line.
const READY: &str = "ready ";

/// Tells the parent process where this server listens.
pub(crate) fn ready(address: impl Display) -> Result<()> {
    ready_elsewhere(address, std::process::id())
}

/// Tells the parent process where to connect to, and in which process a server's work is done.
pub(crate) fn ready_elsewhere(address: impl Display, process: u32) -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}{address} {process}")?;
    Ok(stdout.flush()?)
}

/// Processes that a server has started.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Kills a process when this one ends.
#[cfg(feature = "nats")]
pub(crate) fn end_with_this(process: Child) {
    STARTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(process);
}

/// The main function of a server's process. It ends when its standard input does, so that it cannot
/// outlive its parent.
pub(crate) fn serve(job: &Job) -> Result<ExitCode> {
    placement::prepare(job.cpu)?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        end(0);
    });
    let peer = peers::find(&job.peer).context("no such peer")?;
    match (peer.serve)(job) {
        Ok(()) => end(0),
        Err(error) => {
            eprintln!("{error:#}");
            end(1)
        }
    }
}

fn end(code: i32) -> ! {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    for mut process in started.drain(..) {
        let _ = process.kill();
        let _ = process.wait();
    }
    std::process::exit(code)
}

/// The main function of a client's process: prints what it has measured.
pub(crate) fn drive(job: &Job) -> Result<ExitCode> {
    placement::prepare(job.cpu)?;
    let peer = peers::find(&job.peer).context("no such peer")?;
    let outcome = (peer.drive)(job)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(ExitCode::SUCCESS)
}

/// Measures a job with two processes of this program.
pub(crate) fn measure(job: &Job) -> Result<Outcome> {
    let mut server = Process::of_this_program("serve", job).context("the server")?;
    let first = server.line(PATIENCE).context("the server")?;
    let (address, process) = first
        .strip_prefix(READY)
        .and_then(|rest| rest.split_once(' '))
        .context("the server did not say that it is ready")?;
    let mut job = job.clone();
    let _file = address.strip_prefix("unix://").map(Removed);
    job.address = Some(match job.relay {
        Some(at_once) => {
            let address = address.parse().context("the server's address")?;
            let relay = relay::start(address, at_once).context("the relay")?;
            relay.to_string()
        }
        None => address.to_owned(),
    });
    job.server = Some(process.parse().context("the server's process")?);
    let mut client = Process::of_this_program("drive", &job).context("the client")?;
    let outcome = if job.work == Work::Idle {
        memory_per_link(&mut client, &job)
    } else {
        let patience = PATIENCE + Duration::from_secs_f64(job.seconds * 20.0);
        client
            .line(patience)
            .and_then(|line| Ok(serde_json::from_str(&line)?))
    };
    outcome.map_err(|error| match server.complaint() {
        Some(complaint) => error.context(format!("the server said: {complaint}")),
        None => error,
    })
}

/// The socket file of a server that is killed.
struct Removed<'a>(&'a str);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// The server's memory with all connections, without what it had with the first few.
fn memory_per_link(client: &mut Process, job: &Job) -> Result<Outcome> {
    let server = job.server.context("no server")?;
    let mut readings = Vec::new();
    for _ in 0..2 {
        if client.line(PATIENCE)? != HELD {
            bail!("the client did not say that its connections are there");
        }
        readings.push(memory::settled(server)?);
        client.say("go on")?;
    }
    let per_link = (readings[1] as f64 - readings[0] as f64) / job.links as f64;
    Ok(Outcome::from([("memory".to_owned(), per_link)]))
}

/// A process that was started, and is ended when this is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<io::Result<String>>,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Process {
    fn of_this_program(role: &str, job: &Job) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role).arg(serde_json::to_string(job)?);
        command.env("RUST_BACKTRACE", "0");
        Self::start(&mut command)
    }

    /// Starts a program whose lines are read.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let complaints = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).trim().to_owned()
            })
        });
        Ok(Self {
            child,
            lines,
            complaints,
        })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self, patience: Duration) -> Result<String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line?),
            Err(RecvTimeoutError::Timeout) => bail!("no word within {patience:?}"),
            Err(RecvTimeoutError::Disconnected) => match self.complaint() {
                Some(complaint) => bail!("{complaint}"),
                None => bail!("it ended without a word"),
            },
        }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self
            .child
            .stdin
            .as_mut()
            .context("its standard input is closed")?;
        Ok(writeln!(stdin, "{line}")?)
    }

    /// Ends it; the last line of its standard error that says something, if there is one.
    fn complaint(&mut self) -> Option<String> {
        self.end();
        let text = self.complaints.take()?.join().ok()?;
        let mut lines = text.lines().rev();
        let line = lines.find(|line| !line.is_empty() && !line.starts_with("note: "));
        line.map(str::to_owned)
    }

    /// Lets it end by itself, as it does when its standard input ends; kills it if it does not.
    fn end(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
