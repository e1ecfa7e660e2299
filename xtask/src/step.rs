//! Steps of a task: choosing them, running them, the summary.

use std::fmt;
use std::time::Instant;

use crate::beside::{Done, Others};
use crate::tally::Tally;

/// One step of a task.
pub(crate) struct Step {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Its work, in a few words.
    pub(crate) about: &'static str,
    /// True if only the long form of the task has it.
    pub(crate) is_long: bool,
    /// True if it runs at the same time as the others.
    pub(crate) beside: Beside,
    /// Does it: the tests that were counted, if the step runs any.
    pub(crate) run: fn(Form) -> Result<Tally, Failure>,
}

/// The forms of a task in which a step runs beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// In none.
    Never,
    /// In the short one: in the long one it takes all that the machine has.
    Short,
    /// In each.
    Always,
}

impl Beside {
    fn is_in(self, form: Form) -> bool {
        self == Self::Always || (self == Self::Short && form == Form::Short)
    }
}

/// The thoroughness of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For every change.
    Short,
    /// For a release: all steps, each in full.
    Long,
}

/// The reason why a step failed: the text says it to whoever ran it, and carries the tests counted until then.
#[derive(Debug)]
pub(crate) struct Failure {
    why: String,
    tally: Tally,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self::counted(why, Tally::default())
    }

    pub(crate) fn counted(why: impl Into<String>, tally: Tally) -> Self {
        Self {
            why: why.into(),
            tally,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// The steps that run: those in `only` (if it is empty, all of this form) without those in `skip`.
pub(crate) fn select(
    steps: &[Step],
    form: Form,
    only: &[String],
    skip: &[String],
) -> Result<Vec<bool>, Failure> {
    for name in only.iter().chain(skip) {
        if !steps.iter().any(|step| step.name == name) {
            let names: Vec<_> = steps.iter().map(|step| step.name).collect();
            let names = names.join(", ");
            return Err(Failure::new(format!(
                "no step {name:?}; the steps are {names}"
            )));
        }
    }
    let named = |names: &[String], step: &Step| names.iter().any(|name| name == step.name);
    Ok(steps
        .iter()
        .map(|step| {
            let is_of_form = form == Form::Long || !step.is_long;
            let is_wanted = match only {
                [] => is_of_form,
                only => named(only, step),
            };
            is_wanted && !named(skip, step)
        })
        .collect())
}

/// Runs the selected steps and prints the summary: the tests counted, and whether every step was ok.
pub(crate) fn run(task: &str, steps: &[Step], form: Form, selected: &[bool]) -> (Tally, bool) {
    let selected = steps.iter().zip(selected).filter(|(_, is)| **is);
    let (mut beside, mut steps): (Vec<_>, Vec<_>) = selected
        .map(|(step, _)| step)
        .partition(|step| step.beside.is_in(form));
    if steps.is_empty() {
        steps = std::mem::take(&mut beside);
    }
    let beside = beside.into_iter().map(|step| step.name).collect();
    let beside = Others::start(task, beside, form);
    let mut results: Vec<_> = steps.into_iter().map(|step| run_one(step, form)).collect();
    results.extend(beside.finish());

    println!("\n=== summary of cargo xtask {task}");
    let mut total = Tally::default();
    let mut failed = Vec::new();
    for Done { name, result, time } in results {
        let (verdict, note) = match result {
            Ok(tally) => {
                total += tally;
                ("ok", note_of(tally))
            }
            Err(failure) => {
                total += failure.tally;
                failed.push(name);
                ("FAILED", failure.why)
            }
        };
        println!(
            "{verdict:8}  {name:12} {:7.1} s  {note}",
            time.as_secs_f64()
        );
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    (total, failed.is_empty())
}

fn run_one(step: &Step, form: Form) -> Done {
    println!("\n=== {}: {}", step.name, step.about);
    let start = Instant::now();
    let result = (step.run)(form);
    if let Err(failure) = &result {
        println!("=== {} FAILED: {failure}", step.name);
    }
    Done {
        name: step.name,
        result,
        time: start.elapsed(),
    }
}

fn note_of(tally: Tally) -> String {
    if tally == Tally::default() {
        String::new()
    } else {
        tally.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Tally = Tally {
        passed: 2,
        failed: 1,
        skipped: 0,
    };

    fn steps() -> [Step; 3] {
        [
            step("first", |_| Ok(Tally::default())),
            step("second", |_| Err(Failure::counted("a test failed", THREE))),
            Step {
                is_long: true,
                ..step("third", |_| Ok(THREE))
            },
        ]
    }

    fn step(name: &'static str, run: fn(Form) -> Result<Tally, Failure>) -> Step {
        Step {
            name,
            about: "",
            is_long: false,
            beside: Beside::Never,
            run,
        }
    }

    fn selected(form: Form, only: &[&str], skip: &[&str]) -> Result<Vec<bool>, String> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        select(&steps(), form, &owned(only), &owned(skip)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn steps_are_chosen_by_name() {
        let selected = |only: &[&str], skip: &[&str]| selected(Form::Long, only, skip);
        assert_eq!(selected(&[], &[]), Ok(vec![true, true, true]));
        assert_eq!(selected(&["third"], &[]), Ok(vec![false, false, true]));
        assert_eq!(selected(&[], &["third"]), Ok(vec![true, true, false]));
        let unknown = selected(&[], &["fourth"]).unwrap_err();
        assert_eq!(
            unknown,
            "no step \"fourth\"; the steps are first, second, third"
        );
    }

    #[test]
    fn the_short_form_has_a_long_step_only_by_its_name() {
        let selected = |only: &[&str]| selected(Form::Short, only, &[]);
        assert_eq!(selected(&[]), Ok(vec![true, true, false]));
        assert_eq!(selected(&["third"]), Ok(vec![false, false, true]));
    }

    #[test]
    fn a_step_runs_beside_the_others_in_its_forms() {
        let forms = [Form::Short, Form::Long];
        let are_in = |beside: Beside| forms.map(|form| beside.is_in(form));
        assert_eq!(are_in(Beside::Never), [false, false]);
        assert_eq!(are_in(Beside::Short), [true, false]);
        assert_eq!(are_in(Beside::Always), [true, true]);
    }

    #[test]
    fn all_steps_run_and_their_tests_are_summed_up_also_after_a_failure() {
        let (tests, ok) = run("test", &steps(), Form::Long, &[true, true, true]);
        assert_eq!(tests.to_string(), "4 passed, 2 failed");
        assert!(!ok);
        let (tests, ok) = run("test", &steps(), Form::Long, &[true, false, true]);
        assert_eq!(tests, THREE);
        assert!(ok);
    }
}
