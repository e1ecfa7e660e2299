//! JSON text that is nested as deep as a message can be.
//!
//! `serde_json` recurses once a level and refuses more than 127 of them. Here what is deeper is read
//! without recursion; all else `serde_json` reads as it always did, with its errors.

use serde_json::{Map, Value as Json};

use super::tree::MOST_LEVELS;
use super::{JsonError, JsonErrorKind, LEVELS_PER_ITEM};
use crate::{Limit, LimitExceeded, Limits};

/// Levels of text that `serde_json` reads.
const LEVELS_OF_SERDE_JSON: usize = 127;

/// Levels of text that a container takes at most: `{"$dict": [["$key", …]]}`.
const LEVELS_PER_CONTAINER: usize = 3;

/// Levels around the parameters of a message: the message, and what it stands in.
const LEVELS_AROUND: usize = 8;

/// Reads JSON text as `serde_json::from_slice` does, but nested as deep as the JSON form of a message
/// can be: 1,608 levels with the default of [`Limits::depth`]. It does not recurse.
///
/// # Errors
/// The text is no JSON ([`JsonErrorKind::Syntax`]), or nested deeper.
pub fn from_slice(text: &[u8]) -> Result<Json, JsonError> {
    let levels = nesting(text);
    if levels <= LEVELS_OF_SERDE_JSON {
        let read = serde_json::from_slice(text);
        return read.map_err(|error| JsonErrorKind::Syntax(error.to_string()).into());
    }
    let values = Limits::default().depth / LEVELS_PER_ITEM * LEVELS_PER_CONTAINER + LEVELS_AROUND;
    // An element as a tree has two for each of its own.
    let most = values + MOST_LEVELS;
    LimitExceeded::check(Limit::Depth, levels, most)?;
    let mut reader = Reader { text, at: 0 };
    match reader.document() {
        Ok(json) => Ok(json),
        Err(what) => Err(JsonErrorKind::Syntax(reader.locate(&what)).into()),
    }
}

/// The depth of the brackets, those in strings aside.
fn nesting(text: &[u8]) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            b'"' => at = string_end(text, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The end of the string that begins at `at`: its other quotation mark, or the end of the text.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => return end,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    text.len()
}

/// An array or object whose end was not read yet.
enum Open {
    Array(Vec<Json>),
    /// An object, with the key of the value that comes next.
    Object(Map<String, Json>, String),
}

impl Open {
    fn push(&mut self, value: Json) {
        match self {
            Self::Array(items) => items.push(value),
            Self::Object(object, key) => {
                object.insert(std::mem::take(key), value);
            }
        }
    }
}

impl From<Open> for Json {
    fn from(open: Open) -> Self {
        match open {
            Open::Array(items) => Self::Array(items),
            Open::Object(object, _) => Self::Object(object),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Json, String> {
        let mut open = Vec::new();
        loop {
            let mut value = match self.begin(&mut open)? {
                Some(value) => value,
                None => continue,
            };
            // A value is complete, and with it perhaps the containers that it is the last of.
            loop {
                let Some(container) = open.last_mut() else {
                    return match self.peek() {
                        None => Ok(value),
                        Some(_) => Err("trailing characters".to_owned()),
                    };
                };
                container.push(value);
                match (container, self.peek()) {
                    (Open::Array(_), Some(b',')) => {
                        self.at += 1;
                        break;
                    }
                    (Open::Object(_, next), Some(b',')) => {
                        self.at += 1;
                        *next = self.key()?;
                        break;
                    }
                    (Open::Array(_), Some(b']')) | (Open::Object(..), Some(b'}')) => self.at += 1,
                    (Open::Array(_), _) => return Err("expected `,` or `]`".to_owned()),
                    (Open::Object(..), _) => return Err("expected `,` or `}`".to_owned()),
                }
                match open.pop() {
                    Some(container) => value = container.into(),
                    None => return Err("expected value".to_owned()),
                }
            }
        }
    }

    /// Reads a scalar or an empty container, or the beginning of a container that is not empty.
    fn begin(&mut self, open: &mut Vec<Open>) -> Result<Option<Json>, String> {
        let first = self.peek();
        match first {
            Some(b'[') => {
                self.at += 1;
                if self.peek() == Some(b']') {
                    self.at += 1;
                    return Ok(Some(Json::Array(Vec::new())));
                }
                open.push(Open::Array(Vec::new()));
                Ok(None)
            }
            Some(b'{') => {
                self.at += 1;
                if self.peek() == Some(b'}') {
                    self.at += 1;
                    return Ok(Some(Json::Object(Map::new())));
                }
                let key = self.key()?;
                open.push(Open::Object(Map::new(), key));
                Ok(None)
            }
            Some(_) => self.scalar().map(Some),
            None => Err("EOF while parsing a value".to_owned()),
        }
    }

    /// The key of an object, and the colon behind it.
    fn key(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'"') {
            return Err("key must be a string".to_owned());
        }
        let Json::String(key) = self.scalar()? else {
            return Err("key must be a string".to_owned());
        };
        if self.peek() != Some(b':') {
            return Err("expected `:`".to_owned());
        }
        self.at += 1;
        Ok(key)
    }

    /// A string, a number, or a word; `serde_json` reads it.
    fn scalar(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let is_string = rest.first() == Some(&b'"');
        let length = if is_string {
            (string_end(rest, 0) + 1).min(rest.len())
        } else {
            let ends = |byte: &u8| b",]}:[{\" \t\r\n".contains(byte);
            rest.iter().position(ends).unwrap_or(rest.len())
        };
        let json = serde_json::from_slice(&rest[..length]).map_err(|error| {
            if error.is_eof() && !is_string {
                return "expected value".to_owned();
            }
            let text = error.to_string();
            text.split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned()
        })?;
        self.at += length;
        Ok(json)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// An error with the place that was reached, as `serde_json` tells it.
    fn locate(&self, what: &str) -> String {
        let read = &self.text[..self.at.min(self.text.len())];
        let line = read.split(|byte| *byte == b'\n').count();
        let line_start = read.iter().rposition(|byte| *byte == b'\n');
        let column = read.len() - line_start.map_or(0, |at| at + 1);
        format!("{what} at line {line} column {}", column + 1)
    }
}
