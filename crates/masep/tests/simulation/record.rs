//! The programs' view of their connections, checked while it comes; and a trace of all events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use masep::{Array, CloseReason, Connection, Dict, Frame, FrameKind, Message, Value};
use rand::Rng;
use rand_xorshift::XorShiftRng;

use crate::network::SERVER;
use crate::seeds::{Outcome, figures};
use crate::stream::Ticks;

/// An end of a link: the link's number, and 0 for the client's end or 1 for the server's.
pub(crate) type Key = (usize, usize);

/// The link that a broadcast claims to be for.
const ALL: usize = u32::MAX as usize;
/// Link, side, number, checksum.
const HEADER: usize = 4 + 1 + 4 + 8;

/// The acts and the events of one end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) host: usize,
    /// Its program died, or ended with the connection still open.
    pub(crate) gone: bool,
    /// Its program died at some time, perhaps with frames in a queue that nobody took out.
    pub(crate) stopped: bool,
    pub(crate) has_handler: bool,
    /// True if protocol 2 is spoken.
    pub(crate) of_masep: bool,
    /// Frames that `send` has taken, and whether another one is being offered.
    pub(crate) sent: u32,
    pub(crate) offered: u32,
    /// Gaps are allowed in what the other end gets, and in what this one takes.
    pub(crate) may_skip: bool,
    pub(crate) skims: bool,
    /// The number that comes next.
    pub(crate) next: u32,
    pub(crate) last_broadcast: Option<u32>,
    pub(crate) last_received: Ticks,
    /// A shut-down ran out of time.
    pub(crate) cut: bool,
    pub(crate) on_close: Vec<CloseReason>,
    pub(crate) closed: Vec<(CloseReason, Ticks)>,
}

figures! {
    ends_of_connections,
    of_protocol_2,
    frames_received,
    /// Of them, those that pymasep's protocol has no room for, and arrays.
    large,
    arrays,
    faults,
    ticks,
}

pub(crate) struct Record(Mutex<Log>);

pub(crate) struct Log {
    pub(crate) now: Ticks,
    pub(crate) sides: BTreeMap<Key, Side>,
    /// When an end's program began to end it, perhaps before it heard that it is connected.
    pub(crate) ending: BTreeMap<Key, Ticks>,
    violations: Vec<String>,
    pub(crate) figures: Figures,
    broadcasts: u32,
    /// Of all events.
    hash: u64,
    prints: bool,
}

fn hash(mut hash: u64, bytes: &[u8]) -> u64 {
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

impl Record {
    pub(crate) fn new(prints: bool) -> Self {
        Self(Mutex::new(Log {
            now: 0,
            sides: BTreeMap::new(),
            ending: BTreeMap::new(),
            violations: Vec::new(),
            figures: Figures::default(),
            broadcasts: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            prints,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event(&self, event: fmt::Arguments<'_>) {
        self.lock().event(event);
    }

    pub(crate) fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        let mut log = self.lock();
        log.event(format_args!("VIOLATION {what}"));
        log.violations.push(what);
    }

    /// An end shows up in its program.
    pub(crate) fn started(&self, key: Key, side: Side) {
        let mut log = self.lock();
        let (host, protocol) = (side.host, if side.of_masep { 2 } else { 1 });
        log.event(format_args!(
            "{key:?} connected on host {host} by protocol {protocol}"
        ));
        log.figures.ends_of_connections += 1;
        log.figures.of_protocol_2 += u64::from(side.of_masep);
        let side = Side {
            last_received: log.now,
            ..side
        };
        if log.sides.insert(key, side).is_some() {
            log.violations.push(format!("{key:?} connected twice"));
        }
    }

    /// The next frame of an end, of this size at least; to be followed by `sent` if it is.
    pub(crate) fn next_frame(&self, key: Key, size: usize, rng: &mut XorShiftRng) -> Frame {
        let mut log = self.lock();
        let Some(side) = log.sides.get_mut(&key) else {
            unreachable!("only who is connected sends");
        };
        side.offered = side.sent + 1;
        frame(key.0, key.1, side.sent, size, rng)
    }

    pub(crate) fn sent(&self, key: Key) {
        let mut log = self.lock();
        log.event(format_args!("{key:?} sent"));
        if let Some(side) = log.sides.get_mut(&key) {
            side.sent += 1;
        }
    }

    pub(crate) fn next_broadcast(&self, size: usize, rng: &mut XorShiftRng) -> Frame {
        let mut log = self.lock();
        log.broadcasts += 1;
        frame(ALL, 1, log.broadcasts, size, rng)
    }

    /// A frame reached the program: whole, in order, for the first time.
    pub(crate) fn received(&self, connection: &Connection, key: Key, frame: Frame) {
        let (kind, size) = (frame.kind(), frame.size());
        let body = body(connection, frame);
        let mut log = self.lock();
        log.event(format_args!(
            "{key:?} received {size} bytes, {}",
            kind.as_str()
        ));
        log.figures.frames_received += 1;
        log.figures.large += u64::from(size > Frame::MAX_BYTES);
        log.figures.arrays += u64::from(kind == FrameKind::Cbor);
        let checked = body.and_then(|body| log.check(key, &body));
        if let Err(what) = checked {
            let what = format!("{key:?} received {what}");
            log.event(format_args!("VIOLATION {what}"));
            log.violations.push(what);
        }
    }

    pub(crate) fn change(&self, key: Key, change: impl FnOnce(&mut Side)) {
        if let Some(side) = self.lock().sides.get_mut(&key) {
            change(side);
        }
    }

    /// This end begins to end the connection.
    pub(crate) fn ending(&self, key: Key) {
        let mut log = self.lock();
        log.event(format_args!("{key:?} is ended by its program"));
        let now = log.now;
        log.ending.entry(key).or_insert(now);
    }

    pub(crate) fn closed(&self, key: Key, reason: CloseReason) {
        let mut log = self.lock();
        log.event(format_args!("{key:?} closed: {reason:?}"));
        let now = log.now;
        if let Some(side) = log.sides.get_mut(&key) {
            side.closed.push((reason, now));
        }
    }

    /// The program on a host is no more.
    pub(crate) fn gone(&self, host: usize) {
        let mut log = self.lock();
        for side in log.sides.values_mut() {
            if side.host == host {
                side.gone |= side.closed.is_empty();
                side.stopped = true;
            }
        }
    }
}

impl Log {
    pub(crate) fn outcome<F>(&self, figures: F) -> Outcome<F> {
        Outcome {
            violations: self.violations.clone(),
            figures,
            hash: self.hash,
        }
    }

    fn event(&mut self, event: fmt::Arguments<'_>) {
        let text = format!("{:6} {event}", self.now);
        self.hash = hash(self.hash, text.as_bytes());
        if self.prints {
            println!("{text}");
        }
    }

    fn check(&mut self, key: Key, mut body: &[u8]) -> Result<(), String> {
        if body.len() < HEADER {
            return Err(format!(
                "a frame of {} bytes, which nobody sends",
                body.len()
            ));
        }
        let link = usize::try_from(body.get_u32()).unwrap_or(ALL);
        let (from, number, sum) = (usize::from(body.get_u8()), body.get_u32(), body.get_u64());
        if sum != checksum(link, from, number, body) {
            return Err(format!("a damaged frame that says it is number {number}"));
        }
        let offered = self
            .sides
            .get(&(link, from))
            .map(|other| (other.offered, other.may_skip));
        let now = self.now;
        let Some(side) = self.sides.get_mut(&key) else {
            return Err("a frame before it was connected".to_owned());
        };
        side.last_received = now;
        if link == ALL {
            if key.1 == 1 || side.last_broadcast.is_some_and(|last| last >= number) {
                return Err(format!(
                    "broadcast {number} after {:?}",
                    side.last_broadcast
                ));
            }
            side.last_broadcast = Some(number);
            return Ok(());
        }
        if link != key.0 || from == key.1 {
            return Err(format!("a frame of {:?}", (link, from)));
        }
        let (expected, skims) = (side.next, side.skims);
        side.next = side.next.max(number + 1);
        match offered {
            None => Err("a frame of an end that was never connected".to_owned()),
            Some((offered, _)) if number >= offered => Err(format!("{number}, which was not sent")),
            Some(_) if number < expected => Err(format!("{number} again, instead of {expected}")),
            Some((_, false)) if number > expected && !skims => {
                Err(format!("{number} instead of {expected}"))
            }
            Some(_) => Ok(()),
        }
    }
}

fn checksum(link: usize, side: usize, number: u32, rest: &[u8]) -> u64 {
    let mut sum = hash(0, format!("{link} {side} {number}").as_bytes());
    let mut words = rest.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        sum = (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
    hash(sum, words.remainder())
}

fn frame(link: usize, side: usize, number: u32, size: usize, rng: &mut XorShiftRng) -> Frame {
    let mut rest = vec![0; size.saturating_sub(HEADER)];
    rng.fill_bytes(&mut rest);
    let mut body = BytesMut::with_capacity(HEADER + rest.len());
    body.put_u32(u32::try_from(link).unwrap_or(u32::MAX));
    body.put_u8(u8::from(side == 1));
    body.put_u32(number);
    body.put_u64(checksum(link, side, number, &rest));
    body.put_slice(&rest);
    Frame::new(body.freeze())
}

/// A message whose array is the body of this frame.
pub(crate) fn in_an_array(frame: &Frame) -> Message {
    let bytes = frame.bytes().to_vec();
    let array = Array::from_vec(&[bytes.len()], bytes).expect("one dimension of that size");
    let params = Dict::from([("image", Value::from(array))]);
    Message::new("observation", params, "x")
}

/// The body that was sent, as it is or in an array.
fn body(connection: &Connection, frame: Frame) -> Result<Bytes, String> {
    if frame.kind() == FrameKind::Bytes {
        return Ok(frame.into_bytes());
    }
    let message = connection
        .decode(frame)
        .map_err(|error| error.to_string())?;
    match message.param("image") {
        Some(Value::Array(array)) => Ok(array.bytes().clone()),
        other => Err(format!("{other:?} instead of an array")),
    }
}

/// The end of a server's link that a client has, and the other way round.
pub(crate) const fn other(key: Key) -> Key {
    (key.0, 1 - key.1)
}

pub(crate) const fn side_of(host: usize) -> usize {
    if host == SERVER { 1 } else { 0 }
}
