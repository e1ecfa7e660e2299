//! `masep join`, with a bare socket as its server.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::run::{picked, run};
use crate::session::Session;
use crate::socket::{Heard, Socket, join, listen, nobody, start_join};

fn observation(step: usize, padding: usize) -> String {
    format!(
        "<Message msg_type=\"observation\" src_sub_app=\"engine\"><dict><item key=\"observation\">\
         <State step=\"{step}\" padding=\"{}\" /></item></dict></Message>",
        "x".repeat(padding)
    )
}

const END: &str = r#"<Message msg_type="end" src_sub_app="engine" />"#;
const QUIT: &str = r#"<Message msg_type="quit" src_sub_app="agent" />"#;

#[test]
fn with_a_role_it_says_what_pymaseps_interface_says() {
    let (mut interface, mut server) = join(&["--role", "observer", "--game", "a.b.Game"]);
    server.expect(
        "<Message msg_type=\"define\" src_sub_app=\"agent\"><dict><item key=\"game\">\
         <type>&lt;class 'a.b.Game'&gt;</type></item></dict></Message>",
    );
    server.expect(
        "<Message msg_type=\"register\" src_sub_app=\"agent\"><dict><item key=\"id\">\
         <str>agent</str></item><item key=\"queue_id\"><int>0</int></item><item key=\"role\">\
         <str>Observer</str></item></dict></Message>",
    );
    server.send(observation(1, 0));
    let event = interface.event("message");
    assert_eq!(
        event["message"]["params"],
        json!({"observation": {"$xml": "<State step=\"1\" padding=\"\" />"}})
    );
    server.send(END);
    server.expect(QUIT);
    server.expect_bye();
    assert_eq!(interface.event("message")["message"]["msg_type"], "end");
    assert_eq!(interface.event("closed")["reason"], "local_bye");
    interface.end_in_peace();
}

#[test]
fn without_a_role_it_says_only_what_it_is_told_to() {
    let (mut interface, mut server) = join(&[]);
    server.send(END);
    assert_eq!(interface.event("message")["message"]["msg_type"], "end");
    for (number, (line, kind)) in (1..).zip([
        ("?", "json"),
        (r#"{"to":"somebody","bye":true}"#, "unknown_peer"),
        (r#"{"to":"engine"}"#, "missing_key"),
    ]) {
        interface.send(line);
        let error = interface.event("error");
        assert_eq!(picked(&error, ["line", "kind"]), json!([number, kind]));
    }
    interface.send(r#"{"to":"engine","bytes_hex":"00"}"#);
    server.expect([0]);
    interface.send(r#"{"to":"*","message":{"msg_type":"quit"}}"#);
    server.expect(QUIT);
    interface.send(r#"{"message":{"msg_type":"quit","src_sub_app":"other"}}"#);
    server.expect(QUIT.replace("agent", "other"));
    interface.send(r#"{"bye":true}"#);
    server.expect_bye();
    assert_eq!(interface.event("closed")["detail"], "this side said BYE");
    interface.end_in_peace();
}

#[test]
fn the_end_of_standard_input_changes_nothing_but_signals_and_shutdown_say_bye() {
    let (mut interface, mut server) = join(&[]);
    interface.close_stdin();
    server.send(observation(1, 0));
    interface.event("message");
    interface.signal(Signal::SIGTERM);
    server.expect_bye();
    interface.event("closed");
    interface.end_in_peace();

    let (mut interface, mut server) = join(&[]);
    interface.send(r#"{"shutdown":true}"#);
    server.expect_bye();
    interface.event("closed");
    interface.end_in_peace();
}

#[test]
fn the_exit_code_says_how_the_connection_ended() {
    let (mut interface, mut server) = join(&[]);
    server.send(observation(1, 0));
    interface.event("message");
    server.send("BYE");
    assert_eq!(interface.event("closed")["detail"], "the peer said BYE");
    interface.end_in_peace();

    let (mut interface, server) = join(&[]);
    drop(server);
    assert_eq!(interface.event("closed")["reason"], "end_of_stream");
    let (code, stderr) = interface.end();
    assert_eq!(code, Some(4));
    assert!(
        stderr.starts_with("masep: lost the connection to \"engine\" at 127.0.0.1:"),
        "{stderr}"
    );
    assert!(
        stderr.ends_with(": the peer closed without BYE\n"),
        "{stderr}"
    );

    let (mut interface, server) = join(&[]);
    server.reset();
    assert_eq!(interface.event("closed")["reason"], "reset");
    assert_eq!(interface.end().0, Some(4));

    let (mut interface, mut server) = join(&["--idle-time", "50ms"]);
    assert_eq!(interface.event("closed")["reason"], "idle_timeout");
    server.expect_bye();
    assert_eq!(interface.end().0, Some(4));
}

#[test]
fn no_connection_is_told_in_one_sentence() {
    let fails = |address: &str, options: &[&str], expected: &str| {
        let run = run(&[&["join", address], options].concat(), "");
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(3), ""),
            "{}",
            run.stderr
        );
        let sentence = format!("masep: {}", expected.replace("ADDRESS", address));
        assert!(run.stderr.starts_with(&sentence), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    };
    let (_nobody, address) = nobody();
    fails(
        &address.to_string(),
        &[],
        "cannot connect to ADDRESS: Connection refused",
    );

    let (_silent, address) = listen();
    let hello_time = ["--hello-time", "50ms"];
    fails(
        &address.to_string(),
        &hello_time,
        "ADDRESS took the connection, but said no hello within 50ms",
    );

    let (listener, address) = listen();
    let closing = std::thread::spawn(move || {
        let mut socket = Socket::accept(&listener);
        socket.hear();
    });
    fails(
        &address.to_string(),
        &[],
        "ADDRESS took the connection, but closed it without a hello",
    );
    closing.join().unwrap();

    let (listener, address) = listen();
    let garbage = std::thread::spawn(move || Socket::accept(&listener).send(b"\xff"));
    fails(
        &address.to_string(),
        &[],
        "cannot shake hands with ADDRESS: the id in the hello is not UTF-8",
    );
    garbage.join().unwrap();
}

#[test]
fn a_signal_ends_the_attempt_to_connect() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (listener, address) = listen();
        let interface = start_join(address, &["--hello-time", "1h"]);
        let mut socket = Socket::accept(&listener);
        assert!(matches!(socket.hear(), Heard::Frame(_)));
        interface.signal(signal);
        assert_eq!(interface.end(), (Some(code), String::new()));
        // The server is told too, and so does not wait for ever.
        socket.send("engine");
        socket.expect_bye();
    }
}

#[test]
fn a_slow_reader_can_have_the_newest_observation_and_never_misses_the_rest() {
    let (listener, address) = listen();
    let address = address.to_string();
    let role = ["--newest", "--role", "actor", "--game", "a.Game"];
    let mut interface =
        Session::start_unread(&[&["join", "--protocols", "pymasep", &address], &role[..]].concat());
    let (mut server, _) = Socket::welcome(&listener);
    for _ in 0..2 {
        assert!(matches!(server.hear(), Heard::Frame(_)));
    }
    for step in 1..=200 {
        server.send(observation(step, 1_000));
        if step == 100 {
            server.send("no message");
        }
    }
    server.send(END);
    // When this comes, all before it has arrived, and nothing was read.
    while server.hear() != Heard::Frame(b"BYE".to_vec()) {}

    interface.read();
    interface.event("connected");
    let mut steps = Vec::new();
    let mut others = Vec::new();
    while let Some(line) = interface.line() {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let xml = &event["message"]["params"]["observation"]["$xml"];
        match xml.as_str().map(|xml| xml.split('"').nth(1).unwrap()) {
            Some(step) => steps.push(step.parse::<usize>().unwrap()),
            None => others.push((steps.last().copied().unwrap_or(0), event)),
        }
    }
    assert!(steps.is_sorted() && steps.len() <= 6, "{steps:?}");
    let [(before_frame, frame), (before_end, end), (_, closed)] = &others[..] else {
        panic!("{others:?}");
    };
    assert_eq!((*before_frame, &frame["event"]), (100, &json!("frame")));
    assert_eq!(
        (*before_end, &end["message"]["msg_type"]),
        (200, &json!("end"))
    );
    assert_eq!(closed["event"], "closed");
    interface.end_in_peace();
}

#[test]
fn who_reads_fast_enough_misses_no_observation() {
    let (mut interface, mut server) = join(&["--newest"]);
    for step in 1..=50 {
        server.send(observation(step, 10));
        let event = interface.event("message");
        let xml = event["message"]["params"]["observation"]["$xml"]
            .as_str()
            .unwrap();
        assert!(xml.contains(&format!("step=\"{step}\"")), "{xml}");
    }
}

#[test]
fn closing_standard_output_says_bye() {
    for options in [&[][..], &["--newest"]] {
        let (listener, address) = listen();
        let address = address.to_string();
        let mut interface = Session::start_unread(
            &[&["join", "--protocols", "pymasep", &address], options].concat(),
        );
        let (mut server, id) = Socket::welcome(&listener);
        assert!(id.starts_with("interface-"), "{id}");
        assert!(interface.read_one_line().contains("connected"));
        interface.close_stdout();
        server.expect_bye();
        interface.end_in_peace();
    }
}

#[test]
fn wrong_arguments_are_told() {
    for args in [
        &["join", "--role", "actor"][..],
        &["join", "--game", "a.B"],
        &["join", "--role", "actor", "--game", "B"],
        &["join", "--discover", "127.0.0.1:1"],
        &["join", "--search-time", "1s"],
        &["join", "--hello-time", "5"],
    ] {
        assert_eq!(run(args, "").code, Some(2), "{args:?}");
    }
}
