//! Standard output: a result a line.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::error::Error;

/// Writes lines of text and of JSON.
pub(crate) struct Output<W: Write> {
    writer: BufWriter<W>,
}

impl<W: Write> Output<W> {
    /// Buffers what goes to `writer` until [`flush`](Self::flush).
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer: BufWriter::with_capacity(64 << 10, writer),
        }
    }

    /// Writes a line of text.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Error> {
        self.writer
            .write_all(text.as_bytes())
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(Error::stdout)
    }

    /// Writes a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        write_json(&mut self.writer, value)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(Error::stdout)
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(Error::stdout)
    }
}

/// A line of JSON, without the line feed at its end.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<String> {
    let mut line = Vec::new();
    write_json(&mut line, value)?;
    String::from_utf8(line).map_err(io::Error::other)
}

fn write_json(writer: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(writer, OneLine);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// JSON without white space that is one line for everybody. JSON itself escapes the control
/// characters below U+0020 only, but many readers (Python's `str.splitlines` is one) also end a line
/// at these three.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for piece in fragment.split_inclusive(['\u{85}', '\u{2028}', '\u{2029}']) {
            let end = piece.char_indices().next_back();
            match end {
                Some((at, end @ ('\u{85}' | '\u{2028}' | '\u{2029}'))) => {
                    writer.write_all(&piece.as_bytes()[..at])?;
                    write!(writer, "\\u{:04x}", u32::from(end))?;
                }
                _ => writer.write_all(piece.as_bytes())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_the_line() {
        let text = "\u{85}é\n\u{2028}\u{2029}漢\r";
        let mut line = Vec::new();
        let mut output = Output::new(&mut line);
        output.json(&text).unwrap();
        output.flush().unwrap();
        drop(output);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line, "\"\\u0085é\\n\\u2028\\u2029漢\\r\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn a_closed_reader_is_told_from_a_full_disk() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let end = |kind| {
            let mut output = Output::new(Broken(kind));
            output.text("x").unwrap();
            output.flush().unwrap_err()
        };
        assert!(matches!(
            end(io::ErrorKind::BrokenPipe),
            Error::StdoutClosed
        ));
        assert!(matches!(end(io::ErrorKind::StorageFull), Error::Stdout(_)));
    }
}
