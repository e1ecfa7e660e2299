//! Bad inputs: each is refused with the error that says what it is, or is a message after all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use masep_proto::connection::{Config, Connection, Read};
use masep_proto::{Element, FrameCodec, Limits, Message};

use crate::corpus::{self, Input, TAKEN};

/// The outcome of an input: the name of the error, or [`TAKEN`].
fn outcome(bytes: &Bytes) -> &'static str {
    match Message::decode(bytes.clone(), &Limits::default()) {
        Ok(_) => TAKEN,
        Err(error) => {
            assert!(error.position.offset <= bytes.len());
            let text = error.to_string();
            assert!(text.len() < 500, "an error quotes too much: {text}");
            assert!(!text.contains(char::is_control), "{text:?}");
            error.kind.name()
        }
    }
}

fn check(inputs: Vec<Input>) {
    let mut counts = BTreeMap::new();
    let total = inputs.len();
    for input in inputs {
        let bytes = Bytes::from(input.bytes);
        let found = outcome(&bytes);
        assert!(
            input.outcomes.contains(&found),
            "{}: {found}, expected one of {:?}",
            input.name,
            input.outcomes
        );
        *counts.entry(found).or_insert(0) += 1;
    }
    println!("{total} bad inputs tried: {counts:?}");
}

#[test]
fn every_bad_input_has_its_error_or_is_a_message() {
    let inputs = corpus::frames();
    assert!(inputs.len() > 3_000, "{}", inputs.len());
    check(inputs);
}

#[test]
fn so_it_is_with_what_is_larger_than_a_frame() {
    check(corpus::bombs(200_000));
}

/// A message that was taken can be sent on, and is the same then.
#[test]
fn what_is_taken_of_them_is_a_message_like_any_other() {
    let mut taken = 0;
    let mut inputs = corpus::bombs(3_000);
    inputs.extend(corpus::encodings());
    inputs.extend(corpus::damaged(1_000));
    for input in inputs {
        let Ok(message) = Message::from_bytes(input.bytes.clone()) else {
            continue;
        };
        taken += 1;
        let bytes = message.to_bytes().expect(&input.name);
        let again = Message::from_bytes(bytes.clone()).expect(&input.name);
        assert_eq!(again.to_bytes().as_ref(), Ok(&bytes), "{}", input.name);
    }
    assert!(taken > 100, "{taken}");
}

/// This is about a foreign element that stands alone, as a file or in JSON.
#[test]
fn an_element_is_refused_as_a_message_is() {
    let malformed = ["syntax", "doctype", "undefined_entity", "unbound_prefix"];
    for input in corpus::bombs(3_000) {
        let element = Element::decode(input.bytes.into(), &Limits::default());
        if malformed.contains(&input.outcomes[0]) {
            let error = element.expect_err(&input.name).kind.name();
            assert!(input.outcomes.contains(&error), "{}: {error}", input.name);
        }
    }
}

#[test]
fn no_garbage_is_a_hello_and_none_is_waited_for_in_vain_memory() {
    let config = Arc::new(Config::new("engine", Limits::default()).expect("an id"));
    let now = Instant::now();
    for (name, bytes) in corpus::hellos() {
        let hear = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut core = Connection::accept(config.clone(), now);
            for mut piece in pieces {
                while !piece.is_empty()
                    && core.failure().is_none()
                    && let Some(mut room) = core.take_room()
                {
                    assert!(room.free() < 4_096, "{name}");
                    let filled = room.fill(piece);
                    piece = &piece[filled..];
                    core.put_room(room, Read::Bytes, now);
                }
            }
            assert_eq!(core.peer(), None, "{name}");
            core.failure().cloned()
        };
        let whole = hear(&mut std::iter::once(&bytes[..]));
        assert_eq!(whole, hear(&mut bytes.chunks(1)), "{name}");
    }
}

#[test]
fn damaged_streams_give_the_same_frames_however_they_are_cut() {
    for (name, bytes) in corpus::streams() {
        let read = |step: usize| {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Ok(Some(frame)) = FrameCodec::default().decode(&mut buffer) {
                    frames.push(frame);
                }
            }
            (frames, buffer)
        };
        let whole = read(usize::MAX);
        assert_eq!(read(1), whole, "{name}");
        assert_eq!(read(7), whole, "{name}");
    }
}
