//! The share of masep's own code that the inputs run through: lines, counted by the compiler's coverage.

use std::fs;
use std::path::PathBuf;

use super::build::Build;
use super::{MEMORY, create, seeds};
use crate::process::{Program, root};
use crate::step::Failure;

/// The code that the share is of.
const SOURCES: [&str; 3] = [
    "crates/masep-proto/src",
    "crates/masep-table/src",
    "crates/masep/src",
];

/// Runs every input of these targets once, seeds included, and prints the shares by file.
pub(crate) fn report(targets: &[String]) -> Result<(), Failure> {
    let (profdata, cov) = (tool("llvm-profdata")?, tool("llvm-cov")?);
    let programs = Build::LINES.programs()?;
    seeds::write_all(targets)?;
    let profiles = root().join("fuzz/coverage");
    if profiles.exists() {
        fs::remove_dir_all(&profiles).map_err(|error| {
            Failure::new(format!("cannot empty {}: {error}", profiles.display()))
        })?;
    }
    create(&profiles)?;
    for target in targets {
        let corpus = format!("fuzz/corpus/{target}");
        create(&root().join(&corpus))?;
        let memory = format!("-rss_limit_mb={MEMORY}");
        let options = [
            "-runs=0",
            "-verbosity=0",
            &memory,
            &corpus,
            &seeds::folder(target),
        ];
        Program::new(programs.join(target), &options)
            .env(
                "LLVM_PROFILE_FILE",
                profiles.join(format!("{target}.profraw")),
            )
            .run()?;
    }
    let merged = profiles.join("all.profdata").display().to_string();
    let raw = targets
        .iter()
        .map(|target| format!("fuzz/coverage/{target}.profraw"));
    let raw: Vec<_> = raw.collect();
    let merge = ["merge", "-sparse", "-o", &merged];
    let raw = raw.iter().map(String::as_str);
    Program::new(profdata, &merge.into_iter().chain(raw).collect::<Vec<_>>()).run()?;

    let mut options = vec!["report".to_owned(), format!("-instr-profile={merged}")];
    options.extend(
        [
            "-summary-only",
            "-show-region-summary=false",
            "-show-branch-summary=false",
        ]
        .map(str::to_owned),
    );
    for (number, target) in targets.iter().enumerate() {
        // The first program is an argument, the others are options.
        options.extend((number > 0).then(|| "-object".to_owned()));
        options.push(programs.join(target).display().to_string());
    }
    options.extend(SOURCES.map(|source| root().join(source).display().to_string()));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    Program::new(cov, &options).run()
}

/// A tool of LLVM that belongs to the compiler.
fn tool(name: &str) -> Result<PathBuf, Failure> {
    let libraries = Program::new("rustc", &["--print", "target-libdir"]).output()?;
    let tool = PathBuf::from(libraries.trim())
        .with_file_name("bin")
        .join(name);
    if tool.exists() {
        return Ok(tool);
    }
    Err(Failure::new(format!(
        "the compiler's {name} is not installed: `rustup component add llvm-tools`"
    )))
}
