//! The input and output of `masep serve`, `masep join` and `masep tap` besides the messages: ids, lines of
//! another form, addresses, times of day.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value as Json, json};

use crate::run::{run, skipped};
use crate::session::{Session, serve};
use crate::socket::{Socket, listen, nobody, start_join};

#[test]
fn no_peer_is_everybody() {
    let (mut server, address) = serve(&[]);
    let mut good = Socket::join(&address, "good");
    server.event("connected");
    let mut star = Socket::connect(&address);
    star.send("*");
    // Its messages meanwhile are not told.
    star.send(r#"<Message msg_type="quit" src_sub_app="*" />"#);
    star.expect("engine");
    star.expect_bye();
    let rejected = server.event("rejected");
    assert_eq!(rejected["reason"], "reserved_id");
    assert!(rejected.get("peer").is_none(), "{rejected}");
    // One of protocol 2 is told why.
    let star = masep::blocking::Client::builder("*").connect(format!("masep://{address}"));
    let end = star.unwrap().connection().recv().unwrap_err();
    let words = end.words().expect("words");
    assert_eq!(&*words.code, "reserved_id");
    assert!(words.text.contains("all who are connected"), "{words}");
    assert_eq!(server.event("rejected")["reason"], "reserved_id");
    // The others have heard nothing of it, and are still there.
    server.send(r#"{"to":"*","bytes_hex":"01"}"#);
    good.expect([1]);
    server.send(r#"{"shutdown":true}"#);
    good.expect_bye();
    assert_eq!(server.event("closed")["peer"], "good");
    server.end_in_peace();

    for verb in ["serve", "join"] {
        let ran = run(&[verb, "127.0.0.1:0", "--id", "*"], "");
        ran.fails(2, "all who are connected");
    }
}

#[test]
fn an_id_that_looks_like_a_part_of_a_line_is_only_an_id() {
    let (mut server, address) = serve(&[]);
    for id in [
        "",
        "null",
        "**",
        " *",
        "a\",\"bye\":true,\"x\":\"",
        "$all",
        "\u{ff0a}",
    ] {
        let mut peer = Socket::join(&address, id);
        let event = server.event("connected");
        assert_eq!(event["peer"], id);
        let mut other = Socket::join(&address, "other");
        server.event("connected");
        server.send(json!({"to": event["peer"], "bytes_hex": "01"}));
        peer.expect([1]);
        server.send(json!({"to": event["peer"], "bye": true}));
        peer.expect_bye();
        assert_eq!(server.event("closed")["peer"], id);
        server.send(r#"{"to":"other","bye":true}"#);
        other.expect_bye();
        server.event("closed");
    }
    // An event without a peer names nobody.
    server.send(json!({"to": Json::Null, "bytes_hex": "01"}));
    assert_eq!(server.event("error")["kind"], "unexpected");
}

/// A server and an interface that are connected.
fn connected() -> (Session, Session) {
    let (mut server, address) = serve(&[]);
    let mut interface = Session::start(&["join", &address, "--id", "agent"]);
    interface.event("connected");
    server.event("connected");
    (server, interface)
}

#[test]
fn a_line_that_is_none_is_told_what_a_line_looks_like() {
    let (mut server, mut interface) = connected();
    for session in [&mut server, &mut interface] {
        for line in ["help", "{}", "[]", r#"{"msg_type":"quit"}"#] {
            session.send(line);
            let error = session.event("error");
            let message = error["message"].as_str().unwrap();
            let (_, example) = message
                .split_once("a line is, for example, ")
                .expect(message);
            let example: Json = serde_json::from_str(example).unwrap();
            assert!(example["message"]["msg_type"].is_string(), "{message}");
        }
        session.send(r#"{"to":"*","message":{"msg_type":"x","params":{"reward":NaN}}}"#);
        let error = session.event("error");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(r#"write {"$float": "nan"}"#), "{message}");
    }
}

#[test]
fn the_examples_in_messages_are_lines_that_can_be_done() {
    let (mut server, mut interface) = connected();
    let example = |session: &mut Session| {
        session.send("help");
        let error = session.event("error");
        let message = error["message"].as_str().unwrap().to_owned();
        message.split_once("for example, ").unwrap().1.to_owned()
    };
    let line = example(&mut server);
    server.send(line);
    assert_eq!(
        interface.event("message")["message"]["msg_type"],
        "observation"
    );
    let line = example(&mut interface);
    interface.send(line);
    assert_eq!(server.event("message")["message"]["msg_type"], "action");
}

#[test]
fn a_byte_order_mark_loses_no_line() {
    let (mut server, address) = serve(&[]);
    let mut peer = Socket::join(&address, "peer");
    server.event("connected");
    for number in [1, 2] {
        server.send(format!(
            "\u{feff}{}",
            json!({"to": "peer", "bytes_hex": format!("0{number}")})
        ));
        peer.expect([number]);
    }
    let quit = r#"{"msg_type":"quit","src_sub_app":"a"}"#;
    let encoded = run(&["encode"], format!("\u{feff}{quit}\r\n"));
    assert_eq!((encoded.code, encoded.lines().len()), (Some(0), 1));
    let hex = encoded.lines()[0];
    run(&["decode"], format!("\u{feff}{hex}\n")).succeeds();
}

/// A link-local address of this host, with its zone by name.
#[cfg(target_os = "linux")]
fn link_local() -> Option<String> {
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let line = addresses.lines().find(|line| line.starts_with("fe80"))?;
    let groups: Vec<&str> = (0..8).map(|at| &line[4 * at..4 * at + 4]).collect();
    let zone = line.split_whitespace().next_back()?;
    Some(format!("[{}%{zone}]", groups.join(":")))
}

#[cfg(target_os = "linux")]
#[test]
fn a_zone_can_be_a_name() {
    let Some(host) = link_local() else {
        return skipped("zones", "this host has no link-local address");
    };
    let any_port = format!("{host}:0");
    let with_port = |address: String| format!("{host}:{}", address.rsplit_once(':').unwrap().1);
    let mut server = Session::start(&["serve", &any_port, "--id", "engine"]);
    let to = with_port(server.address());
    let mut proxy = Session::start(&["tap", "--listen", &any_port, "--to", &to, "--json"]);
    let proxied = with_port(proxy.address());
    for to in [to, proxied] {
        let mut interface = Session::start(&["join", &to, "--id", "agent"]);
        interface.event("connected");
        server.event("connected");
        interface.send(r#"{"bye":true}"#);
        interface.event("closed");
        interface.end_in_peace();
        server.event("closed");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_zone_that_is_a_name_is_found_where_its_address_is_not() {
    // An address that nobody has, in a zone that all have.
    let address = "[fe80::7%lo]:1";
    run(&["join", address], "").fails(3, "masep: cannot connect to [fe80::7%");
    for args in [&["serve", address][..], &["tap", "--listen", address]] {
        let ran = run(args, "");
        ran.fails(1, &format!("masep: cannot listen on {address}: "));
        assert!(!ran.stderr.contains("not known"), "{}", ran.stderr);
    }
}

/// Takes the time out of an event, which has to be one of the last hour.
fn take_time(event: &mut Json) {
    let Some(Json::String(time)) = event.as_object_mut().unwrap().remove("time") else {
        panic!("no time: {event}");
    };
    let is_form = time.ends_with('Z') && time.as_bytes()[10] == b'T' && time.len() == 27;
    assert!(is_form, "{time}");
    let time = humantime::parse_rfc3339(&time).unwrap();
    let age = SystemTime::now().duration_since(time).unwrap_or_default();
    assert!(age < Duration::from_secs(3_600), "{age:?}");
}

#[test]
fn events_can_have_the_time_of_day() {
    let mut server = Session::start(&["serve", "127.0.0.1:0", "--id", "engine", "--time"]);
    let mut listening = server.event("listening");
    take_time(&mut listening);
    let address = listening["address"].as_str().unwrap().to_owned();
    let mut proxy = Session::start(&["tap", "--to", &address, "--json", "--time"]);
    let mut event = proxy.event("listening");
    take_time(&mut event);
    let proxied = event["address"].as_str().unwrap().to_owned();
    let mut interface = Session::start(&["join", &proxied, "--id", "agent", "--time"]);
    let mut event = interface.event("connected");
    take_time(&mut event);
    assert_eq!(
        event,
        json!({"event": "connected", "peer": "engine", "address": proxied, "protocol": 2, "id": "agent"})
    );
    interface.send(r#"{"message":{"msg_type":"quit"}}"#);
    interface.send("?");
    take_time(&mut interface.event("error"));
    interface.send(r#"{"bye":true}"#);
    take_time(&mut interface.event("closed"));
    interface.end_in_peace();
    for name in ["connected", "message", "closed"] {
        take_time(&mut server.event(name));
    }
    server.send(r#"{"shutdown":true}"#);
    server.end_in_peace();
    proxy.signal(Signal::SIGTERM);
    let mut lines = 0;
    while let Some(line) = proxy.line() {
        take_time(&mut serde_json::from_str(&line).unwrap());
        lines += 1;
    }
    assert!(lines >= 6, "{lines}");

    let mut proxy = Session::start(&["tap", "--to", &address, "--time"]);
    let line = proxy.line().unwrap();
    let (time, rest) = line.split_once(' ').unwrap();
    humantime::parse_rfc3339(time).unwrap();
    assert!(rest.starts_with("listening on "), "{line}");
}

#[test]
fn an_interface_can_wait_for_its_engine() {
    for scheme in ["pymasep://", ""] {
        let (listener, address) = listen();
        let address = format!("{scheme}{address}");
        let mut early = Session::start(&["join", &address, "--wait", "1h", "--id", "early"]);
        // There is somebody, but no engine yet.
        drop(Socket::accept(&listener));
        drop(Socket::accept(&listener));
        if scheme.is_empty() {
            // It asks for protocol 2, is answered in pymasep's, and speaks that.
            let (mut probed, hello) = Socket::welcome(&listener);
            assert_eq!(hello, "masep/2");
            probed.expect("BYE");
        }
        let (mut server, id) = Socket::welcome(&listener);
        assert_eq!(id, "early");
        early.event("connected");
        early.send(r#"{"bye":true}"#);
        server.expect_bye();
        early.event("closed");
        early.end_in_peace();
    }

    let (_nobody, address) = nobody();
    let ran = run(&["join", &address.to_string(), "--wait", "10ms"], "");
    ran.fails(3, "Connection refused");
    assert_eq!(ran.stdout, "");

    // Somebody who is no engine does not become one.
    let (listener, address) = listen();
    let other = std::thread::spawn(move || Socket::accept(&listener).send(b"\xff"));
    let ran = run(&["join", &address.to_string(), "--wait", "1h"], "");
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    other.join().unwrap();

    // A signal ends the wait.
    let (listener, address) = listen();
    let late = start_join(address, &["--wait", "1h"]);
    drop(Socket::accept(&listener));
    drop(Socket::accept(&listener));
    late.signal(Signal::SIGTERM);
    assert_eq!(late.end(), (Some(143), String::new()));
}
