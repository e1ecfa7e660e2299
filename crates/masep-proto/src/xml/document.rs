//! The input as text: byte order marks, encodings, the XML declaration, and the way back from an
//! offset in the text to a position in the input.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

use super::declaration;
use super::fault::Fault;
use crate::{DecodeError, DecodeErrorKind, Limit, LimitExceeded, Limits, Position};

const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// An input as text.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) text: ByteString,
    /// The place in the text where the XML begins, behind the byte order mark and the declaration.
    pub(super) start: usize,
    encoding: Encoding,
    /// True if the text ends early, because the bytes that follow are not in the encoding.
    broken: bool,
}

/// The encoding of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Utf8,
    Ascii,
    Latin1,
    Windows1252,
    Utf16Be,
    Utf16Le,
}

/// The byte order mark, which stays in the text: it counts in columns.
const MARK: char = '\u{feff}';

impl Document {
    /// Turns the input into text, as expat does: by the byte order mark or the zeros of UTF-16,
    /// else by the declaration, else as UTF-8.
    pub(super) fn read(input: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        LimitExceeded::check(Limit::MessageBytes, input.len(), limits.message_bytes)
            .map_err(|exceeded| at_start(exceeded.into()))?;
        match detect_utf16(&input) {
            Some(encoding) => Self::utf16(&input, encoding),
            None => Self::single_bytes(input),
        }
    }

    /// A text that is XML already.
    pub(super) const fn of_text(text: ByteString) -> Self {
        Self {
            text,
            start: 0,
            encoding: Encoding::Utf8,
            broken: false,
        }
    }

    fn utf16(input: &[u8], encoding: Encoding) -> Result<Self, DecodeError> {
        let (text, broken) = encoding.decode(input);
        let start = if text.starts_with(MARK) {
            MARK.len_utf8()
        } else {
            0
        };
        let mut document = Self {
            text: text.into(),
            start,
            encoding,
            broken,
        };
        let declared = declaration::read(document.text.as_bytes(), start);
        if let Some(declaration) = declared.map_err(|fault| document.error(fault))? {
            if let Some(name) = declaration.encoding
                && !encoding.is_utf16_named(&document.text[name.clone()])
            {
                let fault = Fault::new(
                    DecodeErrorKind::Encoding("it is UTF-16, but says otherwise"),
                    name.start,
                );
                return Err(document.error(fault));
            }
            document.start = declaration.end;
        }
        Ok(document)
    }

    /// An input in UTF-8 or another encoding that has ASCII in it.
    fn single_bytes(mut input: Bytes) -> Result<Self, DecodeError> {
        let mark = if input.starts_with(UTF8_BOM) {
            UTF8_BOM.len()
        } else {
            0
        };
        let at = |fault: Fault| DecodeError {
            position: Position::of(&input, fault.at()),
            kind: fault.into_kind(),
        };
        let declaration = declaration::read(&input, mark).map_err(at)?;
        let (encoding, start) = match declaration {
            None => (Encoding::Utf8, mark),
            Some(declaration) => {
                let encoding = Encoding::declared(&input, declaration.encoding).map_err(at)?;
                (encoding, declaration.end)
            }
        };
        if matches!(encoding, Encoding::Latin1 | Encoding::Windows1252) && !input.is_ascii() {
            let (text, broken) = encoding.decode(&input[mark..]);
            return Ok(Self {
                text: text.into(),
                start: start - mark,
                encoding,
                broken,
            });
        }
        let whole = input.len();
        if encoding == Encoding::Ascii {
            let mut bytes = input.iter().skip(mark);
            let foreign = bytes.position(|byte| !byte.is_ascii());
            input.truncate(foreign.map_or(whole, |at| mark + at));
        }
        let text = ByteString::try_from(input.clone()).unwrap_or_else(|error| {
            input.truncate(error.valid_up_to());
            ByteString::try_from(input).unwrap_or_default()
        });
        Ok(Self {
            broken: text.len() < whole,
            text,
            start,
            encoding: Encoding::Utf8,
        })
    }

    /// The result of a reader of the text. If the text ends early, then that is the error, unless it is
    /// no XML before.
    pub(super) fn finish<T>(&self, result: Result<T, Fault>) -> Result<T, DecodeError> {
        let comes_before = |kind: &DecodeErrorKind| match kind {
            DecodeErrorKind::Truncated(_) => false,
            DecodeErrorKind::Limit(_) => true,
            other => other.is_malformed(),
        };
        match result {
            Ok(value) if !self.broken => Ok(value),
            Err(fault) if !self.broken || comes_before(fault.kind()) => Err(self.error(fault)),
            _ => Err(self.error(Fault::new(
                DecodeErrorKind::Encoding("bytes that are none of its characters"),
                self.text.len(),
            ))),
        }
    }

    fn error(&self, fault: Fault) -> DecodeError {
        let mut position = Position::of(self.text.as_bytes(), fault.at());
        position.offset = self.encoding.offset(&self.text[..position.offset]);
        DecodeError {
            kind: fault.into_kind(),
            position,
        }
    }
}

fn at_start(kind: DecodeErrorKind) -> DecodeError {
    DecodeError {
        kind,
        position: Position::START,
    }
}

/// UTF-16 shows itself by its mark, or by a zero in its first character, which is ASCII.
fn detect_utf16(input: &[u8]) -> Option<Encoding> {
    match input {
        [0xfe, 0xff, ..] | [0, _, ..] => Some(Encoding::Utf16Be),
        [0xff, 0xfe, ..] | [_, 0, ..] => Some(Encoding::Utf16Le),
        _ => None,
    }
}

impl Encoding {
    /// The encoding of this name, for an input whose declaration could be read byte by byte.
    fn declared(input: &[u8], name: Option<Range<usize>>) -> Result<Self, Fault> {
        let Some(name) = name else {
            return Ok(Self::Utf8);
        };
        let at = name.start;
        match &*input[name].to_ascii_lowercase() {
            b"utf-8" | b"utf8" => Ok(Self::Utf8),
            b"us-ascii" | b"ascii" => Ok(Self::Ascii),
            b"iso-8859-1" | b"iso8859-1" | b"latin-1" | b"latin1" => Ok(Self::Latin1),
            b"windows-1252" | b"cp1252" => Ok(Self::Windows1252),
            b"utf-16" | b"utf-16le" | b"utf-16be" => Err(Fault::new(
                DecodeErrorKind::Encoding("it says UTF-16, but is not"),
                at,
            )),
            _ => Err(Fault::new(
                DecodeErrorKind::Encoding("not one that masep reads"),
                at,
            )),
        }
    }

    fn is_utf16_named(self, name: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "utf-16" => true,
            "utf-16be" => self == Self::Utf16Be,
            "utf-16le" => self == Self::Utf16Le,
            _ => false,
        }
    }

    /// The text of an input that is not UTF-8, and whether it ends before the input does.
    fn decode(self, input: &[u8]) -> (String, bool) {
        match self {
            Self::Utf16Be | Self::Utf16Le => {
                let unit = |pair: &[u8]| {
                    let pair = pair.try_into().ok()?;
                    Some(match self {
                        Self::Utf16Be => u16::from_be_bytes(pair),
                        _ => u16::from_le_bytes(pair),
                    })
                };
                let units = input.chunks(2).map_while(unit);
                let mut broken = !input.len().is_multiple_of(2);
                let text = char::decode_utf16(units)
                    .map_while(|unit| {
                        broken |= unit.is_err();
                        unit.ok()
                    })
                    .collect();
                (text, broken)
            }
            Self::Windows1252 => {
                let mut broken = false;
                let text = input
                    .iter()
                    .map_while(|byte| {
                        let c = windows_1252(*byte);
                        broken |= c.is_none();
                        c
                    })
                    .collect();
                (text, broken)
            }
            _ => (input.iter().map(|byte| char::from(*byte)).collect(), false),
        }
    }

    /// The number of bytes of the input that the beginning of the text took.
    fn offset(self, before: &str) -> usize {
        match self {
            Self::Utf8 | Self::Ascii => before.len(),
            Self::Latin1 | Self::Windows1252 => before.chars().count(),
            Self::Utf16Be | Self::Utf16Le => before.chars().map(|c| 2 * c.len_utf16()).sum(),
        }
    }
}

/// A character of windows-1252, which differs from ISO-8859-1 in 0x80 to 0x9f; five are undefined.
fn windows_1252(byte: u8) -> Option<char> {
    const C1: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0',
        '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..0xa0 => Some(C1[usize::from(byte - 0x80)]).filter(|c| *c != '\0'),
        _ => Some(char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Document, DecodeErrorKind> {
        Document::read(Bytes::copy_from_slice(input), &Limits::default())
            .map_err(|error| error.kind)
    }

    fn xml(input: &[u8]) -> Result<String, DecodeErrorKind> {
        let document = read(input)?;
        let whole = document.text[document.start..].to_owned();
        document.finish(Ok(whole)).map_err(|error| error.kind)
    }

    fn declared(encoding: &str, content: &[u8]) -> Result<String, DecodeErrorKind> {
        let declaration = format!("<?xml version='1.0' encoding='{encoding}'?>");
        xml(&[declaration.as_bytes(), content].concat())
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_encodings_of_expat() {
        assert_eq!(xml("é".as_bytes()).unwrap(), "é");
        assert_eq!(xml(b"\xef\xbb\xbf<a/>").unwrap(), "<a/>");
        assert_eq!(declared("UTF-8", "é".as_bytes()).unwrap(), "é");
        assert_eq!(declared("iso-8859-1", b"\xe9\x80").unwrap(), "é\u{80}");
        assert_eq!(declared("Windows-1252", b"\x80\xe9").unwrap(), "€é");
        assert_eq!(declared("us-ascii", b"<a/>").unwrap(), "<a/>");
    }

    #[test]
    fn utf16_shows_itself() {
        let text = "<a>é漢😀</a>";
        assert_eq!(
            xml(&utf16(&format!("\u{feff}{text}"), u16::to_be_bytes)).unwrap(),
            text
        );
        assert_eq!(
            xml(&utf16(&format!("\u{feff}{text}"), u16::to_le_bytes)).unwrap(),
            text
        );
        assert_eq!(xml(&utf16(text, u16::to_be_bytes)).unwrap(), text);
        assert_eq!(xml(&utf16(text, u16::to_le_bytes)).unwrap(), text);
        let with = |name: &str| format!("\u{feff}<?xml version='1.0' encoding='{name}'?>{text}");
        assert_eq!(
            xml(&utf16(&with("UTF-16"), u16::to_le_bytes)).unwrap(),
            text
        );
        assert_eq!(
            xml(&utf16(&with("utf-16be"), u16::to_be_bytes)).unwrap(),
            text
        );
        for name in ["utf-16be", "utf-8", "windows-1252"] {
            assert!(matches!(
                xml(&utf16(&with(name), u16::to_le_bytes)),
                Err(DecodeErrorKind::Encoding(_))
            ));
        }
    }

    #[test]
    fn what_is_not_in_the_encoding_is_refused() {
        let broken = Err(DecodeErrorKind::Encoding(
            "bytes that are none of its characters",
        ));
        assert_eq!(xml(b"<a>\xff"), broken);
        assert_eq!(xml(b"<a>\xed\xa0\x80"), broken);
        assert_eq!(declared("us-ascii", b"\xc3\xa9"), broken);
        assert_eq!(declared("windows-1252", b"a\x81"), broken);
        assert_eq!(xml(b"\xff\xfe<\0a"), broken);
        assert_eq!(xml(b"\xff\xfe\x00\xd8<\0"), broken);
        for name in ["utf-16", "koi8-r", "utf-7"] {
            assert!(matches!(
                declared(name, b"<a/>"),
                Err(DecodeErrorKind::Encoding(_))
            ));
        }
    }

    #[test]
    fn positions_are_those_of_the_input() {
        let place = |input: &[u8], at: usize| {
            let position = read(input).unwrap().error(Fault::syntax("", at)).position;
            (position.offset, position.line, position.column)
        };
        assert_eq!(place("é\nxy".as_bytes(), 4), (4, 2, 1));
        assert_eq!(
            place(&utf16("\u{feff}é\n😀x", u16::to_le_bytes), 10),
            (10, 2, 1)
        );
        let latin1 = b"<?xml version='1.0' encoding='iso-8859-1'?>\xe9\xe9x";
        assert_eq!(place(latin1, 47), (45, 1, 45));
    }

    #[test]
    fn the_size_is_limited_before_anything_is_read() {
        let error = Document::read(
            Bytes::from_static(b"\xff\xff\xff"),
            &Limits::default().message_bytes(2),
        )
        .unwrap_err();
        assert_eq!(
            error.kind,
            DecodeErrorKind::Limit(LimitExceeded {
                limit: Limit::MessageBytes,
                actual: 3,
                allowed: 2
            })
        );
    }
}
