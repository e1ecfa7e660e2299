//! Lines in, lines out, with a bound on the length of one.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde_json::Map;

use crate::error::Error;
use crate::failure::{Failure, FailureLine};
use crate::output::Output;
use crate::status::Status;

/// The bytes that some programs put in front of a text. They are no part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes in one line. The largest message of pymasep's protocol is 1 MiB: twice that in hexadecimal digits, at most six
/// times in JSON (`\u007f`). The tree of a line takes up to a hundred times its bytes. So a line for the largest
/// payload of protocol 2, 16 MiB, is not taken: programs that send more use the libraries.
pub(crate) const MAX_LINE_BYTES: usize = 7 << 20;

/// Reads the JSON of a line.
pub(crate) fn parse_json(line: &[u8]) -> Result<serde_json::Value, Failure> {
    masep_proto::json::from_slice(line).map_err(|error| Failure::json(line, error))
}

/// Reads the object of a line. The failure for another line has this example.
pub(crate) fn parse_object(
    line: &[u8],
    example: &str,
) -> Result<Map<String, serde_json::Value>, Failure> {
    match parse_json(line) {
        Ok(serde_json::Value::Object(object)) => Ok(object),
        Ok(_) => {
            let failure = Failure::new("unexpected", "a line is a JSON object");
            Err(failure.with_example(example))
        }
        Err(failure) if failure.kind == "json" => Err(failure.with_example(example)),
        Err(failure) => Err(failure),
    }
}

/// The failure for a line of so many bytes.
pub(crate) fn too_long(length: usize) -> Failure {
    let message = format!(
        "bytes of one line: {length} exceeds the limit of {MAX_LINE_BYTES}; what is larger is for the libraries"
    );
    Failure::new("limit", message)
}

/// One line, without the line feed at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its bytes.
    Whole(&'a [u8]),
    /// It was longer than allowed and is skipped: how long it was.
    TooLong(usize),
}

/// Reads lines of bounded length.
pub(crate) struct LineReader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    max_bytes: usize,
}

impl<R: Read> LineReader<R> {
    /// Reads lines of at most `max_bytes` bytes.
    pub(crate) fn new(input: R, max_bytes: usize) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            line: Vec::new(),
            max_bytes,
        }
    }

    /// The next line, without a byte order mark in front of it, or `None` at the end of the input. Bytes behind
    /// the last line feed are a line too. Calls `before_wait` before each read that may have to wait.
    pub(crate) fn next(
        &mut self,
        mut before_wait: impl FnMut() -> Result<(), Error>,
    ) -> Result<Option<Line<'_>>, Error> {
        self.line.clear();
        let mut length = 0;
        loop {
            if self.input.buffer().is_empty() {
                before_wait()?;
            }
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Stdin(error)),
            };
            if available.is_empty() && length == 0 {
                return Ok(None);
            }
            let line_feed = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..line_feed.unwrap_or(available.len())];
            length += piece.len();
            if length <= self.max_bytes {
                self.line.extend_from_slice(piece);
            }
            let ended = line_feed.is_some() || available.is_empty();
            let consumed = piece.len() + usize::from(line_feed.is_some());
            self.input.consume(consumed);
            if ended {
                break;
            }
        }
        Ok(Some(if length <= self.max_bytes {
            Line::Whole(
                self.line
                    .strip_prefix(BYTE_ORDER_MARK)
                    .unwrap_or(&self.line),
            )
        } else {
            Line::TooLong(length)
        }))
    }
}

/// Writes for each line of the input one line: what `convert` makes of it, by `write`, or an error
/// object in its place. Lines that are done are flushed before the input makes us wait.
pub(crate) fn convert_lines<T, W: Write>(
    input: impl Read,
    output: &mut Output<W>,
    convert: impl Fn(&[u8]) -> Result<T, Failure>,
    write: impl Fn(&mut Output<W>, &T) -> Result<(), Error>,
) -> Result<Status, Error> {
    let mut input = LineReader::new(input, MAX_LINE_BYTES);
    let (mut lines, mut failed) = (0_u64, 0_u64);
    while let Some(line) = input.next(|| output.flush())? {
        let converted = match line {
            Line::Whole(line) => convert(line),
            Line::TooLong(length) => Err(too_long(length)),
        };
        match converted {
            Ok(result) => write(output, &result)?,
            Err(failure) => {
                failed += 1;
                output.json(&FailureLine { error: &failure })?;
            }
        }
        lines += 1;
    }
    output.flush()?;
    tracing::debug!(lines, failed, "end of input");
    Ok(if failed == 0 {
        Status::Done
    } else {
        Status::Failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    /// The lines, each as text or, if too long, as its length.
    fn lines(input: impl Read, max_bytes: usize) -> Vec<String> {
        let mut reader = LineReader::new(input, max_bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next(|| Ok(())).unwrap() {
            lines.push(match line {
                Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                Line::TooLong(length) => format!("too long: {length}"),
            });
        }
        lines
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        for (input, expected) in [
            (&b""[..], &[][..]),
            (b"\n", &[""]),
            (b"a\n\nb", &["a", "", "b"]),
            (b"a\r\nb\n", &["a\r", "b"]),
        ] {
            assert_eq!(lines(input, 10), expected, "{input:?}");
            assert_eq!(lines(Trickle(input), 10), expected, "{input:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_line() {
        // Also of a later one: files are put behind each other.
        let input = "\u{feff}a\nb\u{feff}\n\u{feff}\n\u{feff}c".as_bytes();
        assert_eq!(lines(Trickle(input), 10), ["a", "b\u{feff}", "", "c"]);
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_read() {
        let input = b"12345\n123456\n1\n";
        let expected = ["12345", "too long: 6", "1"];
        assert_eq!(lines(&input[..], 5), expected);
        assert_eq!(lines(Trickle(input), 5), expected);
    }

    #[test]
    fn memory_does_not_follow_a_line_without_end() {
        let input = io::repeat(b'x').take(10_000_000);
        let mut reader = LineReader::new(input, 1_000);
        let line = reader.next(|| Ok(())).unwrap();
        assert_eq!(line, Some(Line::TooLong(10_000_000)));
        assert!(reader.line.capacity() <= 128 << 10);
    }

    #[test]
    fn what_is_done_is_flushed_before_each_wait() {
        let mut waits = 0;
        let mut reader = LineReader::new(Trickle(b"a\nb\n"), 10);
        let mut count = || {
            waits += 1;
            Ok(())
        };
        while reader.next(&mut count).unwrap().is_some() {}
        assert_eq!(waits, 5, "four bytes and the end");
    }
}
