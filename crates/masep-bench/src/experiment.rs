//! An experiment and its parts; [`crate::plan`] has all of them.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::job::Job;
use crate::placement::Placement;

/// One thing that is measured: the same for all its subjects.
pub(crate) struct Experiment {
    /// The name, on the command line.
    pub(crate) name: &'static str,
    /// The work that is measured.
    pub(crate) about: String,
    /// The placements in which it is measured.
    pub(crate) placements: &'static [Placement],
    /// The subjects, in the order of the table.
    pub(crate) subjects: Vec<Subject>,
    /// The figures that are measured of each.
    pub(crate) metrics: Vec<Metric>,
}

/// One who is measured in an experiment.
#[derive(Clone)]
pub(crate) struct Subject {
    /// As it stands in the table.
    pub(crate) name: String,
    /// The way in which it is measured.
    pub(crate) how: How,
    /// The subject that its ratios are to, if it is not that of the figure.
    pub(crate) base: Option<String>,
    /// Its point in a diagram, if there are more like it.
    pub(crate) point: Option<Point>,
}

/// The point of a subject among those that differ in a number only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// The series whose line it is on.
    pub(crate) series: String,
    /// The number.
    pub(crate) x: f64,
}

/// The way in which a subject is measured.
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
    /// Its meaning.
    pub(crate) about: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// True if less is better.
    pub(crate) less_is_better: bool,
    /// The subject that the ratios are to; where each subject has a base of its own, what it is.
    pub(crate) base: &'static str,
    /// The targets of subjects.
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
        let limits = self.metrics.iter().flat_map(|metric| &metric.targets);
        let limits = limits.filter_map(|target| target.limit.or(target.set_with.map(|who| who.0)));
        of_metrics.chain(of_targets).chain(limits).collect()
    }
}

/// The bound that one subject has to reach in one figure.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The subject.
    pub(crate) subject: &'static str,
    /// The placement, if it is not every one.
    pub(crate) placement: Option<Placement>,
    /// The bound.
    pub(crate) bound: Bound,
    /// The subject that is as fast as any can be: if it misses the bound too, this machine denies it.
    pub(crate) limit: Option<&'static str>,
    /// A subject, and its figure on the machine where the bound was set.
    pub(crate) set_with: Option<(&'static str, f64)>,
}

impl Target {
    /// Everywhere, and nothing but the machine denies it.
    pub(crate) fn of(subject: &'static str, bound: Bound) -> Self {
        Self {
            subject,
            placement: None,
            bound,
            limit: None,
            set_with: None,
        }
    }

    /// Only there.
    pub(crate) fn at(self, placement: Placement) -> Self {
        Self {
            placement: Some(placement),
            ..self
        }
    }
}

impl Subject {
    /// One with the base of the figure.
    pub(crate) fn new(name: impl Into<String>, how: How) -> Self {
        Self {
            name: name.into(),
            how,
            base: None,
            point: None,
        }
    }
}

/// A bound for the median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// The greatest value of the figure.
    AtMost(f64),
    /// The least value of the figure.
    AtLeast(f64),
    /// The greatest ratio of the figure to that of a subject in the same round.
    RatioAtMost(&'static str, f64),
    /// The least ratio of the figure to that of a subject in the same round.
    RatioAtLeast(&'static str, f64),
}

/// The amount of measuring.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Seconds of each measurement.
    pub(crate) seconds: f64,
    /// Worker threads of the runtimes.
    pub(crate) threads: usize,
    /// Connections that are idle in the measurement of memory.
    pub(crate) idle: usize,
}
