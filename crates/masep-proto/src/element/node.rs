//! Elements as trees.

use std::fmt;

use bytestring::ByteString;

use super::{Element, QName};
use crate::printable::{Quoted, debug_bounded};
use crate::{EncodeError, Limit, LimitExceeded, Limits, xml};

/// An XML element as a tree that can be built and changed.
///
/// ```
/// use masep_proto::Node;
/// let state = Node::new("State")
///     .with_attribute("name", "State")
///     .with_child(Node::new("Object").with_text("a < b"));
/// assert_eq!(
///     state.to_element()?.as_xml(),
///     r#"<State name="State"><Object>a &lt; b</Object></State>"#
/// );
/// # Ok::<(), masep_proto::EncodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: QName,
    /// The text before the first child; empty for none.
    pub text: ByteString,
    /// The elements directly in this one.
    pub children: Vec<Self>,
    attributes: Vec<(QName, ByteString)>,
    /// Not empty. Few elements have one.
    tail: Option<Box<ByteString>>,
}

/// The nodes of a tree stand side by side, and each is moved there.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Node>() <= 128);

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            f.debug_struct("Node")
                .field("name", &self.name)
                .field("text", &Quoted(&self.text))
                .field("children", &self.children)
                .field("attributes", &fmt::from_fn(|f| attributes(self, f)))
                .field("tail", &Quoted(self.tail()))
                .finish()
        })
    }
}

fn attributes(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let attributes = node.attributes.iter();
    f.debug_map()
        .entries(attributes.map(|(name, value)| (name, Quoted(value))))
        .finish()
}

impl Node {
    /// An element of this name with nothing in it.
    pub fn new(name: impl Into<QName>) -> Self {
        Self {
            name: name.into(),
            text: ByteString::new(),
            children: Vec::new(),
            attributes: Vec::new(),
            tail: None,
        }
    }

    /// The same with an attribute more; one of the same name is replaced.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<QName>, value: impl Into<ByteString>) -> Self {
        self.set_attribute(name, value);
        self
    }

    /// The same with this text before the first child.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<ByteString>) -> Self {
        self.text = text.into();
        self
    }

    /// The same with this text behind it.
    #[must_use]
    pub fn with_tail(mut self, tail: impl Into<ByteString>) -> Self {
        self.set_tail(tail);
        self
    }

    /// The same with a child more, behind the others.
    #[must_use]
    pub fn with_child(mut self, child: impl Into<Self>) -> Self {
        self.children.push(child.into());
        self
    }

    /// The text behind the element, up to the next tag; empty if there is none.
    pub fn tail(&self) -> &ByteString {
        static NONE: ByteString = ByteString::new();
        self.tail.as_deref().unwrap_or(&NONE)
    }

    /// Sets the text behind the element.
    pub fn set_tail(&mut self, tail: impl Into<ByteString>) {
        let tail = tail.into();
        self.tail = (!tail.is_empty()).then(|| Box::new(tail));
    }

    /// Sets an attribute and returns the value that it had.
    pub fn set_attribute(
        &mut self,
        name: impl Into<QName>,
        value: impl Into<ByteString>,
    ) -> Option<ByteString> {
        let (name, value) = (name.into(), value.into());
        match self.attributes.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.attributes.push((name, value));
                None
            }
        }
    }

    /// Takes an attribute away and returns its value.
    pub fn remove_attribute(&mut self, name: &str) -> Option<ByteString> {
        let at = self
            .attributes
            .iter()
            .position(|(other, _)| other == name)?;
        Some(self.attributes.remove(at).1)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&ByteString> {
        self.attributes
            .iter()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&QName, &ByteString)> {
        self.attributes.iter().map(|(name, value)| (name, value))
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == *name)
    }

    /// The tree as an element.
    ///
    /// # Errors
    /// A name that XML does not take, or a tree that is deeper than
    /// [`Limits::depth`](crate::Limits::depth)'s default.
    pub fn to_element(&self) -> Result<Element, EncodeError> {
        if let Some(encoded) = xml::encode_plain_node(self, Limits::default().depth) {
            return Ok(encoded.into());
        }
        self.check()?;
        Ok(xml::encode_node(self).into())
    }

    /// The attributes, to add some that are known not to be there yet.
    pub(crate) const fn attributes_mut(&mut self) -> &mut Vec<(QName, ByteString)> {
        &mut self.attributes
    }

    /// Checks all names and the depth.
    fn check(&self) -> Result<(), EncodeError> {
        let allowed = Limits::default().depth;
        self.check_names()?;
        let mut open = vec![self.children.iter()];
        while let Some(children) = open.last_mut() {
            let Some(child) = children.next() else {
                open.pop();
                continue;
            };
            child.check_names()?;
            LimitExceeded::check(Limit::Depth, open.len() + 1, allowed)?;
            if !child.children.is_empty() {
                open.push(child.children.iter());
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), EncodeError> {
        let attributes = self.attributes.iter().map(|(name, _)| name);
        let mut names = attributes.clone().chain([&self.name]);
        let declares = |name: &&QName| **name == "xmlns";
        match names
            .find(|name| !name.is_valid())
            .or_else(|| attributes.clone().find(declares))
        {
            Some(name) => Err(EncodeError::InvalidName(name.to_string())),
            None => Ok(()),
        }
    }
}

impl From<&Element> for Node {
    fn from(element: &Element) -> Self {
        element.to_node()
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        element.to_node()
    }
}

impl TryFrom<&Node> for Element {
    type Error = EncodeError;

    fn try_from(node: &Node) -> Result<Self, EncodeError> {
        node.to_element()
    }
}

impl TryFrom<Node> for Element {
    type Error = EncodeError;

    fn try_from(node: Node) -> Result<Self, EncodeError> {
        node.to_element()
    }
}
