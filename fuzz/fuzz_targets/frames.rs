//! A stream of bytes in arbitrary pieces gives the frames that are in it, each as soon as it is whole.
#![no_main]

use arbitrary::Unstructured;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Cuts, Memory};
use masep_proto::{Frame, FrameCodec, Limit, LimitExceeded, Limits};

/// Where a stream stops to be readable: a length that is over the limit.
type Outcome = Result<(), LimitExceeded>;

/// The frames of a stream and the bytes behind them, read in the plainest way.
fn frames_of(mut stream: &[u8], allowed: usize) -> (Vec<&[u8]>, &[u8], Outcome) {
    let mut frames = Vec::new();
    loop {
        let Some((&[low, high], body)) = stream.split_first_chunk() else {
            return (frames, stream, Ok(()));
        };
        let actual = usize::from(low) + 256 * usize::from(high);
        if actual > allowed {
            let limit = Limit::FrameBytes;
            let error = LimitExceeded {
                limit,
                actual,
                allowed,
            };
            return (frames, stream, Err(error));
        }
        let Some((frame, rest)) = body.split_at_checked(actual) else {
            return (frames, stream, Ok(()));
        };
        frames.push(frame);
        stream = rest;
    }
}

fn decode(codec: FrameCodec, buffer: &mut BytesMut, frames: &mut Vec<Frame>) -> Outcome {
    loop {
        let capacity = buffer.capacity();
        match codec.decode(buffer)? {
            Some(frame) => frames.push(frame),
            None => {
                assert_eq!(
                    buffer.capacity(),
                    capacity,
                    "memory for what is only claimed"
                );
                return Ok(());
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok((allowed, cuts)) = input.arbitrary::<(u16, u32)>() else {
        return;
    };
    let (allowed, stream) = (usize::from(allowed), input.take_rest());
    let codec = FrameCodec::new(&Limits::default().frame_bytes(allowed));

    let memory = Memory::watch();
    let (mut buffer, mut frames, mut arrived) = (BytesMut::new(), Vec::new(), 0);
    for piece in Cuts::new(stream, cuts) {
        buffer.extend_from_slice(piece);
        arrived += piece.len();
        let outcome = decode(codec, &mut buffer, &mut frames);
        let (expected, rest, expected_outcome) = frames_of(&stream[..arrived], allowed);
        assert!(frames.iter().map(AsRef::as_ref).eq(expected));
        assert_eq!((&buffer[..], outcome), (rest, expected_outcome));
        if outcome.is_err() {
            break;
        }
    }
    // The frames, the bytes they came in, and the list of both sides; doubled where a list has grown.
    let list = 4 * (size_of::<Frame>() + size_of::<&[u8]>()) * frames.len();
    assert!(memory.peak() <= 4 * arrived + list + 4_096);

    let mut written = BytesMut::new();
    for frame in &frames {
        codec
            .encode(frame, &mut written)
            .expect("it was within the limit when it came");
    }
    assert_eq!(written[..], stream[..written.len()]);
});
