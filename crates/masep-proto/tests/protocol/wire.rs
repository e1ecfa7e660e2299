//! The bytes of frames, and a connection that reads and writes them.

use std::time::Instant;

use bytes::Bytes;
use masep_proto::connection::{Connection, Read, Write};
use masep_proto::protocol2::{Control, Header};

/// The bytes of these hexadecimal digits, between which blanks may stand.
pub(crate) fn bytes(digits: &str) -> Bytes {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect::<Vec<_>>().into()
}

/// A frame of protocol 2.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("it is small");
    let mut bytes = Header::new(kind, size).to_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A control message as it goes over the wire.
pub(crate) fn control(message: &Control) -> Vec<u8> {
    frame(message.kind(), &message.encode().expect("it is small"))
}

/// The control messages in these bytes, up to what is none.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<Control> {
    let mut messages = Vec::new();
    while let Ok(Some(header)) = Header::read(bytes)
        && bytes.len() >= header.whole()
    {
        let payload = &bytes[Header::BYTES..Header::BYTES + header.size()];
        let message = Control::decode(header.kind, payload).expect("it is well-formed");
        messages.extend(message);
        bytes = &bytes[header.whole()..];
    }
    assert!(bytes.is_empty(), "{bytes:x?}");
    messages
}

/// Has a connection read these bytes, as far as it wants to, in pieces of at most this size as a socket gives them;
/// calls `each` behind each piece. Tells how many it has read.
pub(crate) fn read_each(
    core: &mut Connection,
    mut bytes: &[u8],
    piece: usize,
    now: Instant,
    mut each: impl FnMut(&mut Connection),
) -> usize {
    let all = bytes.len();
    while let Some(mut room) = core.take_room() {
        let taken = room.fill(&bytes[..bytes.len().min(piece)]);
        bytes = &bytes[taken..];
        let read = if taken > 0 {
            Read::Bytes
        } else {
            Read::Blocked
        };
        core.put_room(room, read, now);
        each(core);
        if taken == 0 {
            break;
        }
    }
    all - bytes.len()
}

/// Has a connection write all that it has: how many bytes.
pub(crate) fn write(core: &mut Connection, now: Instant) -> usize {
    let mut bytes = 0;
    while let Some(transmit) = core.take_transmit() {
        let written = transmit.len();
        bytes += written;
        core.put_transmit(transmit, Write::Bytes(written), now);
    }
    bytes
}
