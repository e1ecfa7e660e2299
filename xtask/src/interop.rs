//! The tests against the real pymasep, and the Python environment that they need.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::{Program, built, cargo, root};
use crate::step::Failure;
use crate::tally::Tally;

/// The virtual environment, in the root of the repository.
const ENVIRONMENT: &str = ".venv-interop";
/// The packages that are installed in it.
const REQUIREMENTS: &str = "interop/requirements.txt";
/// A copy of the requirements within the environment, written when they are all installed.
const STAMP: &str = "installed-requirements.txt";

/// The tests that need hosts of their own, which are a task of their own.
pub(crate) const FAULTS: &str = "interop/faults";

/// Runs pytest on `interop/`, but for [`FAULTS`].
pub(crate) fn test(pytest: &[String]) -> Result<Tally, Failure> {
    let ignore = format!("--ignore={FAULTS}");
    let mut args = vec!["interop", &ignore];
    args.extend(pytest.iter().map(String::as_str));
    run(&args)
}

/// Has Python print tracebacks without marks under the lines, which it parses for them. In CPython 3.11 that fails
/// ("AST constructor recursion depth mismatch") when it gets into another parse, such as pytest's, by way of the
/// garbage collector or of pymasep's threads, which end with tracebacks.
pub(crate) const PLAIN_TRACEBACKS: (&str, &str) = ("PYTHONNODEBUGRANGES", "1");

/// Builds the program `masep` of this tree, and gives its path for the tests.
pub(crate) fn program() -> Result<(&'static str, PathBuf), Failure> {
    // The same build as that of the step `rust`, features included: an optimised one would take minutes more and
    // what is measured in these tests is waits of the network, not computing.
    cargo(&[
        "build",
        "--workspace",
        "--all-features",
        "--bin",
        "masep",
        "--example",
        "engine",
    ])
    .run()?;
    Ok(("MASEP_BIN", built("debug", "masep")))
}

/// Runs pytest with the program `masep` of this tree.
pub(crate) fn run(pytest: &[&str]) -> Result<Tally, Failure> {
    let (name, path) = program()?;
    let python = environment()?;
    let mut args = vec!["-m", "pytest", "--color=no", "-r", "fEsx"];
    args.extend(pytest);
    Program::new(python, &args)
        .env(name, path)
        .env(PLAIN_TRACEBACKS.0, PLAIN_TRACEBACKS.1)
        .run_counting(Tally::of_pytest)
}

/// Writes the vector files, or checks that they are what would be written.
pub(crate) fn vectors(check: bool) -> Result<(), Failure> {
    let mut args = vec!["-m", "vectors.generate"];
    if check {
        args.push("--check");
    }
    Program::new(environment()?, &args)
        .current_dir(&root().join("interop"))
        .run()
}

/// The Python of the virtual environment, which is made or brought up to date if need be.
pub(crate) fn environment() -> Result<PathBuf, Failure> {
    prepare(ENVIRONMENT, REQUIREMENTS, None)
}

/// The Python of a virtual environment in the root of the repository, with these requirements. Those that are
/// installed in the environment of the Python `base` are used from there: pymasep brings half a gigabyte along.
pub(crate) fn prepare(
    environment: &str,
    requirements: &str,
    base: Option<&Path>,
) -> Result<PathBuf, Failure> {
    // Steps that run beside each other may need the same one. The folder is not there where cargo builds elsewhere.
    let folder = root().join("target");
    let lock = folder.join("environments.lock");
    let unlockable = |error| Failure::new(format!("cannot lock {}: {error}", lock.display()));
    fs::create_dir_all(&folder).map_err(unlockable)?;
    let guard = fs::File::create(&lock).map_err(unlockable)?;
    guard.lock().map_err(unlockable)?;
    let wanted = fs::read_to_string(root().join(requirements))
        .map_err(|error| Failure::new(format!("cannot read {requirements}: {error}")))?;
    let directory = root().join(environment);
    let python = directory.join("bin/python");
    let stamp = directory.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && works(&python) {
        return Ok(python);
    }
    remove(&stamp)?;
    create(environment)?;
    if let Some(base) = base {
        let link = packages(&python)?.join("base.pth");
        let line = format!("{}\n", packages(base)?.display());
        fs::write(&link, line)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", link.display())))?;
    }
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    Program::new(
        &python,
        &[&install[..], &["--requirement", requirements]].concat(),
    )
    .run()?;
    fs::write(&stamp, wanted)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", stamp.display())))?;
    Ok(python)
}

/// The folder of an environment's packages.
fn packages(python: &Path) -> Result<PathBuf, Failure> {
    let path = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let path = Program::new(python, &["-c", path]).output()?;
    Ok(PathBuf::from(path.trim()))
}

/// Makes the environment anew: what an older list of requirements installed is not kept.
pub(crate) fn create(environment: &str) -> Result<(), Failure> {
    let python3 = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    Program::new(
        &python3,
        &[
            "-c",
            "import ensurepip, sys, venv; assert sys.version_info >= (3, 11)",
        ],
    )
    .output()
    .map_err(|failure| {
        Failure::new(format!(
            "the tests with Python need Python 3.11 or later with venv and pip: on Debian and Ubuntu, \
                 `apt install python3 python3-venv`; set PYTHON if it has another name ({failure})"
        ))
    })?;
    Program::new(&python3, &["-m", "venv", "--clear", environment]).run()
}

/// True if the environment's Python still runs: it does not when the one it was made with is gone.
fn works(python: &Path) -> bool {
    Program::new(python, &["-c", "import pymasep"])
        .output()
        .is_ok()
}

fn remove(file: &Path) -> Result<(), Failure> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::new(format!(
            "cannot remove {}: {error}",
            file.display()
        ))),
        _ => Ok(()),
    }
}
