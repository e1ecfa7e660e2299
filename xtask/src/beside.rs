//! Steps that run beside the others, one after the other, since they wait for networks and peers: each in a process of its
//! own, whose output is printed at the end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::process::root;
use crate::step::{Failure, Form};
use crate::tally::Tally;

/// The directory that keeps the output of a step until it is printed.
const OUTPUTS: &str = "target/steps";

/// A step that was run.
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) result: Result<Tally, Failure>,
    pub(crate) time: Duration,
}

/// The steps that are running, one after the other.
pub(crate) struct Others {
    names: Vec<&'static str>,
    running: JoinHandle<Vec<Done>>,
}

impl Others {
    pub(crate) fn start(task: &str, names: Vec<&'static str>, form: Form) -> Self {
        if !names.is_empty() {
            let names = names.join(", ");
            println!("=== beside the others, with their output at the end: {names}");
        }
        let (task, all) = (task.to_owned(), names.clone());
        let running = thread::spawn(move || {
            let run = |name| {
                let start = Instant::now();
                let result = run(&task, name, form);
                let time = start.elapsed();
                Done { name, result, time }
            };
            names.into_iter().map(run).collect()
        });
        let names = all;
        Self { names, running }
    }

    /// Waits for them and prints what they said.
    pub(crate) fn finish(self) -> Vec<Done> {
        let lost = |name| Done {
            name,
            result: Err(Failure::new("nobody has waited for its end")),
            time: Duration::ZERO,
        };
        let steps = self.running.join();
        let steps = steps.unwrap_or_else(|_| self.names.into_iter().map(lost).collect());
        for step in &steps {
            let output = fs::read(root().join(OUTPUTS).join(step.name)).unwrap_or_default();
            let _ = io::stdout().write_all(&output);
        }
        steps
    }
}

/// Runs this program for one step. Its last line counts the tests.
fn run(task: &str, name: &str, form: Form) -> Result<Tally, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot run the step: {error}"));
    let folder = root().join(OUTPUTS);
    fs::create_dir_all(&folder).map_err(failed)?;
    let file = folder.join(name);
    let output = File::create(&file).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args([task, "--only", name]);
    if form == Form::Long {
        command.arg("--all");
    }
    let errors = output.try_clone().map_err(failed)?;
    let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = command.status().map_err(failed)?;
    let said = fs::read_to_string(&file).unwrap_or_default();
    let tally = said.lines().last().and_then(Tally::of_summary);
    match status.success() {
        true => tally.ok_or_else(|| Failure::new("its last line counts no tests")),
        false => Err(Failure::counted(
            "see its output above",
            tally.unwrap_or_default(),
        )),
    }
}
