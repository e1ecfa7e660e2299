//! Any bytes as a hello, to either side, in arbitrary pieces; and two sides with any ids.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::Cuts;
use masep_proto::{Handshake, HelloError, Limit, LimitExceeded, Limits, PeerId};

#[derive(Arbitrary, Debug)]
struct Setting {
    initiates: bool,
    id_bytes: u16,
    frame_bytes: u16,
    cuts: u32,
}

/// The hello in a stream, read in the plainest way: the id and the bytes that it took.
fn hello_of(stream: &[u8], limits: &Limits) -> Result<Option<(PeerId, usize)>, HelloError> {
    let Some((&[low, high], body)) = stream.split_first_chunk() else {
        return Ok(None);
    };
    let actual = usize::from(low) + 256 * usize::from(high);
    let limits = [
        (Limit::IdBytes, limits.id_bytes),
        (Limit::FrameBytes, limits.frame_bytes),
    ];
    for (limit, allowed) in limits {
        if actual > allowed {
            return Err(HelloError::Limit(LimitExceeded {
                limit,
                actual,
                allowed,
            }));
        }
    }
    match body.get(..actual) {
        None => Ok(None),
        Some(b"BYE") => Err(HelloError::Bye),
        Some(id) => match std::str::from_utf8(id) {
            Ok(id) => Ok(Some((id.into(), 2 + actual))),
            Err(_) => Err(HelloError::NotUtf8),
        },
    }
}

fn side(initiates: bool, id: &str, limits: &Limits) -> Result<Handshake, HelloError> {
    if initiates {
        Handshake::initiator(id, limits)
    } else {
        Handshake::acceptor(id, limits)
    }
}

/// A side hears a stream in pieces; it says its own hello once, when it may.
fn hear(stream: &[u8], setting: &Setting) -> Option<PeerId> {
    let limits = Limits::default()
        .id_bytes(setting.id_bytes.into())
        .frame_bytes(setting.frame_bytes.into());
    let mut side = side(setting.initiates, "", &limits).expect("an empty id is an id");
    let mut own = BytesMut::new();
    own.extend(side.poll_transmit());
    assert_eq!(
        own.is_empty(),
        !setting.initiates,
        "the one who connects speaks first"
    );

    let (mut buffer, mut arrived) = (BytesMut::new(), 0);
    for piece in Cuts::new(stream, setting.cuts) {
        buffer.extend_from_slice(piece);
        arrived += piece.len();
        let heard = side.handle(&mut buffer);
        own.extend(side.poll_transmit());
        match (heard, hello_of(&stream[..arrived], &limits)) {
            (Ok(None), Ok(None)) => {
                assert_eq!(buffer[..], stream[..arrived]);
                assert!(setting.initiates || own.is_empty(), "it spoke too early");
            }
            (Ok(Some(peer)), Ok(Some((expected, taken)))) => {
                assert_eq!(peer, expected);
                assert_eq!(buffer[..], stream[taken..arrived], "what follows stays");
                assert_eq!(own[..], b"\0\0"[..], "said once");
                return Some(peer);
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error, expected);
                assert!(setting.initiates || own.is_empty(), "an answer to no hello");
                return None;
            }
            (heard, expected) => panic!("{heard:?} instead of {expected:?}"),
        }
    }
    None
}

/// Two sides hear each other's id, whatever it is and however it is cut; what follows stays.
fn meet(id: &str, setting: &Setting, behind: &[u8]) {
    // Room for the id of the other side.
    let id_bytes = usize::from(setting.id_bytes).max("other".len());
    let limits = Limits::default().id_bytes(id_bytes);
    let made = side(setting.initiates, id, &limits);
    let Ok(mut this) = made else {
        assert!(id == "BYE" || id.len() > limits.id_bytes);
        return;
    };
    assert!(id != "BYE" && id.len() <= limits.id_bytes);
    let other = Limits::default().id_bytes(id_bytes);
    let mut other = side(!setting.initiates, "other", &other).expect("an id");
    let (of_this, of_other) = if setting.initiates {
        let of_this = tell(&mut this, &mut other, setting, behind);
        (of_this, tell(&mut other, &mut this, setting, behind))
    } else {
        let of_other = tell(&mut other, &mut this, setting, behind);
        (tell(&mut this, &mut other, setting, behind), of_other)
    };
    assert_eq!((&*of_this, &*of_other), (id, "other"));
}

/// One side says its hello and what is `behind` it, the other one hears it.
fn tell(from: &mut Handshake, to: &mut Handshake, setting: &Setting, behind: &[u8]) -> PeerId {
    let hello = from.poll_transmit().expect("its turn");
    assert_eq!(from.poll_transmit(), None, "said once");
    let stream = [&hello[..], behind].concat();
    let (mut buffer, mut peer) = (BytesMut::new(), None);
    for piece in Cuts::new(&stream, setting.cuts) {
        buffer.extend_from_slice(piece);
        if peer.is_none() {
            peer = to.handle(&mut buffer).expect("a hello of ours");
        }
    }
    assert_eq!(buffer[..], *behind);
    peer.expect("a whole hello")
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let stream = input.take_rest();
    if let Some(peer) = hear(stream, &setting) {
        meet(&peer, &setting, &stream[2 + peer.len()..]);
    } else if let Ok(id) = std::str::from_utf8(stream) {
        meet(id, &setting, b"");
    }
});
