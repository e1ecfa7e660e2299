//! Values and messages to XML.

use std::slice;

use bytes::Bytes;
use bytestring::ByteString;

use super::{escape, repr, tree, view};
use crate::value::DictIter;
use crate::{EncodeError, Int, Limit, LimitExceeded, Limits, Message, Value};

/// XML as ElementTree writes it, with what has to be known of it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) xml: ByteString,
    /// How deep elements stand in each other.
    pub(crate) depth: usize,
    /// Whether a namespace is declared in it.
    pub(crate) namespaced: bool,
}

/// A message as bytes.
pub(crate) fn encode_message(message: &Message, limits: &Limits) -> Result<Bytes, EncodeError> {
    let encoded = encode_message_element(message);
    LimitExceeded::check(Limit::Depth, encoded.depth, limits.depth)?;
    Ok(encoded.xml.into_bytes())
}

/// A message as an element, however deep.
pub(crate) fn encode_message_element(message: &Message) -> Encoded {
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
    encoder.finish()
}

/// A value as an element, however deep.
pub(crate) fn encode_value(value: &Value) -> Encoded {
    let mut encoder = Encoder::default();
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
#[derive(Default)]
pub(crate) struct Encoder {
    output: String,
    depth: usize,
    namespaced: bool,
}

impl Encoder {
    /// An encoder for an element whose own tags stand this deep.
    pub(crate) fn at_depth(depth: usize) -> Self {
        Self {
            depth,
            ..Self::default()
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
        self.depth = self.depth.max(depth);
        let mut open = Vec::new();
        open.extend(self.begin_sequence("list", items));
        self.run(open, depth);
    }

    pub(crate) fn finish(self) -> Encoded {
        let xml = self.output.into();
        // ElementTree declares all namespaces on the outermost element.
        if self.namespaced
            && let Some(node) = view::to_node(&xml)
        {
            return tree::write(&node);
        }
        Encoded {
            xml,
            depth: self.depth,
            namespaced: self.namespaced,
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
        self.depth = self.depth.max(depth);
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
                repr::push_float(&mut self.output, *value);
                self.push("</float>");
            }
            Value::Str(text) if text.is_empty() => self.push("<str content=\"empty\" />"),
            Value::Str(text) => {
                self.push("<str>");
                escape::push_text(&mut self.output, text);
                self.push("</str>");
            }
            Value::Bytes(bytes) => {
                let mut literal = String::new();
                repr::push_bytes(&mut literal, bytes);
                self.push("<bytes>");
                escape::push_text(&mut self.output, &literal);
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
                self.depth = self.depth.max(depth - 1 + element.depth());
                self.namespaced |= element.is_namespaced();
            }
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
            None => self.push(&value.to_string()),
        }
    }
}

impl<'a> Open<'a> {
    /// What it holds next, with its key in a dict.
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
