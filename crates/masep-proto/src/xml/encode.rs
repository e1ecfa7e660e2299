//! Values and messages to XML.

use std::fmt::Write;
use std::slice;

use bytes::Bytes;
use bytestring::ByteString;

use super::{decode_message, escape, repr, view};
use crate::value::{DictIter, FoundArray, find_array};
use crate::{
    Array, DecodeError, DecodeErrorKind, EncodeError, Int, Limit, LimitExceeded, Limits, Message,
    Value,
};

/// XML as ElementTree writes it, with what has to be known of it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) xml: ByteString,
    /// The nesting depth of the elements.
    pub(crate) depth: usize,
    /// True if a namespace is declared in it.
    pub(crate) namespaced: bool,
    /// True if something stands in it for an array.
    pub(crate) lacks_array: bool,
}

/// The limits of its receiver that a message needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// The nesting depth of the elements.
    depth: usize,
    /// Digits of the longest int among its values.
    int_digits: usize,
}

impl Demand {
    pub(crate) fn check(self, limits: &Limits) -> Result<(), LimitExceeded> {
        LimitExceeded::check(Limit::Depth, self.depth, limits.depth)?;
        LimitExceeded::check(Limit::IntDigits, self.int_digits, limits.int_digits)
    }
}

/// Bytes that most messages other than observations fit in.
const TYPICAL: usize = 512;

/// A message as bytes.
pub(crate) fn encode_message(message: &Message, limits: &Limits) -> Result<Bytes, EncodeError> {
    let (encoded, demand) = encode_message_element(message);
    check(message, &encoded, demand, limits)?;
    let bytes = encoded.xml.into_bytes();
    check_size(&bytes, limits)?;
    Ok(bytes)
}

/// The fewest bytes that an element takes: `<a />`.
pub(crate) const SHORTEST_ELEMENT: usize = 5;

/// Checks the bounds that follow from the bytes. Where these are so few that no bound can be reached, nothing is
/// counted; else the reader counts, so that both sides count alike.
fn check_size(bytes: &Bytes, limits: &Limits) -> Result<(), LimitExceeded> {
    LimitExceeded::check(Limit::MessageBytes, bytes.len(), limits.message_bytes)?;
    if bytes.len() <= limits.text_bytes && bytes.len() / SHORTEST_ELEMENT <= limits.nodes {
        return Ok(());
    }
    match decode_message(bytes.clone(), limits) {
        Err(DecodeError {
            kind: DecodeErrorKind::Limit(limit),
            ..
        }) => Err(limit),
        // It is not asked here whether it is a message.
        _ => Ok(()),
    }
}

/// Checks that a message may go to a receiver with these limits.
fn check(
    message: &Message,
    encoded: &Encoded,
    demand: Demand,
    limits: &Limits,
) -> Result<(), EncodeError> {
    if encoded.lacks_array
        && let Some(FoundArray { path, array }) = find_array("params", &message.params)
    {
        return Err(EncodeError::Array { path, array });
    }
    Ok(demand.check(limits)?)
}

/// A message as an element within the default limits.
pub(crate) fn encode_checked_element(message: &Message) -> Result<Encoded, EncodeError> {
    let (encoded, demand) = encode_message_element(message);
    check(message, &encoded, demand, &Limits::default())?;
    Ok(encoded)
}

/// A message as an element, however deep, and what it takes of the limits.
pub(crate) fn encode_message_element(message: &Message) -> (Encoded, Demand) {
    let mut encoder = Encoder::at_depth(1);
    encoder.push("<Message msg_type=\"");
    escape::push_attribute(&mut encoder.output, message.msg_type.as_str());
    encoder.push("\" src_sub_app=\"");
    escape::push_attribute(&mut encoder.output, &message.src_sub_app);
    if message.params.is_truthy() {
        encoder.push("\">");
        encoder.push_value(&message.params, 2);
        encoder.push("</Message>");
    } else {
        encoder.push("\" />");
    }
    let demand = encoder.demand;
    (encoder.finish(), demand)
}

/// A value as an element, however deep.
pub(crate) fn encode_value(value: &Value) -> Encoded {
    let mut encoder = Encoder::at_depth(1);
    encoder.push_value(value, 1);
    encoder.finish()
}

/// A container that is being written.
enum Open<'a> {
    Sequence {
        tag: &'static str,
        items: slice::Iter<'a, Value>,
    },
    Dict(DictIter<'a>),
}

/// Writes XML as ElementTree does.
///
/// The nesting of values is kept in a list of its own, so that no depth of it can exhaust the stack.
pub(crate) struct Encoder {
    output: String,
    demand: Demand,
    namespaced: bool,
    lacks_array: bool,
}

impl Encoder {
    /// An encoder for an element whose own tags stand this deep.
    pub(crate) fn at_depth(depth: usize) -> Self {
        Self {
            output: String::with_capacity(TYPICAL),
            demand: Demand {
                depth,
                int_digits: 0,
            },
            namespaced: false,
            lacks_array: false,
        }
    }

    /// Writes XML as it is.
    pub(crate) fn push(&mut self, xml: &str) {
        self.output.push_str(xml);
    }

    /// Writes the value of an attribute.
    pub(crate) fn push_attribute(&mut self, value: &str) {
        escape::push_attribute(&mut self.output, value);
    }

    /// Writes a list whose element stands at this depth.
    pub(crate) fn push_list(&mut self, items: &[Value], depth: usize) {
        self.demand.depth = self.demand.depth.max(depth);
        let mut open = Vec::new();
        open.extend(self.begin_sequence("list", items));
        self.run(open, depth);
    }

    pub(crate) fn finish(self) -> Encoded {
        let xml = self.output.into();
        // ElementTree declares all namespaces on the outermost element.
        if self.namespaced
            && let Some(element) = view::rewritten(&xml)
        {
            return Encoded {
                lacks_array: self.lacks_array,
                ..element
            };
        }
        Encoded {
            xml,
            depth: self.demand.depth,
            namespaced: self.namespaced,
            lacks_array: self.lacks_array,
        }
    }

    /// Writes a value whose element stands at this depth.
    pub(crate) fn push_value(&mut self, value: &Value, depth: usize) {
        let mut open = Vec::new();
        open.extend(self.begin(value, depth));
        self.run(open, depth);
    }

    /// Writes what the open containers hold, of which the outermost stands at this depth.
    fn run<'a>(&mut self, mut open: Vec<Open<'a>>, depth: usize) {
        while let Some(container) = open.last_mut() {
            let Some((key, value)) = container.next() else {
                let tag = container.tag();
                open.pop();
                self.push("</");
                self.push(tag);
                self.push(if open.is_empty() { ">" } else { "></item>" });
                continue;
            };
            match key {
                Some(key) => {
                    self.push("<item key=\"");
                    self.push_attribute(key);
                    self.push("\">");
                }
                None => self.push("<item>"),
            }
            // Each container puts two levels of elements between itself and what it holds.
            match self.begin(value, depth + 2 * open.len()) {
                Some(inner) => open.push(inner),
                None => self.push("</item>"),
            }
        }
    }

    /// Writes a value that holds no others, or the beginning of one that does.
    fn begin<'a>(&mut self, value: &'a Value, depth: usize) -> Option<Open<'a>> {
        self.demand.depth = self.demand.depth.max(depth);
        match value {
            Value::None => self.push("<NoneType>None</NoneType>"),
            Value::Bool(true) => self.push("<bool>True</bool>"),
            Value::Bool(false) => self.push("<bool>False</bool>"),
            Value::Int(value) => {
                self.push("<int>");
                self.push_int(value);
                self.push("</int>");
            }
            Value::Float(value) => {
                self.push("<float>");
                // Writing to a String does not fail.
                let _ = repr::write_float(&mut self.output, *value);
                self.push("</float>");
            }
            Value::Str(text) if text.is_empty() => self.push("<str content=\"empty\" />"),
            Value::Str(text) => {
                self.push("<str>");
                escape::push_text(&mut self.output, text);
                self.push("</str>");
            }
            Value::Bytes(bytes) => {
                self.push("<bytes>");
                let _ = repr::write_bytes(&mut escape::Text(&mut self.output), bytes);
                self.push("</bytes>");
            }
            Value::Type(name) => {
                self.push("<type>&lt;class '");
                escape::push_text(&mut self.output, name.as_str());
                self.push("'&gt;</type>");
            }
            Value::Element(element) => {
                self.push(element.as_xml());
                escape::push_text(&mut self.output, element.tail());
                self.demand.depth = self.demand.depth.max(depth - 1 + element.depth());
                self.namespaced |= element.is_namespaced();
                self.lacks_array |= element.lacks_array();
            }
            Value::Array(array) => self.push_sign_of(array),
            Value::List(items) => return self.begin_sequence("list", items),
            Value::Tuple(items) => return self.begin_sequence("tuple", items),
            Value::Set(items) => return self.begin_sequence("set", items),
            Value::Dict(dict) if dict.is_empty() => self.push("<dict />"),
            Value::Dict(dict) => {
                self.push("<dict>");
                return Some(Open::Dict(dict.iter()));
            }
        }
        None
    }

    /// Writes what stands for an array where it cannot be refused: it is shown, and never sent.
    #[cold]
    fn push_sign_of(&mut self, array: &Array) {
        let shape: Vec<_> = array.shape().iter().map(usize::to_string).collect();
        let (dtype, shape) = (array.dtype(), shape.join(","));
        let _ = write!(
            self.output,
            "<ndarray dtype=\"{dtype}\" shape=\"{shape}\" />"
        );
        self.lacks_array = true;
    }

    fn begin_sequence<'a>(&mut self, tag: &'static str, items: &'a [Value]) -> Option<Open<'a>> {
        self.push("<");
        self.push(tag);
        if items.is_empty() {
            self.push(" />");
            return None;
        }
        self.push(">");
        Some(Open::Sequence {
            tag,
            items: items.iter(),
        })
    }

    /// Writes an int in decimal.
    pub(crate) fn push_int(&mut self, value: &Int) {
        match value.as_i64() {
            Some(small) => {
                if small < 0 {
                    self.output.push('-');
                }
                escape::push_decimal(&mut self.output, small.unsigned_abs());
            }
            None => {
                let digits = value.digits();
                self.demand.int_digits = self.demand.int_digits.max(digits);
                self.push(&value.to_string());
            }
        }
    }
}

impl<'a> Open<'a> {
    /// The next value in it, with its key in a dict.
    fn next(&mut self) -> Option<(Option<&'a ByteString>, &'a Value)> {
        match self {
            Self::Sequence { items, .. } => items.next().map(|item| (None, item)),
            Self::Dict(entries) => entries.next().map(|(key, value)| (Some(key), value)),
        }
    }

    const fn tag(&self) -> &'static str {
        match self {
            Self::Sequence { tag, .. } => tag,
            Self::Dict(_) => "dict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dict, Element, TypeName};

    fn xml(value: impl Into<Value>) -> String {
        encode_value(&value.into()).xml.to_string()
    }

    #[test]
    fn scalars() {
        assert_eq!(xml(Value::None), "<NoneType>None</NoneType>");
        assert_eq!(xml(true), "<bool>True</bool>");
        assert_eq!(xml(false), "<bool>False</bool>");
        assert_eq!(xml(0), "<int>0</int>");
        assert_eq!(xml(i64::MIN), "<int>-9223372036854775808</int>");
        assert_eq!(xml(u128::MAX), format!("<int>{}</int>", u128::MAX));
        assert_eq!(xml(1.0), "<float>1.0</float>");
        assert_eq!(xml(""), "<str content=\"empty\" />");
        assert_eq!(xml("<\u{e9}>\r\n"), "<str>&lt;&#233;&gt;\r\n</str>");
        assert_eq!(xml(Bytes::from_static(b"<'")), "<bytes>b\"&lt;'\"</bytes>");
        assert_eq!(
            xml(TypeName::from("builtins.int")),
            "<type>&lt;class 'int'&gt;</type>"
        );
        assert_eq!(
            xml(TypeName::from("m.f.<locals>.C")),
            "<type>&lt;class 'm.f.&lt;locals&gt;.C'&gt;</type>"
        );
    }

    #[test]
    fn containers() {
        assert_eq!(xml(Value::List(vec![])), "<list />");
        assert_eq!(xml(Value::Tuple(vec![])), "<tuple />");
        assert_eq!(xml(Value::Set(vec![])), "<set />");
        assert_eq!(xml(Dict::new()), "<dict />");
        assert_eq!(
            xml((vec![1], "a")),
            "<tuple><item><list><item><int>1</int></item></list></item><item><str>a</str></item></tuple>"
        );
        assert_eq!(
            xml(Value::Set(vec![2.into(), 1.into()])),
            "<set><item><int>2</int></item><item><int>1</int></item></set>"
        );
        assert_eq!(
            xml(Dict::from([
                ("b\n\"", Value::from(vec![Value::None; 0])),
                ("a", Dict::new().into())
            ])),
            "<dict><item key=\"b&#10;&quot;\"><list /></item><item key=\"a\"><dict /></item></dict>"
        );
    }

    #[test]
    fn an_element_is_passed_on_with_its_tail() {
        let element = Element::parse("<a/>").unwrap().with_tail("<\u{e9}");
        assert_eq!(
            xml(vec![element]),
            "<list><item><a />&lt;&#233;</item></list>"
        );
    }

    #[test]
    fn depth_is_that_of_the_elements() {
        let depth = |value: Value| encode_value(&value).depth;
        assert_eq!(depth(1.into()), 1);
        assert_eq!(depth(Value::List(vec![])), 1);
        assert_eq!(depth([1].into()), 3);
        assert_eq!(depth([[1]].into()), 5);
        let element = Element::parse("<a><b/></a>").unwrap();
        assert_eq!(depth(element.clone().into()), 2);
        assert_eq!(depth([element].into()), 4);
    }
}
