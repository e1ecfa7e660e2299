//! XML subtrees.

mod build;
mod node;
mod qname;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;

pub use build::OpenElement;
pub use node::Node;
pub use qname::QName;

use crate::printable::{Quoted, debug_bounded};
use crate::xml::{self, Encoded};
use crate::{DecodeError, EncodeError, Limits, Value};

/// An XML element, as the text that Python's `ElementTree.tostring` writes for it.
///
/// The sender may have written comments, CDATA, `<a/>` or single quotes: an element always holds this
/// one *canonical* text, so two elements are equal exactly if their texts and tails are. pymasep
/// sends nothing else, so what comes from it is a slice of the frame that was checked, not copied,
/// and is sent on as it is. It becomes a tree ([`Node`]) when somebody asks for one.
///
/// ```
/// use masep_proto::Element;
/// let state = Element::parse("<State env_step='3'><Object name='a'/></State>")?;
/// assert_eq!(state.as_xml(), r#"<State env_step="3"><Object name="a" /></State>"#);
/// assert_eq!(state.attribute("env_step").as_deref(), Some("3"));
/// for object in state.children() {
///     assert_eq!(object.name(), "Object");
/// }
/// # Ok::<(), masep_proto::DecodeError>(())
/// ```
///
/// An element that spells a value, such as `<int>5</int>`, is read as that value when it comes back.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Element {
    xml: ByteString,
    /// Not empty. Few elements have one, and it would make every [`Value`] larger.
    tail: Option<Box<ByteString>>,
    /// At most `u32::MAX`, which would take an XML of 28 GiB.
    depth: u32,
    /// True if a namespace is declared, which is always done on the outermost element.
    namespaced: bool,
    /// True if something stands in it for an array, so that it is not the value that it was made of.
    lacks_array: bool,
}

impl Element {
    /// Reads one XML element (with whatever XML allows around it) within the default [`Limits`].
    ///
    /// # Errors
    /// XML that is not well-formed, or over a limit.
    pub fn parse(xml: impl Into<ByteString>) -> Result<Self, DecodeError> {
        Self::decode(xml.into().into_bytes(), &Limits::default())
    }

    /// Reads one XML element within these limits, from any encoding that a message may have.
    ///
    /// # Errors
    /// XML that is not well-formed, or over a limit.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        xml::decode_element(bytes, limits)
    }

    /// The element as `ElementTree.tostring` writes it: characters that are not ASCII are
    /// references, `&#233;` (those in names are not: XML has no references there).
    pub const fn as_xml(&self) -> &ByteString {
        &self.xml
    }

    /// The element as `ElementTree.tostring(encoding="unicode")` writes it: characters that are not
    /// ASCII stand for themselves.
    pub fn to_unicode(&self) -> ByteString {
        xml::to_unicode(&self.xml)
    }

    /// Its name as it stands in the XML: `State`; with a prefix if it is in a namespace.
    pub fn name(&self) -> &str {
        let behind = self.xml.strip_prefix('<').unwrap_or_default();
        behind.split([' ', '>']).next().unwrap_or_default()
    }

    /// The value of an attribute, by its name as it stands in the XML.
    pub fn attribute(&self, name: &str) -> Option<ByteString> {
        xml::attribute(&self.xml, name)
    }

    /// The attributes in order, by their names as they stand in the XML.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, ByteString)> {
        xml::attributes(&self.xml)
    }

    /// The same with this value for an attribute: in its place, or behind the others if it is not there yet.
    /// The rest is copied, not read.
    ///
    /// # Errors
    /// [`EncodeError::InvalidName`] for a name that is none, or is in a namespace.
    pub fn with_attribute(self, name: &str, value: &str) -> Result<Self, EncodeError> {
        if name == "xmlns" || !xml::is_name(name) {
            return Err(EncodeError::InvalidName(name.to_owned()));
        }
        let xml = xml::with_attribute(&self.xml, name, value).into();
        Ok(Self { xml, ..self })
    }

    /// The text before the first child, empty if there is none.
    pub fn text(&self) -> ByteString {
        xml::text(&self.xml)
    }

    /// The text that stood behind the element, up to the next tag; empty if there was none.
    pub fn tail(&self) -> &ByteString {
        static NONE: ByteString = ByteString::new();
        self.tail.as_deref().unwrap_or(&NONE)
    }

    /// The same with this text behind it.
    #[must_use]
    pub fn with_tail(mut self, tail: impl Into<ByteString>) -> Self {
        let tail = tail.into();
        self.tail = (!tail.is_empty()).then(|| Box::new(tail));
        self
    }

    /// The elements directly in this one, with their tails, without a copy.
    ///
    /// Each is skipped over to find its end, so that walking a whole subtree this way takes time in
    /// proportion to its size times its depth; [`to_node`](Self::to_node) takes it apart at once.
    /// A child that is in a namespace is a copy, in which the namespace is declared again.
    pub fn children(&self) -> impl Iterator<Item = Self> {
        xml::children(&self.xml, self.namespaced)
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// The nesting depth of its elements: 1 for one without children.
    pub(crate) const fn depth(&self) -> usize {
        self.depth as usize
    }

    /// The number of its elements, its own included. In XML as it is kept here, a `<` begins a tag and nothing else.
    pub(crate) fn count(&self) -> usize {
        let tags = self.xml.as_bytes().windows(2);
        tags.filter(|two| two[0] == b'<' && two[1] != b'/').count()
    }

    /// True if a namespace is declared in it.
    pub(crate) const fn is_namespaced(&self) -> bool {
        self.namespaced
    }

    /// True if it was made of a value with an array in it, which has no XML.
    pub(crate) const fn lacks_array(&self) -> bool {
        self.lacks_array
    }

    /// The element as a tree.
    pub fn to_node(&self) -> Node {
        xml::to_node(&self.xml, self.namespaced)
            .unwrap_or_else(|| Node::new(self.name()))
            .with_tail(self.tail().clone())
    }

    /// The value that a decoder makes of the element: the one it spells (`<int>5</int>` is an int), or
    /// itself.
    ///
    /// # Errors
    /// An element with the name of a Python type that does not hold such a value, or one over the
    /// default [`Limits`].
    pub fn to_value(&self) -> Result<Value, DecodeError> {
        match xml::decode_value(&self.xml)? {
            Value::Element(element) => Ok(element.with_tail(self.tail().clone()).into()),
            value => Ok(value),
        }
    }
}

impl From<Encoded> for Element {
    fn from(encoded: Encoded) -> Self {
        Self {
            xml: encoded.xml,
            tail: None,
            depth: u32::try_from(encoded.depth).unwrap_or(u32::MAX),
            namespaced: encoded.namespaced,
            lacks_array: encoded.lacks_array,
        }
    }
}

impl FromStr for Element {
    type Err = DecodeError;

    fn from_str(xml: &str) -> Result<Self, DecodeError> {
        Self::parse(xml)
    }
}

impl AsRef<str> for Element {
    fn as_ref(&self) -> &str {
        &self.xml
    }
}

/// As [`Element::as_xml`]: without the tail.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.xml)
    }
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            let mut element = f.debug_tuple("Element");
            element.field(&Quoted(&self.xml));
            if let Some(tail) = &self.tail {
                element.field(&Quoted(tail));
            }
            element.finish()
        })
    }
}

#[cfg(test)]
mod tests;
