//! `masep check`, against servers of both protocols, one that refuses, and none.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

mod directory;
mod program;
mod session;
mod socket;

use std::thread;

use directory::Directory;
use program::{check, command, run};
use serde_json::{Value as Json, json};
use session::{Session, serve};
use socket::{Socket, listen, nobody};

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
        (ran.code, &report["status"], &report["reason"]),
        (Some(3), &"other_protocol".into(), &"other_protocol".into()),
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
fn a_table_tells_its_game_and_free_seats_to_those_that_it_lets_in() {
    let (_table, address) = serve(&["--seats", "red,blue", "--game", "pkg.Game"]);
    let player = ["--turns", "--game", "pkg.Game", "--role", "actor"];
    let mut player = Session::start(&[&["join", &address][..], &player].concat());
    player.event("joined");
    // Whatever it would be told apart by, it takes nobody's seat.
    for args in [&[][..], &["--game", "pkg.Game"]] {
        let (ran, report) = check(&[&[&*address], args].concat());
        assert_eq!(ran.code, Some(0), "{report}");
        let told = ["game", "seats", "free"].map(|key| report[key].clone());
        assert_eq!(Json::from(told.to_vec()), json!(["pkg.Game", 2, 1]));
    }
    let ran = run(&["check", &address], "");
    for line in ["  game        pkg.Game", "  seats       1 of 2 free"] {
        assert!(ran.lines().contains(&line), "{}", ran.stdout);
    }
    // One that has neither says nothing of them.
    let (_engine, address) = serve(&[]);
    let (_, report) = check(&[&address]);
    assert!(report.get("game").is_none() && report.get("seats").is_none());
}

#[test]
fn one_without_a_token_is_told_nothing_of_the_game() {
    let directory = Directory::new("check-token");
    let (tokens, socket) = (directory.path("tokens.toml"), directory.path("s"));
    let address = format!("unix://{socket}");
    let new = ["token", "new", "--name", "lab", "--role", "actor"];
    let made = run(&[&new[..], &["--file", &tokens]].concat(), "");
    let table = [
        "--seats",
        "red",
        "--game",
        "secret.Game",
        "--tokens",
        &tokens,
    ];
    let serve = [&["serve", &address, "--id", "engine"][..], &table].concat();
    let mut engine = Session::start(&serve);
    engine.event("listening");
    for args in [&[][..], &["--game", "secret.Game"], &["--game", "a.Game"]] {
        let ran = run(&[&["check", "--json", &address], args].concat(), "");
        assert_eq!(ran.code, Some(5), "{}", ran.stdout);
        let report: Json = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["reason"], "unauthorized");
        assert_eq!(report["refused"]["code"], "unauthorized");
        for key in ["id", "game", "seats", "free", "instance"] {
            assert!(report.get(key).is_none(), "{report}");
        }
    }
    // A token for one role is enough to look.
    let mut command = command(&["check", "--json", &address, "--game", "secret.Game"]);
    let output = command.env("MASEP_TOKEN", made.stdout.trim()).output();
    let report: Json = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let told = ["status", "game", "seats", "free"].map(|key| report[key].clone());
    assert_eq!(
        Json::from(told.to_vec()),
        json!(["ok", "secret.Game", 1, 1])
    );
}

#[test]
fn those_who_are_banned_or_too_many_are_told_so() {
    let (mut engine, address) = serve(&["--max-connections", "1"]);
    let inside = Session::start(&["join", &address, "--id", "inside"]);
    engine.event("connected");
    let (ran, report) = check(&[&address]);
    assert_eq!((ran.code, &report["status"]), (Some(5), &"refused".into()));
    assert_eq!(report["reason"], "too_many_connections");
    assert!(report["refused"]["retry_ms"].is_u64(), "{report}");
    drop(inside);
    let (mut engine, address) = serve(&[]);
    engine.send(json!({"ban": {"id": "masep check"}}));
    let banned = loop {
        let (ran, report) = check(&[&address]);
        // The line may not have been read yet.
        if ran.code != Some(0) {
            break (ran.code, report["reason"].clone());
        }
    };
    assert_eq!(banned, (Some(5), "banned".into()));
}

#[test]
fn nobody_there_and_wrong_usage_are_told_apart() {
    let (_nobody, address) = nobody();
    let (ran, report) = check(&[&address.to_string()]);
    assert_eq!(
        (ran.code, &report["status"], &report["reason"]),
        (Some(3), &"unreachable".into(), &"connection_refused".into())
    );
    assert!(report["error"].is_string());
    // One that takes the connection and says nothing.
    let (silent, address) = listen();
    let (ran, report) = check(&[&address.to_string(), "--timeout", "200ms"]);
    assert_eq!(
        (ran.code, &report["status"], &report["reason"]),
        (Some(3), &"unreachable".into(), &"timed_out".into()),
        "{report}"
    );
    drop(silent);
    let socket = Directory::new("check-nobody").path("s");
    let (ran, report) = check(&[&format!("unix://{socket}")]);
    assert_eq!(
        (ran.code, &report["reason"]),
        (Some(3), &"not_found".into())
    );
    assert_eq!(run(&["check", "no address"], "").code, Some(2));
    assert_eq!(
        run(&["check", "127.0.0.1:1", "--token-file", "/dev/null"], "").code,
        Some(2)
    );
}

#[test]
fn two_that_look_at_the_same_time_are_no_fault_of_the_server() {
    let (mut engine, address) = serve(&[]);
    let other = Session::start(&["join", &address, "--id", "masep check"]);
    engine.event("connected");
    let (ran, report) = check(&[&address]);
    assert_eq!(
        (ran.code, &report["status"]),
        (Some(0), &"ok".into()),
        "{report}"
    );
    // Whose id that is was not said by chance.
    drop(other);
    let _other = Session::start(&["join", &address, "--id", "monitor"]);
    while engine.json()["peer"] != "monitor" {}
    let (ran, report) = check(&[&address, "--id", "monitor"]);
    assert_eq!(
        (ran.code, &report["reason"]),
        (Some(5), &"duplicate_id".into())
    );
}

#[test]
fn the_exit_code_stands_though_nobody_reads() {
    let (_nobody, address) = nobody();
    for args in [
        &["check", &address.to_string()][..],
        &["check", "--json", &address.to_string()],
    ] {
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(args).stdout(closed).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}");
    }
}

#[test]
fn one_that_speaks_something_else_is_asked_about() {
    let (web, address) = listen();
    let server = thread::spawn(move || {
        let (mut stream, _) = web.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (ran, report) = check(&[&address.to_string()]);
    assert_eq!(
        (ran.code, &report["reason"]),
        (Some(3), &"bad_hello".into())
    );
    let error = report["error"].as_str().unwrap();
    assert!(
        error.ends_with("is it a masep or pymasep server?"),
        "{error}"
    );
    server.join().unwrap();
}
