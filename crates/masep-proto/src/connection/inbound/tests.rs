//! Memory of the receiving side, and the order of what is in it.

use super::*;
use crate::connection::batch::Batch;
use crate::framing::looked_at;
use crate::{FrameKind, Limits};

const FRAMING: Framing = Framing::Pymasep { max: 65_535 };

/// Frames of these sizes, one after the other.
fn stream(sizes: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut stream = Vec::new();
    for size in sizes {
        FRAMING.put_header(FrameKind::Bytes, size, &mut stream);
        stream.resize(stream.len() + size, 7);
    }
    stream
}

/// Reads all of it in pieces; the most room that there was beside what had arrived.
fn read(inbound: &mut Inbound, stream: &[u8], piece: usize) {
    let mut arrived = 0;
    while arrived < stream.len() {
        let mut room = inbound.take_room(FRAMING, None);
        let capacity = room.buffer().capacity();
        let most = 2 * arrived + 64 * 1024;
        assert!(capacity <= most, "{capacity} for {arrived}");
        let end = stream.len().min(arrived + piece);
        arrived += room.fill(&stream[arrived..end]);
        inbound.put_room(room, None);
        assert_eq!(inbound.walk(FRAMING, None, |_| true), None);
    }
}

#[test]
fn no_byte_is_searched_again_and_again() {
    for (piece, times) in [(1, 12), (10, 2), (1_448, 1), (1 << 20, 1)] {
        let sizes = [60_000, 10, 500, 0, 9_000, 65_535, 20, 30, 4_000];
        let stream = stream(sizes.repeat(4));
        let mut inbound = Inbound::default();
        looked_at::take();
        read(&mut inbound, &stream, piece);
        assert_eq!(inbound.frames(), 36);
        let looked_at = looked_at::take();
        assert!(looked_at <= times * stream.len(), "{looked_at} at {piece}");
    }
}

#[test]
fn frames_that_nobody_takes_hold_little_more_than_themselves() {
    for sizes in [[10; 500], [200; 500], [2_000; 500]] {
        let stream = stream(sizes);
        let mut inbound = Inbound::default();
        read(&mut inbound, &stream, sizes[0] + 2);
        let held: usize = inbound
            .earlier
            .iter()
            .map(|frames| frames.bytes.capacity())
            .sum();
        let most = 2 * stream.len() + 3 * GATHERED;
        assert!(held <= most, "{held} for {}", stream.len());
    }
}

#[test]
fn the_oldest_are_dropped_across_buffers() {
    let limits = Limits::default().queue_messages(3);
    let mut inbound = Inbound::default();
    for size in 1..20 {
        read(&mut inbound, &stream([size * 100]), 1 << 20);
        inbound.keep_newest(FRAMING, &limits);
    }
    let mut batch = Batch::new();
    let mut sizes = Vec::new();
    while inbound.frames() > 0 {
        inbound.take_frames(&mut batch, FRAMING, true);
        sizes.extend((&mut batch).map(|frame| frame.size()));
    }
    assert_eq!(sizes, [1_700, 1_800, 1_900]);
    assert_eq!(inbound.body_bytes, 0);
}
