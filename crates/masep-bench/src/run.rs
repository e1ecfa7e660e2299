//! Round after round, everybody in turn.

use anyhow::Result;

use crate::child;
use crate::experiment::{Experiment, How, Subject};
use crate::job::Job;
use crate::link::Outcome;
use crate::placement::Placement;
use crate::results::Measured;

/// Measures an experiment: in each round everybody once, so that what the machine does meanwhile
/// falls on all of them. The first subject changes from round to round.
pub(crate) fn measure<'a>(
    experiment: &'a Experiment,
    placement: Placement,
    cpu: Option<usize>,
    rounds: usize,
) -> Measured<'a> {
    let count = experiment.subjects.len();
    let mut outcomes = vec![Vec::new(); count];
    for round in 0..rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let subject = &experiment.subjects[index];
            let outcome = once(subject, cpu).map_err(|error| format!("{error:#}"));
            report(experiment, placement, round, subject, &outcome);
            outcomes[index].push(outcome);
        }
    }
    Measured {
        experiment,
        placement,
        outcomes,
    }
}

fn once(subject: &Subject, cpu: Option<usize>) -> Result<Outcome> {
    match &subject.how {
        How::Talk(job) => child::measure(&Job { cpu, ..job.clone() }),
        How::Codec(task) => task.measure(cpu),
        How::Missing(why) => Err(anyhow::anyhow!("{why}")),
    }
}

/// A line on standard error, for who waits.
fn report(
    experiment: &Experiment,
    placement: Placement,
    round: usize,
    subject: &Subject,
    outcome: &Result<Outcome, String>,
) {
    if matches!(subject.how, How::Missing(_)) {
        return;
    }
    let place = placement.name();
    let said = match outcome {
        Ok(outcome) => {
            let figures = experiment.metrics.iter();
            let figures = figures.filter_map(|metric| {
                Some(format!(
                    "{} {:.4} {}",
                    metric.key,
                    outcome.get(metric.key)?,
                    metric.unit
                ))
            });
            figures.collect::<Vec<_>>().join(", ")
        }
        Err(why) => format!("failed: {why}"),
    };
    eprintln!(
        "round {} {} ({place}) {}: {said}",
        round + 1,
        experiment.name,
        subject.name
    );
}
