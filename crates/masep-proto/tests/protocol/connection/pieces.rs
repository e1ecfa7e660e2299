//! Messages whose arrays are written from where they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use masep_proto::connection::{PushError, WhenFull, Write};
use masep_proto::{Array, DType, Dict, Limits, Message, Pieces, Value};

use super::pair::{Pair, copy};

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
        .write_pieces(pieces, now)
        .expect("it is not too large")
        .expect("nothing waits");
    let whole = transmit.len();
    assert!(!returned.load(Ordering::Relaxed));
    pair.put_in_part(transmit, at_once);
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
    let refused = pair.engine.core.write_pieces(pieces, now).unwrap();
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
    let refused = pair.engine.core.write_pieces(pieces, pair.now);
    assert!(matches!(refused, Err(PushError::TooLarge(_))));
    assert!(returned.load(Ordering::Relaxed));
    let (message, _) = message(50_000);
    let pieces = self::pieces(&pair, &message);
    let now = pair.now;
    pair.engine
        .core
        .end(masep_proto::CloseReason::LocalBye, now);
    let refused = pair.engine.core.write_pieces(pieces, now).unwrap();
    let sent = pair
        .engine
        .core
        .send(&mut refused.err(), WhenFull::Wait, now);
    assert!(matches!(sent, Err(PushError::Closed(_))));
}

/// Writes what waits in steps of so many bytes, while the number of whole frames that went out is right. `ends` are the
/// places where they end.
fn write_in_steps(pair: &mut Pair, step: usize, ends: &[usize]) {
    let (now, mut sent) = (pair.now, 0);
    while let Some(transmit) = pair.engine.core.take_transmit() {
        let written = copy(&transmit, step, &mut pair.to_agent.bytes);
        sent += written;
        pair.engine
            .core
            .put_transmit(transmit, Write::Bytes(written), now);
        let whole = ends.iter().filter(|end| **end <= sent).count();
        assert_eq!(
            pair.engine.core.written(),
            whole as u64,
            "{sent} of {ends:?}"
        );
    }
    assert_eq!(Some(&sent), ends.last());
}

/// The places where frames with bodies of these sizes end.
fn ends(sizes: &[usize]) -> Vec<usize> {
    let end = |sent: &mut usize, size: &usize| {
        *sent += 8 + size.next_multiple_of(8);
        Some(*sent)
    };
    sizes.iter().scan(0, end).collect()
}

#[test]
fn pieces_that_wait_are_written_from_where_they_are_among_other_frames() {
    for size in [Pieces::ALONE_FROM, 5_001, 200_000] {
        for step in [7, 60, 3_000, size / 2, size + 50, usize::MAX] {
            let mut pair = Pair::open2();
            let (message, returned) = message(size);
            let now = pair.now;
            let mut sizes = Vec::new();
            pair.engine.send(b"before", now).expect("room");
            sizes.push(6);
            for _ in 0..2 {
                let pieces = pieces(&pair, &message);
                sizes.push(pieces.size());
                let mut pieces = Some(Box::new(pieces));
                let pushed = pair
                    .engine
                    .core
                    .send_pieces(&mut pieces, WhenFull::Wait, now);
                assert!(pushed.is_ok() && pieces.is_none());
                pair.engine.send(&[7; 90], now).expect("room");
                sizes.push(90);
            }
            let (expected, _) = self::message(size);
            drop(message);
            assert!(!returned.load(Ordering::Relaxed));
            write_in_steps(&mut pair, step, &ends(&sizes));
            assert!(returned.load(Ordering::Relaxed));
            pair.settle();
            let received = &pair.agent.received;
            assert_eq!(received.len(), 5);
            for at in [1, 3] {
                let read = pair.agent.core.encoding().decode(received[at].clone());
                assert_eq!(read.as_ref(), Ok(&expected));
                assert_eq!(received[at + 1].bytes()[..], [7; 90]);
            }
        }
    }
}

#[test]
fn frames_behind_a_large_one_are_counted_when_they_are_written() {
    let mut pair = Pair::open2();
    let mut sizes = vec![5_001];
    sizes.resize(60, 200);
    for size in &sizes {
        pair.engine
            .send(&vec![255; *size], pair.now)
            .expect("room for it");
    }
    write_in_steps(&mut pair, 1_000, &ends(&sizes));
}

#[test]
fn pieces_wait_for_room_as_frames_do() {
    let mut pair = Pair::open2_with(&Limits::default().queue_messages(1));
    let (message, _) = message(10_000);
    let now = pair.now;
    let send = |pair: &mut Pair| {
        let mut pieces = Some(Box::new(pieces(pair, &message)));
        let pushed = pair
            .engine
            .core
            .send_pieces(&mut pieces, WhenFull::Wait, now);
        (pushed, pieces.is_none())
    };
    assert!(matches!(send(&mut pair), (Ok(_), true)));
    assert!(matches!(send(&mut pair), (Err(PushError::Full(_)), false)));
    pair.settle();
    assert!(matches!(send(&mut pair), (Ok(_), true)));
    pair.engine
        .core
        .end(masep_proto::CloseReason::LocalBye, now);
    assert!(matches!(
        send(&mut pair),
        (Err(PushError::Closed(_)), false)
    ));
}
