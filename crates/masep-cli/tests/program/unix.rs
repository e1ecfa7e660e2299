//! `masep serve`, `join` and `tap` on Unix sockets.

use std::fs;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::directory::Directory;
use crate::run::run;
use crate::session::Session;

#[test]
fn a_game_is_played_over_a_unix_socket() {
    let directory = Directory::new();
    let target = directory.target("x.sock");
    let mut engine = Session::start(&["serve", &target, "--id", "engine"]);
    let listening =
        json!({"event": "listening", "id": "engine", "address": target, "target": target});
    assert_eq!(engine.json(), listening);
    let mut actor = Session::start(&["join", &target, "--id", "actor"]);
    assert_eq!(
        actor.json(),
        json!({"event": "connected", "peer": "engine", "address": target, "protocol": 2, "id": "actor"})
    );
    assert_eq!(
        engine.json(),
        json!({"event": "connected", "peer": "actor", "address": target, "protocol": 2})
    );
    actor.send(json!({"message": {"msg_type": "action", "params": {"action": 7}}}));
    assert_eq!(
        engine.event("message")["message"]["params"],
        json!({"action": 7})
    );
    engine.send(json!({"to": "actor", "message": {"msg_type": "end"}}));
    assert_eq!(actor.event("message")["message"]["msg_type"], "end");
    engine.send(r#"{"shutdown":true}"#);
    assert_eq!(actor.event("closed")["reason"], "peer_bye");
    engine.end_in_peace();
    assert!(!directory.has("x.sock"));
}

#[test]
fn the_file_goes_when_the_program_is_told_to_end_and_is_replaced_when_it_was_killed() {
    let directory = Directory::new();
    let target = directory.target("x.sock");
    for (signal, remains) in [(Signal::SIGTERM, false), (Signal::SIGKILL, true)] {
        let mut engine = Session::start(&["serve", &target]);
        assert_eq!(engine.address(), target);
        engine.signal(signal);
        engine.end();
        assert_eq!(directory.has("x.sock"), remains, "{signal}");
    }
    let mut engine = Session::start(&["serve", &target]);
    assert_eq!(engine.address(), target);
    let in_use = format!("masep: cannot listen on {target}: ");
    run(&["serve", &target], "").fails(1, &in_use);
}

#[test]
fn bad_addresses_are_usage_errors_that_name_the_form() {
    for (target, part) in [
        ("unix://relative", "begins with a slash"),
        ("nonsense", "expected HOST:PORT or unix:///PATH"),
        ("wss://localhost:1", "not supported yet"),
        (&*format!("unix:///{}", "x".repeat(200)), "at most"),
    ] {
        for verb in [
            &["serve"][..],
            &["join"],
            &["tap", "--to"],
            &["tap", "--listen"],
        ] {
            run(&[verb, &[target]].concat(), "").fails(2, part);
        }
    }
    let directory = Directory::new();
    let target = directory.target("x.sock");
    run(&["join", &target], "").fails(3, &target);
    let announced = run(&["serve", &target, "--announce"], "");
    announced.fails(1, "only this machine can reach");
    assert!(!directory.has("x.sock"));
}

#[test]
fn a_proxy_joins_any_two_kinds_of_sockets() {
    let directory = Directory::new();
    let inner = directory.target("engine.sock");
    let mut engine = Session::start(&["serve", &inner, "--id", "engine"]);
    engine.event("listening");
    let outer = directory.target("tap.sock");
    let mut first = Session::start(&["tap", "--json", "--listen", "127.0.0.1:0", "--to", &inner]);
    let tcp = first.address();
    let mut second = Session::start(&["tap", "--json", "--listen", &outer, "--to", &tcp]);
    assert_eq!(second.address(), outer);
    let args = ["join", &outer, "--id", "actor", "--protocols", "pymasep"];
    let mut actor = Session::start(&args);
    assert_eq!(actor.event("connected")["address"], outer);
    assert_eq!(engine.event("connected")["address"], inner);
    assert_eq!(second.event("open")["address"], outer);
    assert_eq!(second.json()["hello"], "actor");
    assert_eq!(second.json()["hello"], "engine");
    actor.send(json!({"message": {"msg_type": "quit"}}));
    assert_eq!(engine.event("message")["message"]["msg_type"], "quit");
    assert_eq!(second.json()["message"]["msg_type"], "quit");
    actor.send(r#"{"bye":true}"#);
    actor.end_in_peace();
    assert_eq!(engine.event("closed")["reason"], "peer_bye");
    assert_eq!(second.json()["bye"], true);
    // A file of another is not the proxy's to remove.
    fs::remove_file(directory.path("tap.sock")).unwrap();
    let _other = UnixListener::bind(directory.path("tap.sock")).unwrap();
    for proxy in [first, second] {
        proxy.signal(Signal::SIGTERM);
        proxy.end_in_peace();
    }
    assert!(directory.has("tap.sock"));
}
