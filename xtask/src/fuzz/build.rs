//! The targets as programs.

use std::path::PathBuf;

use crate::process::{Program, cargo, root};
use crate::step::Failure;

/// One way to compile the targets.
pub(crate) struct Build {
    /// The directory of the programs, within `fuzz/target`.
    directory: &'static str,
    flags: &'static str,
    is_optimised: bool,
}

impl Build {
    /// The flags of cargo-fuzz for coverage, and checks that a release build leaves out.
    pub(crate) const COUNTERS: Self = Self {
        directory: "counters",
        flags: "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
             -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
             -Cllvm-args=-sanitizer-coverage-pc-table \
             -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions \
             -Coverflow-checks",
        is_optimised: true,
    };

    /// The compiler's own coverage, which knows lines.
    pub(crate) const LINES: Self = Self {
        directory: "lines",
        flags: "--cfg fuzzing -Cinstrument-coverage -Cdebug-assertions -Coverflow-checks",
        is_optimised: true,
    };

    /// Nothing but the targets.
    pub(crate) const PLAIN: Self = Self {
        directory: "plain",
        flags: "--cfg fuzzing",
        is_optimised: false,
    };

    /// Compiles the targets; the folder with the programs.
    pub(crate) fn programs(&self) -> Result<PathBuf, Failure> {
        let directory = root().join("fuzz");
        let target = directory.join("target").join(self.directory);
        // With a target named, the flags are not applied to build scripts and macros.
        let host = host()?;
        let profile = if self.is_optimised { "release" } else { "dev" };
        let build = ["build", "--bins", "--profile", profile, "--target", &host];
        cargo(&build)
        .current_dir(&directory)
        .env("RUSTFLAGS", self.flags)
        .env("CARGO_TARGET_DIR", &target)
        .run()
        .map_err(|failure| {
            Failure::new(format!(
                "{failure} (libFuzzer, a part of it, is compiled with a C++ compiler: on Debian \
                     and Ubuntu, `apt install g++`)"
            ))
        })?;
        let folder = if self.is_optimised {
            "release"
        } else {
            "debug"
        };
        Ok(target.join(host).join(folder))
    }
}

/// The platform that is compiled on.
fn host() -> Result<String, Failure> {
    let version = Program::new("rustc", &["-vV"]).output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc does not tell its host"))
}
