//! `masep check`, against servers of both protocols, one that refuses, and none.

use std::thread;

use serde_json::json;

use crate::directory::Directory;
use crate::run::{check, check_fails, check_succeeds, command, picked, run, run_command};
use crate::session::{Session, serve};
use crate::socket::{Socket, listen, nobody};

#[test]
fn a_server_that_takes_clients_is_told_with_what_it_says() {
    let (mut engine, address) = serve(&[]);
    let report = check_succeeds(&[&address]);
    assert_eq!(picked(&report, ["id", "protocol"]), json!(["engine", 2]));
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
    ran.succeeds();
    assert_eq!(ran.lines()[0], format!("{address} takes clients"));
    ran.prints("round trip");
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
    let report = check_succeeds(&[&address.to_string()]);
    assert_eq!(picked(&report, ["protocol", "id"]), json!([1, "engine"]));
    server.join().unwrap();
    // One that was to speak another one does not answer in that.
    let (_engine, address) = serve(&["--protocols", "pymasep"]);
    let other = "other_protocol";
    check_fails(&[&format!("masep://{address}")], 3, other, other);
}

#[test]
fn a_refusal_is_told_with_its_reason_and_has_an_exit_code_of_its_own() {
    let (_table, address) = serve(&["--seats", "red", "--game", "pkg.Game"]);
    let wrong = [&*address, "--game", "other.Game"];
    let report = check_fails(&wrong, 5, "refused", "unknown_game");
    assert_eq!(report["refused"]["code"], "unknown_game");
    // It watches, and takes no seat.
    for _ in 0..2 {
        check_succeeds(&[&address, "--game", "pkg.Game"]);
    }
    let ran = run(&["check", &address, "--game", "other.Game"], "");
    ran.prints("refused     unknown_game: ");
}

#[test]
fn a_table_tells_its_game_and_free_seats_to_those_that_it_lets_in() {
    let (_table, address) = serve(&["--seats", "red,blue", "--game", "pkg.Game"]);
    let player = ["--turns", "--game", "pkg.Game", "--role", "actor"];
    let mut player = Session::start(&[&["join", &address][..], &player].concat());
    player.event("joined");
    // Whatever it would be told apart by, it takes nobody's seat.
    for args in [&[][..], &["--game", "pkg.Game"]] {
        let report = check_succeeds(&[&[&*address], args].concat());
        assert_eq!(
            picked(&report, ["game", "seats", "free"]),
            json!(["pkg.Game", 2, 1])
        );
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
    let directory = Directory::new();
    let (tokens, address) = (directory.path("tokens.toml"), directory.target("s"));
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
        let args = [&[&*address], args].concat();
        let report = check_fails(&args, 5, "refused", "unauthorized");
        assert_eq!(report["refused"]["code"], "unauthorized");
        for key in ["id", "game", "seats", "free", "instance"] {
            assert!(report.get(key).is_none(), "{report}");
        }
    }
    // A token for one role is enough to look.
    let mut command = command(&["check", "--json", &address, "--game", "secret.Game"]);
    let token = made.stdout.trim();
    let report = &run_command(command.env("MASEP_TOKEN", token), "").json()[0];
    assert_eq!(
        picked(report, ["status", "game", "seats", "free"]),
        json!(["ok", "secret.Game", 1, 1])
    );
}

#[test]
fn those_who_are_banned_or_too_many_are_told_so() {
    let (mut engine, address) = serve(&["--max-connections", "1"]);
    let inside = Session::start(&["join", &address, "--id", "inside"]);
    engine.event("connected");
    let report = check_fails(&[&address], 5, "refused", "too_many_connections");
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
    let nobody = address.to_string();
    let report = check_fails(&[&nobody], 3, "unreachable", "connection_refused");
    assert!(report["error"].is_string());
    // One that takes the connection and says nothing.
    let (silent, address) = listen();
    let args = [&*address.to_string(), "--timeout", "200ms"];
    check_fails(&args, 3, "unreachable", "timed_out");
    drop(silent);
    let socket = Directory::new().target("s");
    check_fails(&[&socket], 3, "unreachable", "not_found");
    assert_eq!(run(&["check", "no address"], "").code, Some(2));
    assert_eq!(
        run(&["check", "127.0.0.1:1", "--token-file", "/dev/null"], "").code,
        Some(1)
    );
}

#[test]
fn two_that_look_at_the_same_time_are_no_fault_of_the_server() {
    let (mut engine, address) = serve(&[]);
    let other = Session::start(&["join", &address, "--id", "masep check"]);
    engine.event("connected");
    check_succeeds(&[&address]);
    // Whose id that is was not said by chance.
    drop(other);
    let _other = Session::start(&["join", &address, "--id", "monitor"]);
    while engine.json()["peer"] != "monitor" {}
    check_fails(&[&address, "--id", "monitor"], 5, "refused", "duplicate_id");
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
    let address = address.to_string();
    let report = check_fails(&[&address], 3, "other_protocol", "bad_hello");
    let error = report["error"].as_str().unwrap();
    assert!(
        error.ends_with("is it a masep or pymasep server?"),
        "{error}"
    );
    server.join().unwrap();
}
