//! What all rounds gave, and what it means.

use serde::Serialize;

use crate::experiment::{Bound, Experiment, How, Metric};
use crate::link::Outcome;
use crate::placement::Placement;
use crate::stats::{Spread, ratios};

/// What was measured of one experiment in one placement.
pub(crate) struct Measured<'a> {
    /// What was measured.
    pub(crate) experiment: &'a Experiment,
    /// Where.
    pub(crate) placement: Placement,
    /// By subject, in the experiment's order, then by round: what came of it, or why nothing did.
    pub(crate) outcomes: Vec<Vec<Result<Outcome, String>>>,
}

/// One figure of one subject.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    /// The experiment's name.
    pub(crate) experiment: String,
    /// What is done in it.
    pub(crate) about: String,
    /// Where it was measured.
    pub(crate) placement: Placement,
    /// The figure's name among the outcomes.
    pub(crate) metric: String,
    /// What the figure is.
    pub(crate) metric_about: String,
    /// Its unit.
    pub(crate) unit: String,
    /// Whether less is better.
    pub(crate) less_is_better: bool,
    /// Who was measured.
    pub(crate) subject: String,
    /// The subject that the ratio is to.
    pub(crate) base: String,
    /// The figure, round by round.
    pub(crate) rounds: Vec<Option<f64>>,
    /// The figure over the rounds.
    pub(crate) value: Option<Spread>,
    /// Its ratio to the base, each in its round.
    pub(crate) ratio: Option<Spread>,
    /// Why there is no figure in some round, or in any.
    pub(crate) missing: Option<String>,
    /// What was to be reached.
    pub(crate) verdict: Option<Verdict>,
}

/// Whether a subject has reached what it was to reach.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    /// What was to be reached.
    pub(crate) target: String,
    /// Whether the median has reached it.
    pub(crate) reached: bool,
    /// Whether at least one round has, and one has not: the machine's noise decides.
    pub(crate) within_spread: bool,
}

impl Measured<'_> {
    /// A cell for each figure of each subject, figure by figure.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let metrics = self.experiment.metrics.iter();
        let subjects = || 0..self.experiment.subjects.len();
        metrics
            .flat_map(|metric| subjects().map(move |subject| self.cell(metric, subject)))
            .collect()
    }

    fn cell(&self, metric: &Metric, subject: usize) -> Cell {
        let Experiment {
            name,
            about,
            subjects,
            ..
        } = self.experiment;
        let rounds = self.rounds(metric, subject);
        let missing = match &subjects[subject].how {
            How::Missing(why) => Some(why.clone()),
            _ => self.outcomes[subject]
                .iter()
                .find_map(|outcome| outcome.clone().err()),
        };
        Cell {
            experiment: (*name).to_owned(),
            about: about.clone(),
            placement: self.placement,
            metric: metric.key.to_owned(),
            metric_about: metric.about.to_owned(),
            unit: metric.unit.to_owned(),
            less_is_better: metric.less_is_better,
            subject: subjects[subject].name.clone(),
            base: metric.base.to_owned(),
            value: Spread::of(rounds.iter().copied().flatten()),
            ratio: self.ratio(metric, &rounds, metric.base),
            verdict: self.verdict(metric, subject, &rounds),
            rounds,
            missing,
        }
    }

    fn rounds(&self, metric: &Metric, subject: usize) -> Vec<Option<f64>> {
        let outcomes = self.outcomes[subject].iter();
        outcomes
            .map(|outcome| outcome.as_ref().ok()?.get(metric.key).copied())
            .collect()
    }

    fn ratio(&self, metric: &Metric, rounds: &[Option<f64>], base: &str) -> Option<Spread> {
        let base = self
            .experiment
            .subjects
            .iter()
            .position(|subject| subject.name == base)?;
        Spread::of(
            ratios(rounds, &self.rounds(metric, base))
                .into_iter()
                .flatten(),
        )
    }

    /// None if nothing is to be reached; not reached if there is no figure.
    fn verdict(&self, metric: &Metric, subject: usize, rounds: &[Option<f64>]) -> Option<Verdict> {
        let name = &self.experiment.subjects[subject].name;
        let target = metric.targets.iter().find(|target| {
            target.subject == name
                && target
                    .placement
                    .is_none_or(|placement| placement == self.placement)
        })?;
        let spread = match target.bound {
            Bound::AtMost(_) | Bound::AtLeast(_) => Spread::of(rounds.iter().copied().flatten()),
            Bound::RatioAtMost(base, _) | Bound::RatioAtLeast(base, _) => {
                self.ratio(metric, rounds, base)
            }
        };
        let holds = |value| target.bound.holds(value);
        let reached = spread.is_some_and(|spread| holds(spread.median));
        let within_spread = spread.is_some_and(|spread| holds(spread.min) != holds(spread.max));
        Some(Verdict {
            target: target.bound.to_string(),
            reached,
            within_spread,
        })
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) | Self::RatioAtMost(_, bound) => value <= bound,
            Self::AtLeast(bound) | Self::RatioAtLeast(_, bound) => value >= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {bound}"),
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::RatioAtMost(base, bound) => write!(f, "at most {bound:.2} of {base}"),
            Self::RatioAtLeast(base, bound) => write!(f, "at least {bound:.2} of {base}"),
        }
    }
}
