//! The part of docs/performance.md that a run writes, and the diagrams that it shows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Report, markdown, plot};

const BEGIN: &str = "<!-- What follows is written by `cargo xtask bench --document`. -->\n";
const END: &str = "<!-- The end of what `cargo xtask bench --document` writes. -->\n";
/// The document, from the root of the repository.
const DOCUMENT: &str = "docs/performance.md";
/// The folder of the diagrams, from the document.
const DIAGRAMS: &str = "bench";

/// Writes tables and diagrams of this run in place of those that are there.
pub(crate) fn put_into_document(report: &Report) -> Result<()> {
    let file = root().join(DOCUMENT);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let directory = file.with_file_name(DIAGRAMS);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let mut section = markdown::tables(report);
    for diagram in plot::draw(report, &directory)? {
        let plot::Diagram { name, about } = diagram;
        section += &format!("\n![{about}]({DIAGRAMS}/{name}.svg)\n");
    }
    fs::write(&file, between(&text, &section)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The text with this between the two marks.
fn between(text: &str, section: &str) -> Result<String> {
    let marks = || format!("{DOCUMENT} lacks the marks of what is written");
    let (before, rest) = text.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    Ok(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_stays() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        let new = between(&text, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n\n{END}b\n"));
        assert_eq!(between(&new, "new\n").unwrap(), new);
        assert!(between("a\nb\n", "new\n").is_err());
    }
}
