//! The XML declaration: `<?xml version="1.0" encoding="utf-8" standalone="yes"?>`.

use std::ops::Range;

use super::chars;
use super::fault::Fault;

const OPENING: &[u8] = b"<?xml";

/// The content of an XML declaration, as far as it matters here.
#[derive(Debug, PartialEq)]
pub(super) struct Declaration {
    /// The place of the name of the encoding.
    pub(super) encoding: Option<Range<usize>>,
    /// The end of the declaration.
    pub(super) end: usize,
}

/// Reads the declaration at `start`, if there is one.
///
/// # Errors
/// As expat: the version comes first and may be anything, then encoding and standalone, if at all.
pub(super) fn read(input: &[u8], start: usize) -> Result<Option<Declaration>, Fault> {
    let Some(rest) = input
        .get(start..)
        .and_then(|rest| rest.strip_prefix(OPENING))
    else {
        return Ok(None);
    };
    match rest.first() {
        Some(byte) if chars::is_space(*byte) || *byte == b'?' => {}
        // Perhaps `<?xml-stylesheet`, or it ends too soon: the scanner will say.
        _ => return Ok(None),
    }
    let content = start + OPENING.len();
    let length = rest
        .windows(2)
        .position(|pair| pair == b"?>")
        .ok_or(Fault::truncated("the XML declaration", start))?;
    let mut reader = Reader {
        input: &input[..content + length],
        at: content,
    };
    Ok(Some(Declaration {
        encoding: reader.read()?,
        end: content + length + 2,
    }))
}

/// Reads the pseudo-attributes up to the end of `input`.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

struct PseudoAttribute {
    name: Range<usize>,
    value: Range<usize>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<Option<Range<usize>>, Fault> {
        match self.next()? {
            Some(version) if self.is(&version, b"version") => {}
            other => {
                let at = other.map_or(self.at, |other| other.name.start);
                return Err(Fault::syntax(
                    "an XML declaration begins with its version",
                    at,
                ));
            }
        }
        let mut found = self.next()?;
        let encoding = match &found {
            Some(attribute) if self.is(attribute, b"encoding") => {
                let value = attribute.value.clone();
                if !self.input[value.clone()]
                    .first()
                    .is_some_and(u8::is_ascii_alphabetic)
                {
                    return Err(Fault::syntax(
                        "the name of an encoding expected",
                        value.start,
                    ));
                }
                found = self.next()?;
                Some(value)
            }
            _ => None,
        };
        let Some(standalone) = found else {
            return Ok(encoding);
        };
        if !self.is(&standalone, b"standalone") {
            return Err(Fault::syntax(
                "unknown word in the XML declaration",
                standalone.name.start,
            ));
        }
        if !matches!(&self.input[standalone.value.clone()], b"yes" | b"no") {
            return Err(Fault::syntax(
                "standalone is yes or no",
                standalone.value.start,
            ));
        }
        self.skip_space();
        if self.at < self.input.len() {
            return Err(Fault::syntax(
                "the end of the XML declaration expected",
                self.at,
            ));
        }
        Ok(encoding)
    }

    fn is(&self, attribute: &PseudoAttribute, name: &[u8]) -> bool {
        &self.input[attribute.name.clone()] == name
    }

    /// The next ` name = "value"`, or `None` at the end.
    fn next(&mut self) -> Result<Option<PseudoAttribute>, Fault> {
        if self.at == self.input.len() {
            return Ok(None);
        }
        if self.skip_space() == 0 {
            return Err(Fault::syntax("white space expected", self.at));
        }
        if self.at == self.input.len() {
            return Ok(None);
        }
        let name = self.take(|byte| byte != b'=' && !chars::is_space(byte));
        self.skip_space();
        if name.is_empty() || self.peek() != Some(b'=') {
            return Err(Fault::syntax("name=\"value\" expected", self.at));
        }
        self.at += 1;
        self.skip_space();
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(quote) = quote else {
            return Err(Fault::syntax("a quote expected", self.at));
        };
        self.at += 1;
        let value =
            self.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if self.peek() != Some(quote) {
            return Err(Fault::syntax("the closing quote expected", self.at));
        }
        self.at += 1;
        Ok(Some(PseudoAttribute { name, value }))
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn skip_space(&mut self) -> usize {
        self.take(chars::is_space).len()
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        start..self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoding that is declared, or where the declaration is wrong.
    fn encoding(input: &str) -> Result<Option<&str>, usize> {
        match read(input.as_bytes(), 0) {
            Ok(Some(declaration)) => {
                assert_eq!(declaration.end, input.find("?>").unwrap() + 2);
                Ok(declaration.encoding.map(|range| &input[range]))
            }
            Ok(None) => panic!("no declaration in {input:?}"),
            Err(fault) => Err(fault.at()),
        }
    }

    #[test]
    fn what_expat_takes_is_taken() {
        assert_eq!(encoding("<?xml version='1.0'?><a/>"), Ok(None));
        assert_eq!(encoding("<?xml version=\"1.1\" ?>"), Ok(None));
        assert_eq!(encoding("<?xml version='x'?>"), Ok(None));
        assert_eq!(encoding("<?xml version='' standalone='no'?>"), Ok(None));
        assert_eq!(
            encoding("<?xml\n version = '1.0'\tencoding=\"UTF-8\" standalone = 'yes' ?>"),
            Ok(Some("UTF-8"))
        );
    }

    #[test]
    fn what_expat_refuses_is_refused_at_the_same_place() {
        for (input, at) in [
            ("<?xml?>", 5),
            ("<?xml ?>", 6),
            ("<?xml encoding='utf-8'?>", 6),
            ("<?xml version='1.0'encoding='utf-8'?>", 19),
            ("<?xml version='1.0' encoding=''?>", 30),
            ("<?xml version='1.0' encoding='8'?>", 30),
            ("<?xml version='1.0' standalone='maybe'?>", 32),
            (
                "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
                37,
            ),
            ("<?xml version='1.0' foo='x'?>", 20),
            ("<?xml version='1.0?>", 18),
            ("<?xml version=1.0?>", 14),
            ("<?xml version?>", 13),
            ("<?xml version='1 0'?>", 16),
            ("<?xml version='1.0'", 0),
        ] {
            assert_eq!(encoding(input), Err(at), "{input:?}");
        }
    }

    #[test]
    fn other_instructions_are_none_of_it() {
        assert_eq!(read(b"<?xml-stylesheet?>", 0).unwrap(), None);
        assert_eq!(read(b"<a/>", 0).unwrap(), None);
        assert_eq!(read(b"<?xml", 0).unwrap(), None);
    }
}
