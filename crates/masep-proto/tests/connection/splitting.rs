//! Whether a peer is told for one that writes header and body apart, as pymasep does.

use std::time::Duration;

use masep_proto::connection::Action;

use crate::pair::{Pair, Random};

const MILLISECOND: Duration = Duration::from_millis(1);

/// What arrives at a server, and when; then the clock stands.
fn hear(pieces: &[(&[u8], u32)]) -> Pair {
    let mut pair = Pair::new();
    for (bytes, pause) in pieces {
        pair.to_engine.bytes.extend(*bytes);
        while pair.step(false) {}
        // At each deadline on the way.
        let until = pair.now + *pause * MILLISECOND;
        while let Some(due) = pair.engine.core.deadline().filter(|due| *due <= until) {
            pair.now = due;
            pair.engine.core.handle_timeout(due);
            while pair.step(false) {}
        }
        pair.now = until;
    }
    pair
}

fn acknowledged(pair: &Pair) -> usize {
    let acknowledged = pair.engine.actions.iter();
    acknowledged
        .filter(|action| **action == Action::QuickAck)
        .count()
}

#[test]
fn a_hello_whose_body_waits_for_the_acknowledgement_is_pymaseps() {
    let pair = hear(&[(b"\x05\0", 3), (b"agent", 0)]);
    assert!(pair.engine.core.peer_splits_frames());
    assert_eq!(acknowledged(&pair), 1);
}

#[test]
fn a_hello_that_a_relay_cuts_behind_the_header_is_not() {
    for pieces in [
        &[(&b"\x05\0"[..], 2), (b"agent", 10)][..],
        &[(b"\x05", 10), (b"\0", 10), (b"agent", 10)],
        &[(b"\x05\0a", 10), (b"gent", 10)],
        &[(b"\x05\0agent", 10)],
    ] {
        let pair = hear(pieces);
        assert!(!pair.engine.core.peer_splits_frames(), "{pieces:?}");
        assert_eq!(acknowledged(&pair), 0, "{pieces:?}");
    }
}

#[test]
fn a_hello_that_was_whole_when_it_was_read_tells_nothing_but_two_headers_do() {
    let mut pieces = vec![(&b"\x05\0agent"[..], 100), (b"\x01\0", 3), (b"a", 10)];
    let pair = hear(&pieces);
    assert!(!pair.engine.core.peer_splits_frames());
    assert_eq!(acknowledged(&pair), 1, "it is not held up");
    pieces.extend([(&b"\x01\0"[..], 3), (b"b", 10)]);
    let pair = hear(&pieces);
    assert!(pair.engine.core.peer_splits_frames());
}

#[test]
fn a_stream_that_is_cut_into_pieces_is_not_pymaseps() {
    for size in [1, 2, 3, 1_448] {
        let mut stream = b"\x05\0agent".to_vec();
        let mut random = Random::new(size as u64);
        for _ in 0..200 {
            let body = random.below(300);
            stream.extend(u16::try_from(body).unwrap().to_le_bytes());
            stream.extend(vec![7; body]);
        }
        let pieces: Vec<(&[u8], u32)> = stream.chunks(size).map(|piece| (piece, 1)).collect();
        let pair = hear(&pieces);
        assert_eq!(pair.engine.received.len(), 200);
        assert!(!pair.engine.core.peer_splits_frames(), "{size}");
    }
}

#[test]
fn a_marked_peer_is_acknowledged_at_once_and_gets_a_segment_for_each_frame() {
    let mut pair = hear(&[(b"\x05\0", 3), (b"agent", 0)]);
    pair.engine.actions.clear();
    for bytes in [&b"\x01\0"[..], b"a", b"\x01\0", b"b"] {
        pair.to_engine.bytes.extend(bytes);
        while pair.step(false) {}
    }
    assert_eq!(acknowledged(&pair), 2, "the headers, not the whole frames");
    pair.to_agent.bytes.clear();
    for number in 0..3 {
        pair.engine.send(&[number; 10], pair.now).unwrap();
    }
    for _ in 0..3 {
        let transmit = pair.engine.core.take_transmit().expect("a frame");
        assert!(transmit.fresh_segment());
        assert_eq!(transmit.len(), 12);
        let written = masep_proto::connection::Write::Bytes(12);
        pair.engine.core.put_transmit(transmit, written, pair.now);
    }
    assert!(pair.engine.core.take_transmit().is_none());
}
