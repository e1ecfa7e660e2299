//! The error object that stands in the place of a line that could not be done.

use masep::SendError;
use masep_proto::json::JsonError;
use masep_proto::{DecodeError, EncodeError, LimitExceeded};
use serde::Serialize;

/// What was wrong with one line: `{"kind": "...", "message": "..."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// For programs: a stable name.
    pub(crate) kind: &'static str,
    /// For people: what was wrong and where.
    pub(crate) message: String,
}

/// A failure as a line of its own: `{"error": {...}}`.
#[derive(Serialize)]
pub(crate) struct FailureLine<'a> {
    pub(crate) error: &'a Failure,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What is wrong with bytes that are the beginning of a frame only.
    pub(crate) fn truncated_frame(bytes: &[u8]) -> Self {
        let message = match bytes {
            &[low, high, ref body @ ..] => format!(
                "the input ends in a frame: it has {} of {} bytes",
                body.len(),
                u16::from_le_bytes([low, high])
            ),
            _ => "the input ends in the header of a frame".to_owned(),
        };
        Self::new("truncated", message)
    }
}

impl From<hex::FromHexError> for Failure {
    fn from(error: hex::FromHexError) -> Self {
        Self::new("hex", error.to_string())
    }
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Self {
        Self::new(error.kind.name(), error.to_string())
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::new(error.name(), error.to_string())
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(error.kind.name(), error.to_string())
    }
}

impl From<LimitExceeded> for Failure {
    fn from(error: LimitExceeded) -> Self {
        Self::new("limit", error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::TooLarge(_) => "limit",
            SendError::Encode(error) => error.name(),
            SendError::Full(_) => "full",
            SendError::Closed(_) => "closed",
            SendError::UnknownPeer(_) => "unknown_peer",
            _ => "send",
        };
        Self::new(kind, error.to_string())
    }
}
