//! Maps whose keys are known, and whose values are simple: control messages.

use std::collections::HashSet;

use bytes::Bytes;
use bytestring::ByteString;

use super::head::{self, Major};
use super::reader::{Fault, Head, Reader};
use crate::printable::is_name;
use crate::value::excerpt;
use crate::{DecodeError, DecodeErrorKind, Dict, Limit, Limits, Value};

/// Room for a map, in bytes: most need no more.
const TYPICAL: usize = 128;

/// null.
const NULL: u8 = 0xf6;

/// The bounds of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Data items in it.
    pub(crate) items: usize,
    /// Bytes of one text.
    pub(crate) text_bytes: usize,
    /// The levels of items in each other, the map's own included.
    pub(crate) levels: usize,
}

/// The value of the current key.
pub(crate) struct Field<'r, 'a> {
    input: &'a [u8],
    reader: &'r mut Reader<'a>,
    bounds: Bounds,
    is_read: bool,
}

/// Reads a map. Each key that is there is given to `each`, with its value, of which nothing else is known; one that it
/// does not read is skipped, as is null.
pub(crate) fn read<'a>(
    input: &'a [u8],
    bounds: Bounds,
    mut each: impl FnMut(&'a str, &mut Field<'_, 'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(input, bounds.items, bounds.text_bytes);
    let map = reader.expect(Major::Map, "a control message is a map")?;
    let count = reader.count(map)?;
    let mut keys = HashSet::new();
    for _ in 0..count {
        let head = reader.expect(Major::Text, "the key of a map is a text")?;
        let key = reader.text(head)?;
        if !keys.insert(key) {
            let kind = DecodeErrorKind::DuplicateKey(excerpt(key));
            return Err(Fault::new(kind, head.start).into());
        }
        let mut field = Field {
            input,
            reader: &mut reader,
            bounds,
            is_read: false,
        };
        if !field.is_null() {
            each(key, &mut field)?;
        }
        if !field.is_read {
            reader.skip_within(bounds.levels - 1)?;
        }
    }
    Ok(reader.end()?)
}

impl<'a> Field<'_, 'a> {
    fn is_null(&self) -> bool {
        self.input.get(self.reader.position()) == Some(&NULL)
    }

    /// A text of at most so many bytes.
    pub(crate) fn text(&mut self, most: usize) -> Result<ByteString, DecodeError> {
        self.is_read = true;
        Ok(self.next_text(most)?)
    }

    /// A name of at most so many bytes: a text whose characters are all printable.
    pub(crate) fn name(&mut self, most: usize) -> Result<ByteString, DecodeError> {
        self.is_read = true;
        Ok(self.next_name(most)?)
    }

    fn next_name(&mut self, most: usize) -> Result<ByteString, Fault> {
        let start = self.reader.position();
        let name = self.next_text(most)?;
        if !is_name(&name) {
            let kind = DecodeErrorKind::NotPrintable(excerpt(&name));
            return Err(Fault::new(kind, start));
        }
        Ok(name)
    }

    fn next_text(&mut self, most: usize) -> Result<ByteString, Fault> {
        let head = self.reader.expect(Major::Text, "this is a text")?;
        let text = self.reader.text(head)?;
        if text.len() > most {
            return Err(Fault::limit(Limit::TextBytes, text.len(), most, head.start));
        }
        Ok(ByteString::from(text))
    }

    /// A number from 0 on.
    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        self.is_read = true;
        Ok(self.next_number()?)
    }

    fn next_number(&mut self) -> Result<u64, Fault> {
        let head = self
            .reader
            .expect(Major::Unsigned, "this is a number from 0 on")?;
        Ok(head.argument)
    }

    /// True or false.
    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        self.is_read = true;
        let head = self.reader.expect(Major::Simple, "this is true or false")?;
        match head.info {
            20 => Ok(false),
            21 => Ok(true),
            _ => Err(Fault::unexpected("this is true or false", head.start).into()),
        }
    }

    /// Two numbers, of which the second is not smaller.
    pub(crate) fn range(&mut self) -> Result<(u64, u64), DecodeError> {
        const WHAT: &str = "this is the least and the greatest of a range";
        self.is_read = true;
        let head = self.reader.expect(Major::Array, WHAT)?;
        if head.argument != 2 {
            return Err(Fault::unexpected(WHAT, head.start).into());
        }
        let (least, most) = (self.next_number()?, self.next_number()?);
        if least > most {
            return Err(Fault::unexpected(WHAT, head.start).into());
        }
        Ok((least, most))
    }

    /// Reads a list of at most so many names of at most so many bytes.
    pub(crate) fn names(
        &mut self,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<ByteString>, DecodeError> {
        self.is_read = true;
        let head = self
            .reader
            .expect(Major::Array, "this is an array of names")?;
        let count = self.reader.count(head)?;
        if count > most {
            return Err(Fault::limit(Limit::Nodes, count, most, head.start).into());
        }
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            names.push(self.next_name(most_bytes)?);
        }
        Ok(names)
    }

    /// A map of any values.
    pub(crate) fn dict(&mut self) -> Result<Dict, DecodeError> {
        self.is_read = true;
        let start = self.reader.position();
        self.reader.skip()?;
        let bytes = Bytes::copy_from_slice(&self.input[start..self.reader.position()]);
        let limits = Limits::default()
            .nodes(self.bounds.items)
            .depth(super::depth_of(self.bounds.levels - 1));
        match super::decode_value(&bytes, &limits) {
            Ok(Value::Dict(dict)) => Ok(dict),
            Ok(_) => Err(Fault::unexpected("this is a map", start).into()),
            Err(error) => Err(Fault::new(error.kind, start + error.position.offset).into()),
        }
    }
}

/// A value in a map whose keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapItem<'a> {
    /// A number from 0 on.
    Number(u64),
    /// The bytes of a text, which may be no UTF-8.
    Text(&'a [u8]),
    /// The bytes of another map.
    Map(&'a [u8]),
    /// Anything else.
    Other,
}

/// Keys of a map that are compared one by one.
const FEW: usize = 16;

/// Reads a map whose keys are known, such as a [`MapWriter`] writes: the bytes of each key are given to `each`, with its
/// value. Takes no memory for up to 16 keys. Texts are not known to be UTF-8: those that are known are.
///
/// # Errors
/// Bytes that are no CBOR or no map; a key that is there twice.
pub fn read_map<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], MapItem<'a>),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes, usize::MAX, usize::MAX);
    let map = reader.expect(Major::Map, "this is a map")?;
    let count = reader.count(map)?;
    let (mut few, mut more): ([&[u8]; FEW], _) = ([&[]; FEW], HashSet::new());
    for at in 0..count {
        let head = reader.expect(Major::Text, "the key of a map is a text")?;
        let key = content(bytes, &mut reader, head)?;
        let known = &few[..at.min(FEW)];
        if known.contains(&key) || (at >= FEW && !more.insert(key)) {
            let kind = DecodeErrorKind::DuplicateKey(excerpt(&String::from_utf8_lossy(key)));
            return Err(Fault::new(kind, head.start).into());
        }
        if let Some(place) = few.get_mut(at) {
            *place = key;
        }
        each(key, item(bytes, &mut reader)?);
    }
    Ok(reader.end()?)
}

/// The number of items in a map that was written here.
pub(crate) fn items(map: &[u8]) -> usize {
    let mut reader = Reader::new(map, usize::MAX, usize::MAX);
    let _it_is_one = reader.pass(1);
    usize::MAX - reader.nodes_left()
}

/// The bytes of a text whose head was just read.
fn content<'a>(bytes: &'a [u8], reader: &mut Reader<'a>, head: Head) -> Result<&'a [u8], Fault> {
    let range = reader.content(head)?;
    Ok(bytes.get(range).unwrap_or_default())
}

fn item<'a>(bytes: &'a [u8], reader: &mut Reader<'a>) -> Result<MapItem<'a>, Fault> {
    let start = reader.position();
    let Some(first) = bytes.get(start) else {
        return Err(Fault::truncated("an item", start));
    };
    Ok(match Major::of(*first) {
        Major::Unsigned => MapItem::Number(reader.head()?.argument),
        Major::Text => {
            let head = reader.head()?;
            MapItem::Text(content(bytes, reader, head)?)
        }
        Major::Map => {
            reader.pass(1)?;
            MapItem::Map(&bytes[start..reader.position()])
        }
        _ => {
            reader.pass(1)?;
            MapItem::Other
        }
    })
}

/// Writes a map of known keys, of which there are at most 23, in CBOR.
#[derive(Debug)]
pub struct MapWriter {
    output: Vec<u8>,
    /// The place of the head of the map.
    head: usize,
    entries: u8,
}

impl Default for MapWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl MapWriter {
    /// An empty map.
    pub fn new() -> Self {
        Self::behind(&[])
    }

    /// An empty map behind these bytes, which [`finish`](Self::finish) gives too.
    pub(crate) fn behind(bytes: &[u8]) -> Self {
        let mut output = Vec::with_capacity(bytes.len() + TYPICAL);
        output.extend_from_slice(bytes);
        let head = output.len();
        output.push(0);
        let entries = 0;
        Self {
            output,
            head,
            entries,
        }
    }

    fn key(&mut self, key: &str) {
        self.entries += 1;
        push_text(&mut self.output, key);
    }

    /// Adds a text.
    pub fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        push_text(&mut self.output, text);
    }

    /// Adds a number.
    pub fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        head::push(&mut self.output, Major::Unsigned, number);
    }

    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        head::push(&mut self.output, Major::Simple, 20 + u64::from(flag));
    }

    pub(crate) fn range(&mut self, key: &str, (least, most): (u64, u64)) {
        self.key(key);
        head::push(&mut self.output, Major::Array, 2);
        head::push(&mut self.output, Major::Unsigned, least);
        head::push(&mut self.output, Major::Unsigned, most);
    }

    pub(crate) fn texts(&mut self, key: &str, texts: &[ByteString]) {
        self.key(key);
        head::push(&mut self.output, Major::Array, texts.len() as u64);
        for text in texts {
            push_text(&mut self.output, text);
        }
    }

    /// Adds a value, whose bytes in CBOR these are.
    pub(crate) fn item(&mut self, key: &str, item: &[u8]) {
        self.key(key);
        self.output.extend_from_slice(item);
    }

    /// Adds a map, to which `write` adds its entries.
    pub fn map(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.key(key);
        let (head, entries) = (self.head, self.entries);
        (self.head, self.entries) = (self.output.len(), 0);
        self.output.push(0);
        write(self);
        self.end();
        (self.head, self.entries) = (head, entries);
    }

    /// Writes the head.
    fn end(&mut self) {
        debug_assert!(self.entries < 24, "the head has one byte");
        if let Some(head) = self.output.get_mut(self.head) {
            *head = (Major::Map as u8) << 5 | self.entries;
        }
    }

    /// The bytes of the map.
    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        self.output
    }
}

fn push_text(output: &mut Vec<u8>, text: &str) {
    head::push(output, Major::Text, text.len() as u64);
    output.extend_from_slice(text.as_bytes());
}
