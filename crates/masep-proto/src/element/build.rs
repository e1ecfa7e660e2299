//! Elements that are written as they are made, without a tree.

use bytestring::ByteString;

use super::Element;
use crate::xml::{self, Encoded};
use crate::{EncodeError, Limit, LimitExceeded, Limits};

/// Bytes that most elements fit in.
const TYPICAL: usize = 4_096;

/// An element that is being written, see [`Element::build`]: its attributes, then text and children in
/// their order.
#[derive(Debug)]
pub struct OpenElement<'a> {
    output: &'a mut String,
    /// The depth of this element, from 1 on, and that of the deepest one so far.
    depth: usize,
    deepest: &'a mut usize,
    /// Its attributes, while there is nothing else in it.
    attributes: Option<Attributes>,
}

/// The attributes of a start tag that is being written.
#[derive(Debug)]
struct Attributes {
    /// The place in the output where they begin.
    start: usize,
    /// A bit for each of their names. Others have the same one, but most do not, and need not be
    /// looked for.
    names: u64,
}

impl Attributes {
    const fn at(start: usize) -> Self {
        Self { start, names: 0 }
    }

    /// Adds a name. True if it is new.
    fn add(&mut self, output: &str, name: &str) -> bool {
        let last = name.as_bytes().last().map_or(0, |byte| usize::from(*byte));
        let bit = 1 << ((name.len() * 8 + last) % 64);
        let known = self.names & bit != 0 && xml::has_attribute(&output[self.start..], name);
        self.names |= bit;
        !known
    }
}

impl Element {
    /// Writes an element, whose attributes, text and children are those that `fill` adds. As
    /// [`Node::to_element`](crate::Node::to_element), in a third of the time, for a caller who has a
    /// tree of another kind; but of names without a namespace alone.
    ///
    /// ```
    /// use masep_proto::{Element, EncodeError};
    /// let element = Element::build("State", |state| {
    ///     state.attribute("name", "State")?;
    ///     state.child("Object", |object| {
    ///         object.text("a < b");
    ///         Ok::<(), EncodeError>(())
    ///     })
    /// })?;
    /// assert_eq!(element.as_xml(), r#"<State name="State"><Object>a &lt; b</Object></State>"#);
    /// # Ok::<(), EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `fill`; [`EncodeError::InvalidName`] for a name that is none, or is in a namespace;
    /// [`EncodeError::Limit`] for more than [`Limits::depth`] elements in each other.
    pub fn build<E: From<EncodeError>>(
        name: &str,
        fill: impl FnOnce(&mut OpenElement<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut output = String::with_capacity(TYPICAL);
        let mut deepest = 0;
        let mut nowhere = OpenElement {
            output: &mut output,
            depth: 0,
            deepest: &mut deepest,
            attributes: None,
        };
        nowhere.child(name, fill)?;
        Ok(Encoded {
            xml: ByteString::from(output),
            depth: deepest,
            namespaced: false,
            lacks_array: false,
        }
        .into())
    }
}

impl OpenElement<'_> {
    /// Appends an attribute.
    ///
    /// # Errors
    /// [`EncodeError::InvalidName`] as for [`Element::build`]; [`EncodeError::MisplacedAttribute`] for
    /// one whose name the element has already, or that comes behind text or a child.
    pub fn attribute(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        check(name)?;
        let attributes = self.attributes.as_mut();
        if !attributes.is_some_and(|attributes| attributes.add(self.output, name)) {
            return Err(EncodeError::MisplacedAttribute(name.to_owned()));
        }
        self.output.push(' ');
        self.output.push_str(name);
        self.output.push_str("=\"");
        xml::push_attribute(self.output, value);
        self.output.push('"');
        Ok(())
    }

    /// Appends text, behind what is there.
    pub fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.close_tag();
            xml::push_text(self.output, text);
        }
    }

    /// Appends an element.
    ///
    /// # Errors
    /// As [`Element::build`]. Throw away the text that was written until then: `build` does so when it is
    /// given the error.
    pub fn child<E: From<EncodeError>>(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut OpenElement<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.close_tag();
        let depth = self.depth + 1;
        let allowed = Limits::default().depth;
        LimitExceeded::check(Limit::Depth, depth, allowed).map_err(EncodeError::from)?;
        *self.deepest = depth.max(*self.deepest);
        check(name)?;
        self.output.push('<');
        self.output.push_str(name);
        let mut open = OpenElement {
            attributes: Some(Attributes::at(self.output.len())),
            output: self.output,
            depth,
            deepest: self.deepest,
        };
        fill(&mut open)?;
        if open.attributes.is_some() {
            self.output.push_str(" />");
        } else {
            self.output.push_str("</");
            self.output.push_str(name);
            self.output.push('>');
        }
        Ok(())
    }

    fn close_tag(&mut self) {
        if self.attributes.take().is_some() {
            self.output.push('>');
        }
    }
}

/// Checks that this is a name without a namespace, which declares none.
#[inline]
fn check(name: &str) -> Result<(), EncodeError> {
    if name != "xmlns" && xml::is_name(name) {
        Ok(())
    } else {
        Err(EncodeError::InvalidName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Node;

    /// The same content, written from a tree.
    fn fill(node: &Node, open: &mut OpenElement<'_>) -> Result<(), EncodeError> {
        for (name, value) in node.attributes() {
            open.attribute(name.local(), value)?;
        }
        open.text(&node.text);
        for child in &node.children {
            open.child(child.name.local(), |open| fill(child, open))?;
            open.text(child.tail());
        }
        Ok(())
    }

    fn build(node: &Node) -> Result<Element, EncodeError> {
        Element::build(node.name.local(), |open| fill(node, open))
    }

    fn tree() -> impl Strategy<Value = Node> {
        let text = "[a-c<&\"\\n\u{e9}\u{1f600} ]{0,4}";
        let leaf = (
            "[a-c]{1,2}",
            text,
            text,
            prop::collection::vec(("[a-c]{1,2}", text), 0..4),
        )
            .prop_map(|(name, text, tail, attributes)| {
                let mut node = Node::new(name).with_text(text).with_tail(tail);
                for (name, value) in attributes {
                    node.set_attribute(name, value);
                }
                node
            });
        leaf.clone().prop_recursive(4, 40, 5, move |inner| {
            (leaf.clone(), prop::collection::vec(inner, 0..5)).prop_map(|(mut node, children)| {
                node.children = children;
                node
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_built_is_what_a_tree_is_written_as(node in tree()) {
            let (built, written) = (build(&node).unwrap(), node.to_element().unwrap());
            prop_assert_eq!(built.as_xml(), written.as_xml());
            prop_assert_eq!(built.to_node(), written.to_node());
        }
    }

    #[test]
    fn an_attribute_comes_once_and_before_everything_else() {
        let same_bit = "xxxxxxxxa";
        let misplaced = |name: &str| Err(EncodeError::MisplacedAttribute(name.to_owned()));
        let element = Element::build("e", |open| {
            open.attribute("a", " b=\"")?;
            open.attribute("b", "2")?;
            open.attribute(same_bit, "")?;
            assert_eq!(open.attribute("a", "3"), misplaced("a"));
            open.child("e", |inner| inner.attribute("a", "4"))?;
            assert_eq!(open.attribute("e", "5"), misplaced("e"));
            Ok::<(), EncodeError>(())
        });
        let expected = r#"<e a=" b=&quot;" b="2" xxxxxxxxa=""><e a="4" /></e>"#;
        assert_eq!(element.unwrap().as_xml(), expected);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for name in ["", "1", "a b", "{urn:x}a", "x:a", "xmlns"] {
            let invalid = |built| matches!(built, Err(EncodeError::InvalidName(_)));
            let built = Element::build(name, |_| Ok::<(), EncodeError>(()));
            assert!(invalid(built), "{name}");
            let built = Element::build("e", |open| open.attribute(name, ""));
            assert!(invalid(built), "{name}");
        }
        fn nest(open: &mut OpenElement<'_>, levels: usize) -> Result<(), EncodeError> {
            match levels.checked_sub(1) {
                None => Ok(()),
                Some(left) => open.child("e", |open| nest(open, left)),
            }
        }
        let deepest = Limits::default().depth;
        let nested = |levels| Element::build("e", |open| nest(open, levels));
        assert!(nested(deepest - 1).is_ok());
        let refused = nested(deepest).unwrap_err();
        assert!(matches!(refused, EncodeError::Limit(limit) if limit.actual == deepest + 1));
    }
}
