//! `masep tap`, between bare sockets and between masep's own peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value as Json, json};

use crate::run::{framed, picked, run};
use crate::session::{Session, serve, tap};
use crate::socket::{Heard, Socket, listen, nobody, tapped, tapped_unread};

const QUIT: &str = r#"<Message msg_type="quit" src_sub_app="agent" />"#;

/// Two sockets with the proxy between them.
fn pair(address: &str, listener: &TcpListener) -> (Socket, Socket) {
    let client = Socket::connect(address);
    (client, Socket::accept(listener))
}

/// The next line without its time, which has to be later than the last.
fn entry(proxy: &mut Session) -> Json {
    let mut entry = proxy.json();
    let time = entry.as_object_mut().unwrap().remove("t").expect("a time");
    assert!(
        time.as_f64().is_some_and(|time| (0.0..1e6).contains(&time)),
        "{time}"
    );
    entry
}

#[test]
fn each_frame_is_printed_with_its_meaning() {
    let (listener, to) = listen();
    let (mut proxy, address) = tap(to, &["--json"]);
    let (mut client, mut server) = pair(&address, &listener);
    let client_address = client.stream.local_addr().unwrap().to_string();
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "c2s", "event": "open", "address": client_address})
    );
    client.send("agent-é");
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "c2s", "size": 8, "hello": "agent-é"})
    );
    server.send(b"\xff");
    let hello = entry(&mut proxy);
    assert_eq!(picked(&hello, ["dir", "bytes_hex"]), json!(["s2c", "ff"]));
    assert_eq!(hello["error"]["kind"], "hello");
    client.send(QUIT);
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "c2s", "size": QUIT.len(), "message": {
            "msg_type": "quit", "src_sub_app": "agent", "params": null,
        }})
    );
    server.send("");
    let empty = entry(&mut proxy);
    assert_eq!(picked(&empty, ["size", "bytes_hex"]), json!([0, ""]));
    assert!(empty["error"]["kind"].is_string());
    client.send("BYE");
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "c2s", "size": 3, "bye": true})
    );
    server.write(&[9, 0, 1, 2]);
    server.stream.shutdown(Shutdown::Write).unwrap();
    let cut = entry(&mut proxy);
    assert_eq!(cut["bytes_hex"], "09000102");
    assert_eq!(cut["error"]["kind"], "truncated");
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "s2c", "event": "eof"})
    );
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        entry(&mut proxy),
        json!({"conn": 0, "dir": "c2s", "event": "eof"})
    );

    let (_client, _server) = pair(&address, &listener);
    assert_eq!(entry(&mut proxy)["conn"], 1);
    proxy.signal(Signal::SIGINT);
    proxy.end_in_peace();
}

/// Bytes in pieces of all sizes, some of them frames.
fn garbage(seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut random = move |below: u64| {
        // Knuth's linear congruential generator: any bytes will do.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..200)
        .map(|_| {
            let most = [3, 100, 70_000][usize::try_from(random(3)).unwrap()];
            let body: Vec<u8> = (0..random(most))
                .map(|_| u8::try_from(random(256)).unwrap())
                .collect();
            if random(2) == 0 && body.len() < 65_536 {
                framed(body)
            } else {
                body
            }
        })
        .collect()
}

#[test]
fn bytes_go_through_unchanged_and_so_do_half_closes() {
    let (proxy, client, server) = tapped(&["--json"]);
    let mut threads = Vec::new();
    for (socket, sends, hears) in [(client, 1, 2), (server, 2, 1)] {
        let mut reader = socket.stream.try_clone().unwrap();
        threads.push(thread::spawn(move || {
            let mut heard = Vec::new();
            reader.read_to_end(&mut heard).unwrap();
            assert!(
                heard == garbage(hears).concat(),
                "other bytes came than were sent"
            );
        }));
        threads.push(thread::spawn(move || {
            let mut writer = socket.stream;
            for piece in garbage(sends) {
                writer.write_all(&piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    proxy.signal(Signal::SIGTERM);
    proxy.end_in_peace();
}

#[test]
fn one_side_can_still_speak_when_the_other_has_closed() {
    let (_proxy, client, mut server) = tapped(&[]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.hear(), Heard::End);
    server.send("more");
    let mut client = client;
    client.expect("more");
    drop(server);
    assert_eq!(client.hear(), Heard::End);
}

#[test]
fn resets_go_through_in_both_directions() {
    let (listener, to) = listen();
    let (mut proxy, address) = tap(to, &["--json"]);

    let (mut client, mut server) = pair(&address, &listener);
    client.send("last words");
    server.expect("last words");
    client.reset();
    assert_eq!(server.hear(), Heard::Reset);

    let (mut client, mut server) = pair(&address, &listener);
    server.send("last words");
    client.expect("last words");
    server.reset();
    assert_eq!(client.hear(), Heard::Reset);

    // Also of one that has half-closed and says nothing more.
    let (client, mut server) = pair(&address, &listener);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.hear(), Heard::End);
    client.reset();
    let mut byte = [0];
    let error = loop {
        match server
            .stream
            .write(&[0])
            .and_then(|_| server.stream.read(&mut byte))
        {
            Ok(_) => {}
            Err(error) => break error.kind(),
        }
    };
    assert!(
        matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );

    let mut events = Vec::new();
    while events.len() < 2 {
        let entry = entry(&mut proxy);
        if entry["event"] == "reset" {
            events.push((entry["conn"].clone(), entry["dir"].clone()));
        }
    }
    assert_eq!(events, [(json!(0), json!("c2s")), (json!(1), json!("s2c"))]);
}

#[test]
fn a_server_that_is_not_there_is_told_and_refuses_the_client() {
    let (_nobody, to) = nobody();
    let (mut proxy, address) = tap(to, &["--json"]);
    let mut client = Socket::connect(&address);
    assert_eq!(client.hear(), Heard::Reset);
    assert_eq!(entry(&mut proxy)["event"], "open");
    let refused = entry(&mut proxy);
    assert_eq!(refused["event"], "refused");
    let error = refused["error"].as_str().unwrap();
    assert!(
        error.starts_with(&to.to_string()) && error.contains("refused"),
        "{error}"
    );
}

#[test]
fn lines_for_people_are_short_and_harmless() {
    let long = format!(
        "<Message msg_type=\"observation\" src_sub_app=\"e\"><dict><item key=\"k\"><str>{}\n\u{202e}é</str>\
         </item></dict></Message>",
        "x".repeat(1_000)
    );
    for (options, is_full) in [(&[][..], false), (&["--full"], true)] {
        let (mut proxy, mut client, _server) = tapped(options);
        client.send("a\x1b[31m\u{202e}");
        client.send(&long);
        client.send("<a");
        client.send("BYE");
        drop(client);
        let mut line = |columns: &str| {
            let line = proxy.line().expect("a line");
            let (time, rest) = line.split_at(12);
            assert!(time.trim().parse::<f64>().is_ok(), "{line}");
            assert!(rest.starts_with(columns), "{line}");
            rest.to_owned()
        };
        line("   0 c2s          open from 127.0.0.1:");
        assert!(line("   0 c2s      9 B hello a\\u{1b}[31m\\u{202e}").ends_with('}'));
        let size = format!("{} B", long.len());
        let message = line(&format!(
            "   0 c2s {size:>8} observation <Message msg_type="
        ));
        assert_eq!(
            message.contains("\\n&#8238;&#233;</str></item></dict></Message>"),
            is_full
        );
        assert_eq!(message.ends_with(" more)"), !is_full);
        assert!(is_full || message.chars().count() < 220, "{message}");
        let bytes = line("   0 c2s      2 B bytes (");
        assert!(bytes.ends_with(" 3c61"), "{bytes}");
        line("   0 c2s      3 B BYE");
        line("   0 c2s          eof");
    }
}

#[test]
fn an_output_that_nobody_reads_does_not_hold_up_the_game() {
    const FRAMES: u32 = 2_500;
    let (mut proxy, mut client, mut server) = tapped_unread(&["--json"]);
    let writer = thread::spawn(move || {
        for number in 0..FRAMES {
            client.send([&number.to_be_bytes()[..], &[b'x'; 20_000]].concat());
        }
        client
    });
    for number in 0..FRAMES {
        let Heard::Frame(body) = server.hear() else {
            panic!("the stream ended");
        };
        assert_eq!(body[..4], number.to_be_bytes());
    }
    let client = writer.join().unwrap();

    // All 50 MB are through, and still nothing was read.
    #[cfg(target_os = "linux")]
    assert!(proxy.peak_memory() < 40_000_000, "{}", proxy.peak_memory());
    drop((client, server));
    proxy.read();
    let mut printed = 0;
    let mut skipped = 0;
    while printed + skipped < u64::from(FRAMES) + 2 {
        let entry = proxy.json();
        match entry["event"].as_str() {
            Some("skipped") => skipped += entry["lines"].as_u64().unwrap(),
            Some("eof") => break,
            _ => printed += 1,
        }
    }
    assert!(
        skipped > 0 && printed > 100,
        "{printed} printed, {skipped} skipped"
    );
    assert!(
        printed + skipped >= u64::from(FRAMES),
        "{printed} printed, {skipped} skipped"
    );
    proxy.signal(Signal::SIGINT);
    proxy.end_in_peace();
}

#[test]
fn it_ends_when_asked_to_also_if_nobody_reads() {
    let (proxy, mut client, mut server) = tapped_unread(&[]);
    // More lines than a pipe holds.
    for _ in 0..5_000 {
        client.send("no message");
    }
    client.send("BYE");
    while server.hear() != Heard::Frame(b"BYE".to_vec()) {}
    proxy.signal(Signal::SIGINT);
    let (code, stderr) = proxy.end();
    assert_eq!(code, Some(0));
    assert!(stderr.contains("standard output is not read"), "{stderr}");
}

#[test]
fn many_connections_go_through_at_once() {
    let (listener, to) = listen();
    let (proxy, address) = tap(to, &[]);
    let mut pairs: Vec<_> = (0..100).map(|_| pair(&address, &listener)).collect();
    for (number, (client, _)) in pairs.iter_mut().enumerate() {
        client.send(number.to_string());
    }
    for (_, server) in &mut pairs {
        let Heard::Frame(number) = server.hear() else {
            panic!("the stream ended");
        };
        server.send(number);
    }
    for (number, (client, _)) in pairs.iter_mut().enumerate() {
        client.expect(number.to_string());
    }
    // The end of the proxy is no end of a stream, which would make a pymasep peer spin.
    proxy.signal(Signal::SIGINT);
    for (client, server) in &mut pairs {
        assert_eq!((client.hear(), server.hear()), (Heard::Reset, Heard::Reset));
    }
    proxy.end_in_peace();
}

#[test]
fn a_connection_too_many_is_told_and_reset_and_the_others_go_on() {
    for options in [
        &["--max-connections", "2", "--json"][..],
        &["--max-connections", "2"],
    ] {
        let (listener, to) = listen();
        let (mut proxy, address) = tap(to, options);
        let mut pairs = [pair(&address, &listener), pair(&address, &listener)];
        // More of them than wait for a place.
        let more: Vec<Socket> = (0..30).map(|_| Socket::connect(&address)).collect();
        let mut rejected = 0;
        while rejected < more.len() {
            let line = proxy.line().unwrap();
            rejected += usize::from(line.contains("rejected") && line.contains("limit of 2"));
        }
        for mut socket in more {
            assert_eq!(socket.hear(), Heard::Reset);
        }
        for (client, server) in &mut pairs {
            client.send("agent");
            server.expect("agent");
        }
        // A peer that leaves makes room, also for one that comes before its place is free.
        let [(client, server), _other] = pairs;
        drop((client, server));
        let next = Socket::connect(&address);
        let mut served = Socket::accept(&listener);
        drop(next);
        assert_eq!(served.hear(), Heard::End);
    }
}

#[test]
fn masep_plays_with_masep_through_it() {
    let (mut engine, to) = serve(&[]);
    let (mut proxy, address) = tap(to, &["--json"]);
    let args = ["join", &address, "--id", "agent", "--protocols", "pymasep"];
    let mut agent = Session::start(&args);
    assert_eq!(agent.event("connected")["peer"], "engine");
    engine.event("connected");
    agent.send(r#"{"message":{"msg_type":"quit"}}"#);
    agent.send(r#"{"bye":true}"#);
    assert_eq!(engine.event("message")["message"]["msg_type"], "quit");
    assert_eq!(engine.event("closed")["detail"], "the peer said BYE");
    agent.event("closed");
    agent.end_in_peace();
    let mut seen = Vec::new();
    while seen.last() != Some(&("c2s".to_owned(), "bye".to_owned())) {
        let entry = entry(&mut proxy);
        let what = ["hello", "message", "bye", "event"]
            .iter()
            .find(|key| !entry[**key].is_null());
        seen.push((
            entry["dir"].as_str().unwrap().to_owned(),
            (*what.unwrap()).to_owned(),
        ));
    }
    let expected = [
        ("c2s", "event"),
        ("c2s", "hello"),
        ("s2c", "hello"),
        ("c2s", "message"),
        ("c2s", "bye"),
    ];
    assert_eq!(
        seen,
        expected.map(|(dir, what)| (dir.to_owned(), what.to_owned()))
    );
}

#[test]
fn who_closes_standard_output_ends_it() {
    let (mut proxy, mut client, _server) = tapped_unread(&[]);
    proxy.close_stdout();
    assert_eq!(client.hear(), Heard::Reset);
    proxy.end_in_peace();
}

#[test]
fn wrong_arguments_are_told() {
    let (_listener, address) = listen();
    let ran = run(&["tap", "--listen", &address.to_string()], "");
    ran.fails(1, &format!("masep: cannot listen on {address}: "));
    assert_eq!(run(&["tap", "--to", "host"], "").code, Some(2));
}
