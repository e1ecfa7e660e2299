//! Any bytes as a hello of pymasep's protocol, to either side, in arbitrary pieces; and two sides with any ids.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use masep_fuzz::Cuts;
use masep_proto::connection::{Config, Connection, Event, HelloFailure, Read, Write};
use masep_proto::protocol2::preamble;
use masep_proto::tls::FirstBytes;
use masep_proto::{HelloError, Limit, LimitExceeded, Limits, PeerId};

#[derive(Arbitrary, Debug)]
struct Setting {
    initiates: bool,
    id_bytes: u16,
    frame_bytes: u16,
    cuts: u32,
}

/// The hello in a stream, read in the plainest way: the id and the bytes that it took.
fn hello_of(stream: &[u8], limits: &Limits) -> Result<Option<(PeerId, usize)>, HelloError> {
    let Some((&[low, high], body)) = stream.split_first_chunk() else {
        return Ok(None);
    };
    let actual = usize::from(low) + 256 * usize::from(high);
    let limits = [
        (Limit::IdBytes, limits.id_bytes),
        (Limit::FrameBytes, limits.frame_bytes),
    ];
    for (limit, allowed) in limits {
        if actual > allowed {
            return Err(HelloError::Limit(LimitExceeded {
                limit,
                actual,
                allowed,
            }));
        }
    }
    match body.get(..actual) {
        None => Ok(None),
        Some(b"BYE") => Err(HelloError::Bye),
        Some(id) => match std::str::from_utf8(id) {
            Ok(id) => Ok(Some((id.into(), 2 + actual))),
            Err(_) => Err(HelloError::NotUtf8),
        },
    }
}

/// A side of pymasep's protocol with this id.
fn side(
    initiates: bool,
    id: &str,
    limits: &Limits,
    now: Instant,
) -> Result<Connection, HelloError> {
    let config = Arc::new(Config::new(id, limits.clone())?);
    Ok(if initiates {
        Connection::connect(config, now)
    } else {
        Connection::accept(config, now)
    })
}

/// The bytes that a side has to say now. An acceptor takes every peer.
fn say(side: &mut Connection, now: Instant) -> Vec<u8> {
    while let Some(event) = side.poll_event() {
        if event == Event::Hello {
            side.admit(now);
        }
    }
    let mut said = Vec::new();
    while let Some(transmit) = side.take_transmit() {
        let bytes = transmit.as_slice().expect("a hello is one slice");
        said.extend_from_slice(bytes);
        let all = Write::Bytes(bytes.len());
        side.put_transmit(transmit, all, now);
    }
    said
}

/// A side reads this.
fn read(side: &mut Connection, mut bytes: &[u8], now: Instant) {
    while !bytes.is_empty()
        && let Some(mut room) = side.take_room()
    {
        let filled = room.fill(bytes);
        bytes = &bytes[filled..];
        side.put_room(room, Read::Bytes, now);
    }
}

/// A side hears a stream in pieces; it says its own hello once, when it may.
fn hear(stream: &[u8], setting: &Setting) -> Option<PeerId> {
    if !setting.initiates && stream.get(2..).is_some_and(|id| id.starts_with(b"masep/")) {
        // Perhaps a generation of masep's own protocol, which is no id for a server and is looked at first.
        return None;
    }
    let limits = Limits::default()
        .id_bytes(setting.id_bytes.into())
        .frame_bytes(setting.frame_bytes.into());
    let now = Instant::now();
    let mut side = side(setting.initiates, "", &limits, now).expect("an empty id is an id");
    let mut own = say(&mut side, now);
    assert_eq!(
        own.is_empty(),
        !setting.initiates,
        "the one who connects speaks first"
    );
    let mut arrived = 0;
    for piece in Cuts::new(stream, setting.cuts) {
        read(&mut side, piece, now);
        arrived += piece.len();
        if !setting.initiates && FirstBytes::of(&stream[..arrived]) == FirstBytes::Tls {
            return None;
        }
        let peer = side.peer().cloned();
        match (&peer, hello_of(&stream[..arrived], &limits)) {
            (None, Ok(None)) => assert_eq!(side.failure(), None),
            (Some(peer), Ok(Some((expected, _)))) => {
                assert_eq!(*peer, expected);
                own.extend(say(&mut side, now));
                assert!(own.starts_with(b"\0\0"), "said");
                return Some(expected);
            }
            (None, Err(expected)) => {
                assert_eq!(side.failure(), Some(&HelloFailure::Bad(expected)));
                return None;
            }
            (heard, expected) => panic!("{heard:?} instead of {expected:?}: {side:?}"),
        }
    }
    None
}

/// Two sides hear each other's id, whatever it is and however it is cut.
fn meet(id: &str, setting: &Setting, behind: &[u8]) {
    // Room for the id of the other side.
    let id_bytes = usize::from(setting.id_bytes).max("other".len());
    let limits = Limits::default().id_bytes(id_bytes);
    let now = Instant::now();
    let made = side(setting.initiates, id, &limits, now);
    let is_reserved = id == "BYE" || preamble::generation(id).is_some();
    let Ok(mut this) = made else {
        assert!(is_reserved || id.len() > limits.id_bytes);
        return;
    };
    assert!(!is_reserved && id.len() <= limits.id_bytes);
    let mut other = side(!setting.initiates, "other", &limits, now).expect("an id");
    let (first, second) = if setting.initiates {
        (&mut this, &mut other)
    } else {
        (&mut other, &mut this)
    };
    let hello = [say(first, now), behind.to_vec()].concat();
    if FirstBytes::of(&hello) == FirstBytes::Tls {
        return;
    }
    for piece in Cuts::new(&hello, setting.cuts) {
        read(second, piece, now);
    }
    for piece in Cuts::new(&say(second, now), setting.cuts) {
        read(first, piece, now);
    }
    if !behind.is_empty() {
        // Perhaps it has left before it was answered.
        assert!(second.peer().is_some());
        return;
    }
    let ids = [&this, &other].map(|side| side.peer().map(PeerId::as_str));
    assert_eq!(ids, [Some("other"), Some(id)]);
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let stream = input.take_rest();
    if let Some(peer) = hear(stream, &setting) {
        meet(&peer, &setting, &stream[2 + peer.len()..]);
    } else if let Ok(id) = std::str::from_utf8(stream) {
        meet(id, &setting, b"");
    }
});
