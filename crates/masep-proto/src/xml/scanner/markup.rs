//! The markup around and between elements: comments, instructions, CDATA sections.

use super::{Piece, PieceKind, Scanner, Token, name, skip_while};
use crate::DecodeErrorKind;
use crate::xml::chars;
use crate::xml::fault::Fault;

const COMMENT: &[u8] = b"<!--";
const CDATA: &[u8] = b"<![CDATA[";
const DOCTYPE: &[u8] = b"<!DOCTYPE";

impl Scanner<'_> {
    /// The start tag of the root.
    pub(in crate::xml) fn root(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_space();
            match self.ahead() {
                [] => return Err(Fault::truncated("a document without an element", self.at)),
                [b'<', b'?', ..] => self.instruction()?,
                [b'<', b'!', ..] => self.comment_or_doctype()?,
                [b'<', b'/', ..] => {
                    return Err(Fault::syntax("an element expected", self.at + 1));
                }
                [b'<', ..] => match self.read_tag()? {
                    Token::Start => return Ok(()),
                    Token::End => return Err(Fault::syntax("an element expected", self.at)),
                },
                _ => return Err(Fault::syntax("text before the first element", self.at)),
            }
        }
    }

    /// Reads the markup and the spaces behind the root, up to the end of the input.
    pub(in crate::xml) fn epilog(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_space();
            match self.ahead() {
                [] => return Ok(()),
                [b'<', b'?', ..] => self.instruction()?,
                ahead if ahead.starts_with(COMMENT) => self.comment()?,
                _ => return Err(Fault::syntax("something behind the root element", self.at)),
            }
        }
    }

    fn skip_space(&mut self) {
        self.at = skip_while(self.text.as_bytes(), self.at, chars::is_space);
    }

    /// A CDATA section, or nothing if it is empty or a comment.
    pub(super) fn cdata_or_comment(&mut self) -> Result<Option<Piece>, Fault> {
        if self.ahead().starts_with(COMMENT) {
            return self.comment().map(|()| None);
        }
        let start = self.at;
        if !self.ahead().starts_with(CDATA) {
            return Err(self.unknown_markup(&[COMMENT, CDATA]));
        }
        let content = start + CDATA.len();
        let end = self.find("]]>", content, "a CDATA section", start)?;
        self.at = end + "]]>".len();
        self.canonical = false;
        if content == end {
            return Ok(None);
        }
        let raw = content..end;
        let kind = if self.slice(raw.clone()).contains('\r') {
            PieceKind::CdataWithLineEnds
        } else {
            PieceKind::Plain
        };
        self.check_text(&raw, kind)?;
        Ok(Some(Piece { raw, kind }))
    }

    fn comment_or_doctype(&mut self) -> Result<(), Fault> {
        let ahead = self.ahead();
        if ahead.starts_with(COMMENT) {
            self.comment()
        } else if ahead.starts_with(DOCTYPE) {
            Err(Fault::new(DecodeErrorKind::Doctype, self.at))
        } else {
            Err(self.unknown_markup(&[COMMENT, DOCTYPE]))
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let end = self.find("--", start + COMMENT.len(), "a comment", start)? + "--".len();
        match self.text.as_bytes().get(end) {
            None => Err(Fault::truncated("a comment", start)),
            Some(b'>') => {
                self.at = end + 1;
                self.canonical = false;
                Ok(())
            }
            Some(_) => Err(Fault::syntax("-- in a comment", end)),
        }
    }

    /// A processing instruction.
    pub(super) fn instruction(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let name = name::scan_unusual_name(self.text, start + 2, start)?;
        if name.has_prefix() {
            return Err(Fault::syntax(
                "a colon in the name of an instruction",
                name.local - 1,
            ));
        }
        let target = self.name(&name);
        let ends = self.slice(name.end..self.text.len()).starts_with("?>");
        match self.text.as_bytes().get(name.end) {
            Some(byte) if ends || chars::is_space(*byte) => {}
            _ if self.slice(name.end..self.text.len()) == "?" => {
                return Err(Fault::truncated("an instruction", start));
            }
            _ => return Err(Fault::syntax("white space or ?> expected", name.end)),
        }
        if target.eq_ignore_ascii_case("xml") {
            return Err(Fault::syntax("an XML declaration not at the start", start));
        }
        let end = self.find("?>", name.end, "an instruction", start)?;
        self.at = end + "?>".len();
        self.canonical = false;
        Ok(())
    }

    /// The place where `ending` begins, with nothing before it that XML does not allow.
    fn find(
        &self,
        ending: &str,
        from: usize,
        construct: &'static str,
        token: usize,
    ) -> Result<usize, Fault> {
        let rest = self.slice(from..self.text.len());
        let end = rest.find(ending);
        let content = &rest[..end.unwrap_or(rest.len())];
        if let Some((bad, _)) = content
            .char_indices()
            .find(|(_, c)| !chars::is_xml_char(*c))
        {
            return Err(Fault::syntax(
                "a character that XML does not allow",
                from + bad,
            ));
        }
        match end {
            Some(end) => Ok(from + end),
            None => Err(Fault::truncated(construct, token)),
        }
    }

    /// The error for `<!` here: the input ends, or it begins no markup that may stand here.
    fn unknown_markup(&self, known: &[&[u8]]) -> Fault {
        let ahead = self.ahead();
        if known.iter().any(|opening| opening.starts_with(ahead)) {
            return Fault::truncated("markup", self.at);
        }
        Fault::syntax("unknown markup", self.at)
    }
}
