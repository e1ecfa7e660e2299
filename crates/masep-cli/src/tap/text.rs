//! The lines of `masep tap` for people.

use masep::Frame;
use serde_json::Value as Json;

use super::entry::{Entry, Meaning, PREAMBLE_BYTES, What};
use crate::failure::Failure;
use crate::output::push_printable;
use crate::payload::{self, Payload};

/// Characters of a message that a line shows if it is not to show all.
pub(super) const SHORT: usize = 160;

/// One line, with at most `length` characters of what was said.
pub(super) fn line(entry: &Entry, length: usize) -> String {
    let origin = entry.origin;
    let (size, kind, said) = match &entry.what {
        What::First(frame) => frame_columns(frame, Meaning::of_first(frame)),
        What::Frame(frame) => frame_columns(frame, Meaning::of(frame)),
        What::Preamble(generation) => (
            Some(PREAMBLE_BYTES),
            "preamble".into(),
            format!("protocol {generation}"),
        ),
        What::Frame2(kind, size, payload) => {
            let payload = Payload::read(*kind, *size, payload.as_ref());
            frame2_columns(*size, payload, length == usize::MAX)
        }
        What::Broken(bytes) => bytes_columns(bytes, &Failure::broken_stream()),
        What::Truncated(bytes, is_masep) => {
            bytes_columns(bytes, &Failure::truncated(bytes, *is_masep))
        }
        What::Open(address) => (None, "open".into(), format!("from {address}")),
        What::Refused(error) => (None, "refused".into(), error.clone()),
        What::Rejected(address, why) => (None, "rejected".into(), format!("from {address}: {why}")),
        What::Denied(code, text) => (None, "denied".into(), format!("{code}: {text}")),
        What::Ended(reason, detail) => (None, "ended".into(), format!("{reason}: {detail}")),
        What::Eof => (None, "eof".into(), String::new()),
        What::Reset => (None, "reset".into(), String::new()),
    };
    let size = size.map_or(String::new(), |size| format!("{size} B"));
    let mut line = format!(
        "{:>12.6} {:>3} {} {size:>8} ",
        origin.time.as_secs_f64(),
        origin.conn,
        origin.dir.as_str(),
    );
    push_printable(&mut line, &kind, SHORT);
    if !said.is_empty() {
        line.push(' ');
        push_printable(&mut line, &said, length);
    }
    line
}

type Columns = (Option<usize>, String, String);

fn frame_columns(frame: &Frame, meaning: Meaning<'_>) -> Columns {
    let (kind, said) = match meaning {
        Meaning::Hello(id) => ("hello".into(), id.to_owned()),
        Meaning::Bye => ("BYE".into(), String::new()),
        Meaning::Message(message) => (message.msg_type.to_string(), message.to_string()),
        Meaning::None(error) => return bytes_columns(frame.bytes(), &error),
    };
    (Some(frame.size()), kind, said)
}

fn frame2_columns(size: usize, payload: Payload, full: bool) -> Columns {
    let (kind, said) = match payload {
        Payload::Control(control) => {
            let fields = control
                .to_json()
                .map(|fields| Json::Object(fields).to_string());
            (control.name().to_uppercase(), fields.unwrap_or_default())
        }
        Payload::Message(message, turn) => {
            let json = payload::message_json(&message, turn.as_ref(), full);
            let json = json.map(|json| json.to_string()).unwrap_or_default();
            (message.msg_type.to_string(), json)
        }
        Payload::Bytes(bytes) => ("bytes".into(), hex::encode(bytes)),
        Payload::Ignored(kind, bytes) => (format!("kind {kind}"), hex::encode(bytes)),
        Payload::Other(bytes, error) => return bytes_columns(&bytes, &error),
        Payload::Large(_) => ("large".into(), "(too large to be looked at)".into()),
    };
    (Some(size), kind, said)
}

fn bytes_columns(bytes: &[u8], error: &Failure) -> Columns {
    let said = format!("({}) {}", error.message, hex::encode(bytes));
    (Some(bytes.len()), "bytes".into(), said)
}
