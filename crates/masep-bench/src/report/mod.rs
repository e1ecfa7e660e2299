//! The results, for people and for programs.

mod document;
mod json;
mod markdown;
mod plot;
mod table;

pub(crate) use document::put_into_document;
pub(crate) use json::{read_all, write};
pub(crate) use table::table;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::results::Cell;

/// One run of the bench.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// The machine.
    pub(crate) machine: Machine,
    /// The number of times that each subject was measured.
    pub(crate) rounds: usize,
    /// Seconds of each measurement.
    pub(crate) seconds: f64,
    /// All figures.
    pub(crate) cells: Vec<Cell>,
}

/// Three digits that say something, and whole numbers in full.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
