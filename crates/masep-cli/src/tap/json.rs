//! The lines of `masep tap --json`.

use masep::{Address, Frame, Message, RejectReason};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::entry::{Entry, Meaning, Origin, PREAMBLE_BYTES, What};
use crate::address::as_text;
use crate::failure::Failure;
use crate::payload::Payload;

/// The first line.
#[derive(Serialize)]
pub(super) struct Listening {
    event: &'static str,
    #[serde(serialize_with = "as_text")]
    address: Address,
    /// The same with the scheme that clients need, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Listening {
    pub(super) fn on((address, target): (Address, Option<String>)) -> Self {
        Self {
            event: "listening",
            address,
            target,
        }
    }
}

/// Stands where lines are missing.
#[derive(Serialize)]
pub(super) struct Skipped {
    event: &'static str,
    lines: u64,
}

impl Skipped {
    pub(super) const fn of(lines: u64) -> Self {
        Self {
            event: "skipped",
            lines,
        }
    }
}

/// A frame or an event of a connection.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(flatten)]
    origin: Origin,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Hello {
        size: usize,
        hello: &'a str,
    },
    Message {
        size: usize,
        message: Message,
    },
    Bye {
        size: usize,
        bye: bool,
    },
    Preamble {
        size: usize,
        preamble: u16,
    },
    Frame2 {
        size: usize,
        #[serde(flatten)]
        said: Map<String, Json>,
    },
    Bytes {
        size: usize,
        bytes_hex: String,
        error: Failure,
    },
    Open {
        event: &'static str,
        #[serde(serialize_with = "as_text")]
        address: Address,
    },
    Refused {
        event: &'static str,
        error: &'a str,
    },
    Rejected {
        event: &'static str,
        #[serde(serialize_with = "as_text")]
        address: Address,
        reason: &'static str,
        detail: String,
    },
    Denied {
        event: &'static str,
        code: &'a str,
        text: &'a str,
    },
    EndedBy {
        event: &'static str,
        reason: &'static str,
        detail: &'a str,
    },
    Ended {
        event: &'static str,
    },
}

impl<'a> Line<'a> {
    /// `full`: arrays with their bytes.
    pub(super) fn of(entry: &'a Entry, full: bool) -> Self {
        let content = match &entry.what {
            What::First(frame) => Content::frame(frame, Meaning::of_first(frame)),
            What::Frame(frame) => Content::frame(frame, Meaning::of(frame)),
            What::Preamble(preamble) => Content::Preamble {
                size: PREAMBLE_BYTES,
                preamble: *preamble,
            },
            What::Frame2(kind, size, payload) => {
                Content::frame2(*size, &Payload::read(*kind, *size, payload.as_ref()), full)
            }
            What::Broken(bytes) => Content::bytes(bytes, Failure::broken_stream()),
            What::Truncated(bytes, is_masep) => {
                Content::bytes(bytes, Failure::truncated(bytes, *is_masep))
            }
            What::Open(address) => Content::Open {
                event: "open",
                address: address.clone(),
            },
            What::Refused(error) => Content::Refused {
                event: "refused",
                error,
            },
            What::Rejected(address, exceeded) => {
                let why = RejectReason::TooManyConnections(*exceeded);
                Content::Rejected {
                    event: "rejected",
                    address: address.clone(),
                    reason: why.as_str(),
                    detail: why.to_string(),
                }
            }
            What::Denied(code, text) => Content::Denied {
                event: "denied",
                code,
                text,
            },
            What::Ended(reason, detail) => Content::EndedBy {
                event: "ended",
                reason,
                detail,
            },
            What::Eof => Content::Ended { event: "eof" },
            What::Reset => Content::Ended { event: "reset" },
        };
        Self {
            origin: entry.origin,
            content,
        }
    }
}

impl<'a> Content<'a> {
    fn frame(frame: &Frame, meaning: Meaning<'a>) -> Self {
        let size = frame.size();
        match meaning {
            Meaning::Hello(hello) => Self::Hello { size, hello },
            Meaning::Message(message) => Self::Message { size, message },
            Meaning::Bye => Self::Bye { size, bye: true },
            Meaning::None(error) => Self::bytes(frame.bytes(), error),
        }
    }

    fn frame2(size: usize, payload: &Payload, full: bool) -> Self {
        match payload.to_json(full) {
            Ok(said) => Self::Frame2 { size, said },
            Err(error) => Self::bytes(&[], error),
        }
    }

    fn bytes(bytes: &[u8], error: Failure) -> Self {
        Self::Bytes {
            size: bytes.len(),
            bytes_hex: hex::encode(bytes),
            error,
        }
    }
}
