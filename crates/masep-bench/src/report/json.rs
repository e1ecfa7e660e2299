//! All figures, for other programs and for a later look.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Report;

/// Writes the machine and every cell with the figure of each round.
pub(crate) fn write(report: &Report, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads what was written.
pub(crate) fn read(file: &Path) -> Result<Report> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("no report in {}", file.display()))
}
