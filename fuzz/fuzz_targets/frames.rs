//! A stream of bytes in arbitrary pieces gives the frames that are in it, each as soon as it is whole.
#![no_main]

use arbitrary::Unstructured;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Cuts, Memory};
use masep_proto::{Frame, FrameCodec, Limit, LimitExceeded, Limits};

/// The content of a stream, read in the plainest way.
#[derive(Default)]
struct Content<'a> {
    /// Each frame, and where it ends.
    frames: Vec<(&'a [u8], usize)>,
    /// A length over the limit, and where it ends. Nothing can be read behind it.
    refused: Option<(LimitExceeded, usize)>,
}

impl<'a> Content<'a> {
    fn of(stream: &'a [u8], allowed: usize) -> Self {
        let (mut content, mut at) = (Self::default(), 0);
        while let Some(&[low, high]) = stream.get(at..at + 2) {
            let actual = usize::from(low) + 256 * usize::from(high);
            if actual > allowed {
                let limit = Limit::FrameBytes;
                let error = LimitExceeded {
                    limit,
                    actual,
                    allowed,
                };
                content.refused = Some((error, at + 2));
                break;
            }
            at += 2;
            let Some(body) = stream.get(at..at + actual) else {
                break;
            };
            at += actual;
            content.frames.push((body, at));
        }
        content
    }

    /// The facts when this much of the stream has arrived: the number of whole frames,
    /// the end of the last of them, and the error if it cannot be read any further.
    fn within(&self, arrived: usize) -> (usize, usize, Result<(), LimitExceeded>) {
        let whole = self.frames.partition_point(|(_, end)| *end <= arrived);
        let end = whole.checked_sub(1).map_or(0, |last| self.frames[last].1);
        let outcome = match self.refused {
            Some((error, at)) if at <= arrived => Err(error),
            _ => Ok(()),
        };
        (whole, end, outcome)
    }
}

fn decode(
    codec: FrameCodec,
    buffer: &mut BytesMut,
    frames: &mut Vec<Frame>,
) -> Result<(), LimitExceeded> {
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
    let content = Content::of(stream, allowed);

    let memory = Memory::watch();
    let (mut buffer, mut frames, mut arrived) = (BytesMut::new(), Vec::new(), 0);
    for piece in Cuts::new(stream, cuts) {
        buffer.extend_from_slice(piece);
        arrived += piece.len();
        let known = frames.len();
        let outcome = decode(codec, &mut buffer, &mut frames);
        let (whole, end, expected) = content.within(arrived);
        assert_eq!((frames.len(), outcome), (whole, expected));
        let new = frames[known..].iter().zip(&content.frames[known..]);
        for (frame, (body, _)) in new {
            assert_eq!(frame.bytes(), body);
        }
        assert_eq!(buffer[..], stream[end..arrived]);
        if outcome.is_err() {
            break;
        }
    }
    // The frames, the buffer they came in, and their list; doubled where those have grown.
    let allowed = 4 * arrived + 4 * size_of::<Frame>() * frames.len() + 4_096;
    assert!(memory.peak() <= allowed, "{} bytes", memory.peak());

    let mut written = BytesMut::new();
    for frame in &frames {
        codec
            .encode(frame, &mut written)
            .expect("it was within the limit when it came");
    }
    assert_eq!(written[..], stream[..written.len()]);
});
