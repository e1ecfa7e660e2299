//! The byte examples in PROTOCOL.md and PROTOCOL2.md and the table of limits hold. The first one's section 13 says how they are
//! written; `interop/test_protocol_md.py` holds the same examples against the real pymasep.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use masep_proto::connection::{Config, Connection, Protocols, Read};
use masep_proto::discovery::{
    DESCRIPTION_BYTES, DESCRIPTION_QUESTION, Description, QUESTION, Search, parse_description,
};
use masep_proto::protocol2::{Control, Header, preamble};
use masep_proto::{
    Dict, Frame, FrameCodec, Limits, Message, MessageType, ServerLimits, Value, cbor,
};

/// One record of an example: its lines by key, and where it stands.
struct Example {
    line: usize,
    fields: BTreeMap<String, String>,
}

impl Example {
    fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    fn parse<T: std::str::FromStr<Err: Debug>>(&self, key: &str) -> T {
        let text = self.get(key).unwrap_or_default();
        text.parse()
            .unwrap_or_else(|error| panic!("PROTOCOL.md:{}: {key}: {error:?}", self.line))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, key: &str) -> T {
        let text = self.get(key).unwrap_or_default();
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("PROTOCOL.md:{}: {key}: {error}", self.line))
    }

    fn hex(&self) -> Option<Bytes> {
        let digits = self.get("hex")?.replace(' ', "");
        let bytes = hex::decode(digits);
        Some(
            bytes
                .unwrap_or_else(|error| panic!("PROTOCOL.md:{}: hex: {error}", self.line))
                .into(),
        )
    }

    /// The bytes that the example gives: a whole message, or one value.
    fn bytes(&self) -> Bytes {
        let text = self.get("document").or_else(|| self.get("xml"));
        let text = text.map(|text| Bytes::from(text.to_owned()));
        if let (Some(text), Some(hex)) = (&text, self.hex()) {
            assert_eq!(text, &hex, "PROTOCOL.md:{}: hex", self.line);
        }
        text.or_else(|| self.hex()).expect("bytes in the example")
    }

    /// The bytes as a message: a value is put into one, as its only parameter.
    fn document(&self) -> Bytes {
        let bytes = self.bytes();
        if self.get("document").is_some() || bytes.starts_with(b"<Message") {
            return bytes;
        }
        let before = br#"<Message msg_type="action" src_sub_app="s"><dict><item key="v">"#;
        [before, &*bytes, b"</item></dict></Message>"]
            .concat()
            .into()
    }

    /// The message that the example is about: its own, or one with the value in it.
    fn message(&self) -> Message {
        if self.get("message").is_some() {
            return self.json("message");
        }
        let value: Value = self.json("value");
        Message::new(MessageType::Action, Dict::from([("v", value)]), "s")
    }
}

fn protocol() -> &'static str {
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../PROTOCOL.md"))
}

/// The values and messages of protocol 2 have a document of their own.
fn protocol_2() -> &'static str {
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../PROTOCOL2.md"))
}

/// The records of all blocks of this kind: at least one.
fn examples(kind: &str) -> Vec<Example> {
    examples_in(protocol(), kind)
}

fn examples_in(document: &str, kind: &str) -> Vec<Example> {
    let opening = format!("```example {kind}");
    let mut examples = Vec::new();
    let mut lines = document.lines().zip(1..);
    while lines.by_ref().any(|(line, _)| line == opening) {
        let block = lines.by_ref().take_while(|(line, _)| *line != "```");
        let block: Vec<_> = block.collect();
        let records = block.split(|(line, _)| line.is_empty());
        examples.extend(records.map(record));
    }
    assert!(!examples.is_empty(), "no example {kind}");
    examples
}

fn record(lines: &[(&str, usize)]) -> Example {
    let mut fields = BTreeMap::new();
    let mut key = "";
    for (line, _) in lines {
        let text = if line.starts_with(' ') {
            line
        } else {
            let (new_key, text) = line.split_once(' ').expect("a key and its text");
            key = new_key;
            text
        };
        fields
            .entry(key.to_owned())
            .or_insert_with(String::new)
            .push_str(text.trim());
    }
    let line = lines.first().map_or(0, |(_, line)| *line);
    Example { line, fields }
}

fn decode_stream<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let codec = FrameCodec::default();
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buffer).expect("a frame within the limit") {
            frames.push(frame);
        }
    }
    assert!(buffer.is_empty());
    frames
}

#[test]
fn frames() {
    for example in examples("frame") {
        let frame = Frame::new(example.json::<String>("body"));
        let mut written = BytesMut::new();
        FrameCodec::default().encode(&frame, &mut written).unwrap();
        let bytes = example.bytes();
        assert_eq!(written, bytes, "PROTOCOL.md:{}", example.line);
        assert_eq!(decode_stream([&*bytes].into_iter()), [frame]);
    }
}

#[test]
fn streams_however_they_are_cut() {
    for example in examples("stream") {
        let bodies: Vec<String> = example.json("bodies");
        let expected: Vec<_> = bodies.into_iter().map(Frame::new).collect();
        let bytes = example.bytes();
        for size in 1..=bytes.len() {
            let read = decode_stream(bytes.chunks(size));
            assert_eq!(read, expected, "in pieces of {size} bytes");
        }
    }
}

#[test]
fn hellos() {
    let config = |id: &str| Arc::new(Config::new(id, Limits::default()).unwrap());
    let now = Instant::now();
    for example in examples("hello") {
        let id: String = example.json("id");
        let mut client = Connection::connect(config(&id), now);
        let hello = client.take_transmit().unwrap();
        assert_eq!(hello.as_slice(), Some(&*example.bytes()));
        let mut server = Connection::accept(config("server"), now);
        let mut room = server.take_room().unwrap();
        assert_eq!(room.fill(&example.bytes()), example.bytes().len());
        server.put_room(room, Read::Bytes, now);
        let heard = server.peer().map(|peer| peer.as_str());
        assert_eq!(heard, Some(&*id), "PROTOCOL.md:{}", example.line);
    }
}

#[test]
fn what_is_written() {
    for example in examples("encode").iter().chain(&examples("write")) {
        let written = example.message().to_bytes().unwrap();
        assert_eq!(written, example.document(), "PROTOCOL.md:{}", example.line);
    }
}

#[test]
fn what_is_written_is_read_back() {
    for example in examples("encode") {
        let read = Message::from_bytes(example.document());
        assert_eq!(read, Ok(example.message()), "PROTOCOL.md:{}", example.line);
    }
}

#[test]
fn what_is_read() {
    for example in examples("read") {
        let read = Message::from_bytes(example.document());
        let line = example.line;
        match example.get("error") {
            None => assert_eq!(read, Ok(example.message()), "PROTOCOL.md:{line}"),
            Some(kind) => {
                let error = read.map_err(|error| error.kind.name());
                assert_eq!(error, Err(kind), "PROTOCOL.md:{line}");
            }
        }
    }
}

#[test]
fn datagrams() {
    let examples = examples("datagram");
    for example in &examples {
        let text: String = example.json("text");
        assert_eq!(text, example.bytes(), "PROTOCOL.md:{}", example.line);
    }
    assert!(examples.iter().any(|example| example.bytes() == QUESTION));
}

#[test]
fn answers_to_a_search() {
    for example in examples("answer") {
        let text: String = example.json("text");
        let source: SocketAddrV4 = example.parse("from");
        let found = Search::new().handle(text.as_bytes(), source, example.parse("asked-from"));
        let outcome = match found {
            Ok(found) => found.address().to_string(),
            Err(ignored) => format!("{ignored:?}"),
        };
        let expected = example.get("address").or_else(|| example.get("ignored"));
        assert_eq!(Some(&*outcome), expected, "PROTOCOL.md:{}", example.line);
    }
}

/// The CBOR of the message or value that the example is about.
fn to_cbor(example: &Example) -> Bytes {
    let limits = Limits::default();
    if example.get("message").is_some() {
        cbor::encode_message(&example.json("message"), None, &limits)
    } else {
        cbor::encode_value(&example.json("value"), &limits)
    }
    .expect("within the limits")
}

#[test]
fn what_is_written_as_cbor_and_read_back() {
    for example in examples_in(protocol_2(), "cbor") {
        let bytes = example.bytes();
        let line = example.line;
        assert_eq!(
            hex::encode(to_cbor(&example)),
            hex::encode(&bytes),
            "PROTOCOL2.md:{line}"
        );
        let limits = Limits::default();
        if example.get("message").is_some() {
            let read = cbor::decode_message(&bytes, &limits);
            let message: Message = example.json("message");
            assert_eq!(read, Ok((message, None)), "PROTOCOL2.md:{line}");
        } else {
            let read = cbor::decode_value(&bytes, &limits);
            assert_eq!(read, Ok(example.json("value")), "PROTOCOL2.md:{line}");
        }
    }
}

#[test]
fn what_is_read_as_cbor() {
    for example in examples_in(protocol_2(), "cbor_read") {
        let read = cbor::decode_value(&example.bytes(), &Limits::default());
        // As JSON, where NaN is equal to itself.
        let read = read
            .map(|value| value.to_json().unwrap())
            .map_err(|error| error.kind.name());
        let expected = match example.get("error") {
            None => Ok(example.json::<Value>("value").to_json().unwrap()),
            Some(kind) => Err(kind),
        };
        assert_eq!(read, expected, "PROTOCOL2.md:{}", example.line);
    }
}

/// The bytes of a field, of any number.
fn payload(example: &Example) -> Vec<u8> {
    let digits = example.get("payload").unwrap_or_default();
    hex::decode(digits.replace(' ', "")).expect("digits")
}

#[test]
fn the_first_bytes_of_protocol_2() {
    let examples = examples_in(protocol_2(), "first");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let expected = match example.get("side") {
            Some("client") => preamble::CLIENT,
            _ => preamble::SERVER,
        };
        assert_eq!(example.bytes(), expected, "PROTOCOL2.md:{}", example.line);
        let config = Config::new("a", Limits::default()).expect("an id");
        let config = Arc::new(config.protocols(Protocols::Both));
        let now = Instant::now();
        if example.get("side") == Some("client") {
            let mut core = Connection::connect(config, now);
            let written = core.take_transmit().expect("the first bytes");
            let written = written.as_slice().expect("one piece");
            assert!(written.starts_with(&example.bytes()));
        }
    }
}

#[test]
fn frames_of_protocol_2() {
    for example in examples_in(protocol_2(), "frame2") {
        let payload = payload(&example);
        let header = Header::new(example.parse("kind"), u32::try_from(payload.len()).unwrap());
        let mut written = [&header.to_bytes()[..], &payload].concat();
        written.resize(header.whole(), 0);
        assert_eq!(written, example.bytes(), "PROTOCOL2.md:{}", example.line);
    }
}

#[test]
fn streams_of_protocol_2() {
    for example in examples_in(protocol_2(), "stream2") {
        let bytes = example.bytes();
        let (mut rest, mut kinds) = (&bytes[..], Vec::new());
        while let Ok(Some(header)) = Header::read(rest) {
            kinds.push(header.kind);
            rest = &rest[header.whole()..];
        }
        assert_eq!(kinds, example.json::<Vec<u8>>("kinds"));
        assert!(rest.is_empty());
    }
}

#[test]
fn descriptions_of_servers() {
    assert_eq!(DESCRIPTION_QUESTION.len(), DESCRIPTION_BYTES);
    let words = DESCRIPTION_QUESTION.trim_ascii_end();
    assert_eq!(words, b"masep server?");
    for example in examples_in(protocol_2(), "description") {
        let description = Description {
            id: Some(example.json("id")),
            game: Some(example.json("game")),
            seats: Some(example.parse("seats")),
            free: Some(example.parse("free")),
        };
        let (at, bytes) = (example.parse("at"), example.bytes());
        let line = example.line;
        assert_eq!(description.to_datagram(at), bytes, "PROTOCOL2.md:{line}");
        assert_eq!(parse_description(&bytes), Ok((at, description)));
    }
}

/// The fields of a control message, as a value that is read by itself.
fn fields(bytes: &Bytes) -> Value {
    cbor::decode_value(bytes, &Limits::default()).expect("a map")
}

#[test]
fn control_messages() {
    for example in examples_in(protocol_2(), "control") {
        let (bytes, line) = (example.bytes(), example.line);
        assert_eq!(
            fields(&bytes),
            example.json("fields"),
            "PROTOCOL2.md:{line}"
        );
        let read = Control::decode(example.parse("kind"), &bytes);
        let read = read.expect("it is well-formed").expect("it is one");
        assert_eq!(read.encode().as_ref(), Ok(&bytes), "PROTOCOL2.md:{line}");
    }
    for example in examples_in(protocol_2(), "control_read") {
        let (kind, line) = (example.parse("kind"), example.line);
        let read = Control::decode(kind, &example.bytes());
        if let Some(error) = example.get("error") {
            let found = read.map_err(|error| error.kind.name());
            assert_eq!(found, Err(error), "PROTOCOL2.md:{line}");
        } else {
            let read = read.expect("it is read").expect("it is one");
            let written = read.encode().expect("it is small");
            assert_eq!(
                fields(&written),
                example.json("fields"),
                "PROTOCOL2.md:{line}"
            );
        }
    }
}

/// The names and defaults of all fields of the structs of limits, out of their `Debug` form.
fn default_limits() -> BTreeMap<String, String> {
    let limits = format!("{:?}", Limits::default());
    let server = format!("{:?}", ServerLimits::default());
    [limits, server]
        .iter()
        .filter_map(|debug| debug.strip_suffix(" }")?.split_once(" { "))
        .flat_map(|(_, fields)| fields.split(", "))
        .map(|field| {
            let (name, value) = field.split_once(": ").expect("a name and a value");
            let value = value.trim_start_matches("Some(").trim_end_matches(')');
            (name.to_owned(), value.to_lowercase())
        })
        .collect()
}

#[test]
fn the_table_of_limits_is_complete_and_has_the_defaults() {
    let (_, section) = protocol().split_once("\n## 11 Limits").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let table: BTreeMap<_, _> = section
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let (default, _) = rest.split_once(" | ")?;
            Some((name.to_owned(), default.replace(" s", "s")))
        })
        .collect();
    assert_eq!(table, default_limits());
}
