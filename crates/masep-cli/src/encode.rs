//! `masep encode`: messages as JSON lines to the bytes that pymasep sends.

use std::io;

use bytes::Bytes;
use clap::Args;
use masep_proto::{Frame, FrameCodec, Message};
use serde_json::Value as Json;

use crate::error::Error;
use crate::failure::Failure;
use crate::lines::{convert_lines, parse_json};
use crate::output::Output;
use crate::protocol::Protocol;
use crate::status::Status;

const LONG_ABOUT: &str = "\
Turn messages, one JSON object a line, into the bytes that pymasep sends for them, one line of \
hexadecimal digits each.

A message is {\"msg_type\": ..., \"src_sub_app\": ..., \"params\": ...}. Parameters are plain JSON; what \
JSON has no form for is an object with one key that starts with `$`: {\"$tuple\": [1, 2]}, {\"$set\": \
[...]}, {\"$type\": \"module.Class\"}, {\"$bytes_hex\": \"00ff\"}, {\"$xml\": \"<Action type=\\\"1\\\" />\"}, \
{\"$float\": \"nan\"}, {\"$int\": \"...\"} of any size, {\"$dict\": [[key, value], ...]}. A number with a \
fraction or an exponent is a float, any other an int.

With --protocol 2 the bytes are CBOR, as masep's own protocol has it. Only there are arrays: {\"$array\": \
{\"dtype\": \"uint8\", \"shape\": [2, 2], \"base64\": \"AAECAw==\"}}, with the bytes in row-major order, little \
endian; and \"turn\", an object, beside the parameters.

For each line there is one line of output, also for an empty one. A line that cannot be done gives \
{\"error\": {\"kind\": ..., \"message\": ...}} in its place, the others are done, and the exit code is 1.";

const EXAMPLE: &str = "\
Example:
  $ echo '{\"msg_type\": \"quit\", \"src_sub_app\": \"agent-1\", \"params\": null}' | masep encode
  3c4d657373616765206d73675f747970653d227175697422207372635f7375625f6170703d226167656e742d3122202f3e
";

/// The fault of a message whose sender is not known.
const NO_SENDER: &str = "the key \"src_sub_app\" is missing";

/// Messages as JSON lines to lines of hexadecimal digits
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Encode {
    /// Put the frame's header, two bytes with the length, in front of each message
    ///
    /// A frame holds at most 65,535 bytes: a larger message is an error. With this option the lines
    /// that `masep decode --stream` prints for other frames are taken too: `{"hello": "id"}`,
    /// `{"bye": true}` and `{"bytes_hex": "..."}`.
    #[arg(long, conflicts_with = "protocol")]
    frame: bool,

    /// The generation of the protocol
    #[arg(long, value_enum, value_name = "N", default_value = "1")]
    protocol: Protocol,

    /// The sender of messages that have no `src_sub_app`
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Encode {
    pub(crate) fn run(&self) -> Result<Status, Error> {
        let mut output = Output::new(io::stdout().lock());
        convert_lines(
            io::stdin().lock(),
            &mut output,
            |line| self.line(line),
            |output, hex| output.text(hex),
        )
    }

    fn line(&self, line: &[u8]) -> Result<String, Failure> {
        self.hex(line).map_err(|mut failure| {
            if failure.message == NO_SENDER {
                failure
                    .message
                    .push_str("; --id is that of all messages without one");
            }
            failure
        })
    }

    fn hex(&self, line: &[u8]) -> Result<String, Failure> {
        let json = parse_json(line)?;
        let id = self.id.as_deref();
        if !self.frame {
            return Ok(hex::encode(self.protocol.encode(json, id)?));
        }
        let mut bytes = Vec::new();
        FrameCodec::default().encode(&frame(&json, id)?, &mut bytes)?;
        Ok(hex::encode(bytes))
    }
}

/// The frame that a line describes: a message, or one of the forms of `masep decode --stream`.
fn frame(json: &Json, id: Option<&str>) -> Result<Frame, Failure> {
    if let Some(hello) = json.get("hello").and_then(Json::as_str) {
        return Ok(Frame::hello(hello));
    }
    if json.get("bye").and_then(Json::as_bool) == Some(true) {
        return Ok(Frame::BYE);
    }
    if let Some(digits) = json.get("bytes_hex").and_then(Json::as_str) {
        return Ok(Frame::new(Bytes::from(hex::decode(digits)?)));
    }
    Ok(Frame::new(Message::from_json(json, id)?.to_bytes()?))
}
