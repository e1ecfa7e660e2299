//! Licences, sources and duplicates of the dependencies, by the policy in `deny.toml`.
//!
//! cargo-deny checks more (advisories, yanked versions), but to build it takes over four minutes of
//! computing, a third of what a whole run of the project's checks may take. So this checks, on every
//! run and without network, what cargo itself can tell; cargo-deny runs too where it is installed.

mod licence;
mod listed;
mod others;

use std::collections::BTreeMap;

use super::{none_found, read};
use crate::process::{Program, cargo};
use crate::step::Failure;

/// How Cargo.lock names the one registry that dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check() -> Result<(), Failure> {
    let policy = read("deny.toml")?;
    let allowed = allowed_licences(&policy);
    let lock = read("Cargo.lock")?;
    let mut findings = refused_licences(&tree(&["--workspace", "--target", "all"])?, &allowed);
    findings.extend(foreign_sources(&lock));
    findings.extend(duplicates(&lock));
    findings.extend(others::findings(&allowed)?);
    let manifests: Vec<_> = listed::MANIFESTS
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    findings.extend(listed::differences(&read("ARCHITECTURE.md")?, &manifests));
    none_found(
        &findings,
        "dependencies are not as deny.toml allows or ARCHITECTURE.md lists",
    )?;
    println!(
        "checked: licences, sources and duplicates of the main workspace, rows of ARCHITECTURE.md; \
         NOT checked: advisories, yanked versions (`cargo xtask deny` asks for them)"
    );
    if is_installed() {
        return cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]).run();
    }
    Ok(())
}

/// All that cargo-deny checks.
pub(crate) fn cargo_deny() -> Result<(), Failure> {
    if !is_installed() {
        return Err(Failure::new(
            "cargo-deny is not installed: `cargo install cargo-deny --locked` (over four minutes of computing)",
        ));
    }
    cargo(&["deny", "check", "licenses", "bans", "sources"]).run()?;
    if cargo(&["deny", "fetch", "db"]).run().is_err() {
        println!(
            "NOT checked: advisories, yanked versions (their database could not be had, see above); \
             checked: licences, sources and duplicates"
        );
        return Ok(());
    }
    cargo(&["deny", "check", "advisories"]).run()
}

fn is_installed() -> bool {
    Program::new("cargo-deny", &["--version"]).output().is_ok()
}

/// What `cargo tree` finds by these options, with all features: a line `name|licence` for each package.
fn tree(options: &[&str]) -> Result<String, Failure> {
    let form = ["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"];
    cargo(&[&["tree", "--all-features"], options, &form].concat()).output()
}

/// The strings of the list `allow` in `deny.toml`.
fn allowed_licences(policy: &str) -> Vec<&str> {
    let list = policy
        .split_once("\nallow = [")
        .map_or("", |(_, rest)| rest);
    let list = list.split_once(']').map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

fn refused_licences(tree: &str, allowed: &[&str]) -> Vec<String> {
    let mut packages: Vec<_> = tree.lines().filter(|line| !line.is_empty()).collect();
    packages.sort_unstable();
    packages.dedup();
    println!("{} packages", packages.len());
    packages
        .into_iter()
        .filter_map(|package| {
            let (name, licence) = package.split_once('|')?;
            (!licence::is_allowed(licence, allowed))
                .then(|| format!("{name}: its licence is {licence:?}"))
        })
        .collect()
}

fn foreign_sources(lock: &str) -> Vec<String> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .map(|source| source.trim_matches('"'))
        .filter(|source| *source != REGISTRY)
        .map(|source| format!("a dependency comes from {source}"))
        .collect()
}

fn duplicates(lock: &str) -> Vec<String> {
    let mut versions = BTreeMap::new();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = ")) {
        *versions.entry(name.trim_matches('"')).or_insert(0) += 1;
    }
    versions
        .into_iter()
        .filter(|(_, versions)| *versions > 1)
        .map(|(name, versions)| format!("{name}: {versions} versions"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_that_of_deny_toml() {
        let policy =
            "# about\n[licenses]\nallow = [\n    \"MIT\",\n    \"Zlib\",\n]\n[bans]\nx = \"y\"\n";
        assert_eq!(allowed_licences(policy), ["MIT", "Zlib"]);
        assert_eq!(allowed_licences("[licenses]\n"), [""; 0]);
    }

    #[test]
    fn what_the_policy_does_not_allow_is_found() {
        let tree = "a v1.0.0|MIT\nb v1.0.0|GPL-3.0\nb v1.0.0|GPL-3.0\nc v1.0.0|\n";
        assert_eq!(
            refused_licences(tree, &["MIT"]),
            [
                "b v1.0.0: its licence is \"GPL-3.0\"",
                "c v1.0.0: its licence is \"\""
            ]
        );
        let lock = format!(
            "[[package]]\nname = \"a\"\nsource = \"{REGISTRY}\"\n\
             [[package]]\nname = \"b\"\nsource = \"git+https://example.org/b\"\n[[package]]\nname = \"a\"\n"
        );
        assert_eq!(
            foreign_sources(&lock),
            ["a dependency comes from git+https://example.org/b"]
        );
        assert_eq!(duplicates(&lock), ["a: 2 versions"]);
    }
}
