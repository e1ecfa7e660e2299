//! The element `Action`: what an agent does.

use bytestring::ByteString;

use crate::xml::{Encoded, Encoder};
use crate::{DecodeError, DecodeErrorKind, Dict, Element, Int, Limits, Position, Value};

/// An action of an agent, as pymasep's class `Action` sends it.
///
/// ```no_run
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
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Which action: a number with a meaning in the game.
    pub action_type: Int,
    /// What belongs to it, by name. An action or an object of the game is an [`Element`] here.
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

/// Reads an action as pymasep's `Action.from_xml` does: the names of the elements are not looked
/// at, the last parameter of a name counts, text between is skipped. Objects of the game stay
/// elements, and floats, on which pymasep fails, are read.
impl TryFrom<&Element> for Action {
    type Error = DecodeError;

    fn try_from(element: &Element) -> Result<Self, DecodeError> {
        let text = attribute(element, "type")?;
        let action_type = Int::parse(&text, Limits::default().int_digits).map_err(at_start)?;
        let mut params = Dict::new();
        for parameter in element.children() {
            let name = attribute(&parameter, "name")?;
            let value = parameter
                .children()
                .next()
                .ok_or_else(|| at_start(DecodeErrorKind::EmptyItem))?;
            let value = match value.name() {
                "NoneType" => Value::None,
                _ => value.to_value()?,
            };
            params.insert(name, value);
        }
        Ok(Self {
            action_type,
            params,
        })
    }
}

fn attribute(element: &Element, name: &'static str) -> Result<ByteString, DecodeError> {
    element
        .attribute(name)
        .ok_or_else(|| at_start(DecodeErrorKind::MissingAttribute(name)))
}

fn at_start(kind: DecodeErrorKind) -> DecodeError {
    DecodeError {
        kind,
        position: Position::START,
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
