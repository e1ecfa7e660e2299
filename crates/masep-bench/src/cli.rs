//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::experiment::{Effort, Experiment, Subject};
use crate::machine::Machine;
use crate::peers::PEERS;
use crate::placement::{self, Placement};
use crate::plan::experiments;
use crate::report::{self, Report};
use crate::run;

/// masep beside raw sockets and other messaging libraries, on this machine.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// Fewer and shorter rounds: to see where something stands, not to publish it.
    #[arg(long)]
    quick: bool,
    /// Measures this experiment alone, or all whose names begin so: `codec` means `codec-decode-7k`, ...
    /// (can be given several times); `--list` names them.
    #[arg(long, value_name = "EXPERIMENT")]
    only: Vec<String>,
    /// Measures these alone, besides those that ratios are to (can be given several times).
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// Only with all processes on this processor; without, both that (on the last one) and unpinned.
    #[arg(long, value_name = "CPU", conflicts_with = "unpinned")]
    pin: Option<usize>,
    /// Only unpinned.
    #[arg(long)]
    unpinned: bool,
    /// Writes all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the figures into docs/performance.md, and the diagrams beside it.
    #[arg(long)]
    document: bool,
    /// Takes the figures from a file that `--json` has written, and measures nothing; of several files, which
    /// may be of different placements, all (can be given several times).
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Rounds. Default 5, with --quick 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement. Default 1, with --quick 0.2.
    #[arg(long)]
    seconds: Option<f64>,
    /// Worker threads of each runtime; 1 runs it in the main thread, which is the fastest for most.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Leaves these out; what takes long to build is not built then (can be given several times).
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// Names a peer that is not in this program, and why: `NAME=REASON`.
    #[arg(long, value_parser = missing, hide = true)]
    missing: Vec<(String, String)>,
    /// Lists the experiments and who is measured, and measures nothing.
    #[arg(long)]
    list: bool,
}

/// A process of a measurement.
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Role {
    /// The server's part of a job.
    #[command(hide = true)]
    Serve { job: String },
    /// The client's part of a job.
    #[command(hide = true)]
    Drive { job: String },
}

fn missing(text: &str) -> Result<(String, String), String> {
    let (name, why) = text.split_once('=').ok_or("NAME=REASON is expected")?;
    Ok((name.to_owned(), why.to_owned()))
}

/// True if this is the one of that name, or one of several that are called so.
fn is(subject: &Subject, name: &str) -> bool {
    let rest = subject.name.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
}

impl Cli {
    /// Measures what is asked for and prints the table.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let experiments = self.experiments()?;
        if self.list {
            for experiment in &experiments {
                println!("{:16} {}", experiment.name, experiment.about);
                let subjects = experiment.subjects.iter().map(|subject| &*subject.name);
                println!("{:16} {}", "", subjects.collect::<Vec<_>>().join(" | "));
            }
            for peer in PEERS {
                println!("{:16} {}", peer.name, peer.about);
            }
            return Ok(ExitCode::SUCCESS);
        }
        let report = if self.from.is_empty() {
            self.measure(&experiments)?
        } else {
            report::read_all(&self.from)?
        };
        let Report {
            machine,
            rounds,
            seconds,
            cells,
        } = &report;
        println!("{machine}\n{rounds} rounds of {seconds} s; median [min .. max]");
        print!("{}", report::table(cells));
        if let Some(file) = &self.json {
            report::write(&report, file)?;
        }
        if self.document {
            report::put_into_document(&report)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self, experiments: &[Experiment]) -> Result<Report> {
        let machine = Machine::read();
        let rounds = self.rounds.unwrap_or(if self.quick { 3 } else { 5 });
        eprintln!("{machine}");
        let mut cells = Vec::new();
        for (placement, cpu) in self.placements()? {
            for experiment in experiments {
                if experiment.placements.contains(&placement) {
                    let measured = run::measure(experiment, placement, cpu, rounds);
                    cells.extend(measured.cells());
                }
            }
        }
        Ok(Report {
            machine,
            rounds,
            seconds: self.seconds(),
            cells,
        })
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.2 } else { 1.0 })
    }

    fn experiments(&self) -> Result<Vec<Experiment>> {
        let effort = Effort {
            seconds: self.seconds(),
            threads: self.threads,
            idle: if self.quick { 500 } else { 1_000 },
        };
        let unwanted = self.without.iter();
        let unwanted = unwanted.map(|name| (name.clone(), "left out, as asked".to_owned()));
        let missing: Vec<_> = self.missing.iter().cloned().chain(unwanted).collect();
        let mut experiments = experiments(effort, &missing);
        let is_named = |experiment: &Experiment, name: &String| {
            let rest = experiment.name.strip_prefix(&**name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        for name in &self.only {
            if !experiments
                .iter()
                .any(|experiment| is_named(experiment, name))
            {
                bail!("no experiment {name:?}: --list names them");
            }
        }
        if !self.only.is_empty() {
            experiments
                .retain(|experiment| self.only.iter().any(|name| is_named(experiment, name)));
        }
        for name in &self.peer {
            let mut subjects = experiments
                .iter()
                .flat_map(|experiment| &experiment.subjects);
            if !subjects.any(|subject| is(subject, name)) {
                bail!("nobody here is called {name:?}: --list names them");
            }
        }
        if !self.peer.is_empty() {
            for experiment in &mut experiments {
                let bases = experiment.bases();
                experiment.subjects.retain(|subject| {
                    bases.contains(&&*subject.name)
                        || self.peer.iter().any(|peer| is(subject, peer))
                });
            }
        }
        Ok(experiments)
    }

    /// The placements to measure in, with the processor of those that are bound to one.
    fn placements(&self) -> Result<Vec<(Placement, Option<usize>)>> {
        let unpinned = (Placement::Unpinned, None);
        Ok(match self.pin {
            Some(cpu) => vec![(Placement::OneCore, Some(cpu))],
            None if self.unpinned => vec![unpinned],
            None => vec![(Placement::OneCore, Some(placement::last_cpu()?)), unpinned],
        })
    }
}
