//! Standard output: a result a line.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use masep::is_printable;
use masep_proto::json::with_trees;
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

    /// Writes text as it is, without a line feed at its end, and hands it over.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Error> {
        self.writer
            .write_all(text.as_bytes())
            .map_err(Error::stdout)?;
        self.flush()
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

/// A text that may be a peer's, as it can be shown on a terminal and in one line.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match is_printable(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// A line of JSON, without the line feed at its end.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<String> {
    let mut line = Vec::new();
    write_json(&mut line, value)?;
    String::from_utf8(line).map_err(io::Error::other)
}

/// The form of elements in all that this run of the program writes.
#[allow(clippy::doc_markdown, reason = "the help shows it as it stands")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Elements {
    /// {"$xml":"<State env_step=\"1\" />"}
    #[default]
    Xml,
    /// {"$element":{"tag":"State","attributes":{"env_step":"1"},"text":...,"children":[...],"tail":...}}
    Tree,
}

static TREES: AtomicBool = AtomicBool::new(false);

/// Sets the form of elements from here on.
pub(crate) fn set_elements(elements: Elements) {
    TREES.store(elements == Elements::Tree, Ordering::Relaxed);
}

fn write_json(writer: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    if TREES.load(Ordering::Relaxed) {
        let value = serde_json::to_value(value)?;
        return write_line(writer, &with_trees(value));
    }
    write_line(writer, value)
}

fn write_line(writer: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(writer, OneLine);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// JSON without white space that is one line for everybody, and harmless in a terminal. JSON itself
/// escapes the control characters below U+0020 only, but many readers (Python's `str.splitlines` is
/// one) also end a line at others, and terminals obey U+009B as they do ESC and `[`.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        while let Some(at) = rest.find(|c| !is_printable(c)) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Appends text that is one line and does nothing to a terminal, whoever sent it.
pub(crate) fn push_printable(line: &mut String, text: &str, length: usize) {
    use std::fmt::Write as _;
    let mut chars = text.chars();
    for c in chars.by_ref().take(length) {
        if is_printable(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    match chars.count() {
        0 => {}
        more => {
            let _ = write!(line, "... ({more} more)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_the_line_or_steers_the_terminal() {
        let text = "\u{85}é\n\u{2028}\u{2029}漢\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{200e}\u{200f}\u{61c}\u{feff}\u{e0041}🐺";
        let mut line = Vec::new();
        let mut output = Output::new(&mut line);
        output.json(&text).unwrap();
        output.flush().unwrap();
        drop(output);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(
            line,
            "\"\\u0085é\\n\\u2028\\u2029漢\\r\\u001b[2J\\u007f\\u009b\\u202e\\u200e\\u200f\\u061c\\ufeff\\udb40\\udc41🐺\"\n"
        );
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
