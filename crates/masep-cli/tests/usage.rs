//! Help, versions and wrong arguments.

mod program;
use program::run;

/// The verbs whose examples are whole: they end by themselves.
const VERBS: [&str; 2] = ["encode", "decode"];
/// The verbs that talk to others.
const NETWORK_VERBS: [&str; 4] = ["serve", "join", "discover", "tap"];

#[test]
fn help_shows_the_verbs_the_environment_and_the_exit_codes() {
    let run = run(&["--help"], "");
    assert_eq!(run.code, Some(0));
    for verb in VERBS.iter().chain(&NETWORK_VERBS) {
        assert!(run.stdout.contains(&format!("\n  {verb} ")), "{verb}");
    }
    for part in [
        "Exit codes:\n  0 ",
        "MASEP_ADDRESS",
        "MASEP_LOG",
        "RUST_LOG",
        "NO_COLOR",
    ] {
        assert!(run.stdout.contains(part), "{part}");
    }
}

/// Runs the commands of a help text in a shell; what stands below each is what it has to print.
#[test]
#[cfg(unix)]
fn every_verb_has_examples_and_they_are_true() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_masep"));
    let path = program.parent().unwrap();
    for verb in VERBS {
        let help = run(&[verb, "--help"], "").stdout;
        let (_, examples) = help.split_once("Example").expect("an example");
        let (_, examples) = examples.split_once("\n  $ ").expect("a command");
        for example in examples.split("\n  $ ") {
            let (command, expected) = example.split_once('\n').expect("output");
            let expected: String = expected.lines().map(str::trim).collect();
            let output = std::process::Command::new("sh")
                .args(["-c", command])
                .env(
                    "PATH",
                    format!("{}:{}", path.display(), std::env::var("PATH").unwrap()),
                )
                .output()
                .unwrap();
            let printed: String = String::from_utf8(output.stdout).unwrap().lines().collect();
            assert_eq!(printed, expected, "{command}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    let run = run(&["--version"], "");
    assert_eq!(
        run.stdout,
        concat!("masep ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_wrong() {
    for (args, part) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["encode", "--fram"], "--frame"),
        (&["decode", "--frame", "--stream"], "cannot be used with"),
    ] {
        let run = run(args, "");
        assert_eq!(run.code, Some(2), "{args:?}");
        assert!(run.stderr.contains(part), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    let nothing = run(&[], "");
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("encode"), "help instead of nothing");
}

#[test]
fn a_log_filter_that_is_not_understood_is_a_warning() {
    let mut child = program::command(&["encode"])
        .env("MASEP_LOG", "masep=nonsense=x")
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("WARN"), "{log}");
    assert!(
        !log.contains('\u{1b}'),
        "no colors where nobody sees them: {log}"
    );
}
