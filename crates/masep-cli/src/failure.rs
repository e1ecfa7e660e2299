//! The error object that stands in the place of a line that could not be done.

use std::fmt::Write;

use masep::SendError;
use masep_proto::json::{JsonError, JsonErrorKind};
use masep_proto::protocol2::{Header, HeaderError};
use masep_proto::{DecodeError, EncodeError, LimitExceeded};
use serde::Serialize;

/// The fault of one line: `{"kind": "...", "message": "..."}`.
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

    /// The same, with a line that could be done.
    pub(crate) fn with_example(mut self, example: &str) -> Self {
        let _ = write!(self.message, "; a line is, for example, {example}");
        self
    }

    /// The failure for a line that is no JSON, with a hint if it is what Python writes for a float that
    /// JSON has no form for, or text of another encoding.
    pub(crate) fn json(line: &[u8], error: JsonError) -> Self {
        let JsonErrorKind::Syntax(text) = &error.kind else {
            return error.into();
        };
        // There is only one line.
        let (what, place) = text.split_once(" at line ").unwrap_or((text, ""));
        let column = place.rsplit_once(" column ");
        let column = column
            .and_then(|(_, column)| column.parse().ok())
            .unwrap_or(0);
        let mut message = format!("{what} at column {column}");
        if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
            message.push_str(": the text is UTF-16, expected UTF-8");
        } else if let Some((number, form)) = not_finite(line, column) {
            let _ = write!(
                message,
                ": JSON has no {number}, write {{\"$float\": \"{form}\"}}"
            );
        }
        Self::new("json", message)
    }

    /// The failure for bytes that are the beginning of a frame only.
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

impl Failure {
    /// The failure for bytes that are the beginning of a frame only, of protocol 2 or of pymasep's.
    pub(crate) fn truncated(bytes: &[u8], is_masep: bool) -> Self {
        if !is_masep {
            return Self::truncated_frame(bytes);
        }
        let message = match Header::read(bytes) {
            Ok(Some(header)) => format!(
                "the input ends in a frame: it has {} of {} bytes",
                bytes.len(),
                header.whole()
            ),
            _ => "the input ends in a frame".to_owned(),
        };
        Self::new("truncated", message)
    }

    /// The failure for what is no frame of protocol 2, where one should begin.
    pub(crate) fn broken_stream() -> Self {
        Self::new("header", format!("{HeaderError}: nothing more can be read"))
    }
}

/// The float at which a reader of JSON stopped, if it is one that JSON has no form for, and that of `$float`.
fn not_finite(line: &[u8], column: usize) -> Option<(&'static str, &'static str)> {
    const NUMBERS: [(&str, &str); 3] = [("-Infinity", "-inf"), ("Infinity", "inf"), ("NaN", "nan")];
    // It stops at the first byte, or behind the sign.
    let rest = line.get(column.checked_sub(1)?..)?;
    let signed = line.get(column.saturating_sub(2)..)?;
    NUMBERS.into_iter().find(|(number, _)| {
        rest.starts_with(number.as_bytes())
            || (number.starts_with('-') && signed.starts_with(number.as_bytes()))
    })
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
            SendError::Undelivered(_) => "undelivered",
            _ => "send",
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_json_is_told_where_and_what_to_write_instead() {
        let message = |line: &[u8]| {
            let error = masep_proto::json::from_slice(line).unwrap_err();
            Failure::json(line, error).message
        };
        assert_eq!(message(b"help"), "expected value at column 1");
        for (number, form) in [("NaN", "nan"), ("Infinity", "inf"), ("-Infinity", "-inf")] {
            for line in [
                number.to_owned(),
                format!("[1, {number}]"),
                format!("{}{number}", "[".repeat(200)),
                format!(r#"{{"NaN": "Infinity", "reward": {number}}}"#),
            ] {
                let message = message(line.as_bytes());
                let hint = format!(r#": JSON has no {number}, write {{"$float": "{form}"}}"#);
                assert!(message.ends_with(&hint), "{line}: {message}");
            }
        }
        let message = message(b"\xff\xfe{\0}\0");
        assert!(message.contains("UTF-16"), "{message}");
    }
}
