//! Any bytes in any pieces as one direction of a connection, of either generation: the same is seen in each cut, nothing of
//! the stream is lost or seen twice, and what was read is no larger than what has arrived.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Cuts, Memory};
use masep_proto::FrameCodec;
use masep_proto::protocol2::{Dissector, Header, Piece};

/// Memory beyond a few times the bytes that have arrived.
const MEMORY: usize = 64 * 1024;

#[derive(Arbitrary, Debug)]
struct Setting {
    /// The largest payload that is looked at.
    most: u16,
    cuts: u32,
}

/// The pieces of a direction, and what is left of it.
#[derive(Debug, PartialEq)]
struct Seen {
    pieces: Vec<Piece>,
    rest: Vec<u8>,
    is_broken: bool,
    is_masep: bool,
    is_skipping: bool,
}

impl Seen {
    fn of<'a>(cuts: impl Iterator<Item = &'a [u8]>, most: usize) -> Self {
        let mut dissector = Dissector::new(most);
        let (mut pieces, mut errors) = (Vec::new(), 0);
        for cut in cuts {
            dissector.push(cut);
            loop {
                match dissector.next() {
                    Ok(Some(piece)) => pieces.push(piece),
                    Ok(None) => break,
                    Err(_) => errors += 1,
                }
            }
        }
        assert!(errors <= 1, "it is told once that nothing can be told");
        assert_eq!(errors == 1, dissector.is_broken());
        Self {
            pieces,
            rest: dissector.rest().to_vec(),
            is_broken: dissector.is_broken(),
            is_masep: dissector.is_masep(),
            is_skipping: dissector.is_skipping(),
        }
    }

    /// Holds the pieces against the stream that they are of.
    fn check(&self, stream: &[u8], most: usize) {
        let mut at = 0;
        for piece in &self.pieces {
            let here = stream.get(at..).unwrap_or_default();
            at += match piece {
                Piece::First(frame) | Piece::Frame(frame) => {
                    assert!(!self.is_masep);
                    assert!(here[FrameCodec::HEADER_BYTES..].starts_with(frame.bytes()));
                    FrameCodec::HEADER_BYTES + frame.size()
                }
                Piece::Preamble(generation) => {
                    assert!(here[FrameCodec::HEADER_BYTES..].starts_with(b"masep/"));
                    let digits = here[FrameCodec::HEADER_BYTES + 6..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit());
                    let digits: Vec<u8> = digits.copied().collect();
                    let said = String::from_utf8_lossy(&digits).parse().unwrap_or(u16::MAX);
                    assert_eq!(*generation, said);
                    FrameCodec::HEADER_BYTES + 6 + digits.len() + 7
                }
                Piece::Payload {
                    kind,
                    size,
                    payload,
                } => {
                    let header = Header::read(here)
                        .expect("a frame begins with a header")
                        .expect("it is whole");
                    assert_eq!((header.kind, header.size()), (*kind, *size));
                    assert_eq!(payload.is_none(), *size > most);
                    if let Some(payload) = payload {
                        assert_eq!(payload, &here[Header::BYTES..Header::BYTES + size]);
                    }
                    header.whole()
                }
                other => panic!("unknown: {other:?}"),
            };
        }
        assert_eq!(self.is_skipping, at > stream.len());
        assert_eq!(self.rest, stream.get(at..).unwrap_or_default());
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(Setting { most, cuts }) = input.arbitrary::<Setting>() else {
        return;
    };
    let (stream, most) = (input.take_rest(), usize::from(most));
    let memory = Memory::watch();
    let whole = Seen::of(std::iter::once(stream), most);
    let peak = memory.peak();
    // A piece has a few times the bytes of an empty frame.
    assert!(peak <= MEMORY + 64 * stream.len(), "{peak} bytes");
    whole.check(stream, most);
    assert_eq!(Seen::of(Cuts::new(stream, cuts), most), whole);
});
