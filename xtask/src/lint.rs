//! `cargo xtask lint`: what can be said about the tree without running it. Format and clippy are steps of `test`.

mod length;
mod links;
mod prose;
mod security;

use crate::process::{Program, cargo};
use crate::step::{Beside, Failure, Step};
use crate::tally::Tally;

pub(crate) fn steps() -> Vec<Step> {
    let step = |name, about, run| Step {
        name,
        about,
        is_long: false,
        beside: Beside::Never,
        run,
    };
    vec![
        step(
            "rustdoc",
            "no warning in the documentation, private items included",
            |_| no_tests(rustdoc()),
        ),
        step("length", "no file is longer than 800 lines", |_| {
            no_tests(length::check())
        }),
        step("links", "links in Markdown files lead somewhere", |_| {
            no_tests(links::check())
        }),
        step(
            "prose",
            "no sentence opens with Who, Whoever, What, Whether or How",
            |_| no_tests(prose::check()),
        ),
        step(
            "security",
            "the tests that SECURITY.md names are there",
            |_| no_tests(security::check()),
        ),
    ]
}

fn no_tests(result: Result<(), Failure>) -> Result<Tally, Failure> {
    result.map(|()| Tally::default())
}

/// The libraries last: the program and the library are both called `masep`, their pages have one place.
fn rustdoc() -> Result<(), Failure> {
    let doc = ["doc", "--no-deps", "--document-private-items"];
    for packages in [
        &["--workspace", "--bins", "--all-features"][..],
        // Items behind a feature are documented too.
        &["--workspace", "--lib", "--all-features"][..],
    ] {
        cargo(&[&doc[..], packages].concat())
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()?;
    }
    Ok(())
}

/// The files of the repository that end in one of `extensions`: those that git knows, and new ones
/// that it does not ignore.
fn files(extensions: &[&str]) -> Result<Vec<String>, Failure> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ];
    let files = Program::new("git", &list).output()?;
    Ok(files
        .lines()
        .filter(|file| {
            let extension = file.rsplit_once('.').map(|(_, extension)| extension);
            extension.is_some_and(|extension| extensions.contains(&extension))
        })
        .filter(|file| crate::process::root().join(file).exists())
        .map(str::to_owned)
        .collect())
}

fn read(file: &str) -> Result<String, Failure> {
    std::fs::read_to_string(crate::process::root().join(file))
        .map_err(|error| Failure::new(format!("cannot read {file}: {error}")))
}

/// `Ok` if nothing was found; otherwise prints what was and fails.
fn none_found(findings: &[String], what: &str) -> Result<(), Failure> {
    if findings.is_empty() {
        return Ok(());
    }
    for finding in findings {
        println!("{finding}");
    }
    Err(Failure::new(format!("{} {what}", findings.len())))
}
