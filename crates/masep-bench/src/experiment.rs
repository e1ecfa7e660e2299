//! What is measured, with whom, and what masep is to reach.

use crate::codec;
use crate::job::{Job, Work};
use crate::peers::{BLOCKING, Does, MASEP, PEERS, RAW, RAW_BATCHES, RAW_WRITES};
use crate::placement::Placement::{self, OneCore, Unpinned};

/// One thing that is measured: the same for all its subjects.
pub(crate) struct Experiment {
    /// The name, on the command line.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) about: String,
    /// Where it is measured.
    pub(crate) placements: &'static [Placement],
    /// Who is measured, in the order of the table.
    pub(crate) subjects: Vec<Subject>,
    /// What is measured of each.
    pub(crate) metrics: Vec<Metric>,
}

/// One who is measured in an experiment.
#[derive(Clone)]
pub(crate) struct Subject {
    /// As it stands in the table.
    pub(crate) name: String,
    /// How it is measured.
    pub(crate) how: How,
}

/// How a subject is measured.
#[derive(Clone)]
pub(crate) enum How {
    /// By two processes that talk to each other.
    Talk(Job),
    /// By calling one function again and again in this process.
    Codec(codec::Task),
    /// Not at all, for this reason.
    Missing(String),
}

/// One figure of an experiment.
pub(crate) struct Metric {
    /// Its name among the outcomes.
    pub(crate) key: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Whether less is better.
    pub(crate) less_is_better: bool,
    /// The subject that the ratios are to.
    pub(crate) base: &'static str,
    /// What has to be reached.
    pub(crate) targets: Vec<Target>,
}

impl Experiment {
    /// The subjects that ratios are to, those of the targets included.
    pub(crate) fn bases(&self) -> Vec<&'static str> {
        let targets = self.metrics.iter().flat_map(|metric| &metric.targets);
        let of_targets = targets.filter_map(|target| match target.bound {
            Bound::RatioAtMost(base, _) | Bound::RatioAtLeast(base, _) => Some(base),
            Bound::AtMost(_) | Bound::AtLeast(_) => None,
        });
        let of_metrics = self.metrics.iter().map(|metric| metric.base);
        of_metrics.chain(of_targets).collect()
    }
}

/// What one subject has to reach in one figure.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Who.
    pub(crate) subject: &'static str,
    /// Where, if not everywhere.
    pub(crate) placement: Option<Placement>,
    /// What.
    pub(crate) bound: Bound,
}

/// A bound for the median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Of the figure itself.
    AtMost(f64),
    /// Of the figure itself.
    AtLeast(f64),
    /// Of the ratio to a subject in the same round.
    RatioAtMost(&'static str, f64),
    /// Of the ratio to a subject in the same round.
    RatioAtLeast(&'static str, f64),
}

const BOTH: &[Placement] = &[OneCore, Unpinned];
const KIB: usize = 1024;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Seconds of each measurement.
    pub(crate) seconds: f64,
    /// Worker threads of the runtimes.
    pub(crate) threads: usize,
    /// Connections that are idle in the measurement of memory.
    pub(crate) idle: usize,
}

/// All experiments. The targets are those that the project has set itself; see README.md.
pub(crate) fn experiments(effort: Effort, missing: &[(String, String)]) -> Vec<Experiment> {
    let plan = Plan { effort, missing };
    let mut all = vec![
        plan.round_trip("round-trip-64", 64, [Some(1.20), Some(1.10)]),
        plan.busy_poll(),
        plan.round_trip("round-trip-32k", 32 * KIB, [Some(1.40), None]),
        plan.one_way_small(),
        plan.one_way_large(),
        plan.fan_out(),
        plan.idle(),
    ];
    all.extend(codec::experiments(effort.seconds));
    all
}

struct Plan<'a> {
    effort: Effort,
    missing: &'a [(String, String)],
}

impl Plan<'_> {
    fn job(&self, peer: &str, work: Work, size: usize, links: usize) -> Job {
        Job {
            peer: peer.to_owned(),
            work,
            size,
            links,
            seconds: self.effort.seconds,
            spin: false,
            threads: self.effort.threads,
            cpu: None,
            address: None,
            server: None,
        }
    }

    /// Every peer that can do this work, but for some; then those that are missing.
    fn subjects(&self, work: Work, size: usize, links: usize, but: &[&str]) -> Vec<Subject> {
        let is_missing = |name| self.missing.iter().any(|(missing, _)| missing == name);
        let present = PEERS
            .iter()
            .filter(|peer| !but.contains(&peer.name) && !is_missing(peer.name));
        let present = present.filter_map(|peer| {
            let how = match (peer.does)(work) {
                Does::It => How::Talk(self.job(peer.name, work, size, links)),
                Does::Not(why) => How::Missing(why.to_owned()),
                Does::Elsewhere => return None,
            };
            let name = peer.name.to_owned();
            Some(Subject { name, how })
        });
        let missing = self.missing.iter().map(|(name, why)| Subject {
            name: name.clone(),
            how: How::Missing(why.clone()),
        });
        present.chain(missing).collect()
    }

    /// `at_most`: the ratio to raw sockets that masep may have, on one core and unpinned.
    fn round_trip(&self, name: &'static str, size: usize, at_most: [Option<f64>; 2]) -> Experiment {
        let targets = [OneCore, Unpinned].into_iter().zip(at_most);
        let targets = targets.filter_map(|(placement, ratio)| {
            ratio.map(|ratio| Target {
                subject: MASEP,
                placement: Some(placement),
                bound: Bound::RatioAtMost(RAW, ratio),
            })
        });
        let mut metrics = latencies();
        metrics[0].targets = targets.collect();
        Experiment {
            name,
            about: format!("round trip, {}", bytes(size)),
            placements: BOTH,
            subjects: self.subjects(Work::RoundTrip, size, 1, &[]),
            metrics,
        }
    }

    /// Both ends spin instead of sleeping; on one core they would only keep each other from running.
    fn busy_poll(&self) -> Experiment {
        let subject = |name: &str, peer: &str, spin| Subject {
            name: name.to_owned(),
            how: How::Talk(Job {
                spin,
                ..self.job(peer, Work::RoundTrip, 64, 1)
            }),
        };
        let mut metrics = latencies();
        metrics[0].targets = vec![Target {
            subject: "masep, busy_poll",
            placement: None,
            bound: Bound::RatioAtMost(RAW, 0.20),
        }];
        Experiment {
            name: "busy-poll",
            about: "round trip, 64 B, spinning for what is awaited".to_owned(),
            placements: &[Unpinned],
            subjects: vec![
                subject(RAW, RAW, false),
                subject("raw, spinning", RAW, true),
                subject("masep, busy_poll", MASEP, true),
                subject("masep-blocking, busy_poll", BLOCKING, true),
            ],
            metrics,
        }
    }

    fn one_way_small(&self) -> Experiment {
        Experiment {
            name: "one-way-64",
            about: "one way, 64 B".to_owned(),
            placements: BOTH,
            subjects: self.subjects(Work::OneWay, 64, 1, &[RAW_BATCHES]),
            metrics: vec![throughput(
                "messages",
                "messages",
                "M/s",
                &[(MASEP, Bound::AtLeast(10.0))],
            )],
        }
    }

    fn one_way_large(&self) -> Experiment {
        Experiment {
            name: "one-way-60k",
            about: "one way, 60 KiB".to_owned(),
            placements: BOTH,
            subjects: self.subjects(Work::OneWay, 60 * KIB, 1, &[RAW_WRITES]),
            metrics: vec![throughput(
                "bytes",
                "payload",
                "GB/s",
                &[(MASEP, Bound::RatioAtLeast(RAW, 0.95))],
            )],
        }
    }

    fn fan_out(&self) -> Experiment {
        Experiment {
            name: "fan-out",
            about: "fan-out to 100 connections, 1 KiB".to_owned(),
            placements: BOTH,
            subjects: self.subjects(Work::FanOut, KIB, 100, &[]),
            metrics: vec![throughput(
                "messages",
                "deliveries",
                "M/s",
                &[(MASEP, Bound::AtLeast(3.0))],
            )],
        }
    }

    fn idle(&self) -> Experiment {
        let links = self.effort.idle;
        Experiment {
            name: "idle",
            about: format!("server memory per idle connection, {links} of them"),
            placements: &[Unpinned],
            subjects: self.subjects(Work::Idle, 64, links, &[]),
            metrics: vec![Metric {
                key: "memory",
                about: "memory",
                unit: "bytes",
                less_is_better: true,
                base: RAW,
                targets: vec![Target {
                    subject: MASEP,
                    placement: None,
                    bound: Bound::AtMost(4096.0),
                }],
            }],
        }
    }
}

fn latencies() -> Vec<Metric> {
    let metric = |key, about| Metric {
        key,
        about,
        unit: "µs",
        less_is_better: true,
        base: RAW,
        targets: Vec::new(),
    };
    vec![metric("p50", "median"), metric("p99", "99th percentile")]
}

fn throughput(
    key: &'static str,
    about: &'static str,
    unit: &'static str,
    targets: &[(&'static str, Bound)],
) -> Metric {
    let target = |&(subject, bound): &(&'static str, Bound)| Target {
        subject,
        placement: None,
        bound,
    };
    let targets = targets.iter().map(target).collect();
    Metric {
        key,
        about,
        unit,
        less_is_better: false,
        base: RAW,
        targets,
    }
}

fn bytes(size: usize) -> String {
    if size.is_multiple_of(KIB) {
        format!("{} KiB", size / KIB)
    } else {
        format!("{size} B")
    }
}
