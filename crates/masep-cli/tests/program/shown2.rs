//! Protocol 2 as `masep tap` and `masep decode` show it.

use masep::{Array, Dict, Hello, Message, MessageType, Rejected, Value, Welcome};
use masep_proto::protocol2::{Control, Header, kind, preamble};
use masep_proto::{Limits, cbor};
use serde_json::{Value as Json, json};

use crate::run::{picked, run};
use crate::session::{Session, serve, tap};
use crate::socket::{Socket, tapped};

const SECRETS: [&str; 2] = ["an access token", "a resume text"];

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(kind, u32::try_from(payload.len()).unwrap());
    let mut bytes = [&header.to_bytes(), payload].concat();
    bytes.resize(header.whole(), 0);
    bytes
}

fn control(control: &Control) -> Vec<u8> {
    frame(control.kind(), &control.encode().unwrap())
}

/// A hello with all that is secret.
fn hello() -> Control {
    let mut hello = Hello::new("agent".into(), 65_536);
    hello.role = Some("actor".into());
    hello.token = Some(SECRETS[0].into());
    hello.resume = Some(SECRETS[1].into());
    Control::Hello(Box::new(hello))
}

fn welcome() -> Control {
    let mut welcome = Welcome::new("engine".into(), 65_536);
    welcome.seat = Some("red".into());
    welcome.resume = Some(SECRETS[1].into());
    Control::Welcome(Box::new(welcome))
}

/// A message with an array of 28,224 bytes, and its turn.
fn message() -> Vec<u8> {
    let image = Array::from_vec(&[84, 84, 4], vec![7_u8; 84 * 84 * 4]).unwrap();
    let params = Dict::from([("image", Value::from(image))]);
    let message = Message::new(MessageType::Observation, Value::from(params), "engine");
    let turn = Dict::from([("n", 7)]);
    let bytes = cbor::encode_message(&message, Some(&turn), &Limits::default()).unwrap();
    frame(kind::CBOR, &bytes)
}

fn assert_no_secret(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!shown.contains(&hex::encode(secret)), "{shown}");
    }
}

/// A proxy in front of a bare socket.
fn open(options: &[&str]) -> (Session, Socket, Socket) {
    let (mut proxy, client, server) = tapped(options);
    let open = proxy.line().unwrap();
    assert!(open.contains("open"), "{open}");
    (proxy, client, server)
}

/// The next line of JSON, without the place.
fn said(proxy: &mut Session) -> Json {
    let mut line = proxy.json();
    for key in ["t", "conn", "dir"] {
        line.as_object_mut().unwrap().remove(key);
    }
    line
}

/// The text of a line, behind the number of bytes.
fn text(proxy: &mut Session) -> String {
    let line = proxy.line().unwrap();
    line.split_once(" B ")
        .map_or(line.clone(), |(_, said)| said.to_owned())
}

#[test]
fn a_conversation_in_protocol_2_is_shown_frame_by_frame() {
    let (mut proxy, mut client, mut server) = open(&["--json"]);
    client.write(preamble::CLIENT);
    assert_eq!(said(&mut proxy), json!({"size": 16, "preamble": 2}));
    client.write(&control(&hello()));
    let fields = json!({
        "v": [2, 2], "id": "agent", "role": "actor", "token": "...", "resume": "...", "max": 65_536,
    });
    let line = said(&mut proxy);
    assert_eq!(
        picked(&line, ["control", "fields"]),
        json!(["hello", fields])
    );
    let first = [preamble::SERVER, &control(&welcome())].concat();
    server.write(&first);
    assert_eq!(said(&mut proxy)["preamble"], 2);
    let line = said(&mut proxy);
    assert_eq!(line["control"], "welcome");
    assert_eq!(
        picked(&line["fields"], ["seat", "resume"]),
        json!(["red", "..."])
    );

    server.write(&message());
    let shown = json!({
        "msg_type": "observation", "src_sub_app": "engine",
        "params": {"image": {"$array": "uint8[84,84,4]"}}, "turn": {"n": 7},
    });
    assert_eq!(said(&mut proxy)["message"], shown);
    // Pings are not shown here; the rest is.
    client.write(&frame(kind::PING, b"12345678"));
    client.write(&frame(kind::BYTES, b"abc"));
    assert_eq!(said(&mut proxy), json!({"size": 3, "bytes_hex": "616263"}));
    client.write(&frame(200, b"?"));
    assert_eq!(
        said(&mut proxy),
        json!({"size": 1, "kind": 200, "bytes_hex": "3f"})
    );
    client.write(&frame(9, b"?"));
    assert_eq!(said(&mut proxy)["error"]["kind"], "unsupported");
    let notice = masep::Notice::new("late", "too late").about(Dict::from([("turn", 7)]));
    server.write(&control(&Control::Notice(notice)));
    let fields = json!({"code": "late", "text": "too late", "about": {"turn": 7}});
    assert_eq!(said(&mut proxy)["fields"], fields);
    let bye = masep::Bye::new("shutdown", "good night").may_return(true);
    server.write(&control(&Control::Bye(bye)));
    let line = said(&mut proxy);
    let fields = json!({"code": "shutdown", "text": "good night", "may_return": true});
    assert_eq!(picked(&line, ["control", "fields"]), json!(["bye", fields]));
    // Bytes that are no frame are told once, and nothing behind them.
    server.write(&[1, 0, 0, 0, 16, 1, 0, 0, 5, 5]);
    assert_eq!(said(&mut proxy)["error"]["kind"], "header");
    server.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(said(&mut proxy)["event"], "eof");
}

#[test]
fn the_same_as_text_and_in_full() {
    let (mut proxy, mut client, mut server) = open(&["--pings"]);
    let first = [preamble::CLIENT, &control(&hello())].concat();
    client.write(&first);
    assert_eq!(text(&mut proxy), "preamble protocol 2");
    let line = text(&mut proxy);
    assert!(
        line.starts_with(r#"HELLO {"v":[2,2],"id":"agent","role":"actor","token":"...""#),
        "{line}"
    );
    let rejected = Control::Rejected(Rejected::new("full", "no seat\u{1b}[31m").retry_ms(5));
    server.write(&[preamble::SERVER, &control(&rejected)].concat());
    assert_eq!(text(&mut proxy), "preamble protocol 2");
    let line = text(&mut proxy);
    assert!(
        line.starts_with(r#"REJECTED {"code":"full","text":"no seat"#),
        "{line}"
    );
    assert!(!line.contains('\u{1b}'), "{line:?}");
    server.write(&message());
    let line = text(&mut proxy);
    assert!(
        line.starts_with("observation ") && line.contains("uint8[84,84,4]"),
        "{line}"
    );
    for (kind, name) in [(kind::PING, "PING"), (kind::PONG, "PONG")] {
        client.write(&frame(kind, b"12345678"));
        let expected = format!(r#"{name} {{"token":"3132333435363738"}}"#);
        assert_eq!(text(&mut proxy), expected);
    }

    for options in [&["--full"][..], &["--full", "--json"]] {
        let (mut proxy, _client, mut server) = open(options);
        server.write(&[preamble::SERVER, &message()].concat());
        let _preamble = proxy.line();
        let line = proxy.line().unwrap();
        assert!(
            line.contains(r#""shape":[84,84,4],"base64":"BwcHBw"#),
            "{line:.300}"
        );
    }
}

/// Also where a hello is cut, or is none.
#[test]
fn no_secret_is_ever_shown() {
    let whole = control(&hello());
    let cut = &whole[..whole.len() - 8];
    let mut broken = whole.clone();
    // The first key is none any more.
    broken[8 + 1] = 0xff;
    let mut flagged = whole.clone();
    flagged[5] = 1;
    for bytes in [&whole[..], cut, &broken, &flagged, &control(&welcome())] {
        for options in [&[][..], &["--json"], &["--full"], &["--json", "--full"]] {
            let (mut proxy, mut client, server) = open(options);
            client.write(&[preamble::CLIENT, bytes].concat());
            drop((client, server));
            loop {
                let line = proxy.line().unwrap();
                assert_no_secret(&line);
                if line.contains("eof") || line.contains("reset") {
                    break;
                }
            }
        }
        let decoded = run(
            &["decode", "--stream", "--full"],
            [preamble::CLIENT, bytes].concat(),
        );
        assert_no_secret(&decoded.stdout);
        assert_no_secret(&decoded.stderr);
    }
}

#[test]
fn a_stream_of_protocol_2_is_decoded() {
    let bye = Control::Bye(masep::Bye::new("bye", ""));
    let stream = [
        preamble::SERVER,
        &control(&welcome()),
        &message(),
        &control(&bye),
    ]
    .concat();
    let decoded = run(&["decode", "--stream"], stream.clone());
    let lines = decoded.json();
    decoded.succeeds();
    assert_eq!(lines[0], json!({"preamble": 2}));
    assert_eq!(lines[1]["control"], "welcome");
    assert_eq!(lines[1]["fields"]["id"], "engine");
    assert_eq!(
        lines[2]["params"]["image"],
        json!({"$array": "uint8[84,84,4]"})
    );
    assert_eq!(lines[2]["turn"], json!({"n": 7}));
    assert_eq!(lines[3]["control"], "bye");
    assert_eq!(lines.len(), 4);

    // Bytes behind the end, and an end within a frame.
    let behind = run(&["decode", "--stream"], [&stream[..], b"more"].concat());
    assert_eq!(behind.code, Some(1));
    behind.prints("4 bytes after BYE");
    let cut = run(&["decode", "--stream"], &stream[..stream.len() - 9]);
    assert_eq!(cut.code, Some(1));
    cut.prints(r#""kind":"truncated""#);
    // The output of --full is read again.
    let full = run(&["decode", "--stream", "--full"], stream);
    let line = full.stdout.lines().nth(2).unwrap();
    let encoded = run(&["encode", "--protocol", "2"], format!("{line}\n"));
    let header = Header::BYTES;
    assert!(hex::encode(&message()[header..]).starts_with(encoded.stdout.trim_end()));
}

/// Between masep's own programs, which find out what each speaks.
#[test]
fn tap_between_serve_and_join() {
    let (mut engine, to) = serve(&[]);
    let (mut proxy, address) = tap(to, &["--json"]);
    let mut agent = Session::start(&["join", &address, "--id", "agent"]);
    assert_eq!(agent.event("connected")["protocol"], 2);
    engine.event("connected");
    let mut controls = Vec::new();
    agent.send(r#"{"bye":true}"#);
    loop {
        let line = proxy.json();
        if line["event"] == "eof" {
            break;
        }
        controls.extend(line["control"].as_str().map(str::to_owned));
    }
    assert_eq!(controls, ["hello", "welcome", "bye"]);
}
