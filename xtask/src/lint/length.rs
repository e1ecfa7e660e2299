//! The length of files: one that grows too long has several subjects.

use super::{files, none_found, read};
use crate::step::Failure;

const MAX_LINES: usize = 800;

/// The endings of files that people write. (Generated files, such as Cargo.lock and the vectors, have other ones.)
const WRITTEN: [&str; 6] = ["rs", "py", "md", "toml", "sh", "ini"];

pub(crate) fn check() -> Result<(), Failure> {
    let mut too_long = Vec::new();
    let files = files(&WRITTEN)?;
    for file in &files {
        let lines = read(file)?.lines().count();
        if lines > MAX_LINES {
            too_long.push(format!(
                "{file}: {lines} lines, at most {MAX_LINES} are allowed"
            ));
        }
    }
    println!("{} files", files.len());
    none_found(&too_long, "files are too long")
}
