//! `masep decode`: bytes that pymasep sent to messages as JSON lines.

mod stream;

use std::io;

use bytes::{Bytes, BytesMut};
use clap::Args;
use masep_proto::{Frame, FrameCodec};
use serde::Serialize;

use crate::error::Error;
use crate::failure::Failure;
use crate::lines::convert_lines;
use crate::output::Output;
use crate::protocol::Protocol;
use crate::status::Status;

const LONG_ABOUT: &str = "\
Turn the bytes that pymasep (or masep) sends for messages, one line of hexadecimal digits each, into \
messages, one JSON object a line: {\"msg_type\": ..., \"src_sub_app\": ..., \"params\": ...}. See \
`masep encode --help` for the form of the parameters; `masep encode` turns them back into the same \
bytes.

For each line there is one line of output, also for an empty one. A line that cannot be done gives \
{\"error\": {\"kind\": ..., \"message\": ...}} in its place, the others are done, and the exit code is 1.

With --stream the input is no text but the raw bytes of one direction of a connection, in any cut. \
There is one line of output for each frame: {\"hello\": \"id\"} for the first, then messages, {\"bye\": \
true} at the end, and {\"bytes_hex\": ..., \"error\": ...} for a frame that is none of these. A stream \
that ends inside a frame, or that goes on after its end, gives a last line {\"error\": ...}. `masep \
encode --frame` turns the lines back into the same bytes.

With --protocol 2 the lines are messages in CBOR, as masep's own protocol has them. An array is shown as \
what it is, {\"$array\": \"uint8[84,84,4]\"}; with --full it has its bytes, and masep encode takes it.

A stream of protocol 2 is told by its first bytes: {\"preamble\": 2}, then {\"control\": \"hello\", \
\"fields\": {...}} and the like, messages, {\"bytes_hex\": ...}. In place of an access token or a resume text \
there is \"...\"; so such a stream cannot be turned back into bytes.";

const EXAMPLE: &str = "\
Examples:
  $ echo '{\"msg_type\": \"end\", \"src_sub_app\": \"engine\"}' | masep encode | masep decode
  {\"msg_type\":\"end\",\"src_sub_app\":\"engine\",\"params\":null}

  $ printf '\\5\\0agent\\3\\0BYE' | masep decode --stream
  {\"hello\":\"agent\"}
  {\"bye\":true}
";

/// Lines of hexadecimal digits, or the bytes of a connection, to messages as JSON lines
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Decode {
    /// Each line begins with the frame's header: two bytes with the length, which has to fit
    ///
    /// The frame that ends a connection is `{"bye": true}`.
    #[arg(long, conflicts_with = "protocol")]
    frame: bool,

    /// Read the raw bytes of one direction of a connection instead of lines
    #[arg(long, conflicts_with_all = ["frame", "protocol"])]
    stream: bool,

    /// Show arrays with their bytes, as masep encode takes them, and not only what they are
    #[arg(long)]
    full: bool,

    /// The generation of the protocol
    #[arg(long, value_enum, value_name = "N", default_value = "1")]
    protocol: Protocol,
}

/// A frame after the first one, as a line of JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Message(serde_json::Value),
    Bye { bye: bool },
}

impl Decode {
    pub(crate) fn run(&self) -> Result<Status, Error> {
        let mut output = Output::new(io::stdout().lock());
        let input = io::stdin().lock();
        if self.stream {
            return stream::decode(input, &mut output, self.full);
        }
        convert_lines(
            input,
            &mut output,
            |line| {
                let bytes = hex::decode(line.trim_ascii())?;
                if self.frame {
                    frame(&single_frame(&bytes)?)
                } else {
                    message(self.protocol, bytes.into(), self.full)
                }
            },
            Output::json,
        )
    }
}

/// The one frame that these bytes are.
fn single_frame(bytes: &[u8]) -> Result<Frame, Failure> {
    let mut input = BytesMut::from(bytes);
    let Some(frame) = FrameCodec::default().decode(&mut input)? else {
        return Err(Failure::truncated_frame(bytes));
    };
    if !input.is_empty() {
        let message = format!("{} bytes behind the frame of {}", input.len(), frame.size());
        return Err(Failure::new("excess", message));
    }
    Ok(frame)
}

/// The line for a frame after the first one.
fn frame(frame: &Frame) -> Result<Line, Failure> {
    if frame.is_bye() {
        return Ok(Line::Bye { bye: true });
    }
    message(Protocol::Xml, frame.bytes().clone(), true)
}

fn message(protocol: Protocol, bytes: Bytes, full: bool) -> Result<Line, Failure> {
    protocol.decode(bytes, full).map(Line::Message)
}
