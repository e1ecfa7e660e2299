//! `masep decode --stream`: the raw bytes of one direction of a connection.

use std::io::{self, Read, Write};

use masep_proto::Frame;
use masep_proto::protocol2::{Dissector, HeaderError, Piece};
use serde::Serialize;
use serde_json::Value as Json;

use super::Line;
use crate::error::Error;
use crate::failure::{Failure, FailureLine};
use crate::output::Output;
use crate::payload::{self, Payload};
use crate::status::Status;

/// The first frame: the id of the one who sends.
#[derive(Serialize)]
struct HelloLine<'a> {
    hello: &'a str,
}

/// The first bytes of protocol 2.
#[derive(Serialize)]
struct PreambleLine {
    preamble: u16,
}

/// A frame that is neither hello nor message nor BYE.
#[derive(Serialize)]
struct OtherLine<'a> {
    bytes_hex: String,
    error: &'a Failure,
}

/// The part of a stream that has been read last.
#[derive(PartialEq)]
enum Phase {
    Hello,
    Messages,
    Bye,
}

struct Stream<'a, W: Write> {
    output: &'a mut Output<W>,
    phase: Phase,
    /// Arrays are shown with their bytes.
    full: bool,
    /// Bytes that came after BYE: no peer reads them.
    after_bye: u64,
    failed: bool,
}

/// Writes a line for each frame of the stream.
pub(super) fn decode(
    mut input: impl Read,
    output: &mut Output<impl Write>,
    full: bool,
) -> Result<Status, Error> {
    let mut stream = Stream {
        output,
        phase: Phase::Hello,
        full,
        after_bye: 0,
        failed: false,
    };
    let mut dissector = Dissector::new(payload::MOST_BYTES);
    let mut chunk = vec![0; 64 << 10];
    loop {
        // Everything that has arrived whole is out before we wait for more.
        stream.output.flush()?;
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => stream.handle(&mut dissector, &chunk[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Stdin(error)),
        }
    }
    stream.end(&dissector)
}

impl<W: Write> Stream<'_, W> {
    fn handle(&mut self, dissector: &mut Dissector, bytes: &[u8]) -> Result<(), Error> {
        if self.phase == Phase::Bye {
            self.after_bye += bytes.len() as u64;
            return Ok(());
        }
        dissector.push(bytes);
        while self.phase != Phase::Bye {
            match dissector.next() {
                Ok(Some(piece)) => self.piece(&piece)?,
                Ok(None) => return Ok(()),
                Err(HeaderError) => return self.failure(&Failure::broken_stream()),
            }
        }
        self.after_bye += dissector.rest().len() as u64;
        Ok(())
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), Error> {
        match piece {
            Piece::First(frame) | Piece::Frame(frame) => self.frame(frame),
            Piece::Preamble(generation) => {
                self.phase = Phase::Messages;
                self.output.json(&PreambleLine {
                    preamble: *generation,
                })
            }
            Piece::Payload {
                kind,
                size,
                payload,
            } => self.payload(&Payload::read(*kind, *size, payload.as_ref())),
            _ => Ok(()),
        }
    }

    fn payload(&mut self, payload: &Payload) -> Result<(), Error> {
        if payload.is_end() {
            self.phase = Phase::Bye;
        }
        match payload.to_json(self.full) {
            Ok(mut line) => {
                self.failed |= line.contains_key("error");
                // As in pymasep's protocol, and as masep encode takes it.
                let line = line.remove("message").unwrap_or(Json::Object(line));
                self.output.json(&line)
            }
            Err(failure) => self.failure(&failure),
        }
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), Error> {
        if self.phase == Phase::Hello && !frame.is_bye() {
            self.phase = Phase::Messages;
            return match std::str::from_utf8(frame.bytes()) {
                Ok(hello) => self.output.json(&HelloLine { hello }),
                Err(error) => self.other(frame, &Failure::new("hello", error.to_string())),
            };
        }
        match super::frame(frame) {
            Ok(line) => {
                if matches!(line, Line::Bye { .. }) {
                    self.phase = Phase::Bye;
                }
                self.output.json(&line)
            }
            Err(failure) => self.other(frame, &failure),
        }
    }

    fn other(&mut self, frame: &Frame, error: &Failure) -> Result<(), Error> {
        self.failed = true;
        let bytes_hex = hex::encode(frame.bytes());
        self.output.json(&OtherLine { bytes_hex, error })
    }

    fn failure(&mut self, error: &Failure) -> Result<(), Error> {
        self.failed = true;
        self.output.json(&FailureLine { error })
    }

    /// The end of the input, with what is left of it.
    fn end(mut self, dissector: &Dissector) -> Result<Status, Error> {
        let rest = dissector.rest();
        let is_cut = !rest.is_empty() || dissector.is_skipping();
        if self.phase != Phase::Bye && is_cut && !dissector.is_broken() {
            self.failure(&Failure::truncated(rest, dissector.is_masep()))?;
        } else if self.phase == Phase::Hello {
            self.failure(&Failure::new(
                "truncated",
                "the input ends before the hello",
            ))?;
        }
        if self.after_bye > 0 {
            let message = format!("{} bytes after BYE, which no peer reads", self.after_bye);
            self.failure(&Failure::new("after_bye", message))?;
        }
        self.output.flush()?;
        Ok(if self.failed {
            Status::Failed
        } else {
            Status::Done
        })
    }
}
