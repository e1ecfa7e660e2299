//! The element `Action`: what an agent does.

use std::fmt;

use bytestring::ByteString;

use crate::printable::debug_bounded;
use crate::xml::{self, Encoded, Encoder};
use crate::{DecodeError, Dict, Element, Int, Value};

/// An action of an agent, as pymasep's class `Action` sends it.
///
/// ```
/// use masep_proto::{Action, Value};
/// let action = Action::new(2).with("direction", "north").with("steps", 3);
/// let Value::Element(element) = Value::from(action.clone()) else { unreachable!() };
/// assert_eq!(
///     element.as_xml(),
///     "<Action type=\"2\"><ActionParameter name=\"direction\"><str>north</str></ActionParameter>\
///      <ActionParameter name=\"steps\"><int>3</int></ActionParameter></Action>"
/// );
/// assert_eq!(Action::try_from(&element)?, action);
/// # Ok::<(), masep_proto::DecodeError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Action {
    /// The action: a number with a meaning in the game.
    pub action_type: Int,
    /// The parameters of the action, by name. An action or an object of the game is an [`Element`] here.
    pub params: Dict,
}

impl Action {
    /// An action of this type without parameters.
    pub fn new(action_type: impl Into<Int>) -> Self {
        Self {
            action_type: action_type.into(),
            params: Dict::new(),
        }
    }

    /// The same with a parameter more.
    #[must_use]
    pub fn with(mut self, name: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.params.insert(name, value);
        self
    }

    /// A parameter.
    pub fn param(&self, name: &str) -> Option<&Value> {
        self.params.get(name)
    }

    fn encode(&self) -> Encoded {
        let mut encoder = Encoder::at_depth(1);
        encoder.push("<Action type=\"");
        encoder.push_int(&self.action_type);
        if self.params.is_empty() {
            encoder.push("\" />");
            return encoder.finish();
        }
        encoder.push("\">");
        for (name, value) in &self.params {
            encoder.push("<ActionParameter name=\"");
            encoder.push_attribute(name);
            encoder.push("\">");
            encoder.push_value(value, 3);
            encoder.push("</ActionParameter>");
        }
        encoder.push("</Action>");
        encoder.finish()
    }
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            f.debug_struct("Action")
                .field("action_type", &self.action_type)
                .field("params", &self.params)
                .finish()
        })
    }
}

/// Reads an action as pymasep's `Action.from_xml` does: the names of the elements are not looked
/// at, the last parameter of a name counts, text between is skipped. Objects of the game stay
/// elements, and floats, on which pymasep fails, are read.
impl TryFrom<&Element> for Action {
    type Error = DecodeError;

    fn try_from(element: &Element) -> Result<Self, DecodeError> {
        xml::decode_action(element.as_xml())
    }
}

impl From<&Action> for Element {
    fn from(action: &Action) -> Self {
        action.encode().into()
    }
}

impl From<Action> for Element {
    fn from(action: Action) -> Self {
        Self::from(&action)
    }
}

impl From<&Action> for Value {
    fn from(action: &Action) -> Self {
        Self::Element(action.into())
    }
}

impl From<Action> for Value {
    fn from(action: Action) -> Self {
        Self::from(&action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;

    fn read(xml: &str) -> Result<Action, DecodeErrorKind> {
        Action::try_from(&Element::parse(xml).unwrap()).map_err(|error| error.kind)
    }

    fn with_p(value: impl Into<Value>) -> Result<Action, DecodeErrorKind> {
        Ok(Action::new(1).with("p", value))
    }

    fn parameter(value: &str) -> Result<Action, DecodeErrorKind> {
        read(&format!(
            "<Action type=\"1\"><ActionParameter name=\"p\">{value}</ActionParameter></Action>"
        ))
    }

    #[test]
    fn the_type_is_an_int_as_python_reads_it() {
        for (text, action_type) in [(" 1 ", 1), ("+1", 1), ("1_0", 10), ("-1", -1)] {
            assert_eq!(
                read(&format!("<Action type=\"{text}\" />")),
                Ok(Action::new(action_type))
            );
        }
        for text in ["", "1.0", "x"] {
            assert_eq!(
                read(&format!("<Action type=\"{text}\" />")),
                Err(DecodeErrorKind::InvalidInt(text.into()))
            );
        }
        assert_eq!(
            read("<Action />"),
            Err(DecodeErrorKind::MissingAttribute("type"))
        );
    }

    #[test]
    fn parameters_are_values() {
        assert_eq!(parameter("<str>x</str>"), with_p("x"));
        assert_eq!(parameter("<str />"), with_p(Value::None));
        assert_eq!(parameter("<NoneType>None</NoneType>"), with_p(Value::None));
        assert_eq!(parameter("<NoneType />"), with_p(Value::None));
        assert_eq!(parameter("<float>1.5</float>"), with_p(1.5));
        assert_eq!(
            parameter("<tuple><item><int>1</int></item></tuple>"),
            with_p((1,))
        );
        assert_eq!(parameter("<bool>False</bool>"), with_p(false));
        assert_eq!(
            parameter("<int>x</int>"),
            Err(DecodeErrorKind::InvalidInt("x".into()))
        );
        assert_eq!(parameter(""), Err(DecodeErrorKind::EmptyItem));
    }

    #[test]
    fn an_action_or_an_object_stays_an_element() {
        let nested = Action::new(2).with("q", 1);
        let xml = Element::from(&nested);
        let read = parameter(xml.as_xml()).unwrap();
        let element = read.param("p").and_then(Value::as_element).unwrap();
        assert_eq!(Action::try_from(element).unwrap(), nested);
        assert_eq!(
            parameter("<Object name=\"o\" />"),
            with_p(Element::parse("<Object name=\"o\" />").unwrap())
        );
    }

    #[test]
    fn names_of_elements_and_text_between_do_not_matter() {
        assert_eq!(
            read("<Foo type=\"1\" x=\"y\">x<Bar name=\"p\">y<int>1</int>z</Bar>w</Foo>"),
            with_p(1)
        );
        assert_eq!(
            read(
                "<Action type=\"1\"><ActionParameter name=\"p\"><int>1</int></ActionParameter>\
                 <ActionParameter name=\"p\"><int>2</int></ActionParameter></Action>"
            ),
            with_p(2)
        );
        assert_eq!(
            read("<Action type=\"1\"><ActionParameter><int>1</int></ActionParameter></Action>"),
            Err(DecodeErrorKind::MissingAttribute("name"))
        );
    }

    #[test]
    fn a_namespace_cannot_be_multiplied_by_parameters() {
        let parameters = "<x:p name=\"p\"><x:o /></x:p>".repeat(1_000);
        let uri = "u".repeat(30_000);
        let element = format!("<Action xmlns:x=\"{uri}\" type=\"1\">{parameters}</Action>");
        assert!(matches!(
            read(&element),
            Err(DecodeErrorKind::Limit(limit)) if limit.limit == crate::Limit::MessageBytes
        ));
    }

    #[test]
    fn it_is_written_as_pymasep_writes_it() {
        assert_eq!(
            Element::from(Action::new(-1)).as_xml(),
            "<Action type=\"-1\" />"
        );
        let action = Action::new(1)
            .with("a\"\u{e9}", "")
            .with("none", Value::None)
            .with("inner", Action::new(0));
        assert_eq!(
            Element::from(&action).as_xml(),
            "<Action type=\"1\"><ActionParameter name=\"a&quot;&#233;\"><str content=\"empty\" />\
             </ActionParameter><ActionParameter name=\"none\"><NoneType>None</NoneType>\
             </ActionParameter><ActionParameter name=\"inner\"><Action type=\"0\" />\
             </ActionParameter></Action>"
        );
    }
}
