//! The actions that pymasep reads.

use super::{Refusal, Rules};
use crate::{Action, Element, Message, MessageType, Value};
use bytes::Bytes;

/// The greatest depth of values in each other. pymasep reads and copies them by recursion, in Python's thousand frames.
const DEPTH: usize = 32;
/// The beginning of a scalar that pymasep takes for the name of a class to be imported.
const CLASS: &str = "<class";

/// The action as the engine gets it: its type, and parameters that pymasep reads.
pub(super) fn checked(said: Option<&Value>, rules: &Rules) -> Result<Action, Refusal> {
    let Some(Value::Element(element)) = said else {
        return Err(Refusal::new("no_action", "there is no action in it"));
    };
    let action = read(element, rules, 0)?;
    if let Some(types) = &rules.actions
        && !Value::Int(action.action_type.clone())
            .as_i64()
            .is_some_and(|it| types.contains(&it))
    {
        let text = format!(
            "the types of actions are {} to {}",
            types.start(),
            types.end()
        );
        return Err(Refusal::new("bad_action", text));
    }
    Ok(action)
}

/// Reads an action and looks at all that is in it. The result has nothing that was not looked at.
fn read(element: &Element, rules: &Rules, depth: usize) -> Result<Action, Refusal> {
    let bad = |text: String| Refusal::new("bad_action", text);
    let mut action = Action::try_from(element).map_err(|error| bad(error.to_string()))?;
    let params = std::mem::take(&mut action.params);
    for (name, value) in &params {
        let of_name = |text: &str| bad(format!("the parameter {name:?}: {text}"));
        let looked_at = match value {
            // These stay elements in a list, and are looked up as classes of the game here.
            Value::Float(_) | Value::Bytes(_) => Err(of_name("pymasep has no such parameter")),
            Value::Element(inner) if inner.name() == "Action" && depth < DEPTH => {
                Ok(read(inner, rules, depth + 1)?.into())
            }
            Value::Element(inner) if rules.elements.contains(inner.name()) => Ok(value.clone()),
            Value::Element(_) => Err(of_name(
                "pymasep would make an object of it, and import what it names",
            )),
            value => look(value, 1).map(|()| value.clone()).map_err(of_name),
        };
        action.params.insert(name.clone(), looked_at?);
    }
    Ok(action)
}

/// Looks at a value and at what is in it.
fn look(value: &Value, depth: usize) -> Result<(), &'static str> {
    if depth > DEPTH {
        return Err("it is nested too deep");
    }
    match value {
        Value::Str(text) if !is_text(text) => Err("pymasep would import what it names"),
        Value::Type(_) => Err("pymasep would import it"),
        Value::Array(_) => Err("pymasep has no arrays"),
        Value::Element(element) if depth_of(element.as_xml()) > DEPTH => {
            Err("it is nested too deep")
        }
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            items.iter().try_for_each(|item| look(item, depth + 1))
        }
        Value::Dict(items) => items.iter().try_for_each(|(_, item)| look(item, depth + 1)),
        _ => Ok(()),
    }
}

/// The depth of elements in each other in XML as `ElementTree` writes it: each `<` begins a tag.
fn depth_of(xml: &str) -> usize {
    let (mut depth, mut most) = (0usize, 0);
    for tag in xml.split('<').skip(1) {
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else {
            most = most.max(depth + 1);
            let is_empty = tag.split('>').next().is_some_and(|it| it.ends_with('/'));
            depth += usize::from(!is_empty);
        }
    }
    most
}

/// False for a text in place of which pymasep has a class.
pub(super) fn is_text(text: &str) -> bool {
    !text.starts_with(CLASS)
}

/// True if these bytes, which are a message of ours, have no character at which pymasep's parser gives up.
pub(super) fn is_readable(xml: &[u8]) -> bool {
    let refers = |reference: &[u8]| xml.windows(reference.len()).any(|it| it == reference);
    let is_raw = |byte: &u8| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r');
    xml.iter().all(is_raw) && !refers(b"&#65534;") && !refers(b"&#65535;")
}

/// The type of a message of the engine's.
pub(super) fn type_of(xml: &Bytes) -> Option<MessageType> {
    const BEGIN: &[u8] = b"<Message msg_type=\"";
    // As pymasep writes it: an observation need not be read to be known.
    if let Some(rest) = xml.strip_prefix(BEGIN) {
        let known = [MessageType::Observation, MessageType::End];
        let is = |it: &MessageType| {
            let name = it.as_str().as_bytes();
            rest.starts_with(name) && rest.get(name.len()) == Some(&b'"')
        };
        return known.into_iter().find(is);
    }
    Message::from_bytes(xml.clone()).ok().map(|it| it.msg_type)
}
