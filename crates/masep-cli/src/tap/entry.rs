//! The frames and events that go through the proxy.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use masep::{Address, Frame, LimitExceeded, Limits, Message};
use masep_proto::protocol2::preamble;
use serde::{Serialize, Serializer};

use crate::failure::Failure;

/// The direction of a frame or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Direction {
    /// From the one who connected.
    #[serde(rename = "c2s")]
    ClientToServer,
    /// To the one who connected.
    #[serde(rename = "s2c")]
    ServerToClient,
}

impl Direction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ClientToServer => "c2s",
            Self::ServerToClient => "s2c",
        }
    }
}

/// When and where.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Origin {
    /// Since the start of the proxy.
    #[serde(rename = "t", serialize_with = "seconds")]
    pub(crate) time: Duration,
    /// The number of the connection, from 0.
    pub(crate) conn: u64,
    pub(crate) dir: Direction,
}

/// As microseconds, which is as good as the clock.
fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs() as f64 + f64::from(time.subsec_micros()) / 1e6)
}

/// Bytes of the first bytes of protocol 2.
pub(crate) const PREAMBLE_BYTES: usize = preamble::CLIENT.len();

/// Something that went through, or happened.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) origin: Origin,
    /// The time of day.
    pub(crate) at: SystemTime,
    pub(crate) what: What,
    /// Entries before this one that had no room.
    pub(crate) skipped: u64,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A connection came.
    Open(Address),
    /// The proxy's own connection to the server could not be had.
    Refused(String),
    /// A connection came, and there was no place for it.
    Rejected(Address, LimitExceeded),
    /// The first frame of a direction, which should be a hello.
    First(Frame),
    /// A later frame.
    Frame(Frame),
    /// The first bytes of protocol 2, of this generation.
    Preamble(u16),
    /// A frame of protocol 2: its kind, the bytes of its payload, and that, unless it is too large.
    Frame2(u8, usize, Option<Bytes>),
    /// From these bytes on nothing is a frame.
    Broken(Bytes),
    /// The stream ended in the middle of a frame: its bytes, header included. It is one of protocol 2 or not.
    Truncated(Bytes, bool),
    /// Something that one side has said does not go through, by a gate: code and text.
    Denied(String, String),
    /// One side has ended its connection, in this way.
    Ended(&'static str, String),
    /// The sender closed its direction.
    Eof,
    /// The sender reset the connection.
    Reset,
}

impl What {
    /// About how many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let bytes = match self {
            Self::First(frame) | Self::Frame(frame) => frame.size(),
            Self::Truncated(bytes, _) | Self::Broken(bytes) => bytes.len(),
            Self::Frame2(_, _, payload) => payload.as_ref().map_or(0, Bytes::len),
            Self::Refused(reason) | Self::Ended(_, reason) => reason.len(),
            Self::Denied(code, text) => code.len() + text.len(),
            Self::Preamble(_) | Self::Open(_) | Self::Rejected(..) | Self::Eof | Self::Reset => 0,
        };
        bytes + size_of::<Entry>()
    }
}

/// The meaning of a frame.
#[derive(Debug)]
pub(crate) enum Meaning<'a> {
    Hello(&'a str),
    Message(Message),
    Bye,
    /// Nothing that the protocol knows.
    None(Failure),
}

impl<'a> Meaning<'a> {
    /// The meaning of the first frame of a direction.
    pub(crate) fn of_first(frame: &'a Frame) -> Self {
        if frame.is_bye() {
            return Self::Bye;
        }
        match str::from_utf8(frame.bytes()) {
            Ok(id) => Self::Hello(id),
            Err(error) => Self::None(Failure::new("hello", error.to_string())),
        }
    }

    /// The meaning of a later frame.
    pub(crate) fn of(frame: &Frame) -> Self {
        if frame.is_bye() {
            return Self::Bye;
        }
        match Message::decode(frame.bytes().clone(), &Limits::default()) {
            Ok(message) => Self::Message(message),
            Err(error) => Self::None(error.into()),
        }
    }
}
