//! `masep serve`, with `masep join` and with bare sockets as its peers.

use std::io::Write;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::run::{command, framed, picked, run};
use crate::session::{PATIENCE, Session, serve, serve_unread};
use crate::socket::{Heard, Socket, listen, serve_peer};

const END: &str = r#"<Message msg_type="end" src_sub_app="engine" />"#;

/// Without the options, its peers are told that it takes less.
#[test]
fn an_engine_takes_frames_as_large_as_it_is_told_to() {
    let digits = "00".repeat(2 << 20);
    let frame = json!({ "bytes_hex": digits });
    let large = ["--payload-bytes", "3000000", "--incoming-bytes", "100000"];
    for (options, is_taken) in [(&[][..], false), (&large, true)] {
        let (mut engine, address) = serve(options);
        let mut agent = Session::start(&["join", &format!("masep://{address}"), "--id", "agent"]);
        agent.event("connected");
        engine.event("connected");
        agent.send(&frame);
        if is_taken {
            assert_eq!(engine.event("frame")["bytes_hex"], digits);
        } else {
            assert_eq!(agent.event("error")["kind"], "limit");
        }
    }
}

#[test]
fn a_game_is_played_through_to_its_end() {
    let (mut engine, address) = serve(&[]);
    let role = ["--role", "actor", "--game", "pursuit.PursuitGame"];
    let mut actor = Session::start(&[&["join", &address, "--id", "äctor"], &role[..]].concat());
    assert_eq!(
        actor.json(),
        json!({"event": "connected", "peer": "engine", "address": address, "protocol": 2, "id": "äctor"})
    );
    let connected = engine.event("connected");
    assert_eq!(connected["peer"], "äctor");
    assert_eq!(
        engine.json(),
        json!({"event": "message", "peer": "äctor", "message": {
            "msg_type": "define", "src_sub_app": "äctor",
            "params": {"game": {"$type": "pursuit.PursuitGame"}},
        }})
    );
    assert_eq!(
        engine.json(),
        json!({"event": "message", "peer": "äctor", "message": {
            "msg_type": "register", "src_sub_app": "äctor",
            "params": {"id": "äctor", "queue_id": 0, "role": "Actor"},
        }})
    );
    for step in 0..3 {
        let observation = json!({"msg_type": "observation", "params": {
            "observation": {"$xml": "<State name=\"é\" />"},
            "additional_information": {"reward": -1.5, "step": step, "none": null},
        }});
        engine.send(json!({"to": "äctor", "message": observation}));
        let event = actor.event("message");
        assert_eq!(event["peer"], "engine");
        assert_eq!(event["message"]["src_sub_app"], "engine");
        assert_eq!(event["message"]["params"], observation["params"]);

        let action = json!({"msg_type": "action", "params": {"action": {"$tuple": [step, true]}}});
        actor.send(json!({"message": action}));
        let event = engine.event("message");
        assert_eq!(event["message"]["src_sub_app"], "äctor");
        assert_eq!(event["message"]["params"], action["params"]);
    }
    engine.send(json!({"to": "*", "message": {"msg_type": "end"}}));
    assert_eq!(actor.event("message")["message"]["msg_type"], "end");
    assert_eq!(engine.event("message")["message"]["msg_type"], "quit");
    let closed = json!({"event": "closed", "peer": "äctor", "reason": "peer_bye", "detail": "the peer said BYE"});
    assert_eq!(engine.json(), closed);
    assert_eq!(actor.event("closed")["reason"], "local_bye");
    actor.end_in_peace();
    engine.send(r#"{"shutdown":true}"#);
    engine.end_in_peace();
}

#[test]
fn a_bad_line_is_told_and_does_nothing_else() {
    let (mut server, mut peer) = serve_peer("peer", &[]);
    let frame = |bytes: usize| format!(r#"{{"to":"*","bytes_hex":"{}"}}"#, "00".repeat(bytes));
    let (too_large, too_long) = (frame(65_536), frame(3_000_000));
    let message =
        json!({"to": "peer", "message": {"msg_type": "x", "params": {"p": "&".repeat(20_000)}}});
    let bad = [
        ("", "json"),
        ("shutdown", "json"),
        (r#"{"shutdown":false}"#, "unexpected"),
        (r#"{"to":"peer","bye":true,"shutdown":true}"#, "two_actions"),
        (r#"{"bye":true}"#, "missing_key"),
        (r#"{"to":"nobody","bye":true}"#, "unknown_peer"),
        (r#"{"to":"peer","bytes_hex":"xy"}"#, "hex"),
        (
            r#"{"to":"peer","message":{"msg_type":"end","param":1}}"#,
            "unknown_key",
        ),
        (&too_large, "limit"),
        (&too_long, "limit"),
        (&message.to_string(), "limit"),
    ];
    for (line, _) in bad {
        server.send(line);
    }
    for (number, (line, kind)) in (1..).zip(bad) {
        let error = server.event("error");
        assert_eq!(picked(&error, ["line", "kind"]), json!([number, kind]));
        let text = error["message"].as_str().unwrap();
        assert!(!text.is_empty());
        if line == too_large {
            assert!(text.contains("65536") && text.contains("65535"), "{text}");
        }
    }
    // The connection is as it was.
    server.send(r#"{"to":"peer","bytes_hex":"ff"}"#);
    peer.expect(b"\xff");
    server.send(r#"{"to":"peer","bye":true}"#);
    peer.expect_bye();
    assert_eq!(server.event("closed")["reason"], "local_bye");
}

#[test]
fn whatever_comes_is_told_with_the_id_of_its_connection() {
    let (mut server, address) = serve(&[]);
    let mut peer = Socket::connect(&address);
    let spoofed = r#"<Message msg_type="action" src_sub_app="somebody else" />"#;
    let stream = [
        &b"good-id"[..],
        b"",
        b"\xff\xfe",
        spoofed.as_bytes(),
        b"<a/>",
    ]
    .map(framed);
    // TCP may cut anywhere.
    for byte in stream.concat() {
        peer.write(&[byte]);
    }
    assert_eq!(server.event("connected")["peer"], "good-id");
    for hex in ["", "fffe"] {
        let frame = server.event("frame");
        assert_eq!(
            picked(&frame, ["peer", "bytes_hex"]),
            json!(["good-id", hex])
        );
        assert!(frame["error"]["kind"].is_string());
    }
    let message = server.event("message");
    assert_eq!(message["peer"], "good-id");
    assert_eq!(message["message"]["src_sub_app"], "somebody else");
    assert_eq!(server.event("frame")["bytes_hex"], "3c612f3e");
    peer.expect("engine");
    peer.write(&[9, 0, b'x']);
    drop(peer);
    let closed = server.event("closed");
    assert_eq!(closed["reason"], "end_of_stream");
    assert_eq!(closed["detail"], "the peer closed in the middle of a frame");
}

#[test]
fn who_is_not_taken_is_told_why() {
    let (mut server, address) = serve(&["--hello-time", "1s", "--max-connections", "2"]);
    let mut first = Socket::join(&address, "first");
    server.event("connected");
    let mut reject = |reason: &str| {
        let rejected = server.event("rejected");
        assert_eq!(rejected["reason"], reason, "{rejected}");
        assert!(
            rejected["address"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1:")
        );
        assert!(rejected["detail"].is_string());
    };

    Socket::join(&address, "first").expect_bye();
    reject("duplicate_id");
    drop(Socket::connect(&address));
    reject("closed_before_hello");
    let mut garbage = Socket::connect(&address);
    garbage.send(b"\xff\xfe");
    reject("bad_hello");
    let mut silent = Socket::connect(&address);
    reject("hello_timeout");
    silent.expect("engine");
    silent.expect_bye();

    let _second = Socket::join(&address, "second");
    assert_eq!(server.event("connected")["peer"], "second");
    let mut third = Socket::connect(&address);
    third.send("third");
    assert_eq!(server.event("rejected")["reason"], "too_many_connections");
    server.send(r#"{"to":"first","bytes_hex":"00"}"#);
    first.expect([0]);
}

#[test]
fn a_new_connection_can_take_the_place_of_the_old_one() {
    let (mut server, address) = serve(&["--replace"]);
    let mut old = Socket::join(&address, "agent");
    server.event("connected");
    let mut new = Socket::join(&address, "agent");
    old.expect_bye();
    assert_eq!(server.event("closed")["reason"], "replaced");
    server.event("connected");
    server.send(r#"{"to":"agent","bytes_hex":"01"}"#);
    new.expect([1]);
}

#[test]
fn the_end_of_standard_input_changes_nothing() {
    let (mut server, address) = serve(&[]);
    server.send(r#"{"to":"*","bytes_hex":"00"}"#);
    server.send("the last line");
    assert_eq!(server.event("error")["line"], 2);
    server.close_stdin();
    let mut peer = Socket::join(&address, "peer");
    server.event("connected");
    peer.send(END);
    assert_eq!(server.event("message")["message"]["msg_type"], "end");
    server.signal(Signal::SIGINT);
    peer.expect_bye();
    assert_eq!(server.event("closed")["reason"], "shutdown");
    server.end_in_peace();
}

#[test]
fn sigterm_sends_what_waits_and_bye_to_all() {
    let (mut server, address) = serve(&[]);
    let mut peers = ["a", "b"].map(|id| Socket::join(&address, id));
    server.event("connected");
    server.event("connected");
    for number in 0..100 {
        server.send(format!(
            r#"{{"to":"*","bytes_hex":"{}"}}"#,
            format!("{number:02x}").repeat(10_000)
        ));
    }
    // When this is told, the lines before it were done.
    server.send("?");
    assert_eq!(server.event("error")["line"], 101);
    server.signal(Signal::SIGTERM);
    for peer in &mut peers {
        for number in 0..100 {
            peer.expect(vec![number; 10_000]);
        }
        peer.expect_bye();
    }
    for _ in 0..2 {
        assert_eq!(server.event("closed")["reason"], "shutdown");
    }
    server.end_in_peace();
}

/// Fills everything that is between the server and a peer that does not read.
fn fill(server: &mut Session, to: &str) {
    for _ in 0..120 {
        server.send(format!(
            r#"{{"to":"{to}","bytes_hex":"{}"}}"#,
            "00".repeat(50_000)
        ));
    }
}

#[test]
fn who_takes_nothing_is_cut_off_when_the_time_is_up() {
    let queue = ["--queue-bytes", "100000000", "--write-time", "1h"];
    let (mut server, address) = serve(&[&queue[..], &["--drain-time", "200ms"]].concat());
    let stuck = Socket::join_narrow(&address, "stuck");
    server.event("connected");
    fill(&mut server, "stuck");
    server.send(r#"{"shutdown":true}"#);
    let closed = server.event("closed");
    assert_eq!(closed["reason"], "shutdown");
    let error = server.event("error");
    assert_eq!(error["kind"], "cut_off");
    assert_eq!(error["peer"], "stuck");
    let frames = error["frames"].as_u64().unwrap();
    // Of 120 that were accepted; the system holds some.
    assert!((1..120).contains(&frames), "{error}");
    assert_eq!(closed["unsent"], frames);
    assert_eq!(server.end().0, Some(6));
    drop(stuck);
}

#[test]
fn a_second_signal_ends_at_once() {
    let queue = ["--queue-bytes", "100000000", "--write-time", "1h"];
    let (mut server, address) = serve(&[&queue[..], &["--drain-time", "1h"]].concat());
    let stuck = Socket::join_narrow(&address, "stuck");
    let mut other = Socket::join(&address, "other");
    server.event("connected");
    server.event("connected");
    fill(&mut server, "stuck");
    server.send("?");
    server.event("error");
    server.signal(Signal::SIGTERM);
    other.expect_bye();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().0, Some(143));
    drop(stuck);
}

#[test]
fn a_peer_that_never_reads_holds_up_the_others_no_longer_than_its_write_time() {
    let (mut server, address) = serve(&["--write-time", "300ms", "--queue-messages", "4"]);
    let _stuck = Socket::join_narrow(&address, "stuck");
    server.event("connected");
    let mut other = Socket::join(&address, "other");
    server.event("connected");
    fill(&mut server, "stuck");
    server.send(r#"{"to":"other","bytes_hex":"07"}"#);
    other.expect([7]);
    // All lines have been taken by now. Those that came too late are told of, some perhaps before the end
    // of their connection is.
    server.send(r#"{"shutdown":true}"#);
    let (mut stuck_ends, mut late) = (0, 0);
    while let Some(line) = server.line() {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        match event["event"].as_str() {
            Some("closed") if event["peer"] == "stuck" => {
                stuck_ends += 1;
                let reason = event["reason"].as_str().unwrap();
                assert!(["write_timeout", "queue_full"].contains(&reason), "{event}");
            }
            Some("closed") => assert_eq!(event["peer"], "other"),
            Some("error") => {
                late += 1;
                let kind = event["kind"].as_str().unwrap();
                assert!(["closed", "unknown_peer"].contains(&kind), "{event}");
            }
            _ => panic!("{event}"),
        }
    }
    assert_eq!(stuck_ends, 1);
    assert!(late > 0, "somebody who reads nothing took 6 MB");
}

#[test]
fn a_full_queue_can_end_its_connection_or_drop_the_oldest_frames() {
    // However long it takes to say all that.
    let write_time = ["--write-time", "1h"];
    let full = ["--when-full", "disconnect", "--queue-bytes", "100000"];
    let (mut server, address) = serve(&[&full[..], &write_time].concat());
    let _stuck = Socket::join_narrow(&address, "stuck");
    server.event("connected");
    fill(&mut server, "*");
    assert_eq!(server.event("closed")["reason"], "queue_full");

    let full = ["--when-full", "newest", "--queue-messages", "4"];
    let (mut server, address) = serve(&[&full[..], &write_time].concat());
    let mut slow = Socket::join_narrow(&address, "slow");
    server.event("connected");
    for number in 0..500 {
        let digits = format!("{number:04x}").repeat(10_000);
        server.send(format!(r#"{{"to":"*","bytes_hex":"{digits}"}}"#));
    }
    server.send(r#"{"to":"slow","bye":true}"#);
    let mut numbers = Vec::new();
    while let Heard::Frame(body) = slow.hear() {
        numbers.push(body[..2].to_vec());
    }
    assert_eq!(numbers.pop().unwrap(), b"BY");
    assert!(
        numbers.is_sorted() && numbers.len() < 500,
        "{}",
        numbers.len()
    );
    assert_eq!(numbers.last().unwrap(), &499_u16.to_be_bytes());
}

#[test]
fn events_that_nobody_reads_hold_up_their_peer_and_none_is_lost() {
    let (mut server, address) = serve_unread(&[]);
    let mut peer = Socket::join(&address, "peer");
    let frame = |number: u32| framed([&number.to_be_bytes()[..], &[0; 40_000]].concat());

    // No room for a second: everything between us is full, the server's memory too. If it took all,
    // this would be 200 MB.
    peer.stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut unsent = Vec::new();
    let mut sent = 0;
    while unsent.is_empty() {
        unsent = frame(sent);
        sent += 1;
        assert!(sent < 5_000, "the server takes all that nobody reads");
        while let Ok(written) = peer.stream.write(&unsent) {
            unsent.drain(..written);
            if unsent.is_empty() {
                break;
            }
        }
    }
    peer.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let rest = std::thread::spawn(move || {
        peer.write(&unsent);
        peer.send("BYE");
    });

    server.read();
    server.event("connected");
    for number in 0..sent {
        let event = server.event("frame");
        let digits = event["bytes_hex"].as_str().unwrap();
        assert_eq!(u32::from_str_radix(&digits[..8], 16), Ok(number));
    }
    server.event("closed");
    rest.join().unwrap();
}

#[test]
fn closing_standard_output_says_bye_to_all() {
    let (mut server, address) = serve_unread(&[]);
    let mut first = Socket::join(&address, "first");
    assert!(server.read_one_line().contains("connected"));
    server.close_stdout();
    first.expect_bye();
    server.end_in_peace();
}

#[test]
fn a_server_that_ends_does_not_wait_for_ever_for_somebody_to_read() {
    let (server, address) = serve_unread(&["--drain-time", "50ms"]);
    let mut peer = Socket::join(&address, "peer");
    // Until it is held up: before that, standard output may have room for all that there is to be told.
    peer.fill(&framed([0; 20_000]));
    server.signal(Signal::SIGTERM);
    let (code, stderr) = server.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("standard output was not read"), "{stderr}");
}

#[test]
fn the_address_comes_from_the_argument_then_from_the_environment() {
    let in_environment =
        |value: &str, args: &[&str]| Session::spawn_read(command(args).env("MASEP_ADDRESS", value));
    let mut server = in_environment("pymasep://[::1]:0", &["serve"]);
    let listening = server.event("listening");
    assert!(listening["address"].as_str().unwrap().starts_with("[::1]:"));
    let id = listening["id"].as_str().unwrap();
    assert!(id.starts_with("engine-") && id.len() == 23, "{id}");

    let mut server = in_environment("nonsense", &["serve", "tcp://localhost:0"]);
    server.event("listening");

    let (code, stderr) = in_environment("nonsense", &["serve"]).end();
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("MASEP_ADDRESS") && stderr.contains("HOST:PORT"),
        "{stderr}"
    );
}

#[test]
fn a_server_that_cannot_listen_says_where_and_why() {
    let (_listener, address) = listen();
    let ran = run(&["serve", &address.to_string()], "");
    ran.fails(1, &format!("masep: cannot listen on {address}: "));
    assert_eq!(ran.stdout, "");
    for wrong in ["60000", "host", ":60000", "ws://h:1", "::1:5"] {
        assert_eq!(run(&["serve", wrong], "").code, Some(2), "{wrong}");
    }
    assert_eq!(run(&["serve", "--id", "BYE"], "").code, Some(2));
}
