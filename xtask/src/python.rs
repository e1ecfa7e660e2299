//! `cargo xtask python`: the Python package, built, installed beside pymasep, and tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::interop;
use crate::process::{Program, cargo, root, target};
use crate::step::Failure;
use crate::tally::Tally;

const DIRECTORY: &str = "bindings/python";
const ENVIRONMENT: &str = ".venv-python";
const REQUIREMENTS: &str = "bindings/python/tests/requirements.txt";
/// pymasep as it was before, in a directory of the environment: only one can be installed.
const OLDER: &str = "pymasep-0.1";
const OLDER_REQUIREMENTS: &str = "bindings/python/tests/requirements-0.1.txt";
/// The environment of other libraries that step environments elsewhere, for the bench.
const PEERS: &str = ".venv-peers";
const PEERS_REQUIREMENTS: &str = "bindings/python/bench/requirements.txt";
const WHEELS: &str = "target/wheels";
const OPTIMISED_WHEELS: &str = "target/wheels-optimised";

const PIP_INSTALL: [&str; 5] = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
];

/// Clippy for the extension module. Dependencies that it has checked for the main workspace are not checked again.
pub(crate) fn clippy() -> Result<(), Failure> {
    let manifest = format!("{DIRECTORY}/Cargo.toml");
    let target = target().display().to_string();
    let clippy = [
        "clippy",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &target,
    ];
    cargo(&[&clippy[..], &["--", "-D", "warnings"]].concat()).run()
}

/// The wheel of the extension module in an environment of its own, pytest, and whether the stubs are true and the
/// package and its examples are typed.
pub(crate) fn test(pytest: &[String]) -> Result<Tally, Failure> {
    let python = environment()?;
    install_older(&python)?;
    install(&python, &["--out", WHEELS], WHEELS)?;
    let (name, path) = interop::program()?;
    let tests = root().join(DIRECTORY).join("tests");
    let mut args = vec!["-m", "pytest", "--color=no", "-r", "fEsx", "."];
    args.extend(pytest.iter().map(String::as_str));
    let tests = Program::new(&python, &args)
        .current_dir(&tests)
        .env(name, path)
        .env(interop::PLAIN_TRACEBACKS.0, interop::PLAIN_TRACEBACKS.1);
    // The tests wait more than they compute.
    let (tally, types) = thread::scope(|scope| {
        let types = scope.spawn(|| check_types(&python));
        let tally = tests.run_counting(Tally::of_pytest);
        (tally, types.join())
    });
    let (tally, types) = (tally?, types.map_err(|_| Failure::new("a check panicked"))?);
    types.map_err(|failure| Failure::counted(failure.to_string(), tally))?;
    Ok(tally)
}

/// Checks that the stubs are true and the package and its examples are typed: the latter against the package that is
/// installed, as users check theirs.
fn check_types(python: &Path) -> Result<(), Failure> {
    let (package, examples) = (
        format!("{DIRECTORY}/python/masep"),
        format!("{DIRECTORY}/examples"),
    );
    Program::new(python, &["-m", "mypy.stubtest", "masep"]).run()?;
    Program::new(python, &["-m", "mypy", "--strict", &package]).run()?;
    Program::new(python, &["-m", "mypy", "--strict", &examples]).run()
}

/// `cargo xtask bench python`: the package, optimised, by one of its programs, beside pymasep and bare sockets.
pub(crate) fn bench(program: &str, args: &[String]) -> Result<(), Failure> {
    let python = environment()?;
    let build = ["--release", "--out", OPTIMISED_WHEELS];
    install(&python, &build, OPTIMISED_WHEELS)?;
    let program = format!("{DIRECTORY}/bench/{program}");
    let args = args.iter().map(String::as_str);
    let args: Vec<_> = [&*program].into_iter().chain(args).collect();
    Program::new(&python, &args).run()
}

/// `cargo xtask bench environments`: the same with the libraries of [`PEERS`] in an environment of their own.
pub(crate) fn bench_environments(args: &[String]) -> Result<(), Failure> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg == "vector") {
        let python = peers()?.display().to_string();
        args.extend(["--peers".to_owned(), python]);
    }
    bench("environments.py", &args)
}

/// The Python that has other libraries, as far as each of them can be installed. The program names those that it misses.
fn peers() -> Result<PathBuf, Failure> {
    let python = root().join(PEERS).join("bin/python");
    let wanted = fs::read_to_string(root().join(PEERS_REQUIREMENTS))
        .map_err(|error| Failure::new(format!("cannot read {PEERS_REQUIREMENTS}: {error}")))?;
    let stamp = root().join(PEERS).join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    interop::create(PEERS)?;
    let mut all = true;
    let packages = wanted.lines().map(str::trim);
    for package in packages.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let install = Program::new(&python, &[&PIP_INSTALL[..], &[package]].concat());
        if let Err(failure) = install.run() {
            println!("{package} is missing: {failure}");
            all = false;
        }
    }
    if all {
        fs::write(&stamp, wanted)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))?;
    }
    Ok(python)
}

fn environment() -> Result<PathBuf, Failure> {
    let base = interop::environment()?;
    interop::prepare(ENVIRONMENT, REQUIREMENTS, Some(&base))
}

/// Builds the wheel as `build` says, into the directory `wheels`, and installs it.
fn install(python: &Path, build: &[&str], wheels: &str) -> Result<(), Failure> {
    let manifest = format!("{DIRECTORY}/Cargo.toml");
    let maturin = ["-m", "maturin", "build", "--quiet", "--manifest-path"];
    Program::new(python, &[&maturin[..], &[&manifest], build].concat()).run()?;
    let wheel = [
        "--force-reinstall",
        "--no-deps",
        "--no-index",
        "--find-links",
        wheels,
        "masep",
    ];
    Program::new(python, &[&PIP_INSTALL[..], &wheel].concat()).run()
}

/// Installs [`OLDER`], unless it is there. The packages that it needs are those of the environment.
fn install_older(python: &Path) -> Result<(), Failure> {
    let target = root().join(ENVIRONMENT).join(OLDER);
    if target.join(format!("{OLDER}.dist-info")).exists() {
        return Ok(());
    }
    let target = target.display().to_string();
    let older = [
        "--no-deps",
        "--target",
        &target,
        "--requirement",
        OLDER_REQUIREMENTS,
    ];
    Program::new(python, &[&PIP_INSTALL[..], &older].concat()).run()
}
