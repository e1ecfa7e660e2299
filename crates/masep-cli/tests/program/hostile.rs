//! Attacks by strangers on the program: bad frames from either side, ids that would steer a terminal,
//! a process without descriptors, JSON that is larger than it looks.

use serde_json::Value as Json;

use crate::corpus::{self, Input, TAKEN};
use crate::run::{command_behind, framed, hex, run};
use crate::session::{Session, serve};
use crate::socket::{Socket, listen, start_join, tapped};

/// Bad inputs of each kind, of a size that keeps a test short.
fn inputs() -> Vec<Input> {
    let mut inputs = corpus::bombs(3_000);
    inputs.extend(corpus::encodings());
    inputs.extend(corpus::damaged(300));
    inputs
}

/// Clears the screen, writes a line of its own, turns the direction of writing round.
const EVIL: &str = "a\u{1b}[2J\u{9b}31m\r\n{}\u{202e}\u{2028}\u{7f}\0";

fn assert_harmless(text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{2028}'..='\u{202e}');
    assert!(!text.contains(obeyed), "{text:?}");
}

/// Checks that a line says of an input all that it has to.
fn assert_told(line: &str, input: &Input) {
    assert_harmless(line);
    // serde_json does not read a deeply nested line as it stands.
    let error = line.split_once(r#""error":{"kind":""#);
    let kind = error.and_then(|(_, rest)| rest.split('"').next());
    let outcome = kind.unwrap_or(TAKEN);
    let expected = input.outcomes;
    assert!(expected.contains(&outcome), "{}: {line}", input.name);
}

#[test]
fn a_server_tells_each_bad_frame_and_goes_on() {
    let (mut server, address) = serve(&["--bad-frames", "0"]);
    let mut bad = Socket::join(&address, EVIL);
    let connected = server.line().unwrap();
    assert_harmless(&connected);
    assert_eq!(
        serde_json::from_str::<Json>(&connected).unwrap()["peer"],
        EVIL
    );
    for input in inputs() {
        bad.send(&input.bytes);
        assert_told(&server.line().unwrap(), &input);
    }
    let mut good = Socket::join(&address, "good");
    server.event("connected");
    server.send(r#"{"to":"*","bytes_hex":"6869"}"#);
    good.expect("hi");
    bad.expect("hi");
    server.send(r#"{"shutdown":true}"#);
    good.expect_bye();
    server.event("closed");
    server.event("closed");
    server.end_in_peace();
}

#[test]
fn an_interface_tells_each_bad_frame_and_goes_on() {
    let (listener, address) = listen();
    let mut interface = start_join(address, &[]);
    let mut engine = Socket::accept(&listener);
    engine.expect("agent");
    engine.send(EVIL);
    assert_harmless(&interface.line().unwrap());
    for input in inputs() {
        engine.send(&input.bytes);
        assert_told(&interface.line().unwrap(), &input);
    }
    // A reset is told with the server's id, on standard error too.
    engine.reset();
    let (code, stderr) = interface.end();
    assert_eq!(code, Some(4));
    assert_harmless(&stderr);
}

#[test]
fn a_tap_shows_each_bad_frame_without_obeying_it_and_passes_it_on() {
    for options in [&[][..], &["--full"], &["--json"]] {
        let (mut tap, mut client, mut server) = tapped(options);
        tap.line().unwrap();
        client.send(EVIL);
        server.expect(EVIL);
        assert_harmless(&tap.line().unwrap());
        for input in inputs() {
            client.send(&input.bytes);
            server.expect(&input.bytes);
            assert_harmless(&tap.line().unwrap());
        }
    }
}

#[test]
fn each_bad_line_is_an_error_in_its_place_and_memory_is_bounded() {
    let mut decode = Session::start(&["decode"]);
    let mut inputs = corpus::bombs(65_535);
    inputs.extend(corpus::bombs(1 << 20).into_iter().step_by(7));
    for input in inputs {
        decode.send(hex(&input.bytes));
        assert_told(&decode.line().unwrap(), &input);
    }
    #[cfg(target_os = "linux")]
    {
        let peak = decode.peak_memory() >> 20;
        println!("{peak} MiB at most");
        assert!(peak < 256, "{peak} MiB");
    }
    decode.close_stdin();
    // Some lines could not be done.
    assert_eq!(decode.end(), (Some(1), String::new()));
}

#[test]
fn json_that_is_larger_than_it_looks_is_an_error_and_memory_is_bounded() {
    let (mut server, address) = serve(&[]);
    let params = |params: String| {
        format!(r#"{{"to":"agent","message":{{"msg_type":"x","params":{{"k":{params}}}}}}}"#)
    };
    let nests = vec![r#"{"$nest":["list",500,1]}"#; 100_000].join(",");
    for (line, kind) in [
        (params(format!("[{nests}]")), "limit"),
        (params(format!("[{}1]", "[],".repeat(1_300_000))), "limit"),
        (
            params(format!("[{}1]", "{\"\":1},".repeat(500_000))),
            "limit",
        ),
        (params("9".repeat(1_000_000)), "limit"),
        (
            params(format!("{}e9", "9".repeat(1_000_000))),
            "invalid_float",
        ),
        (params("[".repeat(4_000_000)), "limit"),
        (
            // A frame that a peer of protocol 2 could be sent.
            params(format!("\"{}\"", "\\u0001".repeat(100_000))),
            "unknown_peer",
        ),
        (
            format!("{{\"{}\":1}}", "k".repeat(1_000_000)),
            "unknown_key",
        ),
        ("x".repeat(8_000_000), "limit"),
    ] {
        server.send(line);
        let error = server.event("error");
        assert_eq!(error["kind"], kind, "{error:.200}");
    }
    #[cfg(target_os = "linux")]
    {
        let peak = server.peak_memory() >> 20;
        println!("{peak} MiB at most");
        assert!(peak < 1_024, "{peak} MiB");
    }
    drop(Socket::join(&address, "agent"));
    server.event("connected");
}

/// A server that may open this many files.
fn serve_with_few_descriptors(most: u32) -> Session {
    let args = ["serve", "127.0.0.1:0", "--id", "engine"];
    Session::spawn_read(&mut command_behind(&format!("ulimit -n {most}"), &args))
}

#[test]
fn a_server_without_a_free_descriptor_goes_on_with_those_it_has() {
    let mut server = serve_with_few_descriptors(32);
    let address = server.address();
    // The kernel takes more of them than the server can.
    let mut peers: Vec<Socket> = (0..40)
        .map(|n| {
            let mut peer = Socket::connect(&address);
            peer.send(format!("peer {n}"));
            peer
        })
        .collect();
    peers[0].expect("engine");
    while server.event("connected")["peer"] != "peer 0" {}
    for _ in 0..20 {
        server.send(r#"{"to":"peer 0","bytes_hex":"6869"}"#);
        peers[0].expect("hi");
    }
    // Those that were taken go; then there are descriptors for the last one.
    let mut last = peers.pop().unwrap();
    drop(peers);
    last.expect("engine");
    server.send(r#"{"shutdown":true}"#);
    last.expect_bye();
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0));
    let warnings = stderr.matches("accepting rests").count();
    assert!((1..20).contains(&warnings), "{stderr}");
}

#[test]
fn a_file_of_bad_bytes_is_decoded_to_its_end() {
    let mut stream = framed("agent");
    let inputs = inputs();
    for input in &inputs {
        stream.extend(framed(&input.bytes));
    }
    stream.extend(framed("BYE"));
    let run = run(&["decode", "--stream"], stream);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.lines().len(), inputs.len() + 2);
    assert_harmless(&run.stdout);
}
