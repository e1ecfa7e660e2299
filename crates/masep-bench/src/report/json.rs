//! All figures, for other programs and for a later look.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::Report;
use crate::results::Cell;

/// Writes the machine and every cell with the figure of each round.
pub(crate) fn write(report: &Report, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads what was written, in one report: figures are compared within one placement only, so each can be of a
/// run of its own.
pub(crate) fn read_all(files: &[PathBuf]) -> Result<Report> {
    let mut reports = files.iter().map(|file| read(file));
    let mut all = reports.next().context("no file to read")??;
    for report in reports {
        let report = report?;
        ensure!(
            (report.rounds, report.seconds) == (all.rounds, all.seconds),
            "the runs are of different length"
        );
        let is_there = |cell: &Cell| {
            let mut there = all.cells.iter();
            there.any(|one| (&one.experiment, one.placement) == (&cell.experiment, cell.placement))
        };
        if let Some(twice) = report.cells.iter().find(|cell| is_there(cell)) {
            bail!("{} is there twice", twice.experiment);
        }
        all.cells.extend(report.cells);
    }
    Ok(all)
}

fn read(file: &Path) -> Result<Report> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("no report in {}", file.display()))
}
