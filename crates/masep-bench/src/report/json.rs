//! All figures, for other programs.

use anyhow::Result;
use serde::Serialize;

use crate::machine::Machine;
use crate::results::Cell;

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    cells: &'a [Cell],
}

/// The machine and every cell with the figure of each round.
pub(crate) fn json(machine: &Machine, cells: &[Cell]) -> Result<String> {
    Ok(serde_json::to_string_pretty(&Report { machine, cells })? + "\n")
}
