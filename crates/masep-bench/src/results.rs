//! The results of all rounds, and their meaning.

use serde::{Deserialize, Serialize};

use crate::experiment::{Bound, Experiment, How, Metric, Point, Target};
use crate::link::Outcome;
use crate::placement::Placement;
use crate::stats::{Spread, ratios};

/// The outcomes of one experiment in one placement.
pub(crate) struct Measured<'a> {
    /// The experiment.
    pub(crate) experiment: &'a Experiment,
    /// The placement.
    pub(crate) placement: Placement,
    /// By subject, in the experiment's order, then by round: the outcome, or the reason why there is none.
    pub(crate) outcomes: Vec<Vec<Result<Outcome, String>>>,
}

/// One figure of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// The experiment's name.
    pub(crate) experiment: String,
    /// The work that is measured in it.
    pub(crate) about: String,
    /// The placement in which it was measured.
    pub(crate) placement: Placement,
    /// The figure's name among the outcomes.
    pub(crate) metric: String,
    /// The meaning of the figure.
    pub(crate) metric_about: String,
    /// Its unit.
    pub(crate) unit: String,
    /// True if less is better.
    pub(crate) less_is_better: bool,
    /// The subject that was measured.
    pub(crate) subject: String,
    /// Its point in a diagram.
    pub(crate) point: Option<Point>,
    /// The subject that the ratio is to.
    pub(crate) base: String,
    /// The figure, round by round.
    pub(crate) rounds: Vec<Option<f64>>,
    /// The figure over the rounds.
    pub(crate) value: Option<Spread>,
    /// Its ratio to the base, each in its round.
    pub(crate) ratio: Option<Spread>,
    /// The reason why there is no figure in some round, or in any.
    pub(crate) missing: Option<String>,
    /// The verdict on the target, if there is one.
    pub(crate) verdict: Option<Verdict>,
}

/// The verdict on a subject's target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The target.
    pub(crate) target: String,
    /// The judgement on it.
    pub(crate) judgement: Judgement,
    /// A note that a reader has to know.
    pub(crate) note: Option<String>,
}

/// The answer to the question whether a bound was kept in the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judgement {
    /// Yes.
    Reached,
    /// No.
    Missed,
    /// It cannot be said: there is no figure, or the bound is missed in the median and kept in some round, and the
    /// rounds are further apart than [`NOISE`].
    NotMeasured,
}

/// The greatest figure by the least, above which rounds do not agree on anything.
const NOISE: f64 = 1.25;

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
        let base = subjects[subject].base.as_deref().unwrap_or(metric.base);
        Cell {
            experiment: (*name).to_owned(),
            about: about.clone(),
            placement: self.placement,
            metric: metric.key.to_owned(),
            metric_about: metric.about.to_owned(),
            unit: metric.unit.to_owned(),
            less_is_better: metric.less_is_better,
            subject: subjects[subject].name.clone(),
            point: subjects[subject].point.clone(),
            base: metric.base.to_owned(),
            value: Spread::of(rounds.iter().copied().flatten()),
            ratio: self.ratio(metric, &rounds, base),
            verdict: self.verdict(metric, subject, &rounds, missing.as_deref()),
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

    /// None if nothing is to be reached.
    fn verdict(
        &self,
        metric: &Metric,
        subject: usize,
        rounds: &[Option<f64>],
        missing: Option<&str>,
    ) -> Option<Verdict> {
        let name = &self.experiment.subjects[subject].name;
        let target = metric.targets.iter().find(|target| {
            target.subject == name
                && target
                    .placement
                    .is_none_or(|placement| placement == self.placement)
        })?;
        let (judgement, note) = match self.bounded(metric, target, rounds) {
            Some(spread) => target.bound.judge(spread),
            None => (
                Judgement::NotMeasured,
                Some(
                    missing
                        .unwrap_or("there is no figure to compare with")
                        .to_owned(),
                ),
            ),
        };
        let note = match judgement {
            Judgement::Reached => note,
            _ => self.reason(metric, target).or(note),
        };
        Some(Verdict {
            target: target.bound.to_string(),
            judgement,
            note,
        })
    }

    /// The figures, or the ratios, that a target bounds.
    fn bounded(&self, metric: &Metric, target: &Target, rounds: &[Option<f64>]) -> Option<Spread> {
        match target.bound {
            Bound::AtMost(_) | Bound::AtLeast(_) => Spread::of(rounds.iter().copied().flatten()),
            Bound::RatioAtMost(base, _) | Bound::RatioAtLeast(base, _) => {
                self.ratio(metric, rounds, base)
            }
        }
    }

    /// The reason why this machine denies it, if others say so.
    fn reason(&self, metric: &Metric, target: &Target) -> Option<String> {
        let rounds = |name: &str| {
            let mut subjects = self.experiment.subjects.iter();
            Some(self.rounds(metric, subjects.position(|subject| subject.name == name)?))
        };
        if let Some(limit) = target.limit {
            let spread = self.bounded(metric, target, &rounds(limit)?)?;
            if !target.bound.holds(spread.median) {
                return Some(format!("{limit} has {:.2} itself", spread.median));
            }
        }
        let (name, there) = target.set_with?;
        let here = Spread::of(rounds(name)?.into_iter().flatten())?.median;
        let (unit, slower) = (metric.unit, (here < there) != metric.less_is_better);
        // A figure is harder to reach where all is slower, and a ratio where what it is to is faster.
        let harder = match target.bound {
            Bound::AtMost(_) | Bound::AtLeast(_) => slower,
            Bound::RatioAtMost(..) | Bound::RatioAtLeast(..) => !slower,
        };
        harder.then(|| {
            format!("{name} has {here:.1} {unit} here, and had {there} where the target was set")
        })
    }
}

impl Bound {
    fn judge(self, spread: Spread) -> (Judgement, Option<String>) {
        let Spread { median, min, max } = spread;
        let differ = self.holds(min) != self.holds(max);
        if self.holds(median) {
            return (
                Judgement::Reached,
                differ.then(|| "not in every round".to_owned()),
            );
        }
        if differ && max / min > NOISE {
            let note = format!("the rounds are too far apart, {min:.2} to {max:.2}");
            return (Judgement::NotMeasured, Some(note));
        }
        (
            Judgement::Missed,
            differ.then(|| "but for some rounds".to_owned()),
        )
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides_unless_the_rounds_disagree() {
        let judge = |min, median, max| {
            let spread = Spread { median, min, max };
            Bound::RatioAtMost("raw", 1.1).judge(spread).0
        };
        assert_eq!(judge(1.0, 1.05, 1.08), Judgement::Reached);
        assert_eq!(judge(1.0, 1.05, 1.4), Judgement::Reached);
        assert_eq!(judge(1.05, 1.12, 1.2), Judgement::Missed);
        assert_eq!(judge(1.2, 1.3, 1.9), Judgement::Missed);
        assert_eq!(judge(0.9, 1.12, 1.3), Judgement::NotMeasured);
    }
}
