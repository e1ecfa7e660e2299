//! The ends of `masep serve` and `masep join`, and their reports of work that was left undone.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::directory::Directory;
use crate::run::{MASEP, Run, command_behind, join_with_file, picked, run, run_command, skipped};
use crate::session::{Session, serve};
use crate::socket::{
    Heard, Socket, join, join_at, listen, listen_narrow, nobody, serve_peer, start_join,
};

#[test]
fn every_signal_that_asks_for_the_end_says_bye_first() {
    for signal in [
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGINT,
        Signal::SIGTERM,
    ] {
        let (mut server, address) = serve(&[]);
        let mut peer = Socket::join(&address, "peer");
        server.event("connected");
        server.signal(signal);
        peer.expect_bye();
        assert_eq!(server.event("closed")["reason"], "shutdown", "{signal}");
        server.end_in_peace();

        let (mut interface, mut peer) = join(&[]);
        interface.signal(signal);
        peer.expect_bye();
        assert_eq!(interface.event("closed")["reason"], "local_bye", "{signal}");
        interface.end_in_peace();

        let mut proxy = Session::start(&["tap", "--json", "--to", &address]);
        proxy.event("listening");
        proxy.signal(signal);
        proxy.end_in_peace();
    }
}

#[test]
fn a_signal_before_there_is_a_connection_has_its_exit_code() {
    for (signal, code) in [(Signal::SIGHUP, 129), (Signal::SIGQUIT, 131)] {
        let (listener, address) = listen();
        let interface = start_join(address, &[]);
        let mut socket = Socket::accept(&listener);
        assert!(matches!(socket.hear(), Heard::Frame(_)));
        interface.signal(signal);
        assert_eq!(interface.end(), (Some(code), String::new()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    let mut command = command_behind("trap '' HUP", &["serve", "127.0.0.1:0"]);
    let mut server = Session::spawn_read(&mut command);
    server.event("listening");
    server.signal(Signal::SIGHUP);
    server.send("?");
    server.event("error");
    server.send(r#"{"shutdown":true}"#);
    server.end_in_peace();
}

#[test]
fn lines_that_were_read_before_a_signal_are_done() {
    let (mut server, mut peer) = serve_peer("peer", &["--queue-messages", "1"]);
    for number in 0..40 {
        server.send(json!({"to": "peer", "bytes_hex": format!("{number:02x}")}));
    }
    server.send("?");
    server.event("error");
    server.signal(Signal::SIGTERM);
    for number in 0..40 {
        peer.expect([number]);
    }
    peer.expect_bye();
}

/// Frames that arrive until the stream ends, however it does.
fn count_frames(socket: &mut Socket) -> u64 {
    let mut count = 0;
    while socket.try_hear().is_some_and(|body| body != b"BYE") {
        count += 1;
    }
    count
}

/// A pipe without a writer is opened for ever.
#[test]
fn a_verb_that_is_stuck_in_a_file_ends_at_a_signal() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let cases = [
        vec!["check", "127.0.0.1:1", "--token-file", &pipe],
        vec!["check", "masep+tls://127.0.0.1:1", "--tls-ca", &pipe],
        vec!["serve", "127.0.0.1:0", "--tokens", &pipe],
        vec![
            "serve",
            "127.0.0.1:0",
            "--tls-cert",
            &pipe,
            "--tls-key",
            &pipe,
        ],
        join_with_file("127.0.0.1:1", &pipe).to_vec(),
    ];
    let stuck: Vec<_> = cases.iter().map(|args| Session::start(args)).collect();
    for session in &stuck {
        session.wait_for_signals();
        session.signal(Signal::SIGTERM);
    }
    for (session, args) in stuck.into_iter().zip(&cases) {
        assert_eq!(session.end().0, Some(143), "{args:?}");
    }
}

#[test]
fn a_player_that_never_had_a_connection_is_interrupted() {
    let (nobody, address) = nobody();
    let args = ["join", &address.to_string(), "--turns", "--game", "a.G"];
    let mut player = Session::start(&args);
    player.event("lost");
    player.signal(Signal::SIGTERM);
    while player.line().is_some() {}
    assert_eq!(player.end().0, Some(143));
    drop(nobody);
}

#[test]
fn what_was_accepted_and_not_sent_is_counted() {
    let times = ["--drain-time", "200ms", "--write-time", "1h"];
    let (listener, address) = listen_narrow();
    let (mut interface, mut server) = join_at(&listener, address, &times);
    for _ in 0..1_000 {
        interface.send(json!({"bytes_hex": "00".repeat(4_000)}));
    }
    interface.send(r#"{"bye":true}"#);
    let error = interface.event("error");
    assert_eq!(
        picked(&error, ["kind", "peer"]),
        json!(["cut_off", "engine"])
    );
    let unsent = error["frames"].as_u64().unwrap();
    let closed = interface.event("closed");
    assert_eq!(closed["unsent"], unsent);
    assert_eq!(interface.end().0, Some(6));
    let arrived = count_frames(&mut server);
    assert!(
        unsent > 0 && arrived + unsent <= 1_000,
        "{arrived} and {unsent}"
    );
}

#[test]
fn frames_that_wait_when_the_peer_says_bye_are_counted() {
    // More than the system holds for somebody who reads nothing, however long it takes to write it.
    let (listener, address) = listen_narrow();
    let (mut interface, mut server) = join_at(
        &listener,
        address,
        &["--queue-bytes", "100000000", "--write-time", "1h"],
    );
    for _ in 0..120 {
        interface.send(json!({"bytes_hex": "00".repeat(50_000)}));
    }
    interface.send("?");
    assert_eq!(interface.event("error")["line"], 121);
    server.send("BYE");
    let closed = interface.event("closed");
    assert!(closed["unsent"].as_u64().unwrap() > 0, "{closed}");
    let (code, stderr) = interface.end();
    assert_eq!(code, Some(6));
    assert!(stderr.contains("not all was sent"), "{stderr}");
}

#[test]
fn lines_that_could_not_be_done_in_time_are_counted() {
    let (listener, address) = listen_narrow();
    let times = ["--drain-time", "200ms", "--write-time", "1h"];
    let options = [&times[..], &["--queue-messages", "1"]].concat();
    let (mut interface, _server) = join_at(&listener, address, &options);
    // More than the system holds for somebody who reads nothing, less than is read ahead. All but the last are
    // read when that is written: a pipe does not hold one.
    let lines = 40;
    for _ in 0..lines {
        interface.send(json!({"bytes_hex": "00".repeat(60_000)}));
    }
    interface.signal(Signal::SIGTERM);
    let error = interface.event("error");
    assert_eq!(error["kind"], "cut_off");
    assert!(
        (1..lines).contains(&error["lines"].as_u64().unwrap()),
        "{error}"
    );
    assert!(interface.event("error")["frames"].as_u64().unwrap() > 0);
    interface.event("closed");
    assert_eq!(interface.end().0, Some(6));
}

#[test]
fn the_end_of_standard_input_is_the_end_if_it_is_to_be() {
    let (mut server, mut peer) = serve_peer("peer", &["--end-with-stdin"]);
    server.send(r#"{"to":"peer","bytes_hex":"01"}"#);
    server.close_stdin();
    peer.expect([1]);
    peer.expect_bye();
    server.event("closed");
    server.end_in_peace();

    let (mut interface, mut peer) = join(&["--end-with-stdin"]);
    interface.send(r#"{"bytes_hex":"01"}"#);
    interface.close_stdin();
    peer.expect([1]);
    peer.expect_bye();
    assert_eq!(interface.event("closed")["reason"], "local_bye");
    interface.end_in_peace();
}

#[test]
fn a_time_may_be_longer_than_a_clock_can_be_asked_for() {
    const LONG: &str = "18446744073709551615s";
    let times = [
        ["--drain-time", LONG],
        ["--hello-time", LONG],
        ["--idle-time", LONG],
        ["--write-time", LONG],
        ["--keepalive-time", LONG],
    ]
    .concat();
    let (mut server, address) = serve(&times);
    let client = ["--connect-time", LONG, "--wait", LONG];
    let mut interface = Session::start(
        &[
            &["join", "--protocols", "pymasep", &address, "--id", "agent"],
            &times[..],
            &client,
        ]
        .concat(),
    );
    interface.event("connected");
    server.event("connected");
    server.send(r#"{"to":"*","bytes_hex":"00"}"#);
    interface.event("frame");
    interface.send(r#"{"bye":true}"#);
    assert_eq!(interface.event("closed")["reason"], "local_bye");
    interface.end_in_peace();
    server.event("closed");
    server.send(r#"{"shutdown":true}"#);
    server.end_in_peace();
}

#[test]
fn numbers_may_be_the_least_and_the_most() {
    const MOST: &str = "18446744073709551615";
    for (messages, bytes, bad) in [("0", "0", "0"), (MOST, MOST, "4294967295")] {
        let args = [
            ["--queue-messages", messages],
            ["--queue-bytes", bytes],
            ["--bad-frames", bad],
            ["--max-connections", MOST],
            ["--max-per-address", MOST],
        ]
        .concat();
        let (mut server, mut peer) = serve_peer("peer", &args);
        for number in 0..10 {
            server.send(json!({"to": "peer", "bytes_hex": format!("{number:02x}")}));
            peer.expect([number]);
            peer.send([0xff]);
            server.event("frame");
        }
        server.send(r#"{"shutdown":true}"#);
        peer.expect_bye();
        server.event("closed");
        server.end_in_peace();
    }
}

#[test]
fn a_start_without_threads_or_descriptors_says_so() {
    for verb in [
        &["serve", "127.0.0.1:0"][..],
        &["join", "127.0.0.1:1"],
        &["tap"],
    ] {
        for descriptors in 4..=9 {
            let limit = format!("ulimit -n {descriptors}");
            let mut command = command_behind(&limit, &[verb, &["--time"]].concat());
            let ran = run_command(&mut command, "");
            ran.fails(1, "masep: cannot start: too few file descriptors");
        }
    }
}

/// A user of whom no other process is running, so that a limit on its threads means this one's alone.
#[cfg(target_os = "linux")]
const NOBODY_ELSE: &str = "64731";

#[cfg(target_os = "linux")]
#[test]
fn a_start_with_few_threads_works_or_says_that_they_are_too_few() {
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if uid != 0 || !has_setpriv {
        let why = "a limit on threads means all of a user, and another user takes root and setpriv";
        return skipped("threads", why);
    }
    let mut worked = 0;
    for threads in 1..=12 {
        let limit = format!("--nproc={threads}");
        let output = Command::new("setpriv")
            .args([
                "--reuid",
                NOBODY_ELSE,
                "--clear-groups",
                "prlimit",
                &limit,
                MASEP,
            ])
            .args(["join", "localhost:1", "--id", "agent"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // The first got as far as to connect, which nobody answers.
        match output.status.code() {
            Some(3) => worked += 1,
            _ => Run::from(output).fails(1, "masep: cannot start: the process may have"),
        }
    }
    assert!((1..12).contains(&worked), "{worked}");
}

#[test]
fn a_rejected_interface_says_so_and_has_an_exit_code_of_its_own() {
    let (mut server, address) = serve(&["--max-connections", "2"]);
    let _first = Socket::join(&address, "first");
    server.event("connected");
    let rejected = |id: &str, input: &str| {
        let join = ["join", "--protocols", "pymasep", &address, "--id", id];
        let run = run(&join, input);
        let events = run.json();
        let closed = events.last().unwrap();
        assert_eq!(closed["event"], "closed");
        assert_eq!(closed["reason"], "rejected", "{}", run.stdout);
        let detail = closed["detail"].as_str().unwrap();
        assert!(
            detail.contains("id is in use") && detail.contains("full"),
            "{detail}"
        );
        run.fails(5, "masep: rejected by \"engine\" at 127.0.0.1:");
    };
    rejected("first", "");
    // Also when it has something to say, and wants to leave at once.
    rejected(
        "first",
        "{\"message\":{\"msg_type\":\"quit\"}}\n{\"bye\":true}\n",
    );
    let _second = Socket::join(&address, "second");
    rejected("third", "");
}
