//! masep in TLS, beside masep without and beside tokio-rustls by hand.

use super::{BLOCKING_2, BOTH, IMAGE, KIB, MASEP_2, Plan, bytes, latencies, thousands, throughput};
use crate::certificates::Certificates;
use crate::experiment::{Bound, Experiment, How, Metric, Subject, Target};
use crate::job::{Job, Work};
use crate::peers::{BLOCKING, MASEP, TOKIO, TOKIO_RUSTLS};
use crate::placement::Placement::Unpinned;

const MASEP_TLS: &str = "masep, TLS";
const BLOCKING_TLS: &str = "masep-blocking, TLS";
/// tokio-rustls with as many messages as masep has before a connection is there, and with its end.
const WITH_HELLO: &str = "tokio-rustls, and a round trip";
const WITH_HELLO_AND_END: &str = "tokio-rustls, a round trip and an end";
/// tokio's sockets with the headers that tokio-rustls has.
const TOKIO_WIDE: &str = "tokio, plain";

/// With certificates that were made for this run. If there are none, that is why nothing was measured.
pub(super) fn experiments(plan: &Plan<'_>) -> Vec<Experiment> {
    let certificates = Certificates::new().map_err(|error| format!("no certificates: {error:#}"));
    let tls = Tls { plan, certificates };
    vec![
        tls.round_trip_small(),
        tls.round_trip_large(),
        tls.one_way(),
        tls.handshakes(),
        tls.idle(),
    ]
}

struct Tls<'a> {
    plan: &'a Plan<'a>,
    certificates: Result<Certificates, String>,
}

impl Tls<'_> {
    fn plain(&self, name: &str, peer: &str, work: Work, size: usize, links: usize) -> Subject {
        let job = self.plan.job(peer, work, size, links);
        Subject::new(name, How::Talk(Job { protocol: 2, ..job }))
    }

    /// Those in TLS.
    fn subjects(&self, work: Work, size: usize, links: usize) -> Vec<Subject> {
        let peers = [
            (TOKIO_RUSTLS, TOKIO_RUSTLS),
            (MASEP_TLS, MASEP),
            (BLOCKING_TLS, BLOCKING),
        ];
        let subject = |(name, peer): (&str, &str)| {
            let how = match &self.certificates {
                Ok(certificates) => How::Talk(Job {
                    protocol: 2,
                    tls: Some(certificates.clone()),
                    ..self.plan.job(peer, work, size, links)
                }),
                Err(why) => How::Missing(why.clone()),
            };
            Subject::new(name, how)
        };
        peers.into_iter().map(subject).collect()
    }

    fn round_trip_small(&self) -> Experiment {
        let (work, size) = (Work::RoundTrip, 64);
        let target = |of, base| Target::of(of, Bound::RatioAtMost(base, 1.15)).at(Unpinned);
        let mut subjects = vec![
            self.plain(TOKIO_WIDE, TOKIO, work, size, 1),
            self.plain(MASEP_2, MASEP, work, size, 1),
            self.plain(BLOCKING_2, BLOCKING, work, size, 1),
        ];
        subjects.extend(self.subjects(work, size, 1));
        for (name, base) in [(BLOCKING_TLS, BLOCKING_2), (TOKIO_RUSTLS, TOKIO_WIDE)] {
            for subject in subjects.iter_mut().filter(|subject| subject.name == name) {
                subject.base = Some(base.to_owned());
            }
        }
        let targets = vec![target(MASEP_TLS, MASEP_2), target(BLOCKING_TLS, BLOCKING_2)];
        Experiment {
            name: "tls-round-trip-64",
            about: format!("round trip in TLS and without, {}", bytes(size)),
            placements: BOTH,
            subjects,
            metrics: latencies("µs", MASEP_2, targets),
        }
    }

    fn round_trip_large(&self) -> Experiment {
        // 0.9 of the speed.
        let target = |of| Target::of(of, Bound::RatioAtMost(TOKIO_RUSTLS, 1.0 / 0.9)).at(Unpinned);
        let targets = vec![target(MASEP_TLS), target(BLOCKING_TLS)];
        Experiment {
            name: "tls-round-trip-28k",
            about: format!("round trip in TLS, {} B", thousands(IMAGE)),
            placements: BOTH,
            subjects: self.subjects(Work::RoundTrip, IMAGE, 1),
            metrics: latencies("µs", TOKIO_RUSTLS, targets),
        }
    }

    fn at_least(share: f64) -> Vec<Target> {
        let target = |of| Target::of(of, Bound::RatioAtLeast(TOKIO_RUSTLS, share)).at(Unpinned);
        vec![target(MASEP_TLS), target(BLOCKING_TLS)]
    }

    fn one_way(&self) -> Experiment {
        let size = 60 * KIB;
        let mut metric = throughput("bytes", "payload", "GB/s", Self::at_least(0.9));
        metric.base = TOKIO_RUSTLS;
        Experiment {
            name: "tls-one-way-60k",
            about: format!("one way in TLS, {}", bytes(size)),
            placements: BOTH,
            subjects: self.subjects(Work::OneWay, size, 1),
            metrics: vec![metric],
        }
    }

    /// That of TLS alone, beside which masep also says hello, and `BYE` at the end. Others say and end as much by hand.
    fn handshakes(&self) -> Experiment {
        let mut subjects = self.subjects(Work::Handshakes, 0, 1);
        for (name, ends) in [(WITH_HELLO, false), (WITH_HELLO_AND_END, true)] {
            let mut by_hand = self.subjects(Work::Handshakes, 64, 1).swap_remove(0);
            if let How::Talk(job) = &mut by_hand.how {
                job.ends = ends;
            }
            name.clone_into(&mut by_hand.name);
            subjects.push(by_hand);
        }
        Experiment {
            name: "tls-handshakes",
            about: "connecting in TLS, four at a time".to_owned(),
            placements: BOTH,
            subjects,
            metrics: vec![Metric {
                key: "handshakes",
                about: "handshakes",
                unit: "/s",
                less_is_better: false,
                base: TOKIO_RUSTLS,
                targets: Self::at_least(0.9),
            }],
        }
    }

    fn idle(&self) -> Experiment {
        let links = self.plan.effort.idle;
        let target = |of| Target::of(of, Bound::RatioAtMost(TOKIO_RUSTLS, 1.3));
        Experiment {
            name: "tls-idle",
            about: format!(
                "server memory per idle connection in TLS, {} of them",
                thousands(links)
            ),
            placements: &[Unpinned],
            subjects: self.subjects(Work::Idle, 64, links),
            metrics: vec![Metric {
                key: "memory",
                about: "memory",
                unit: "bytes",
                less_is_better: true,
                base: TOKIO_RUSTLS,
                targets: vec![target(MASEP_TLS)],
            }],
        }
    }
}
