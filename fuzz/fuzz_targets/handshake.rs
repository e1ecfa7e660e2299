//! Any bytes as a hello, to either side, in arbitrary pieces.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep_proto::{Handshake, HelloError, Limits, PeerId};

fn hear(stream: &[u8], piece: usize) -> (Result<Option<PeerId>, HelloError>, usize) {
    let mut side = Handshake::acceptor("engine", &Limits::default()).expect("a good id");
    let mut buffer = BytesMut::new();
    let mut taken = 0;
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        taken += piece.len();
        match side.handle(&mut buffer) {
            Ok(None) => assert!(
                side.poll_transmit().is_none(),
                "spoke before it was spoken to"
            ),
            Ok(Some(peer)) => {
                assert!(side.poll_transmit().is_some());
                return (Ok(Some(peer)), taken - buffer.len());
            }
            Err(error) => return (Err(error), 0),
        }
    }
    (Ok(None), 0)
}

fuzz_target!(|stream: &[u8]| {
    let whole = hear(stream, stream.len().max(1));
    assert_eq!(hear(stream, 1), whole);
    assert_eq!(hear(stream, 3), whole);
    if let (Ok(Some(peer)), taken) = whole {
        let mut back = Handshake::initiator(&peer, &Limits::default()).expect("it was an id");
        assert_eq!(back.poll_transmit().as_deref(), Some(&stream[..taken]));
    }
});
