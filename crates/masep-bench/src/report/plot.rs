//! The diagrams of docs/performance.md.
//!
//! They are written as SVG by hand, because their colours are those of a style sheet in the file: a reader's browser
//! chooses between the light and the dark ones.

mod axis;
mod bars;
mod curves;
mod svg;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Report;
use crate::placement::Placement;
use crate::results::Cell;
use crate::stats::Spread;

/// A diagram that was drawn.
pub(crate) struct Diagram {
    /// The name of its file, without the extension.
    pub(crate) name: &'static str,
    /// The description of the picture.
    pub(crate) about: String,
}

/// Unpinned figures with a bar for each, by experiment and figure.
const BARS: [(&str, &str, &str); 5] = [
    ("round-trip", "round-trip-64", "p50"),
    ("one-way-small", "one-way-64", "messages"),
    ("one-way-large", "one-way-60k", "bytes"),
    ("fan-out", "fan-out", "messages"),
    ("memory", "idle", "memory"),
];
/// Unpinned figures with a line for each series, by experiment and figure, and what goes to the right.
const CURVES: [(&str, &str, &str, &str); 3] = [
    ("turns", "turns", "turns", "actors"),
    ("round-trip-by-size", "sizes-round-trip", "p50", "bytes"),
    ("one-way-by-size", "sizes-one-way", "each", "bytes"),
];

/// Draws all for which there are figures.
pub(crate) fn draw(report: &Report, directory: &Path) -> Result<Vec<Diagram>> {
    let mut diagrams = Vec::new();
    let mut save = |name, about: String, drawing: String| {
        let file = directory.join(name).with_extension("svg");
        fs::write(&file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
        diagrams.push(Diagram { name, about });
        anyhow::Ok(())
    };
    for (name, experiment, metric) in BARS {
        let cells = cells(report, experiment, metric);
        if let Some(first) = cells.first() {
            let about = about(first);
            let drawing = bars::draw(&about, report.rounds, &cells);
            save(name, about, drawing)?;
        }
    }
    for (name, experiment, metric, x) in CURVES {
        let cells = cells(report, experiment, metric);
        if let Some(first) = cells.first() {
            let about = about(first);
            let drawing = curves::draw(&about, report.rounds, x, &cells);
            save(name, about, drawing)?;
        }
    }
    Ok(diagrams)
}

/// The unpinned cells of this figure that have a value.
fn cells<'a>(report: &'a Report, experiment: &str, metric: &str) -> Vec<&'a Cell> {
    let cells = report.cells.iter().filter(|cell| {
        cell.experiment == experiment
            && cell.metric == metric
            && cell.placement == Placement::Unpinned
            && cell.value.is_some()
    });
    cells.collect()
}

fn about(cell: &Cell) -> String {
    let Cell {
        about,
        metric_about,
        unit,
        ..
    } = cell;
    let better = if cell.less_is_better { "less" } else { "more" };
    format!(
        "{about}, {}: {metric_about} in {unit} ({better} is better)",
        cell.placement.name()
    )
}

/// The meaning of a diagram's marks: the median's, and the line from the least to the greatest if there is any.
fn legend(mark: &str, rounds: usize, values: impl IntoIterator<Item = Spread>) -> String {
    let is_spread = values.into_iter().any(|value| value.min < value.max);
    let median = format!("{mark}: median of {rounds} rounds");
    match is_spread {
        true => format!("{median}; thin line: from the least to the greatest of them"),
        false => median,
    }
}
