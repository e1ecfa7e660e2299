//! The workspaces beside the main one, each with a lock file of its own and what is allowed there only.

use super::{duplicates, foreign_sources, read, refused_licences, tree};
use crate::step::Failure;

/// A workspace whose dependencies are no part of what masep's users build.
struct Other {
    directory: &'static str,
    /// Licences beside those of `deny.toml`, and what brings them.
    licences: &'static [&'static str],
    twice: Twice,
}

/// Which crates may be there in two versions.
enum Twice {
    These(&'static [&'static str]),
    /// Libraries that are measured choose their own versions, and nothing of them is published.
    Any,
}

const OTHERS: [Other; 4] = [
    Other {
        directory: "fuzz",
        // libfuzzer-sys contains LLVM's libFuzzer.
        licences: &["NCSA"],
        twice: Twice::These(&[]),
    },
    Other {
        directory: "bindings/python",
        // target-lexicon, which only builds.
        licences: &["Apache-2.0 WITH LLVM-exception"],
        // pyo3's macros have not changed over to the version that the others use.
        twice: Twice::These(&["syn"]),
    },
    Other {
        directory: "crates/masep-model",
        licences: &[],
        // What shuttle brings along has not changed over: the macros of zerocopy, which are not built, and
        // the stacks of corosensei, on Windows alone.
        twice: Twice::These(&["syn", "windows-sys"]),
    },
    Other {
        directory: "crates/masep-bench",
        // rustls, ring and webpki (ISC, BSD-3-Clause), Zenoh's own crates' (BSD-2-Clause, MPL-2.0) and
        // a builder of archives: of the libraries that masep is measured beside.
        licences: &[
            "ISC",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "MPL-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ],
        twice: Twice::Any,
    },
];

/// What is found in them; prints for each what was checked and what could not be.
pub(super) fn findings(allowed: &[&str]) -> Result<Vec<String>, Failure> {
    let mut findings = Vec::new();
    for other in &OTHERS {
        let lock = read(&format!("{}/Cargo.lock", other.directory))?;
        findings.extend(in_lock(&lock, other));
        let duplicates = match other.twice {
            Twice::These(_) => "duplicates checked",
            Twice::Any => "duplicates NOT checked (any are allowed there)",
        };
        // Crates that were never downloaded have no licence to read; a check without network says so.
        let manifest = format!("{}/Cargo.toml", other.directory);
        let licences = match tree(&["--offline", "--locked", "--manifest-path", &manifest]) {
            Ok(tree) => {
                let allowed = [allowed, other.licences].concat();
                findings.extend(refused_licences(&tree, &allowed));
                "licences checked (of what this platform builds)"
            }
            Err(_) => "licences NOT checked (not all of its crates are on this machine)",
        };
        println!(
            "{}/Cargo.lock: sources checked, {duplicates}, {licences}",
            other.directory
        );
    }
    Ok(findings)
}

fn in_lock(lock: &str, other: &Other) -> Vec<String> {
    let mut findings = foreign_sources(lock);
    if let Twice::These(allowed) = other.twice {
        findings.extend(duplicates(lock).into_iter().filter(|found| {
            !allowed
                .iter()
                .any(|name| found.starts_with(&format!("{name}: ")))
        }));
    }
    findings
        .into_iter()
        .map(|found| format!("{}: {found}", other.directory))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_hold_for_their_own_crates_only() {
        let package = |name| format!("[[package]]\nname = \"{name}\"\n");
        let lock = ["syn", "syn", "syn-mid", "syn-mid"].map(package).concat();
        let mut other = Other {
            directory: "there",
            licences: &[],
            twice: Twice::These(&["syn"]),
        };
        assert_eq!(in_lock(&lock, &other), ["there: syn-mid: 2 versions"]);
        other.twice = Twice::Any;
        assert_eq!(in_lock(&lock, &other), [""; 0]);
        let foreign = "source = \"git+https://example.org/b\"\n";
        assert_eq!(
            in_lock(foreign, &other),
            ["there: a dependency comes from git+https://example.org/b"]
        );
    }
}
