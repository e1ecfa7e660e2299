//! The inputs with which a search begins: real traffic of pymasep, out of `interop/vectors`, and any bytes.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value as Json;

use super::{create, write};
use crate::process::root;
use crate::step::Failure;

/// Within `fuzz/target`, which can be thrown away.
const FOLDER: &str = "fuzz/target/seeds";

/// The settings in front of a stream for the targets that take one: no limit but the protocol's, and
/// pieces of mixed sizes.
const FRAMES_SETTING: [u8; 6] = [0xff, 0xff, 1, 2, 3, 4];
const HANDSHAKE_SETTING: [u8; 9] = [0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
/// Likewise, and a peer that reads, says all at once and then shuts its side.
const PEER_SETTING: [u8; 16] = [
    0xff, 0x0f, 0x10, 0xff, 0xff, 0xff, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0,
];

/// Likewise, and a client that is given away when so much of what it says has arrived.
const TAKE_OVER_SETTING: [u8; 4] = [1, 2, 3, 4];
const TAKE_OVER_POINTS: [u16; 4] = [16, 100, 200, 0xffff];

/// The first bytes of protocol 2, of a client and of a server.
const PREAMBLES: [&[u8]; 2] = [
    b"\x07\0masep/2\x03\0BYE\0\0",
    b"\x07\0masep/2\0\0\0\0\0\0\0",
];
/// The kind of a message in CBOR.
const CBOR: u8 = 16;

/// Likewise, for each use of what follows: as the first bytes, behind a handshake, and within TLS; then the peer is silent.
const TLS_SETTINGS: [[u8; 14]; 3] = [
    [0xff, 0x0f, 1, 2, 3, 4, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    [
        0xff, 0x0f, 1, 2, 3, 4, 0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff,
    ],
    [
        0xff, 0x0f, 1, 2, 3, 4, 0, 0, 0, 0xc0, 0xff, 0xff, 0xff, 0xff,
    ],
];
/// A whole handshake, one byte of which is another: the bytes in front of it and the difference come behind this.
const TLS_CHANGED: [u8; 10] = [0xff, 0x0f, 1, 2, 3, 4, 0, 0, 0, 0x40];
/// Records of any kind behind a handshake, each with its kind and its length.
const TLS_FORGED: [u8; 14] = [
    0xff, 0x0f, 1, 2, 3, 4, 0, 0, 0, 0xe0, 0xff, 0xff, 0xff, 0xff,
];
/// A frame, a key update, an end of TLS, a message of the handshake in two records, an empty record.
const TLS_RECORDS: [&[u8]; 5] = [
    b"\x17\x08\0\0\0\0\x80\0\0\0",
    b"\x16\x05\x18\0\0\x01\x01",
    b"\x15\x02\x01\0",
    b"\x16\x03\x04\0\0\x16\x03\x02\0\0",
    b"\x17\0",
];
/// The beginnings of a client of protocol 2, and of records of TLS: a handshake, an alert, data.
const TLS_BEGINNINGS: [&[u8]; 4] = [
    b"\x07\0masep/2\x03\0BYE\0\0\x2c\0\0\0\x01\0\0\0\xa5av\x82\x02\x02bidgforeigncmax\x1a\0\x10\0\0\
      hfeatures\x80eagentax\0\0\0\0",
    b"\x16\x03\x01\0\x40\x01\0\0\x3c\x03\x03",
    b"\x15\x03\x03\0\x02\x02\x28",
    b"\x17\x03\x03\0\x20",
];

/// The number of seeds of any bytes for the targets that no traffic suits.
const RANDOM_SEEDS: usize = 128;

/// The generator `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn bytes(&mut self, number: usize) -> Vec<u8> {
        let words = (0..number.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(number).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The folder with a target's seeds, from the root of the repository.
pub(crate) fn folder(target: &str) -> String {
    format!("{FOLDER}/{target}")
}

/// Seeds by their names, for each target.
type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// Writes the seeds of all targets.
pub(crate) fn write_all(targets: &[String]) -> Result<(), Failure> {
    let seeds = seeds()?;
    for target in targets {
        let folder = root().join(folder(target));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| {
                Failure::new(format!("cannot empty {}: {error}", folder.display()))
            })?;
        }
        create(&folder)?;
        for (number, seed) in seeds.get(&**target).into_iter().flatten().enumerate() {
            write(&folder.join(format!("{number:04}")), seed)?;
        }
    }
    Ok(())
}

fn seeds() -> Result<Seeds, Failure> {
    let mut seeds = Seeds::new();
    let mut add = |target, seed| seeds.entry(target).or_default().push(seed);
    let mut bodies = Vec::new();
    for file in ["encode.jsonl", "foreign.jsonl"] {
        for line in lines(file)? {
            // Of what pymasep refuses to encode there are no bytes.
            if let Some(body) = bytes(&line, "bytes_hex")? {
                add("message", body.clone());
                add("element", body.clone());
                bodies.push(body);
            }
            if let Some(message) = line.get("message").or_else(|| line.get("decoded")) {
                add("json", message.to_string().into_bytes());
            }
        }
    }
    let mut messages = Vec::new();
    for line in lines("cbor.jsonl")? {
        if let Some(message) = bytes(&line, "bytes_hex")? {
            messages.extend(framed2(CBOR, &message).unwrap_or_default());
            add("cbor", message);
        }
    }
    for line in lines("control.jsonl")? {
        let kind = line.get("kind").and_then(Json::as_u64);
        let kind = kind.and_then(|kind| u8::try_from(kind).ok());
        let (Some(kind), Some(payload)) = (kind, bytes(&line, "bytes_hex")?) else {
            continue;
        };
        let said = framed2(kind, &payload).unwrap_or_default();
        for preamble in PREAMBLES {
            // Whole connections of protocol 2.
            let stream = [preamble, &said, &messages].concat();
            add("dissector", [&FRAMES_SETTING[..], &stream].concat());
            for point in TAKE_OVER_POINTS {
                for choices in [
                    [0, 8, 0xff, 0xff, 0, 0],
                    [1, 1, 0, 1, 0, 0],
                    [0, 8, 0, 1, 1, 1],
                ] {
                    let setting = [&TAKE_OVER_SETTING[..], &point.to_le_bytes(), &choices].concat();
                    add("take_over", [&setting[..], &stream].concat());
                }
            }
        }
        add("control", [&[kind][..], &payload].concat());
    }
    for line in lines("frames.jsonl")? {
        let Some(frame) = bytes(&line, "frame_hex")? else {
            continue;
        };
        add("frames", [&FRAMES_SETTING[..], &frame].concat());
        add("dissector", [&FRAMES_SETTING[..], &frame].concat());
        add("handshake", [&HANDSHAKE_SETTING[..], &frame].concat());
    }
    // Whole sessions: a hello, messages, BYE. Large messages would only slow down the search.
    // Bytes that pymasep never sends: any ones, the same on each run.
    let mut random = Random(1);
    for number in 0..RANDOM_SEEDS {
        for target in ["connection", "discovery"] {
            add(target, random.bytes(8 * number % 512));
        }
    }
    // Headers of both versions.
    add(
        "proxy_protocol",
        b"PROXY TCP4 192.0.2.7 192.0.2.8 1 443\r\n".to_vec(),
    );
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    add("proxy_protocol", [signature, vec![1; 12]].concat());
    let mut random = Random(3);
    for beginning in TLS_BEGINNINGS {
        for setting in TLS_SETTINGS {
            for size in [0, 64] {
                add(
                    "tls",
                    [&setting[..], beginning, &random.bytes(size)].concat(),
                );
            }
        }
    }
    for records in TLS_RECORDS {
        for number in [1, 3, 40] {
            add("tls", [&TLS_FORGED[..], &records.repeat(number)].concat());
        }
    }
    for at in (0..512_u16).step_by(16) {
        let [low, high] = at.to_le_bytes();
        let change = [low, high, 1, 0xff, 0xff, 0xff, 0xff];
        add("tls", [&TLS_CHANGED[..], &change].concat());
    }
    // Choices of whole games.
    let mut random = Random(2);
    for number in 0..RANDOM_SEEDS {
        add("table", random.bytes(64 * number));
        add("gate", random.bytes(64 * number));
    }
    bodies.retain(|body| body.len() <= 1_000);
    for messages in bodies.chunks(8) {
        let frames = messages.iter().filter_map(|body| framed(body));
        let session = [framed(b"agent")].into_iter().flatten().chain(frames);
        let session: Vec<u8> = session.chain(framed(b"BYE")).flatten().collect();
        add("frames", [&FRAMES_SETTING[..], &session].concat());
        add("dissector", [&FRAMES_SETTING[..], &session].concat());
        add("peer", [&PEER_SETTING[..], &session].concat());
    }
    Ok(seeds)
}

/// A frame as pymasep sends it: the length in two bytes, little endian. `None` if it does not fit.
fn framed(body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok()?;
    Some([&length.to_le_bytes()[..], body].concat())
}

/// A frame of protocol 2 with this payload. `None` if it does not fit.
fn framed2(kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut frame = [&length.to_le_bytes()[..], &[kind, 0, 0, 0], payload].concat();
    frame.resize(frame.len().next_multiple_of(8), 0);
    Some(frame)
}

fn lines(file: &str) -> Result<Vec<Json>, Failure> {
    let path = format!("interop/vectors/{file}");
    let text = fs::read_to_string(root().join(&path))
        .map_err(|error| Failure::new(format!("cannot read {path}: {error}")))?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|error| {
                Failure::new(format!("{path} has a line that is no JSON: {error}"))
            })
        })
        .collect()
}

/// The bytes that stand in hexadecimal digits under a key, if there are any.
fn bytes(line: &Json, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    let Some(digits) = line.get(key).and_then(Json::as_str) else {
        return Ok(None);
    };
    hex::decode(digits)
        .map(Some)
        .map_err(|error| Failure::new(format!("{key} of {line}: {error}")))
}
