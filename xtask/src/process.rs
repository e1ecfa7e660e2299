//! Programs that a step runs, from the root of the repository and without a stdin.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::step::Failure;
use crate::tally::Tally;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The directory in which cargo builds the main workspace.
pub(crate) fn target() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target)
}

/// A program that cargo has built in this profile.
pub(crate) fn built(profile: &str, program: &str) -> PathBuf {
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    target().join(profile).join(name)
}

/// The cargo that runs this program, with these arguments.
pub(crate) fn cargo(args: &[&str]) -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new(cargo, args)
}

/// A program with its arguments.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(root()).stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn current_dir(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Runs it to its end; it fails if the program cannot be started or says that it failed.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        println!("$ {self}");
        let status = self.0.status().map_err(|error| self.not_started(&error))?;
        self.succeeded(status).map_err(Failure::new)
    }

    /// Runs it to its end without a word; its stdout.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        let output = self.0.output().map_err(|error| self.not_started(&error))?;
        self.succeeded(output.status).map_err(|why| {
            Failure::new(format!(
                "{why}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        })?;
        String::from_utf8(output.stdout)
            .map_err(|_| Failure::new(format!("`{self}` printed what is not UTF-8")))
    }

    /// Runs it to its end without a word, unless it fails: then what it said last on its stderr.
    pub(crate) fn run_quietly(mut self) -> Result<(), Failure> {
        const LINES: usize = 60;
        let output = self.0.output().map_err(|error| self.not_started(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            println!("{line}");
        }
        Err(Failure::new(format!("it ended with {}", output.status)))
    }

    /// Runs it to its end, passing its stdout on; sums up the tests that `count` finds in the lines.
    pub(crate) fn run_counting(
        mut self,
        count: fn(&str) -> Option<Tally>,
    ) -> Result<Tally, Failure> {
        println!("$ {self}");
        self.0.stdout(Stdio::piped());
        let mut child = self.0.spawn().map_err(|error| self.not_started(&error))?;
        let mut tally = Tally::default();
        if let Some(stdout) = child.stdout.take() {
            let lines = BufReader::new(stdout).split(b'\n');
            for line in lines.map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                if let Some(counted) = count(&line) {
                    tally += counted;
                }
            }
        }
        let _ = io::stdout().flush();
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        self.succeeded(status)
            .map_err(|why| Failure::counted(why, tally))?;
        if tally == Tally::default() {
            return Err(Failure::new(format!("`{self}` counted no tests")));
        }
        Ok(tally)
    }

    /// Runs it to its end, handing on the lines of its stderr. True if it says that it succeeded.
    pub(crate) fn run_reading(mut self, mut read: impl FnMut(&str)) -> Result<bool, Failure> {
        println!("$ {self}");
        self.0.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.0.spawn().map_err(|error| self.not_started(&error))?;
        if let Some(stderr) = child.stderr.take() {
            let lines = BufReader::new(stderr).split(b'\n');
            for line in lines.map_while(Result::ok) {
                read(&String::from_utf8_lossy(&line));
            }
        }
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        Ok(status.success())
    }

    fn succeeded(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{self}` ended with {status}"))
        }
    }

    fn not_started(&self, error: &io::Error) -> Failure {
        Failure::new(format!("cannot run `{self}`: {error}"))
    }
}

/// The command line, to be read; paths within the repository are relative to its root.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(self.0.get_program());
        let name = match program.strip_prefix(root()) {
            Ok(inside) => inside.as_os_str(),
            Err(_) => program.file_name().unwrap_or(program.as_os_str()),
        };
        write!(f, "{}", name.display())?;
        for arg in self.0.get_args() {
            write!(f, " {}", arg.display())?;
        }
        Ok(())
    }
}
