//! Messages whose arrays are written from where they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use masep_proto::connection::{PushError, Write};
use masep_proto::{Array, DType, Dict, Limits, Message, Pieces, Value};

use crate::pair::{Pair, copy};

/// The memory of an array, which somebody else has.
struct Lent {
    bytes: Vec<u8>,
    returned: Arc<AtomicBool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.returned.store(true, Ordering::Relaxed);
    }
}

/// A message with an array of so many bytes, and whether the array is used no more.
fn message(size: usize) -> (Message, Arc<AtomicBool>) {
    let returned = Arc::new(AtomicBool::new(false));
    let lent = Lent {
        bytes: (0..size).map(|at| at.to_le_bytes()[0]).collect(),
        returned: returned.clone(),
    };
    let camera = Array::new(DType::UInt8, [size], Bytes::from_owner(lent)).expect("an array");
    let small = Array::from_slice(&[2], &[1.0f32, -0.0]).expect("an array");
    let params = Dict::new()
        .with("x", 1)
        .with("camera", camera)
        .with("small", small);
    (
        Message::new("observation", params.with("last", "é"), "engine"),
        returned,
    )
}

fn pieces(pair: &Pair, message: &Message) -> Pieces {
    let encoded = pair.engine.core.encoding().encode_pieces(message);
    encoded.expect("a message").expect("the array is large")
}

/// Writes so many bytes of a message in pieces at once, and the rest later.
fn play(size: usize, at_once: usize) {
    let mut pair = Pair::open2();
    let (message, returned) = message(size);
    let (copied, _) = self::message(size);
    let pieces = pieces(&pair, &message);
    drop(message);
    let now = pair.now;
    let transmit = pair
        .engine
        .core
        .send_pieces(pieces, now)
        .expect("it is not too large")
        .expect("nothing waits");
    assert!(pair.engine.core.take_transmit().is_none(), "one is out");
    let written = copy(&transmit, at_once, &mut pair.to_agent.bytes);
    let write = match written {
        0 => Write::Blocked,
        written => Write::Bytes(written),
    };
    let whole = transmit.len();
    assert!(!returned.load(Ordering::Relaxed));
    pair.engine.core.put_transmit(transmit, write, now);
    assert!(returned.load(Ordering::Relaxed), "{at_once} of {whole}");
    pair.engine.send(b"behind", now).expect("room");
    pair.settle();
    let received = &pair.agent.received;
    let read = pair.agent.core.encoding().decode(received[0].clone());
    assert_eq!(read, Ok(copied));
    assert_eq!(received[1].bytes(), &b"behind"[..]);
    assert_eq!(pair.engine.core.written(), 2);
}

#[test]
fn a_message_in_pieces_arrives_however_much_of_it_is_written_at_once() {
    for size in [Pieces::ALONE_FROM, 5_001, 200_000] {
        for at_once in [
            0,
            1,
            7,
            8,
            60,
            100,
            3_000,
            size / 2,
            size,
            size + 50,
            usize::MAX,
        ] {
            play(size, at_once);
        }
    }
}

#[test]
fn pieces_are_the_frame_that_they_are_copied_to() {
    let pair = Pair::open2();
    for size in [Pieces::ALONE_FROM, 9_999] {
        let (message, _) = message(size);
        let pieces = pieces(&pair, &message);
        let frame = pair.engine.core.encoding().encode(&message).unwrap();
        assert_eq!(pieces.size(), frame.size());
        assert_eq!(pieces.into_frame(), frame);
    }
    let (small, _) = message(Pieces::ALONE_FROM - 1);
    let encoded = pair.engine.core.encoding().encode_pieces(&small).unwrap();
    assert_eq!(
        encoded,
        Err(pair.engine.core.encoding().encode(&small).unwrap())
    );
}

#[test]
fn pieces_behind_something_that_waits_are_a_frame() {
    let mut pair = Pair::open2();
    let now = pair.now;
    pair.engine.send(b"before", now).unwrap();
    let (message, _) = message(10_000);
    let pieces = pieces(&pair, &message);
    let refused = pair.engine.core.send_pieces(pieces, now).unwrap();
    let frame = refused.expect_err("another one waits");
    pair.engine.send(b"", now).unwrap();
    assert_eq!(frame, pair.engine.core.encoding().encode(&message).unwrap());
    // To a peer of pymasep's protocol there are none.
    let pymasep = Pair::open();
    let plain = Message::new("end", Value::None, "engine");
    assert!(
        pymasep
            .engine
            .core
            .encoding()
            .encode_pieces(&plain)
            .unwrap()
            .is_err()
    );
}

#[test]
fn pieces_that_are_too_large_are_refused_as_frames_are() {
    let mut pair = Pair::open2_with(&Limits::default().payload_bytes(Some(100_000)));
    let (large, returned) = message(100_000);
    let pieces = pieces(&pair, &large);
    drop(large);
    let refused = pair.engine.core.send_pieces(pieces, pair.now);
    assert!(matches!(refused, Err(PushError::TooLarge(_))));
    assert!(returned.load(Ordering::Relaxed));
    let (message, _) = message(50_000);
    let pieces = self::pieces(&pair, &message);
    let now = pair.now;
    pair.engine
        .core
        .end(masep_proto::CloseReason::LocalBye, now);
    let refused = pair.engine.core.send_pieces(pieces, now).unwrap();
    let sent = pair.engine.core.send(
        &mut refused.err(),
        masep_proto::connection::WhenFull::Wait,
        now,
    );
    assert!(matches!(sent, Err(PushError::Closed(_))));
}
