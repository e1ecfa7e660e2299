//! All experiments, and what masep is to reach in them.

mod tls;

use crate::codec;
use crate::experiment::{Bound, Effort, Experiment, How, Metric, Point, Subject, Target};
use crate::job::{Job, Work};
use crate::peers::{
    ARRAYS, BLOCKING, BLOCKING_ARRAYS, BLOCKING_MESSAGES, Does, MASEP, MESSAGES, PEERS, RAW,
    RAW_BATCHES, RAW_WRITES, TOKIO,
};
use crate::placement::Placement::{self, OneCore, Unpinned};
use crate::relay::WHOLE_READS;

const BOTH: &[Placement] = &[OneCore, Unpinned];
const KIB: usize = 1024;
/// Bytes of an observation, where its content does not matter.
const OBSERVATION: usize = 7 * KIB;
/// Bytes of an array: 84x84x4 uint8, and a camera's picture.
const IMAGE: usize = 84 * 84 * 4;
const CAMERA: usize = 1_000_000;
/// masep in protocol 2, beside itself in pymasep's.
const MASEP_2: &str = "masep, protocol 2";
const BLOCKING_2: &str = "masep-blocking, protocol 2";

/// All experiments. The targets are those that the project has set itself; see docs/performance.md.
pub(crate) fn experiments(effort: Effort, missing: &[(String, String)]) -> Vec<Experiment> {
    let plan = Plan { effort, missing };
    let mut all = vec![
        plan.round_trip("round-trip-64", 64, [Some(1.20), Some(1.10)]),
        plan.protocols(),
        plan.unix(),
        plan.busy_poll(),
        plan.round_trip("round-trip-32k", 32 * KIB, [Some(1.40), None]),
        plan.whole_turn(),
        plan.busy_poll_turn(),
        plan.one_way_small(),
        plan.one_way_relayed(),
        plan.one_way_large(),
        plan.fan_out(),
        plan.idle(),
        plan.turns(),
        plan.spectators(),
        plan.array(Work::RoundTrip, "array-round-trip-28k", IMAGE),
        plan.array(Work::OneWay, "array-one-way-28k", IMAGE),
        plan.array(Work::RoundTrip, "array-round-trip-1m", CAMERA),
        plan.array(Work::OneWay, "array-one-way-1m", CAMERA),
        plan.sizes(Work::RoundTrip),
        plan.sizes(Work::OneWay),
    ];
    all.extend(tls::experiments(&plan));
    all.extend(codec::experiments(effort.seconds));
    all
}

/// The round trips of raw sockets on the machine where the targets were set, in microseconds.
const SET_WITH: [(&str, Placement, f64); 3] = [
    ("round-trip-64", OneCore, 14.0),
    ("round-trip-64", Unpinned, 69.0),
    ("round-trip-32k", OneCore, 19.4),
];

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
            unix: false,
            threads: self.effort.threads,
            cpu: None,
            protocol: 1,
            address: None,
            relay: None,
            ends: false,
            tls: None,
            server: None,
        }
    }

    /// Every peer, but for some; then those that are missing.
    fn subjects(&self, work: Work, size: usize, links: usize, but: &[&str]) -> Vec<Subject> {
        let present = PEERS
            .iter()
            .filter(|peer| !but.contains(&peer.name) && !self.is_missing(peer.name));
        let present = present.filter_map(|peer| {
            let how = match (peer.does)(work) {
                Does::It => How::Talk(self.job(peer.name, work, size, links)),
                Does::Not(why) => How::Missing(why.to_owned()),
                Does::Elsewhere => return None,
            };
            Some(Subject::new(peer.name, how))
        });
        let missing = self.missing.iter();
        let missing = missing.map(|(name, why)| Subject::new(name, How::Missing(why.clone())));
        present.chain(missing).collect()
    }

    fn is_missing(&self, name: &str) -> bool {
        self.missing.iter().any(|(missing, _)| missing == name)
    }

    /// `at_most`: the ratio to raw sockets that masep may have, on one core and unpinned.
    fn round_trip(&self, name: &'static str, size: usize, at_most: [Option<f64>; 2]) -> Experiment {
        let mut targets = Vec::new();
        for (placement, ratio) in [OneCore, Unpinned].into_iter().zip(at_most) {
            let Some(ratio) = ratio else { continue };
            let mut set_with = SET_WITH.iter();
            let set_with = set_with.find(|set| (set.0, set.1) == (name, placement));
            let target = |of, limit| Target {
                placement: Some(placement),
                limit,
                set_with: set_with.map(|set| (RAW, set.2)),
                ..Target::of(of, Bound::RatioAtMost(RAW, ratio))
            };
            targets.extend([target(MASEP, Some(TOKIO)), target(BLOCKING, None)]);
        }
        Experiment {
            name,
            about: format!("round trip, {}", bytes(size)),
            placements: BOTH,
            subjects: self.subjects(Work::RoundTrip, size, 1, &[]),
            metrics: latencies("µs", RAW, targets),
        }
    }

    /// Raw sockets, and those who spin at both ends instead of sleeping; on one core they would only keep
    /// each other from running.
    fn spinning(&self, work: Work, size: usize, peers: &[(&str, &str)]) -> Vec<Subject> {
        let subject = |name: &str, peer: &str, spin| {
            let job = self.job(peer, work, size, 1);
            Subject::new(name, How::Talk(Job { spin, ..job }))
        };
        let spinning = peers.iter().map(|(name, peer)| subject(name, peer, true));
        [subject(RAW, RAW, false)]
            .into_iter()
            .chain(spinning)
            .collect()
    }

    /// masep in both protocols.
    fn protocols(&self) -> Experiment {
        let subject = |name: &str, peer: &str, protocol| {
            let job = self.job(peer, Work::RoundTrip, 64, 1);
            Subject::new(name, How::Talk(Job { protocol, ..job }))
        };
        let targets = vec![
            Target::of(MASEP_2, Bound::RatioAtMost(MASEP, 1.05)),
            Target::of(BLOCKING_2, Bound::RatioAtMost(BLOCKING, 1.05)),
        ];
        Experiment {
            name: "protocols-64",
            about: "round trip in pymasep's protocol and in protocol 2, 64 B".to_owned(),
            placements: BOTH,
            subjects: vec![
                subject(RAW, RAW, 1),
                subject(MASEP, MASEP, 1),
                subject(MASEP_2, MASEP, 2),
                subject(BLOCKING, BLOCKING, 1),
                subject(BLOCKING_2, BLOCKING, 2),
            ],
            metrics: latencies("µs", RAW, targets),
        }
    }

    /// An array of bytes in protocol 2: as the body of a frame, and in a message that is encoded and decoded. Others send
    /// the bytes.
    fn array(&self, work: Work, name: &'static str, size: usize) -> Experiment {
        let peers: &[&str] = match work {
            Work::OneWay => &[RAW, RAW_BATCHES, TOKIO, "tonic", "zeromq"],
            _ => &[RAW, TOKIO, "tonic", "zeromq"],
        };
        let ours = [MASEP, ARRAYS, BLOCKING, BLOCKING_ARRAYS];
        let peers = peers
            .iter()
            .filter(|name| !self.is_missing(name) && PEERS.iter().any(|peer| peer.name == **name));
        let subject = |name: &&str| {
            let job = self.job(name, work, size, 1);
            Subject::new(*name, How::Talk(Job { protocol: 2, ..job }))
        };
        let mut subjects: Vec<_> = peers.chain(&ours).map(subject).collect();
        let missing = self.missing.iter();
        let missing = missing.filter(|(name, _)| ["tonic", "zeromq"].contains(&&**name));
        subjects.extend(missing.map(|(name, why)| Subject::new(name, How::Missing(why.clone()))));
        let bound = match work {
            Work::OneWay => Bound::RatioAtLeast(RAW, 0.85),
            _ => Bound::RatioAtMost(RAW, 1.25),
        };
        let targets = ours.map(|name| Target::of(name, bound)).to_vec();
        let (about, metrics) = match work {
            Work::OneWay => (
                "one way",
                vec![throughput("bytes", "payload", "GB/s", targets)],
            ),
            _ => ("round trip", latencies("µs", RAW, targets)),
        };
        Experiment {
            name,
            about: format!("an array of {} B in protocol 2, {about}", thousands(size)),
            placements: &[Unpinned],
            subjects,
            metrics,
        }
    }

    /// masep over TCP and over Unix sockets.
    fn unix(&self) -> Experiment {
        let size = 64;
        let subject = |name: &str, peer: &str, unix| {
            let job = self.job(peer, Work::RoundTrip, size, 1);
            Subject::new(name, How::Talk(Job { unix, ..job }))
        };
        let targets = vec![
            Target::of("masep, Unix", Bound::RatioAtMost(MASEP, 1.0)),
            Target::of("masep-blocking, Unix", Bound::RatioAtMost(BLOCKING, 1.0)),
        ];
        Experiment {
            name: "unix-64",
            about: format!("round trip over TCP and Unix sockets, {}", bytes(size)),
            placements: BOTH,
            subjects: vec![
                subject(RAW, RAW, false),
                subject(MASEP, MASEP, false),
                subject("masep, Unix", MASEP, true),
                subject(BLOCKING, BLOCKING, false),
                subject("masep-blocking, Unix", BLOCKING, true),
            ],
            metrics: latencies("µs", RAW, targets),
        }
    }

    fn busy_poll(&self) -> Experiment {
        let target = Target {
            limit: Some("raw, spinning"),
            ..Target::of("masep, busy_poll", Bound::RatioAtMost(RAW, 0.20))
        };
        let peers = [
            ("raw, spinning", RAW),
            ("masep, busy_poll", MASEP),
            ("masep-blocking, busy_poll", BLOCKING),
        ];
        Experiment {
            name: "busy-poll",
            about: "round trip, 64 B, spinning for what is awaited".to_owned(),
            placements: &[Unpinned],
            subjects: self.spinning(Work::RoundTrip, 64, &peers),
            metrics: latencies("µs", RAW, vec![target]),
        }
    }

    /// A turn in training: nobody sleeps, and so no core has to warm up for the messages.
    fn busy_poll_turn(&self) -> Experiment {
        let target = Target::of("masep-messages, busy_poll", Bound::RatioAtMost(RAW, 1.25));
        let peers = [
            ("masep, busy_poll", MASEP),
            ("masep-blocking, busy_poll", BLOCKING),
            ("masep-messages, busy_poll", MESSAGES),
            ("masep-blocking-messages, busy_poll", BLOCKING_MESSAGES),
        ];
        Experiment {
            name: "busy-poll-turn",
            about: "a whole turn, spinning for what is awaited".to_owned(),
            placements: &[Unpinned],
            subjects: self.spinning(Work::WholeTurn, codec::AN_OBSERVATION.body.len(), &peers),
            metrics: latencies("µs", RAW, vec![target]),
        }
    }

    /// The messages of a real session, of which only those named `…-messages` know more than the bytes.
    fn whole_turn(&self) -> Experiment {
        let size = codec::AN_OBSERVATION.body.len();
        let target = |of| Target::of(of, Bound::RatioAtMost(RAW, 1.25)).at(Unpinned);
        Experiment {
            name: "whole-turn",
            about: format!(
                "a whole turn, {size} B out and {} B back",
                codec::AN_ACTION.body.len()
            ),
            placements: BOTH,
            subjects: self.subjects(Work::WholeTurn, size, 1, &[]),
            metrics: latencies("µs", RAW, vec![target(MESSAGES), target(BLOCKING_MESSAGES)]),
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
                vec![Target {
                    placement: Some(Unpinned),
                    set_with: Some((RAW, 31.5)),
                    ..Target::of(MASEP, Bound::AtLeast(10.0))
                }],
            )],
        }
    }

    /// A network between the peers may cut the stream anywhere. That must not make one take the other for a peer that
    /// writes header and body apart, for whom each frame is a write.
    fn one_way_relayed(&self) -> Experiment {
        const WHOLE: &str = "masep, whole reads";
        const CUT: &str = "masep, cut at 1,448 B";
        let subject = |name, at_once| {
            let job = self.job(MASEP, Work::OneWay, 64, 1);
            let relay = Some(at_once);
            Subject::new(name, How::Talk(Job { relay, ..job }))
        };
        let mut messages = throughput(
            "messages",
            "messages",
            "M/s",
            vec![Target::of(CUT, Bound::RatioAtLeast(WHOLE, 0.5))],
        );
        messages.base = WHOLE;
        Experiment {
            name: "one-way-64-relay",
            about: "one way, 64 B, through a relay, behind 100,000 messages the other way"
                .to_owned(),
            placements: &[Unpinned],
            subjects: vec![subject(WHOLE, WHOLE_READS), subject(CUT, 1_448)],
            metrics: vec![messages],
        }
    }

    fn one_way_large(&self) -> Experiment {
        let target = |of| Target::of(of, Bound::RatioAtLeast(RAW, 0.95));
        Experiment {
            name: "one-way-60k",
            about: "one way, 60 KiB".to_owned(),
            placements: BOTH,
            subjects: self.subjects(Work::OneWay, 60 * KIB, 1, &[RAW_WRITES]),
            metrics: vec![throughput(
                "bytes",
                "payload",
                "GB/s",
                vec![target(MASEP), target(BLOCKING)],
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
                vec![Target {
                    placement: Some(Unpinned),
                    set_with: Some((TOKIO, 3.1)),
                    ..Target::of(MASEP, Bound::AtLeast(3.0))
                }],
            )],
        }
    }

    fn idle(&self) -> Experiment {
        let links = self.effort.idle;
        let mut subjects = self.subjects(Work::Idle, 64, links, &[]);
        for (name, peer) in [(MASEP_2, MASEP), (BLOCKING_2, BLOCKING)] {
            let job = self.job(peer, Work::Idle, 64, links);
            subjects.push(Subject::new(name, How::Talk(Job { protocol: 2, ..job })));
        }
        Experiment {
            name: "idle",
            about: format!("server memory per idle connection, {links} of them"),
            placements: &[Unpinned],
            subjects,
            metrics: vec![Metric {
                key: "memory",
                about: "memory",
                unit: "bytes",
                less_is_better: true,
                base: RAW,
                targets: vec![
                    Target::of(MASEP, Bound::AtMost(4096.0)),
                    Target::of(MASEP_2, Bound::AtMost(4096.0)),
                ],
            }],
        }
    }

    /// With each number of actors; beside it what an async runtime allows.
    fn turns(&self) -> Experiment {
        const ACTORS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
        let series = [MASEP, TOKIO];
        let subjects = series.iter().flat_map(|&peer| {
            let numbers = ACTORS.iter().copied();
            let numbers =
                numbers.filter(move |&links| peer == MASEP || (2..=1_000).contains(&links));
            numbers.map(move |links| {
                let job = self.job(peer, Work::Turns, OBSERVATION, links);
                let name = format!("{peer}, {} actors", thousands(links));
                let point = Some(point(peer, links));
                let base = Some(format!("{peer}, 10 actors"));
                Subject {
                    name,
                    how: How::Talk(job),
                    base,
                    point,
                }
            })
        });
        let ten = "10 actors";
        let metric = |key, about, unit, less_is_better| Metric {
            key,
            about,
            unit,
            less_is_better,
            base: ten,
            targets: Vec::new(),
        };
        let mut each = metric("each", "time per turn, all actors together", "µs", true);
        let bound = Bound::RatioAtMost("masep, 10 actors", 1.5);
        each.targets = vec![Target::of("masep, 1,000 actors", bound)];
        Experiment {
            name: "turns",
            about: format!(
                "turns of one server, an observation of {}",
                bytes(OBSERVATION)
            ),
            placements: BOTH,
            subjects: subjects.collect(),
            metrics: vec![
                metric("turns", "turns", "k/s", false),
                each,
                metric(
                    "server",
                    "computing time of the server per turn",
                    "µs",
                    true,
                ),
            ],
        }
    }

    fn spectators(&self) -> Experiment {
        let about = format!(
            "one actor, of whom 1,000 observers get each observation of {}",
            bytes(OBSERVATION)
        );
        Experiment {
            name: "spectators",
            about,
            placements: &[Unpinned],
            subjects: self.subjects(Work::Spectators, OBSERVATION, 1_001, &[]),
            metrics: latencies("ms", TOKIO, Vec::new()),
        }
    }

    /// masep and raw sockets, for each size of a message.
    fn sizes(&self, work: Work) -> Experiment {
        const SIZES: [usize; 7] = [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 60 * KIB];
        let subjects = [RAW, MASEP].into_iter().flat_map(|peer| {
            SIZES.into_iter().map(move |size| Subject {
                name: format!("{peer}, {}", bytes(size)),
                how: How::Talk(self.job(peer, work, size, 1)),
                base: Some(format!("{RAW}, {}", bytes(size))),
                point: Some(point(peer, size)),
            })
        });
        let (name, about, key, metric_about) = match work {
            Work::RoundTrip => ("sizes-round-trip", "round trip", "p50", "median"),
            _ => ("sizes-one-way", "one way", "each", "time per message"),
        };
        Experiment {
            name,
            about: format!("{about}, by size of the message"),
            placements: &[Unpinned],
            subjects: subjects.collect(),
            metrics: vec![Metric {
                key,
                about: metric_about,
                unit: "µs",
                less_is_better: true,
                base: "raw with the same size",
                targets: Vec::new(),
            }],
        }
    }
}

fn point(series: &str, x: usize) -> Point {
    Point {
        series: series.to_owned(),
        x: x as f64,
    }
}

fn latencies(unit: &'static str, base: &'static str, targets: Vec<Target>) -> Vec<Metric> {
    let metric = |key, about, targets| Metric {
        key,
        about,
        unit,
        less_is_better: true,
        base,
        targets,
    };
    vec![
        metric("p50", "median", targets),
        metric("p99", "99th percentile", Vec::new()),
    ]
}

fn throughput(
    key: &'static str,
    about: &'static str,
    unit: &'static str,
    targets: Vec<Target>,
) -> Metric {
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

/// With a comma between thousands.
fn thousands(number: usize) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (more, rest) => format!("{},{rest:03}", thousands(more)),
    }
}
