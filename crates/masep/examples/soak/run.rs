//! A run: its phases, one after the other.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::Child;
use crate::clients::{self, Joined};
use crate::growth::Sample;
use crate::member::Tallied;
use crate::pair::{self, Trips};
use crate::plan::Plan;
use crate::report::{Memory, Overdue, Report, Window};
use crate::server::{self, Counts, ShutDown};
use crate::system::{self, Busy, Footprint};
use crate::{Outcome, judge};

/// The time that a process may take for an answer, and a state to be reached. Generous: an answer that takes longer
/// never comes.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time between two looks at whether a state is reached.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Descriptors that a process needs beside those of connections.
const OTHER_DESCRIPTORS: u64 = 200;
/// Memory that a connection may take at both ends and in the kernel, and that all stalled ones may.
const MEMORY_PER_CONNECTION: u64 = 64 * 1024;
const MEMORY_PER_STALLED: u64 = 12 << 20;

/// Runs the plan, or as much of it as the machine allows; the report says what it did not.
pub(crate) fn run(plan: &Plan) -> Outcome<Report> {
    let mut plan = plan.clone();
    let missing = adapt(&mut plan)?;
    for missing in &missing {
        eprintln!("soak: {missing}");
    }
    let mut report = Report::new(&plan, missing);
    let mut run = Run::start(plan, &mut report)?;
    run.connect(&mut report)?;
    run.hold(&mut report)?;
    run.overdue(&mut report)?;
    run.end(&mut report)?;
    report.broken.append(&mut run.broken);
    report.broken.extend(judge::broken(&report));
    Ok(report)
}

/// Fewer connections where the machine does not allow as many: in words, what is missing.
fn adapt(plan: &mut Plan) -> Outcome<Vec<String>> {
    let mut missing = Vec::new();
    let wanted = plan.connections;
    let mut allow = |what: &str, has: u64, connections: u64| {
        if (plan.connections as u64) > connections {
            plan.connections = connections as usize;
            missing.push(format!(
                "{what}: {has}, too few for {wanted} connections; {connections} are held instead"
            ));
        }
    };
    let descriptors = system::raise_descriptor_limit()?;
    allow(
        "descriptors per process (ulimit -Hn)",
        descriptors,
        descriptors.saturating_sub(OTHER_DESCRIPTORS),
    );
    let ports = system::local_ports()?;
    // Those of connections that left stay taken for a minute.
    allow("local ports (ip_local_port_range)", ports, ports / 2);
    let memory = system::available_memory()?;
    allow(
        "bytes of memory",
        memory,
        memory / (MEMORY_PER_CONNECTION + MEMORY_PER_STALLED / 100),
    );
    Ok(missing)
}

struct Run {
    plan: Plan,
    server: Child,
    clients: Child,
    pair: Child,
    /// The server with the pair connected and nobody else.
    before: Footprint,
    tasks_before: usize,
    held_since: Instant,
    broken: Vec<String>,
}

impl Run {
    fn start(plan: Plan, report: &mut Report) -> Outcome<Self> {
        let json = plan.to_json()?;
        let mut server = Child::start("server", &[&json])?;
        let address: SocketAddr = server.hear(PATIENCE)?;
        let address = address.to_string();
        let clients = Child::start("clients", &[&json, &address])?;
        let mut pair = Child::start("pair", &[&address])?;
        // By its answer it is connected, and all that is made once is made.
        report.alone = Some(pair.ask(&pair::Command::Measure(plan.window), PATIENCE)?);
        let counts: Counts = server.ask(&server::Command::Count, PATIENCE)?;
        let before = system::footprint(server.id())?;
        Ok(Self {
            plan,
            server,
            clients,
            pair,
            before,
            tasks_before: counts.tasks,
            held_since: Instant::now(),
            broken: Vec::new(),
        })
    }

    fn connect(&mut self, report: &mut Report) -> Outcome<()> {
        self.progress("connecting");
        let sockets_before = system::socket_memory()?;
        let joined: Joined = self.clients.ask(&clients::Command::Connect, PATIENCE)?;
        report.joined = Some(joined);
        self.held_since = Instant::now();
        // Each has exchanged its first frame by then.
        sleep(self.plan.every.mul_f64(1.2));
        self.settle("connecting")?;
        let after = system::footprint(self.server.id())?;
        report.memory = Some(Memory {
            before: self.before,
            after,
            sockets: system::socket_memory()?.saturating_sub(sockets_before),
            ..Memory::default()
        });
        self.sample(report)
    }

    /// Nobody stalled and some stalled, in turns, for as long as the plan says.
    fn hold(&mut self, report: &mut Report) -> Outcome<()> {
        let mut sampled = Instant::now();
        while report.windows.is_empty() || self.held_since.elapsed() < self.plan.hold {
            self.time(false, report)?;
            self.stall(report)?;
            if sampled.elapsed() >= self.plan.sample_every {
                sampled = Instant::now();
                self.tally(report, &clients::Command::Replace)?;
                report.replaced += self.plan.stalled();
                self.settle("some left and others came")?;
                self.sample(report)?;
            }
        }
        Ok(())
    }

    /// A window with stalled readers.
    fn stall(&mut self, report: &mut Report) -> Outcome<()> {
        let stalled = self.plan.stalled();
        let stall = clients::Command::Stall {
            cut_within: self.plan.window.mul_f64(0.8),
            overdue: false,
        };
        self.tally(report, &stall)?;
        // Those that a full queue disconnects may be so by now.
        let cuts_before = report.cuts;
        report.cuts += stalled / 3;
        self.until("readers that read nothing are stalled", |counts| {
            counts.stalled + (cuts_of(counts) - cuts_before) >= stalled
        })?;
        if let Some(memory) = &mut report.memory {
            let stalled = system::footprint(self.server.id())?;
            memory.stalled = memory.stalled.max(stalled.rss);
            memory.sockets_stalled = memory.sockets_stalled.max(system::socket_memory()?);
        }
        self.time(true, report)?;
        let cuts = report.cuts;
        self.until("who exceeds a queue is disconnected", |counts| {
            cuts_of(counts) == cuts
        })?;
        self.tally(report, &clients::Command::Resume)?;
        self.settle("stalled readers went on")
    }

    /// Readers that stay stalled until the server has had enough of them.
    fn overdue(&mut self, report: &mut Report) -> Outcome<()> {
        self.progress("readers that stay stalled");
        let overdue = self.plan.stalled();
        let stall = clients::Command::Stall {
            cut_within: Duration::ZERO,
            overdue: true,
        };
        self.tally(report, &stall)?;
        let start = Instant::now();
        self.until("who reads nothing for too long is disconnected", |counts| {
            counts.ends.get("write_timeout").copied().unwrap_or(0) == overdue as u64
        })?;
        report.overdue = Some(Overdue {
            ended: overdue,
            time: start.elapsed(),
        });
        self.tally(report, &clients::Command::Resume)?;
        self.settle("overdue readers came back")?;
        self.sample(report)
    }

    fn end(&mut self, report: &mut Report) -> Outcome<()> {
        self.progress("shutting down");
        self.tally(report, &clients::Command::Rest)?;
        let counts = self.counts()?;
        report.counts = counts;
        let down: ShutDown = self.server.ask(&server::Command::ShutDown, PATIENCE)?;
        self.tally(report, &clients::Command::Part)?;
        report.shut_down = Some(down);
        // The pair's connection and the listener are gone, too.
        let descriptors = self.before.descriptors - 2;
        let process = self.server.id();
        self.until("the shut-down leaves nothing behind", |counts| {
            let now = system::footprint(process).unwrap_or_default();
            counts.connections == 0 && counts.tasks == 0 && now.descriptors == descriptors
        })?;
        report.left = Some(system::footprint(process)?);
        Ok(())
    }

    /// Times the pair for a window.
    fn time(&mut self, stalled: bool, report: &mut Report) -> Outcome<()> {
        let processes = [self.server.id(), self.clients.id(), self.pair.id()];
        let start = Instant::now();
        let before = Busy::now(&processes)?;
        let trips: Trips = self
            .pair
            .ask(&pair::Command::Measure(self.plan.window), PATIENCE)?;
        let others = Busy::now(&processes)?.others_since(&before, start.elapsed());
        report.windows.push(Window {
            stalled,
            trips,
            others,
        });
        Ok(())
    }

    fn sample(&mut self, report: &mut Report) -> Outcome<()> {
        let counts = self.counts()?;
        let sample = Sample {
            minute: self.held_since.elapsed().as_secs_f64() / 60.0,
            footprint: system::footprint(self.server.id())?,
            tasks: counts.tasks,
            socket_memory: system::socket_memory()?,
        };
        self.progress(&format!(
            "{} KiB, {} descriptors, {} threads, {} tasks",
            sample.footprint.rss / 1_024,
            sample.footprint.descriptors,
            sample.footprint.threads,
            sample.tasks
        ));
        report.samples.push(sample);
        Ok(())
    }

    fn counts(&mut self) -> Outcome<Counts> {
        self.server.ask(&server::Command::Count, PATIENCE)
    }

    /// Has the clients do something, and keeps what they have counted since the start.
    fn tally(&mut self, report: &mut Report, command: &clients::Command) -> Outcome<()> {
        report.tallied = self.clients.ask::<Tallied>(command, PATIENCE)?;
        Ok(())
    }

    /// Waits until everybody is connected, nobody is fed, and nothing more is left of those who went.
    fn settle(&mut self, after: &str) -> Outcome<()> {
        let connections = self.plan.connections + 1;
        let tasks = self.tasks_before + self.plan.connections;
        let descriptors = self.before.descriptors + self.plan.connections as u64;
        let process = self.server.id();
        self.until(after, |counts| {
            let now = system::footprint(process).unwrap_or_default();
            counts.connections == connections
                && counts.fed == 0
                && counts.tasks == tasks
                && now.descriptors == descriptors
        })
    }

    /// Waits for a state of the server. One that never comes is a promise broken.
    fn until(&mut self, what: &str, reached: impl Fn(&Counts) -> bool) -> Outcome<()> {
        let start = Instant::now();
        loop {
            let counts = self.counts()?;
            if reached(&counts) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let now = system::footprint(self.server.id())?;
                self.broken.push(format!(
                    "{what}: not within {PATIENCE:?}; there are {counts:?}, {now:?}"
                ));
                return Ok(());
            }
            sleep(LOOK_EVERY);
        }
    }

    /// A run may take an hour: tells on standard error where it is.
    fn progress(&self, what: &str) {
        let minutes = self.held_since.elapsed().as_secs_f64() / 60.0;
        eprintln!("soak: {minutes:5.1} min: {what}");
    }
}

/// Connections that were ended because their queue was full.
fn cuts_of(counts: &Counts) -> usize {
    counts.ends.get("queue_full").copied().unwrap_or(0) as usize
}
