//! `masep check`, against servers of both protocols, one that refuses, and none.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

mod program;
mod session;
mod socket;

use std::thread;

use program::{Run, run};
use serde_json::Value as Json;
use session::Session;
use socket::{Socket, listen, nobody};

fn serve(options: &[&str]) -> (Session, String) {
    let mut engine =
        Session::start(&[&["serve", "127.0.0.1:0", "--id", "engine"], options].concat());
    let address = engine.address();
    (engine, address)
}

fn check(args: &[&str]) -> (Run, Json) {
    let ran = run(&[&["check", "--json"], args].concat(), "");
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| {
        panic!("{error}: {:?} {:?}", ran.stdout, ran.stderr);
    });
    (ran, report)
}

#[test]
fn a_server_that_takes_clients_is_told_with_what_it_says() {
    let (mut engine, address) = serve(&[]);
    let (ran, report) = check(&[&address]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert_eq!(report["status"], "ok");
    assert_eq!(
        (&report["id"], &report["protocol"]),
        (&"engine".into(), &2.into())
    );
    assert_eq!(report["max_payload"], 1 << 20);
    for time in ["connect_ms", "round_trip_ms"] {
        assert!(
            report[time].as_f64().is_some_and(|ms| ms > 0.0),
            "{time}: {report}"
        );
    }
    // It leaves in order.
    assert_eq!(engine.event("connected")["peer"], "masep check");
    assert_eq!(engine.event("closed")["reason"], "peer_bye");
    // `ping` is the same, and people can read it.
    let ran = run(&["ping", &address], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.lines()[0], format!("{address} takes clients"));
    assert!(ran.stdout.contains("round trip"), "{}", ran.stdout);
}

#[test]
fn a_server_of_pymaseps_protocol_is_told_too() {
    let (engine, address) = listen();
    let server = thread::spawn(move || {
        // First it is asked for protocol 2.
        let (mut probe, _) = Socket::welcome(&engine);
        probe.hear();
        let (mut client, id) = Socket::welcome(&engine);
        assert_eq!(id, "masep check");
        client.expect("BYE");
    });
    let (ran, report) = check(&[&address.to_string()]);
    assert_eq!(ran.code, Some(0), "{report}");
    assert_eq!(
        (&report["protocol"], &report["id"]),
        (&1.into(), &"engine".into())
    );
    server.join().unwrap();
    // One that was to speak another one does not answer in that.
    let (_engine, address) = serve(&["--protocols", "pymasep"]);
    let (ran, report) = check(&[&format!("masep://{address}")]);
    assert_eq!(
        (ran.code, &report["status"]),
        (Some(3), &"unreachable".into()),
        "{report}"
    );
}

#[test]
fn a_refusal_is_told_with_its_reason_and_has_an_exit_code_of_its_own() {
    let (_table, address) = serve(&["--seats", "red", "--game", "pkg.Game"]);
    let (ran, report) = check(&[&address, "--game", "other.Game"]);
    assert_eq!(
        (ran.code, &report["status"]),
        (Some(5), &"refused".into()),
        "{report}"
    );
    assert_eq!(report["refused"]["code"], "unknown_game");
    // It watches, and takes no seat.
    for _ in 0..2 {
        let (ran, report) = check(&[&address, "--game", "pkg.Game"]);
        assert_eq!(ran.code, Some(0), "{report}");
    }
    let ran = run(&["check", &address, "--game", "other.Game"], "");
    assert!(
        ran.stdout.contains("refused     unknown_game: "),
        "{}",
        ran.stdout
    );
}

#[test]
fn nobody_there_and_wrong_usage_are_told_apart() {
    let (_nobody, address) = nobody();
    let (ran, report) = check(&[&address.to_string()]);
    assert_eq!(
        (ran.code, &report["status"]),
        (Some(3), &"unreachable".into())
    );
    assert!(report["error"].is_string());
    // One that takes the connection and says nothing.
    let (silent, address) = listen();
    let (ran, report) = check(&[&address.to_string(), "--timeout", "200ms"]);
    assert_eq!(
        (ran.code, &report["status"]),
        (Some(3), &"unreachable".into()),
        "{report}"
    );
    drop(silent);
    assert_eq!(run(&["check", "no address"], "").code, Some(2));
    assert_eq!(
        run(&["check", "127.0.0.1:1", "--token-file", "/dev/null"], "").code,
        Some(2)
    );
}
