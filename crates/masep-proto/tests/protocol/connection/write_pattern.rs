//! Peers that write header and body apart, as pymasep does, and others that are not to be taken for one.

use std::time::Duration;

use masep_proto::connection::{Action, Write};

use super::pair::Pair;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A server's end, whose peer the test plays.
struct Reader(Pair);

impl Reader {
    /// Reads pieces of a hello, each so many milliseconds before the next.
    fn hear(pieces: &[(&[u8], u32)]) -> Self {
        let mut reader = Self(Pair::new());
        for (bytes, pause) in pieces {
            reader.read(bytes);
            reader.pass(*pause);
        }
        reader
    }

    /// Behind a hello that has come at once, as of a connection that is accepted late.
    fn new() -> Self {
        Self::hear(&[(b"\x05\0agent", 0)])
    }

    /// Behind a hello of which the header came alone.
    fn after_split_hello(is_held_back: bool) -> Self {
        let pause = if is_held_back { 3 } else { 2 };
        Self::hear(&[(b"\x05\0", pause), (b"agent", 0)])
    }

    /// Reads these bytes, which come together: the last word on acknowledgements.
    fn read(&mut self, bytes: &[u8]) -> Option<Action> {
        let engine = &mut self.0.engine;
        engine.acknowledgements.clear();
        self.0.to_engine.bytes.extend(bytes);
        while self.0.step(false) {}
        self.0.engine.acknowledgements.last().copied()
    }

    /// Turns the clock, stopping at each deadline.
    fn pass(&mut self, milliseconds: u32) {
        let pair = &mut self.0;
        let until = pair.now + milliseconds * MILLISECOND;
        while let Some(due) = pair.engine.core.deadline().filter(|due| *due <= until) {
            pair.now = due;
            pair.engine.core.handle_timeout(due);
            pair.run(false);
        }
        pair.now = until;
    }

    /// A frame of pymasep's: header and body apart.
    fn read_apart(&mut self, body: usize, waits: u32) -> [Option<Action>; 2] {
        let frame = frame(body);
        let header = self.read(&frame[..2]);
        self.pass(waits);
        [header, self.read(&frame[2..])]
    }

    fn is_apart(&self) -> bool {
        self.0.engine.core.peer_splits_frames()
    }
}

fn frame(body: usize) -> Vec<u8> {
    let length = u16::try_from(body).expect("it fits").to_le_bytes();
    let mut frame = length.to_vec();
    frame.resize(2 + body, 7);
    frame
}

/// The bytes of a frame that has begun in front of this place.
fn rest_of_frame(stream: &[u8], place: usize) -> &[u8] {
    let mut end = 0;
    while end < place {
        end += 2 + usize::from(u16::from_le_bytes([stream[end], stream[end + 1]]));
    }
    &stream[place..end]
}

const NOW: Option<Action> = Some(Action::QuickAck);
const WITHHELD: Option<Action> = Some(Action::DelayAck);

#[test]
fn a_hello_whose_body_waits_for_the_acknowledgement_is_pymaseps() {
    let mut reader = Reader(Pair::new());
    assert_eq!(reader.read(b"\x05\0"), WITHHELD);
    reader.pass(2);
    assert_eq!(reader.0.engine.acknowledgements, [Action::DelayAck]);
    reader.pass(1);
    assert_eq!(
        reader.0.engine.acknowledgements,
        [Action::DelayAck, Action::QuickAck]
    );
    assert!(reader.is_apart());
}

#[test]
fn a_hello_that_a_relay_cuts_is_not() {
    for pieces in [
        &[(&b"\x05"[..], 10), (b"\0", 10), (b"agent", 10)][..],
        &[(b"\x05\0a", 10), (b"gent", 10)],
        &[(b"\x05\0agent", 10)],
    ] {
        let reader = Reader::hear(pieces);
        assert!(!reader.is_apart(), "{pieces:?}");
    }
}

#[test]
fn a_hello_whose_header_came_alone_is_taken_for_pymaseps_until_frames_come_whole() {
    // An acknowledgement may have gone out without the shell, as the answer to a packet that came twice.
    let mut reader = Reader::after_split_hello(false);
    assert!(reader.is_apart());
    for _ in 0..3 {
        reader.pass(1_000);
        reader.read(&frame(9));
    }
    assert!(!reader.is_apart());
}

#[test]
fn so_is_one_whose_body_had_come_when_the_time_was_over() {
    let mut reader = Reader::hear(&[(b"\x05\0", 0)]);
    // The shell was busy elsewhere.
    reader.0.to_engine.bytes.extend(b"agent");
    reader.pass(3);
    assert!(reader.is_apart());
    assert_eq!(reader.read_apart(9, 1), [NOW; 2]);
}

#[test]
fn a_second_header_alone_confirms_the_first_sign() {
    let mut reader = Reader::after_split_hello(true);
    assert!(reader.is_apart());
    assert_eq!(reader.read_apart(9, 0), [NOW; 2]);
    // From here on, frames that come whole tell nothing: they were read late.
    for _ in 0..1_000 {
        assert_eq!(reader.read(&frame(9)), NOW);
    }
    assert!(reader.is_apart());
}

#[test]
fn one_sign_is_forgotten_when_frames_come_whole() {
    let mut reader = Reader::after_split_hello(true);
    // Frames that come together tell nothing: Nagle's algorithm joins them.
    for _ in 0..1_000 {
        assert_eq!(reader.read(&frame(9)), NOW);
    }
    assert!(reader.is_apart());
    for _ in 0..2 {
        reader.pass(1_000);
        assert_eq!(reader.read(&frame(9)), WITHHELD);
    }
    reader.pass(1_000);
    assert_eq!(reader.read(&frame(9)), None);
    assert!(!reader.is_apart());
    // It takes a body that is held back now.
    reader.read_apart(9, 1);
    assert!(!reader.is_apart());
    reader.read_apart(9, 40);
    assert!(reader.is_apart());
}

#[test]
fn a_peer_whose_hello_was_accepted_late_is_known_by_its_next_frame() {
    let mut reader = Reader::new();
    assert_eq!(reader.read(&frame(9)), None);
    assert_eq!(reader.read(&frame(9)[..2]), NOW);
    assert!(reader.is_apart());
}

#[test]
fn pymasep_bursts_tell_nothing_against_it() {
    let mut reader = Reader::after_split_hello(true);
    reader.read_apart(9, 0);
    // Nagle's algorithm joins what waits, in segments that end anywhere if they are full.
    let burst = frame(100).repeat(100);
    let (header, rest) = burst.split_at(2);
    reader.read(header);
    for segment in rest.chunks(1_448) {
        reader.read(segment);
    }
    reader.read_apart(3_000, 0);
    let large = frame(3_000);
    for piece in [
        &large[..2],
        &large[2..1_450],
        &large[1_450..2_898],
        &large[2_898..],
    ] {
        assert_eq!(reader.read(piece), NOW);
    }
    assert!(reader.is_apart());
}

#[test]
fn a_full_window_that_cuts_frames_tells_nothing_against_pymasep() {
    let mut reader = Reader::after_split_hello(true);
    reader.read_apart(9, 0);
    let large = frame(10_000);
    for _ in 0..100 {
        // The window ends within a segment; the rest follows when there is room again.
        reader.read(&large[..1_448]);
        reader.read(&large[1_448..1_624]);
        reader.read(&large[1_624..]);
    }
    assert!(reader.is_apart());
}

#[test]
fn however_the_stream_is_cut_a_peer_that_writes_frames_whole_is_known_for_it() {
    let stream: Vec<u8> = (0..40_000).flat_map(|n| frame(n % 90 + 3)).collect();
    for size in [1, 2, 3, 4, 5, 7, 64, 66, 100, 479, 1_448, 1_449, 65_536] {
        for mut reader in [
            Reader::new(),
            Reader::after_split_hello(false),
            Reader::after_split_hello(true),
        ] {
            let mut arrived = 0;
            for piece in stream.chunks(size).take(3_000) {
                arrived += piece.len();
                reader.read(piece);
            }
            // Pieces of the size of a segment look as those of Nagle's algorithm do, until there is a pause.
            reader.read(rest_of_frame(&stream, arrived));
            for _ in 0..3 {
                reader.pass(1_000);
                reader.read(&frame(9));
            }
            assert!(!reader.is_apart(), "cut at {size}");
        }
    }
}

#[test]
fn a_peer_that_splits_frames_gets_a_segment_for_each() {
    let Reader(mut pair) = Reader::after_split_hello(true);
    for number in 0..3 {
        pair.engine.send(&[number; 10], pair.now).unwrap();
    }
    for _ in 0..3 {
        let transmit = pair.engine.core.take_transmit().expect("a frame");
        assert!(transmit.fresh_segment());
        assert_eq!(transmit.len(), 12);
        let written = Write::Bytes(12);
        pair.engine.core.put_transmit(transmit, written, pair.now);
    }
    assert!(pair.engine.core.take_transmit().is_none());
}
