//! Help, versions and wrong arguments.

use crate::directory::Directory;
use crate::run::{command, run, run_command, shell};

/// The verbs whose examples are whole: they end by themselves.
const VERBS: [&str; 2] = ["encode", "decode"];
/// The verbs that talk to others.
const NETWORK_VERBS: [&str; 5] = ["serve", "join", "discover", "tap", "proxy"];

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
    for verb in VERBS {
        let help = run(&[verb, "--help"], "").stdout;
        let (_, examples) = help.split_once("Example").expect("an example");
        let (_, examples) = examples.split_once("\n  $ ").expect("a command");
        for example in examples.split("\n  $ ") {
            let (command, expected) = example.split_once('\n').expect("output");
            let expected: String = expected.lines().map(str::trim).collect();
            let ran = run_command(&mut shell(command), "");
            assert_eq!(ran.lines().concat(), expected, "{command}");
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
        run.fails(2, part);
        assert_eq!(run.stdout, "");
    }
    let nothing = run(&[], "");
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("encode"), "help instead of nothing");
}

#[test]
fn a_log_filter_that_is_not_understood_is_a_warning() {
    let mut command = command(&["encode"]);
    let ran = run_command(command.env("MASEP_LOG", "masep=nonsense=x"), "");
    ran.fails(0, "WARN");
    let log = ran.stderr;
    assert!(
        !log.contains('\u{1b}'),
        "no colors where nobody sees them: {log}"
    );
}

#[test]
fn a_log_filter_that_would_silence_everything_is_a_warning() {
    for (value, is_wrong) in [
        ("wran", true),
        ("rustls=debug", true),
        ("INFO", false),
        ("3", false),
        ("rustls=debug,error", false),
        ("masep=debug,masep_proto=info", false),
        ("off", false),
    ] {
        let (code, _, log) = encode(&[("MASEP_LOG", value)], &["--id", "a"]);
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(
            log.contains("there is no level in it"),
            is_wrong,
            "{value}: {log}"
        );
    }
    let (_, _, log) = encode(&[("RUST_LOG", "tower=debug")], &["--id", "a"]);
    assert_eq!(log, "", "that variable is for other programs too");
}

#[test]
fn a_variable_with_a_slip_in_its_name_is_a_warning() {
    let (code, _, log) = encode(&[("MASEP_TOKNES", "tokens.toml")], &["--id", "a"]);
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("MASEP_TOKNES means nothing: is it MASEP_TOKENS?"),
        "{log}"
    );
    let (_, _, log) = encode(&[("MASEP_SERVICE_HOST", "10.0.0.1")], &["--id", "a"]);
    assert_eq!(log, "", "an orchestrator has such names for a service");
}

#[test]
fn a_number_that_is_none_is_told_with_the_form_of_one() {
    for (args, form) in [
        (
            ["serve", "--max-connections", "-1"],
            "the value is a whole number: 10",
        ),
        (
            ["serve", "--payload-bytes", "1M"],
            "the value is a number of bytes: 1048576",
        ),
        (
            ["cert", "--days", "month"],
            "the value is a whole number: 10",
        ),
    ] {
        run(&args, "").fails(2, form);
    }
    let (_, _, error) = encode(&[("MASEP_PROTOCOL", "7")], &[]);
    assert!(!error.contains("the value is a"), "{error}");
}

/// An encoder with these variables in its environment: exit code, standard output and error.
fn encode(variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(&[&["encode"], args].concat());
    let message = r#"{"msg_type": "end", "params": null}"#;
    let ran = run_command(command.envs(variables.iter().copied()), message);
    (ran.code, ran.stdout, ran.stderr)
}

#[test]
fn options_are_variables_too_and_the_command_line_counts_more() {
    let (plain, framed) = (
        encode(&[], &["--id", "a"]),
        encode(&[], &["--id", "a", "--frame"]),
    );
    assert_ne!(plain.1, framed.1);
    assert_eq!(encode(&[("MASEP_ID", "a")], &[]), plain);
    assert_eq!(encode(&[("MASEP_ID", "b")], &["--id", "a"]), plain);
    for on in ["true", "1", "yes"] {
        assert_eq!(
            encode(&[("MASEP_FRAME", on), ("MASEP_ID", "a")], &[]),
            framed
        );
    }
    for off in ["false", "0", ""] {
        assert_eq!(
            encode(&[("MASEP_FRAME", off), ("MASEP_ID", "a")], &[]),
            plain
        );
    }
    // Those who see the error look at a command line that has nothing wrong in it.
    for (name, value) in [
        ("MASEP_PROTOCOL", "7"),
        ("MASEP_FRAME", "perhaps"),
        ("MASEP_ELEMENTS", "json"),
    ] {
        let (code, _, error) = encode(&[(name, value)], &[]);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(name), "{error}");
    }
    // An id may be the name of a verb that has no variables.
    let (_, _, error) = encode(&[("MASEP_PROTOCOL", "7")], &["--id", "token"]);
    assert!(error.contains("MASEP_PROTOCOL"), "{error}");
    let (code, _, error) = encode(&[("MASEP_PROTOCOL", "2")], &["--protocol", "7"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(!error.contains("MASEP_PROTOCOL"), "{error}");
    // This one is the address to use where none is given, and no option of that name.
    let args = ["cert", "--name", "a", "--out", "/dev/null/x"];
    let mut command = command(&args);
    let ran = run_command(command.env("MASEP_ADDRESS", "127.0.0.1:60000"), "");
    ran.fails(1, "/dev/null/x");
}

#[test]
fn the_log_is_json_where_it_is_asked_for() {
    let wrong = ("MASEP_LOG", "masep=nonsense=x");
    for (variables, args) in [
        (vec![wrong], vec!["--id", "a", "--log-format", "json"]),
        (vec![wrong, ("MASEP_LOG_FORMAT", "json")], vec!["--id", "a"]),
    ] {
        let (code, _, log) = encode(&variables, &args);
        assert_eq!(code, Some(0));
        let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
        assert_eq!(line["level"], "WARN", "{log}");
        assert!(
            line["fields"]["message"].is_string() && line["timestamp"].is_string(),
            "{log}"
        );
    }
}

#[test]
fn options_that_do_not_go_together_are_told_with_the_variables_among_them() {
    let cases = [
        (&["decode", "--stream"][..], "MASEP_FRAME", "true"),
        (
            &["serve", "127.0.0.1:0", "--end-with-stdin"],
            "MASEP_GAME",
            "pkg.Game",
        ),
    ];
    for (args, name, value) in cases {
        run_command(command(args).env(name, value), "").fails(2, name);
    }
}

/// A value that is no text is an error of its variable, and not as if there were none.
#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_told_by_its_name() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for (name, args) in [
        ("MASEP_TOKEN", &["check", "127.0.0.1:1"][..]),
        ("MASEP_ADDRESS", &["check"]),
        ("MASEP_TIMEOUT", &["check", "127.0.0.1:1"]),
        ("MASEP_LOG", &["encode"]),
    ] {
        let code = if name == "MASEP_LOG" { 0 } else { 2 };
        run_command(command(args).env(name, value), "").fails(code, name);
    }
}

/// The option that is wrong is named, and what it takes; not another one, and no option that is not there.
#[test]
fn numbers_and_times_that_make_no_sense_are_told_with_their_option() {
    let serve = ["serve", "127.0.0.1:0", "--end-with-stdin"];
    for (args, part) in [
        (
            &["--seats", "a", "--deadline", "-1s"][..],
            "--deadline <TIME>': expected a number with its unit",
        ),
        (&["--hello-time", "5"], "500ms"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--max-per-address", "-3"], "--max-per-address"),
        (&["--grace", "1s"], "--seats"),
        (&["--misses", "1"], "--seats"),
        (&["--seats", "a", "--when-full", "newest"], "--when-full"),
        (
            &["--seats", "a,a"],
            "--seats: the seat \"a\" is named twice",
        ),
        (&["--seats", "a,,b"], "--seats: \"\" is no name of a seat"),
        (&["--seats", "\u{1b}[2J"], "--seats: \"\\u{1b}[2J\""),
        (
            &["--seats", "a", "--finals-unanswered", "b"],
            "--finals-unanswered: there is no seat \"b\"",
        ),
    ] {
        let run = run(&[&serve, args].concat(), "");
        run.fails(2, part);
        assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
    }
    // A negative action is one.
    let run = run(
        &[
            &serve[..],
            &["--seats", "a", "--late", "-1", "--deadline", "0"],
        ]
        .concat(),
        "",
    );
    run.succeeds();
}

#[test]
fn a_second_address_that_is_taken_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let listen = [
        "serve",
        "127.0.0.1:0",
        "--end-with-stdin",
        "--pymasep-listen",
        &taken,
    ];
    for args in [&listen[..], &[&listen[..], &["--seats", "a"]].concat()] {
        run(args, "").fails(1, &format!("cannot listen on {taken}: "));
    }
}

/// A service manager starts again what failed for a file, and not what has wrong options.
#[test]
fn a_file_that_is_not_there_is_no_wrong_usage() {
    let tls = "masep+tls://127.0.0.1:1";
    for args in [
        &["serve", "127.0.0.1:0", "--tokens", "/dev/null/x"][..],
        &["join", "127.0.0.1:1", "--token-file", "/dev/null/x"],
        &["join", tls, "--tls-ca", "/dev/null/x"],
        &["check", tls, "--tls-ca", "/dev/null/x"],
        &["token", "list", "--file", "/dev/null/x"],
        &[
            "join",
            "127.0.0.1:1",
            "--turns",
            "--game",
            "a.G",
            "--resume-file",
            "/dev/null/x",
        ],
    ] {
        run(args, "").fails(1, "/dev/null/x");
    }
}

/// A variable that is set for one verb does not change what another one makes, and does not keep an option from being told.
#[test]
fn variables_are_not_for_what_stays_and_do_not_hide_options() {
    let directory = Directory::new();
    let file = directory.path("tokens.toml");
    let mut new = command(&["token", "new", "--name", "a", "--file", &file]);
    let ran = run_command(new.env("MASEP_ID", "x").env("MASEP_GAME", "a.B"), "");
    ran.succeeds();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("ids") && !text.contains("games"), "{text}");

    for value in ["", "ca.pem"] {
        let mut join = command(&["join", "127.0.0.1:1", "--tls-name", "a"]);
        let ran = run_command(join.env("MASEP_TLS_CA", value), "");
        ran.fails(2, "--tls-name");
    }
    let mut join = command(&["join", "127.0.0.1:1"]);
    run_command(join.env("MASEP_TLS_CA", "ca.pem"), "").fails(3, "127.0.0.1:1");
    let mut proxy = command(&["proxy", "--listen", "127.0.0.1:0"]);
    let ran = run_command(proxy.env("MASEP_ADDRESS", "127.0.0.1:1"), "");
    ran.fails(2, "--game");
    let mut proxy = command(&["proxy", "--listen", "127.0.0.1:0"]);
    let ran = run_command(proxy.env("MASEP_ADDRESS", "somewhere"), "");
    ran.fails(2, "MASEP_ADDRESS");
}

#[test]
fn help_and_a_verb_is_the_help_of_that_verb() {
    let long = run(&["serve", "--help"], "");
    let asked = run(&["help", "serve"], "");
    asked.succeeds();
    assert_eq!(asked.stdout, long.stdout);
}
