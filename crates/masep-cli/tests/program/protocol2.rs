//! `masep serve` and `masep join` in protocol 2, and peers of both generations at one server.

use masep::{Dict, Notice, blocking};
use serde_json::{Value as Json, json};

use crate::run::picked;
use crate::session::{Session, serve};

fn join(scheme: &str, address: &str, id: &str) -> Session {
    Session::start(&["join", &format!("{scheme}{address}"), "--id", id])
}

/// An array of this many zeros, as base64: `A` is six bits.
fn array(bytes: usize) -> Json {
    let base64 = "A".repeat(bytes / 3 * 4);
    json!({"$array": {"dtype": "uint8", "shape": [bytes], "base64": base64}})
}

fn observation(value: &Json) -> Json {
    json!({"msg_type": "observation", "params": {"image": value}})
}

#[test]
fn arrays_go_both_ways_and_the_end_says_why() {
    let (mut engine, address) = serve(&[]);
    let mut agent = join("masep://", &address, "agent");
    assert_eq!(
        agent.json(),
        json!({"event": "connected", "peer": "engine", "address": address, "protocol": 2, "id": "agent"})
    );
    assert_eq!(engine.event("connected")["protocol"], 2);
    let image = observation(&array(120_000));
    engine.send(json!({"to": "agent", "message": image}));
    assert_eq!(agent.event("message")["message"]["params"], image["params"]);
    agent.send(json!({"message": image}));
    assert_eq!(
        engine.event("message")["message"]["params"],
        image["params"]
    );
    // A frame of bytes is no message, and may be larger than one of pymasep's too.
    agent.send(json!({"bytes_hex": "00".repeat(70_000)}));
    let frame = engine.event("frame");
    assert_eq!(frame["bytes_hex"].as_str().unwrap().len(), 140_000);

    engine.send(r#"{"shutdown":true}"#);
    let closed = agent.event("closed");
    assert_eq!(closed["reason"], "peer_bye");
    assert_eq!(closed["code"], "shutdown");
    assert!(closed["text"].is_string(), "{closed}");
    agent.end_in_peace();
    engine.event("closed");
    engine.end_in_peace();
}

#[test]
fn peers_of_both_generations_are_in_one_session() {
    let (mut engine, address) = serve(&[]);
    let mut new = join("masep://", &address, "new");
    assert_eq!(new.event("connected")["protocol"], 2);
    engine.event("connected");
    let mut old = join("pymasep://", &address, "old");
    assert_eq!(old.event("connected").get("protocol"), None);
    engine.event("connected");

    let plain = observation(&json!("plain"));
    engine.send(json!({"to": "*", "message": plain}));
    for agent in [&mut new, &mut old] {
        assert_eq!(agent.event("message")["message"]["params"], plain["params"]);
    }

    let image = observation(&array(300));
    engine.send(json!({"to": "*", "message": image}));
    assert_eq!(new.event("message")["message"]["params"], image["params"]);
    let error = engine.event("error");
    assert_eq!(error["kind"], "undelivered");
    let words = error["message"].as_str().unwrap();
    for part in ["1 of 2", "\"old\"", "pymasep's protocol"] {
        assert!(words.contains(part), "{words}");
    }
    engine.send(json!({"to": "old", "message": image}));
    let error = engine.event("error");
    assert_eq!(error["line"], 3);
    assert!(error["message"].as_str().unwrap().contains("\"old\""));

    // Both live on.
    engine.send(json!({"to": "*", "message": {"msg_type": "end"}}));
    for agent in [&mut new, &mut old] {
        assert_eq!(agent.event("message")["message"]["msg_type"], "end");
    }
}

#[test]
fn a_notice_is_an_event() {
    let (mut engine, address) = serve(&[]);
    let client = blocking::Client::builder("agent");
    let client = client.connect(format!("masep://{address}")).unwrap();
    engine.event("connected");
    let notice = Notice::new("late", "turn 7 is over").about(Dict::from([("turn", 7)]));
    client.connection().notice(notice).unwrap();
    assert_eq!(
        engine.json(),
        json!({"event": "notice", "peer": "agent", "code": "late", "text": "turn 7 is over", "about": {"turn": 7}})
    );
}

#[test]
fn a_notice_is_told_though_no_frame_comes() {
    let server = blocking::Server::builder("engine")
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address().to_string();
    for options in [&[][..], &["--newest"]] {
        let mut agent = Session::start(&[&["join", &address, "--id", "agent"], options].concat());
        let connection = server.accept().unwrap();
        agent.event("connected");
        connection.notice(Notice::new("not_yours", "no")).unwrap();
        assert_eq!(
            agent.json(),
            json!({"event": "notice", "peer": "engine", "code": "not_yours", "text": "no"})
        );
        connection.bye();
        agent.event("closed");
    }
}

#[test]
fn a_rejection_has_words_and_its_exit_code() {
    let (mut engine, address) = serve(&[]);
    let mut first = join("masep://", &address, "agent");
    first.event("connected");
    engine.event("connected");
    let mut second = join("", &address, "agent");
    let rejected = second.event("rejected");
    assert_eq!(
        picked(&rejected, ["address", "reason"]),
        json!([address, "duplicate_id"])
    );
    assert!(
        rejected["text"].as_str().unwrap().contains("in use"),
        "{rejected}"
    );
    let (code, words) = second.end();
    assert_eq!(code, Some(5));
    for part in ["rejected by the server at 127.0.0.1", "duplicate_id"] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(engine.event("rejected")["reason"], "duplicate_id");
}

#[test]
fn a_server_takes_the_generations_that_it_is_told() {
    let (mut engine, address) = serve(&["--protocols", "pymasep"]);
    let (code, words) = join("masep://", &address, "agent").end();
    assert_eq!(code, Some(3));
    assert!(words.contains("pymasep's protocol"), "{words}");
    assert_eq!(engine.event("rejected")["reason"], "other_protocol");

    let mut engine = Session::start(&["serve", "masep://127.0.0.1:0", "--id", "engine"]);
    let address = engine.address();
    let mut agent = join("pymasep://", &address, "agent");
    agent.event("connected");
    assert_eq!(agent.event("closed")["reason"], "rejected");
    assert_eq!(agent.end().0, Some(5));
    assert_eq!(engine.event("rejected")["reason"], "other_protocol");
    let mut agent = join("masep://", &address, "agent");
    assert_eq!(agent.event("connected")["protocol"], 2);
}

#[test]
fn an_interface_of_both_generations_speaks_what_its_engine_speaks() {
    for (takes, spoken) in [("both", Some(2)), ("masep", Some(2)), ("pymasep", None)] {
        let (mut engine, address) = serve(&["--protocols", takes]);
        let both = ["--protocols", "both", "--id", "agent"];
        let mut agent = Session::start(&[&["join", &address], &both[..]].concat());
        let connected = agent.event("connected");
        assert_eq!(connected.get("protocol"), spoken.map(Json::from).as_ref());
        agent.send(json!({"message": {"msg_type": "quit"}}));
        // The engine was told of a probe that it did not take, perhaps behind the connection.
        let mut events: Vec<Json> = std::iter::from_fn(|| Some(engine.json()))
            .take(if spoken.is_some() { 2 } else { 3 })
            .collect();
        events.retain(|event| event["event"] != "rejected");
        assert_eq!(events[0]["peer"], "agent");
        assert_eq!(events[1]["message"]["msg_type"], "quit");
    }
}
