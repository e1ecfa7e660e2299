//! `cargo xtask python`: the Python package, built, installed beside pymasep, and tested.

use crate::interop;
use crate::process::{Program, cargo, root};
use crate::step::Failure;
use crate::tally::Tally;

const DIRECTORY: &str = "bindings/python";
const ENVIRONMENT: &str = ".venv-python";
const REQUIREMENTS: &str = "bindings/python/tests/requirements.txt";
const WHEELS: &str = "target/wheels";

/// Format and clippy of the extension module, its wheel in an environment of its own, pytest, and
/// whether the stubs are true and the package is typed.
pub(crate) fn test(pytest: &[String]) -> Result<Tally, Failure> {
    let manifest = format!("{DIRECTORY}/Cargo.toml");
    cargo(&["fmt", "--manifest-path", &manifest, "--check"]).run()?;
    cargo(&[
        "clippy",
        "--manifest-path",
        &manifest,
        "--",
        "-D",
        "warnings",
    ])
    .run()?;
    let python = interop::prepare(ENVIRONMENT, REQUIREMENTS)?;
    let run = |args: &[&str]| Program::new(&python, args);
    let build = [
        "-m",
        "maturin",
        "build",
        "--quiet",
        "--manifest-path",
        &manifest,
    ];
    run(&[&build[..], &["--out", WHEELS]].concat()).run()?;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let wheel = [
        "--force-reinstall",
        "--no-deps",
        "--no-index",
        "--find-links",
        WHEELS,
        "masep",
    ];
    run(&[&install[..], &wheel].concat()).run()?;
    let tests = root().join(DIRECTORY).join("tests");
    let mut args = vec!["-m", "pytest", "--color=no", "-r", "fEsx", "."];
    args.extend(pytest.iter().map(String::as_str));
    let tally = run(&args)
        .current_dir(&tests)
        .run_counting(Tally::of_pytest)?;
    run(&["-m", "mypy.stubtest", "masep"]).run()?;
    run(&[
        "-m",
        "mypy",
        "--strict",
        &format!("{DIRECTORY}/python/masep"),
    ])
    .run()?;
    Ok(tally)
}
