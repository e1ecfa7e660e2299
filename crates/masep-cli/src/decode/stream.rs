//! `masep decode --stream`: the raw bytes of one direction of a connection.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec};
use serde::Serialize;

use super::Line;
use crate::error::Error;
use crate::failure::{Failure, FailureLine};
use crate::output::Output;
use crate::status::Status;

/// The first frame: the id of the one who sends.
#[derive(Serialize)]
struct HelloLine<'a> {
    hello: &'a str,
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
    /// Bytes that came after BYE: no peer reads them.
    after_bye: u64,
    failed: bool,
}

/// Writes a line for each frame of the stream.
pub(super) fn decode(
    mut input: impl Read,
    output: &mut Output<impl Write>,
) -> Result<Status, Error> {
    let mut stream = Stream {
        output,
        phase: Phase::Hello,
        after_bye: 0,
        failed: false,
    };
    let mut buffer = BytesMut::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        // Everything that has arrived whole is out before we wait for more.
        stream.output.flush()?;
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Stdin(error)),
        }
        stream.handle(&mut buffer)?;
    }
    stream.end(&buffer)
}

impl<W: Write> Stream<'_, W> {
    fn handle(&mut self, buffer: &mut BytesMut) -> Result<(), Error> {
        while self.phase != Phase::Bye {
            match FrameCodec::default().decode(buffer) {
                Ok(Some(frame)) => self.frame(&frame)?,
                Ok(None) => return Ok(()),
                // The default codec takes every length that a header can hold.
                Err(limit) => return self.failure(&limit.into()),
            }
        }
        self.after_bye += buffer.len() as u64;
        buffer.clear();
        Ok(())
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
    fn end(mut self, rest: &[u8]) -> Result<Status, Error> {
        if !rest.is_empty() {
            self.failure(&Failure::truncated_frame(rest))?;
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
