//! A stream of bytes in arbitrary pieces gives the same frames as in one.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep_proto::{Frame, FrameCodec, LimitExceeded, Limits};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    stream: &'a [u8],
    pieces: Vec<u8>,
    frame_bytes: u16,
}

fn decode(
    codec: FrameCodec,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> (Vec<Frame>, Result<BytesMut, LimitExceeded>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(limit) => return (frames, Err(limit)),
            }
        }
    }
    (frames, Ok(buffer))
}

fuzz_target!(|input: Input<'_>| {
    let codec = FrameCodec::new(&Limits::default().frame_bytes(input.frame_bytes.into()));
    let mut rest = input.stream;
    let mut sizes = input.pieces.iter().cycle();
    let cut = std::iter::from_fn(|| {
        let wanted = usize::from(*sizes.next().unwrap_or(&1)).max(1);
        let (piece, left) = rest.split_at(wanted.min(rest.len()));
        rest = left;
        (!piece.is_empty()).then(|| piece.to_vec())
    });
    let (frames, left) = decode(codec, cut);
    let whole = decode(codec, std::iter::once(input.stream.to_vec()));
    assert_eq!((&frames, &left), (&whole.0, &whole.1));

    let mut written = BytesMut::new();
    for frame in &frames {
        codec
            .encode(frame, &mut written)
            .expect("it was within the limit when it came");
    }
    assert_eq!(written[..], input.stream[..written.len()]);
});
