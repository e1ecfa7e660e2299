//! Elements that are written as they are made, without a tree.

use bytestring::ByteString;

use super::{Element, QName};
use crate::xml::{self, Encoded};
use crate::{EncodeError, Limit, LimitExceeded, Limits};

/// Bytes that a small element fits in.
const TYPICAL: usize = 1_024;

/// An element that is being written, see [`Element::build`]: text and children, in their order.
#[derive(Debug)]
pub struct OpenElement<'a> {
    output: &'a mut String,
    /// How deep it stands, from 1 on, and how deep the deepest so far does.
    depth: usize,
    deepest: &'a mut usize,
    is_empty: bool,
}

impl Element {
    /// Writes an element: its attributes here, its text and children by `fill`. As
    /// [`Node::to_element`](crate::Node::to_element), in half of the time, for a caller who has a tree
    /// of another kind; but of names without a namespace alone.
    ///
    /// ```
    /// use masep_proto::{Element, EncodeError, QName};
    /// let (state, object, name) = (QName::new("State"), QName::new("Object"), QName::new("name"));
    /// let element = Element::build(&state, &[(&name, "State")], |state| {
    ///     state.child(&object, &[], |object| {
    ///         object.text("a < b");
    ///         Ok::<(), EncodeError>(())
    ///     })
    /// })?;
    /// assert_eq!(element.as_xml(), r#"<State name="State"><Object>a &lt; b</Object></State>"#);
    /// # Ok::<(), EncodeError>(())
    /// ```
    ///
    /// Of attributes with the same name the last counts.
    ///
    /// # Errors
    /// Those of `fill`; [`EncodeError::InvalidName`] for a name that is none, or is in a namespace;
    /// [`EncodeError::Limit`] for more than [`Limits::depth`] elements in each other.
    pub fn build<E: From<EncodeError>>(
        name: &QName,
        attributes: &[(&QName, &str)],
        fill: impl FnOnce(&mut OpenElement<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut output = String::with_capacity(TYPICAL);
        let mut deepest = 0;
        let mut nowhere = OpenElement {
            output: &mut output,
            depth: 0,
            deepest: &mut deepest,
            is_empty: false,
        };
        nowhere.child(name, attributes, fill)?;
        Ok(Encoded {
            xml: ByteString::from(output),
            depth: deepest,
            namespaced: false,
        }
        .into())
    }
}

impl OpenElement<'_> {
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
    /// As [`Element::build`]. What is written then is to be thrown away, which `build` does when it is
    /// given the error.
    pub fn child<E: From<EncodeError>>(
        &mut self,
        name: &QName,
        attributes: &[(&QName, &str)],
        fill: impl FnOnce(&mut OpenElement<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.close_tag();
        let depth = self.depth + 1;
        let allowed = Limits::default().depth;
        LimitExceeded::check(Limit::Depth, depth, allowed).map_err(EncodeError::from)?;
        *self.deepest = depth.max(*self.deepest);
        let tag = plain(name)?;
        self.output.push('<');
        self.output.push_str(tag);
        self.push_attributes(attributes)?;
        let mut open = OpenElement {
            output: self.output,
            depth,
            deepest: self.deepest,
            is_empty: true,
        };
        fill(&mut open)?;
        if open.is_empty {
            self.output.push_str(" />");
        } else {
            self.output.push_str("</");
            self.output.push_str(tag);
            self.output.push('>');
        }
        Ok(())
    }

    fn push_attributes(&mut self, attributes: &[(&QName, &str)]) -> Result<(), EncodeError> {
        for (index, (name, _)) in attributes.iter().enumerate() {
            let is_same = |(other, _): &&(&QName, &str)| other == name;
            if attributes[..index].iter().any(|other| is_same(&other)) {
                continue;
            }
            let last = attributes[index..].iter().rfind(is_same);
            self.output.push(' ');
            self.output.push_str(plain(name)?);
            self.output.push_str("=\"");
            xml::push_attribute(self.output, last.map_or("", |(_, value)| value));
            self.output.push('"');
        }
        Ok(())
    }

    fn close_tag(&mut self) {
        if self.is_empty {
            self.is_empty = false;
            self.output.push('>');
        }
    }
}

fn plain(name: &QName) -> Result<&str, EncodeError> {
    name.as_plain()
        .ok_or_else(|| EncodeError::InvalidName(name.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Node;

    /// The same content, written from a tree.
    fn fill(node: &Node, open: &mut OpenElement<'_>) -> Result<(), EncodeError> {
        open.text(&node.text);
        for child in &node.children {
            let attributes: Vec<_> = child
                .attributes()
                .map(|(name, value)| (name, &**value))
                .collect();
            open.child(&child.name, &attributes, |open| fill(child, open))?;
            open.text(child.tail());
        }
        Ok(())
    }

    fn build(node: &Node) -> Result<Element, EncodeError> {
        let attributes: Vec<_> = node
            .attributes()
            .map(|(name, value)| (name, &**value))
            .collect();
        Element::build(&node.name, &attributes, |open| fill(node, open))
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
    fn of_attributes_with_one_name_the_last_counts() {
        let [a, b] = ["a", "b"].map(QName::new);
        let attributes = [(&a, "1"), (&b, "2"), (&a, "3")];
        let built = Element::build(&QName::new("e"), &attributes, |_| Ok::<(), EncodeError>(()));
        assert_eq!(built.unwrap().as_xml(), r#"<e a="3" b="2" />"#);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for name in ["", "1", "a b", "{urn:x}a"] {
            let built = Element::build(&QName::from(name), &[], |_| Ok::<(), EncodeError>(()));
            assert!(matches!(built, Err(EncodeError::InvalidName(_))), "{name}");
        }
        fn nest(open: &mut OpenElement<'_>, levels: usize) -> Result<(), EncodeError> {
            match levels.checked_sub(1) {
                None => Ok(()),
                Some(left) => open.child(&QName::new("e"), &[], |open| nest(open, left)),
            }
        }
        let deepest = Limits::default().depth;
        let nested = |levels| Element::build(&QName::new("e"), &[], |open| nest(open, levels));
        assert!(nested(deepest - 1).is_ok());
        let refused = nested(deepest).unwrap_err();
        assert!(matches!(refused, EncodeError::Limit(limit) if limit.actual == deepest + 1));
    }
}
