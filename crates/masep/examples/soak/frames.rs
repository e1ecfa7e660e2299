//! The frames of the processes of a run over masep's connections.

use masep::{Frame, WhenFull};

/// A frame of a run, by what it wants.
pub(crate) enum Said {
    /// To be sent back as it is.
    Ping,
    /// Send items without end, by this policy, after the queue has become full.
    Feed {
        when_full: WhenFull,
        /// Milliseconds between the full queue and the frame that exceeds it, for `Disconnect`.
        patience: u32,
    },
    /// One of those items, by its place in the sequence.
    Item(u64),
    /// No more items.
    Stop,
    /// The number of items that there were.
    Total(u64),
}

/// Bytes of a ping: those of a small action.
const PING_BYTES: usize = 200;
/// Bytes of an item: those of a small observation.
const ITEM_BYTES: usize = 1_024;

/// A ping that no other one equals.
pub(crate) fn ping(member: u64, sequence: u64) -> Frame {
    let mut bytes = vec![b'p'];
    bytes.extend_from_slice(&member.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.resize(PING_BYTES, sequence as u8);
    Frame::new(bytes)
}

pub(crate) fn feed(when_full: WhenFull, patience: u32) -> Frame {
    let policy = match when_full {
        WhenFull::NewestWins => b'n',
        WhenFull::Disconnect => b'd',
        _ => b'w',
    };
    let mut bytes = vec![b'f', policy];
    bytes.extend_from_slice(&patience.to_le_bytes());
    Frame::new(bytes)
}

pub(crate) fn item(number: u64) -> Frame {
    let mut bytes = vec![b'i'];
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.resize(ITEM_BYTES, number as u8);
    Frame::new(bytes)
}

pub(crate) fn stop() -> Frame {
    Frame::new("s")
}

pub(crate) fn total(items: u64) -> Frame {
    let mut bytes = vec![b't'];
    bytes.extend_from_slice(&items.to_le_bytes());
    Frame::new(bytes)
}

/// The meaning of a frame; `None` if it is not one of ours, to the last byte.
pub(crate) fn understand(frame: &Frame) -> Option<Said> {
    let (kind, rest) = frame.as_ref().split_first()?;
    match kind {
        b'p' if frame.size() == PING_BYTES => Some(Said::Ping),
        b'f' => {
            let (policy, patience) = rest.split_first()?;
            let when_full = match policy {
                b'w' => WhenFull::Wait,
                b'n' => WhenFull::NewestWins,
                b'd' => WhenFull::Disconnect,
                _ => return None,
            };
            let patience = u32::from_le_bytes(patience.try_into().ok()?);
            Some(Said::Feed {
                when_full,
                patience,
            })
        }
        b'i' => {
            let number = u64::from_le_bytes(*rest.first_chunk()?);
            (*frame == item(number)).then_some(Said::Item(number))
        }
        b's' if rest.is_empty() => Some(Said::Stop),
        b't' => Some(Said::Total(u64::from_le_bytes(rest.try_into().ok()?))),
        _ => None,
    }
}
