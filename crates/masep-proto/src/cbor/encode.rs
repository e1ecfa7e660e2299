//! Values and messages to CBOR.

use std::{mem, slice};

use bytes::Bytes;

use super::head::{self, Major};
use super::{Bounds, array, tag};
use crate::value::{DictIter, FoundArray, find_lacking_element};
use crate::{
    Dict, Element, EncodeError, FrameKind, Int, Limit, LimitExceeded, Message, Pieces, Value, xml,
};

/// Bytes that most messages other than observations fit in.
const TYPICAL: usize = 1_024;

/// The depth of the parameters of a message, as in XML, so that each generation of the protocol takes the messages of
/// the other.
pub(super) const PARAMS_DEPTH: usize = 2;

/// The levels by which an item is deeper than its container, as in XML.
pub(super) const LEVELS_PER_ITEM: usize = 2;

/// The depth of items that are so many levels deep, as [`Limits::depth`](crate::Limits::depth) counts: the outermost one is
/// one level deep.
pub(crate) const fn depth_of(levels: usize) -> usize {
    LEVELS_PER_ITEM * levels - 1
}

/// A message.
pub(crate) fn message(
    message: &Message,
    turn: Option<&Dict>,
    bounds: Bounds<'_>,
) -> Result<Bytes, EncodeError> {
    let pieces = encoded(message, turn, Encoder::new(bounds))?;
    Ok(pieces.into_frame().into_bytes())
}

/// A message whose large arrays stay where they are.
pub(crate) fn pieces(
    message: &Message,
    turn: Option<&Dict>,
    bounds: Bounds<'_>,
) -> Result<Pieces, EncodeError> {
    let mut encoder = Encoder::new(bounds);
    encoder.pieces = Some(Vec::new());
    encoded(message, turn, encoder)
}

/// A message of which everybody is sent the same, but for what belongs to the turn: up to the value of `turn`, which is to
/// follow. 64 of the items that may be are left to that.
pub(crate) fn open(message: &Message, bounds: Bounds<'_>) -> Result<Bytes, EncodeError> {
    let encoder = Encoder {
        is_open: true,
        nodes_left: bounds.nodes.saturating_sub(NODES_OF_TURN),
        ..Encoder::new(bounds)
    };
    let pieces = encoded(message, None, encoder)?;
    Ok(pieces.into_frame().into_bytes())
}

fn encoded(
    message: &Message,
    turn: Option<&Dict>,
    mut encoder: Encoder<'_>,
) -> Result<Pieces, EncodeError> {
    let params = match &message.params {
        Value::Dict(params) => Some(params),
        params if params.is_truthy() => {
            return Err(EncodeError::ParamsNotDict(params.type_name()));
        }
        _ => None,
    };
    let written = encoder.message(message, params, turn);
    encoder.finish(written, |find| {
        let dicts = [("params", params), ("turn", turn)];
        let dicts = dicts
            .into_iter()
            .filter_map(|(key, dict)| Some((key, dict?)));
        dicts
            .filter_map(|(key, dict)| find(key, &Value::Dict(dict.clone())))
            .next()
    })
}

/// A value.
pub(super) fn value(value: &Value, bounds: Bounds<'_>) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(bounds);
    let written = encoder
        .begin(value, 1)
        .and_then(|opened| encoder.run(opened, 1));
    let pieces = encoder.finish(written, |find| find("value", value))?;
    Ok(pieces.into_frame().into_bytes())
}

/// Items that are left to what belongs to a turn, where that is written by others.
const NODES_OF_TURN: usize = 64;

/// A container that is being written.
enum Open<'a> {
    Items(slice::Iter<'a, Value>),
    Entries(DictIter<'a>),
}

/// The reason why a value is not written.
enum Refused {
    Limit(LimitExceeded),
    /// There is an element in it that was made of a value with an array.
    LacksArray,
}

/// Something is not written: [`Encoder::refused`] says why. It is empty because each call returns it.
struct Stop;

/// Writes data items. The nesting of values is kept in a list of its own, so that no depth of it can exhaust the stack.
struct Encoder<'a> {
    output: Vec<u8>,
    bounds: Bounds<'a>,
    /// The number of items that there may still be.
    nodes_left: usize,
    refused: Option<Refused>,
    /// Large arrays, which stay where they are, each with its place; their bytes. `None` if all are copied.
    pieces: Option<Vec<(usize, Bytes)>>,
    elsewhere: usize,
    /// `turn` follows, which is written by others.
    is_open: bool,
}

impl<'a> Encoder<'a> {
    fn new(bounds: Bounds<'a>) -> Self {
        Self {
            output: Vec::with_capacity(TYPICAL),
            bounds,
            nodes_left: bounds.nodes,
            refused: None,
            pieces: None,
            elsewhere: 0,
            is_open: false,
        }
    }

    /// The bytes that were written, or the error. `find` looks in the values for the first one that a search finds.
    fn finish(
        self,
        written: Result<(), Stop>,
        find: impl FnOnce(fn(&str, &Value) -> Option<FoundArray>) -> Option<FoundArray>,
    ) -> Result<Pieces, EncodeError> {
        match (written, self.refused) {
            (Ok(()), _) => {
                let size = self.output.len() + self.elsewhere;
                LimitExceeded::check(Limit::MessageBytes, size, self.bounds.message_bytes)?;
                let arrays = self.pieces.unwrap_or_default();
                Ok(Pieces::new(FrameKind::Cbor, self.output, arrays))
            }
            (Err(Stop), Some(Refused::Limit(exceeded))) => Err(exceeded.into()),
            (Err(Stop), _) => {
                let FoundArray { path, array } = find(find_lacking_element).unwrap_or_default();
                Err(EncodeError::Array { path, array })
            }
        }
    }

    #[cold]
    fn refuse(&mut self, limit: Limit, actual: usize, allowed: usize) -> Stop {
        self.refused = Some(Refused::Limit(LimitExceeded {
            limit,
            actual,
            allowed,
        }));
        Stop
    }

    #[inline]
    fn check(&mut self, limit: Limit, actual: usize, allowed: usize) -> Result<(), Stop> {
        if actual > allowed {
            return Err(self.refuse(limit, actual, allowed));
        }
        Ok(())
    }

    /// Counts items.
    #[inline]
    fn count(&mut self, nodes: usize) -> Result<(), Stop> {
        match self.nodes_left.checked_sub(nodes) {
            Some(left) => {
                self.nodes_left = left;
                Ok(())
            }
            None => {
                let allowed = self.bounds.nodes;
                Err(self.refuse(Limit::Nodes, allowed - self.nodes_left + nodes, allowed))
            }
        }
    }

    #[inline]
    fn head(&mut self, major: Major, argument: u64) -> Result<(), Stop> {
        self.count(1)?;
        head::push(&mut self.output, major, argument);
        Ok(())
    }

    #[inline]
    fn content(&mut self, major: Major, content: &[u8]) -> Result<(), Stop> {
        self.check(Limit::TextBytes, content.len(), self.bounds.text_bytes)?;
        self.output.reserve(head::MOST + content.len());
        self.head(major, content.len() as u64)?;
        self.output.extend_from_slice(content);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Stop> {
        self.content(Major::Text, text.as_bytes())
    }

    fn message(
        &mut self,
        message: &Message,
        params: Option<&Dict>,
        turn: Option<&Dict>,
    ) -> Result<(), Stop> {
        let has_turn = turn.is_some() || self.is_open;
        let keys = 2 + u64::from(params.is_some()) + u64::from(has_turn);
        self.head(Major::Map, keys)?;
        self.text("type")?;
        self.text(message.msg_type.as_str())?;
        self.text("src")?;
        self.text(&message.src_sub_app)?;
        for (key, dict) in [("params", params), ("turn", turn)] {
            if let Some(dict) = dict {
                self.text(key)?;
                self.check(Limit::Depth, PARAMS_DEPTH, self.bounds.limits.depth)?;
                self.head(Major::Map, dict.len() as u64)?;
                self.run(Some(Open::Entries(dict.iter())), PARAMS_DEPTH)?;
            }
        }
        if self.is_open {
            self.text("turn")?;
        }
        Ok(())
    }

    /// Writes what a container holds, which stands at this depth, and the containers in it.
    fn run<'v>(&mut self, outermost: Option<Open<'v>>, depth: usize) -> Result<(), Stop> {
        let Some(mut current) = outermost else {
            return Ok(());
        };
        // Those around the current one.
        let mut around = Vec::new();
        loop {
            let value = match &mut current {
                Open::Items(items) => items.next(),
                Open::Entries(entries) => match entries.next() {
                    Some((key, value)) => {
                        self.text(key)?;
                        Some(value)
                    }
                    None => None,
                },
            };
            let Some(value) = value else {
                match around.pop() {
                    Some(container) => current = container,
                    None => return Ok(()),
                }
                continue;
            };
            let inside = depth + LEVELS_PER_ITEM * (around.len() + 1);
            if let Some(opened) = self.begin(value, inside)? {
                around.push(mem::replace(&mut current, opened));
            }
        }
    }

    /// Writes a value that holds no others, or the beginning of one that does, which is opened.
    fn begin<'v>(&mut self, value: &'v Value, depth: usize) -> Result<Option<Open<'v>>, Stop> {
        self.check(Limit::Depth, depth, self.bounds.limits.depth)?;
        match value {
            Value::None => self.head(Major::Simple, 22),
            Value::Bool(value) => self.head(Major::Simple, 20 + u64::from(*value)),
            Value::Int(value) => self.int(value),
            Value::Float(value) => {
                self.count(1)?;
                let bits = value.to_bits();
                head::push_wide(&mut self.output, Major::Simple, bits, head::MOST);
                Ok(())
            }
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => self.content(Major::Bytes, bytes),
            Value::Type(name) => {
                self.head(Major::Tag, tag::TYPE)?;
                self.text(name.as_str())
            }
            Value::Element(element) => self.element(element, depth),
            Value::Array(array) => {
                let size = array.bytes().len();
                self.check(Limit::TextBytes, size, self.bounds.text_bytes)?;
                self.count(array::nodes(array))?;
                let stays = self.pieces.is_some() && size >= Pieces::ALONE_FROM;
                array::push(&mut self.output, self.elsewhere, array, stays);
                if let Some(pieces) = &mut self.pieces
                    && stays
                {
                    pieces.push((self.output.len(), array.bytes().clone()));
                    self.elsewhere += size;
                }
                Ok(())
            }
            Value::List(items) => return self.items(items),
            Value::Tuple(items) => {
                self.head(Major::Tag, tag::TUPLE)?;
                return self.items(items);
            }
            Value::Set(items) => {
                self.head(Major::Tag, tag::SET)?;
                return self.items(items);
            }
            Value::Dict(dict) => {
                self.head(Major::Map, dict.len() as u64)?;
                return Ok((!dict.is_empty()).then(|| Open::Entries(dict.iter())));
            }
        }?;
        Ok(None)
    }

    fn items<'v>(&mut self, items: &'v [Value]) -> Result<Option<Open<'v>>, Stop> {
        self.head(Major::Array, items.len() as u64)?;
        Ok(Some(Open::Items(items.iter())))
    }

    fn element(&mut self, element: &Element, depth: usize) -> Result<(), Stop> {
        if element.lacks_array() {
            self.refused = Some(Refused::LacksArray);
            return Err(Stop);
        }
        let deepest = depth - 1 + element.depth();
        self.check(Limit::Depth, deepest, self.bounds.limits.depth)?;
        self.head(Major::Tag, tag::ELEMENT)?;
        let has_tail = !element.tail().is_empty();
        if has_tail {
            self.head(Major::Array, 2)?;
        }
        self.text(element.as_xml())?;
        self.check_inside(element)?;
        if has_tail {
            self.text(element.tail())?;
        }
        Ok(())
    }

    /// Checks that no more elements are in this one, its own included, than there may be items behind its text: a decoder
    /// reads no others. They are counted only where the bytes are enough for so many.
    fn check_inside(&mut self, element: &Element) -> Result<(), Stop> {
        if element.as_xml().len() / xml::SHORTEST_ELEMENT <= self.nodes_left {
            return Ok(());
        }
        let before = self.bounds.nodes - self.nodes_left;
        self.check(Limit::Nodes, before + element.count(), self.bounds.nodes)
    }

    fn int(&mut self, value: &Int) -> Result<(), Stop> {
        if let Some(small) = value.as_i64() {
            let (major, argument) = match u64::try_from(small) {
                Ok(unsigned) => (Major::Unsigned, unsigned),
                // -1 - n is !n in two's complement.
                Err(_) => (Major::Negative, (!small).unsigned_abs()),
            };
            return self.head(major, argument);
        }
        self.check(
            Limit::IntDigits,
            value.digits(),
            self.bounds.limits.int_digits,
        )?;
        let (is_negative, bytes) = value.to_bignum();
        if let Ok(word) = <[u8; 8]>::try_from(&*bytes) {
            let major = if is_negative {
                Major::Negative
            } else {
                Major::Unsigned
            };
            return self.head(major, u64::from_be_bytes(word));
        }
        let tag = if is_negative {
            tag::NEGATIVE_BIGNUM
        } else {
            tag::UNSIGNED_BIGNUM
        };
        self.head(Major::Tag, tag)?;
        self.content(Major::Bytes, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Element, Limits};

    use super::*;

    #[test]
    fn a_message_that_is_open_is_the_same_with_a_turn_behind_it() {
        let limits = Limits::default();
        let bounds = Bounds::of(&limits);
        let state = Element::parse("<State env_step=\"1\" />").unwrap();
        let turn = Dict::new().with("n", 7).with("kind", "ask");
        for params in [Dict::new(), Dict::new().with("a", 1).with("b", "c")] {
            let observation = Message::observation("engine", state.clone().into(), params);
            for message in [observation, Message::quit("a")] {
                let whole = super::message(&message, Some(&turn), bounds).unwrap();
                let open = open(&message, bounds).unwrap();
                let turn = value(&turn.clone().into(), bounds).unwrap();
                assert_eq!([&open[..], &turn].concat(), whole);
            }
        }
        // The items of a turn are left to it.
        let many = Value::List(vec![Value::None; limits.nodes - 30]);
        let message = Message::new(
            crate::MessageType::Action,
            Dict::new().with("action", many),
            "a",
        );
        assert!(super::message(&message, None, bounds).is_ok());
        assert!(open(&message, bounds).is_err());
    }
}
