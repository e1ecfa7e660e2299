//! Values and messages to CBOR.

use std::slice;

use bytes::Bytes;

use super::head::{self, Major};
use super::{array, tag};
use crate::value::{DictIter, FoundArray, find_lacking_element};
use crate::{
    Dict, Element, EncodeError, FrameKind, Int, Limit, LimitExceeded, Limits, Message, Pieces,
    Value,
};

/// Bytes that most messages other than observations fit in.
const TYPICAL: usize = 1_024;

/// The depth of the parameters of a message, as in XML, so that each generation of the protocol takes the messages of
/// the other.
pub(super) const PARAMS_DEPTH: usize = 2;

/// The levels by which an item is deeper than its container, as in XML.
pub(super) const LEVELS_PER_ITEM: usize = 2;

/// A message.
pub(super) fn message(
    message: &Message,
    turn: Option<&Dict>,
    limits: &Limits,
) -> Result<Bytes, EncodeError> {
    let pieces = encoded(message, turn, Encoder::new(limits))?;
    Ok(pieces.into_frame().into_bytes())
}

/// A message whose large arrays stay where they are.
pub(crate) fn pieces(
    message: &Message,
    turn: Option<&Dict>,
    limits: &Limits,
) -> Result<Pieces, EncodeError> {
    let mut encoder = Encoder::new(limits);
    encoder.pieces = Some(Vec::new());
    encoded(message, turn, encoder)
}

/// A message up to the value of `turn`, which is to follow.
pub(super) fn open(message: &Message, limits: &Limits) -> Result<Bytes, EncodeError> {
    let encoder = Encoder {
        is_open: true,
        nodes_left: limits.nodes.saturating_sub(NODES_OF_TURN),
        ..Encoder::new(limits)
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
pub(super) fn value(value: &Value, limits: &Limits) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(limits);
    let mut open = Vec::new();
    let written = encoder
        .begin(value, 1, &mut open)
        .and_then(|()| encoder.run(open, 1));
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
    limits: &'a Limits,
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
    fn new(limits: &'a Limits) -> Self {
        Self {
            output: Vec::with_capacity(TYPICAL),
            limits,
            nodes_left: limits.nodes,
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
                LimitExceeded::check(Limit::MessageBytes, size, self.limits.message_bytes)?;
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
                let allowed = self.limits.nodes;
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
        self.check(Limit::TextBytes, content.len(), self.limits.text_bytes)?;
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
                self.check(Limit::Depth, PARAMS_DEPTH, self.limits.depth)?;
                self.head(Major::Map, dict.len() as u64)?;
                self.run(vec![Open::Entries(dict.iter())], PARAMS_DEPTH)?;
            }
        }
        if self.is_open {
            self.text("turn")?;
        }
        Ok(())
    }

    /// Writes what the open containers hold, of which the outermost stands at this depth.
    fn run<'v>(&mut self, mut open: Vec<Open<'v>>, depth: usize) -> Result<(), Stop> {
        while let Some(container) = open.last_mut() {
            let value = match container {
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
                open.pop();
                continue;
            };
            let inside = depth + LEVELS_PER_ITEM * open.len();
            self.begin(value, inside, &mut open)?;
        }
        Ok(())
    }

    /// Writes a value that holds no others, or the beginning of one that does, which is opened.
    fn begin<'v>(
        &mut self,
        value: &'v Value,
        depth: usize,
        open: &mut Vec<Open<'v>>,
    ) -> Result<(), Stop> {
        self.check(Limit::Depth, depth, self.limits.depth)?;
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
                self.check(Limit::TextBytes, size, self.limits.text_bytes)?;
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
            Value::List(items) => self.items(items, open),
            Value::Tuple(items) => {
                self.head(Major::Tag, tag::TUPLE)?;
                self.items(items, open)
            }
            Value::Set(items) => {
                self.head(Major::Tag, tag::SET)?;
                self.items(items, open)
            }
            Value::Dict(dict) => {
                open.push(Open::Entries(dict.iter()));
                self.head(Major::Map, dict.len() as u64)
            }
        }
    }

    fn items<'v>(&mut self, items: &'v [Value], open: &mut Vec<Open<'v>>) -> Result<(), Stop> {
        open.push(Open::Items(items.iter()));
        self.head(Major::Array, items.len() as u64)
    }

    fn element(&mut self, element: &Element, depth: usize) -> Result<(), Stop> {
        if element.lacks_array() {
            self.refused = Some(Refused::LacksArray);
            return Err(Stop);
        }
        let deepest = depth - 1 + element.depth();
        self.check(Limit::Depth, deepest, self.limits.depth)?;
        self.head(Major::Tag, tag::ELEMENT)?;
        if element.tail().is_empty() {
            return self.text(element.as_xml());
        }
        self.head(Major::Array, 2)?;
        self.text(element.as_xml())?;
        self.text(element.tail())
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
        self.check(Limit::IntDigits, value.digits(), self.limits.int_digits)?;
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
    use crate::Element;

    use super::*;

    #[test]
    fn a_message_that_is_open_is_the_same_with_a_turn_behind_it() {
        let limits = Limits::default();
        let state = Element::parse("<State env_step=\"1\" />").unwrap();
        let turn = Dict::new().with("n", 7).with("kind", "ask");
        for params in [Dict::new(), Dict::new().with("a", 1).with("b", "c")] {
            let observation = Message::observation("engine", state.clone().into(), params);
            for message in [observation, Message::quit("a")] {
                let whole = super::message(&message, Some(&turn), &limits).unwrap();
                let open = open(&message, &limits).unwrap();
                let turn = value(&turn.clone().into(), &limits).unwrap();
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
        assert!(super::message(&message, None, &limits).is_ok());
        assert!(open(&message, &limits).is_err());
    }
}
