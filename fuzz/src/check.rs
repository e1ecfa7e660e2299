//! Properties of everything that was decoded.

use masep_proto::{
    Action, CircularHeadList, DType, DecodeError, DecodeErrorKind, Dict, Element, Limits, Message,
    Node, Value, cbor, json,
};

/// The most bytes that the text of an error may have: it goes to a log, where a peer must not be able
/// to write as much as it likes.
const ERROR_TEXT: usize = 500;

/// An error points into the input, and is short.
pub fn check_error(error: &DecodeError, input: &[u8]) {
    assert!(error.position.offset <= input.len(), "{error:?}");
    assert!(error.position.line >= 1, "{error:?}");
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= ERROR_TEXT, "{text}");
}

/// A message that was decoded is written, in every way there is, and read again as the same.
pub fn check_message(message: &Message) {
    let written = message
        .to_bytes()
        .expect("what was read within a depth is written within it");
    assert_eq!(message.to_string().as_bytes(), &written[..], "Display");
    let again = Message::from_bytes(written.clone()).expect("what was written is readable");
    assert_eq!(
        again.to_bytes().as_ref(),
        Ok(&written),
        "a second round changes it"
    );
    let element = message.to_element().expect("as to_bytes");
    assert_eq!(element.as_xml().as_bytes(), &written, "as an element");
    // Parameters that are false, as an empty dict is, are not sent; NaN is not equal to itself.
    if message.params.is_truthy() && !has_nan(&message.params) {
        assert_eq!(&again, message);
        assert_eq!(Message::from_element(&element).as_ref(), Ok(message));
    }
    check_value(&message.params);
}

/// As [`check_error`], of CBOR.
pub fn check_cbor_error(error: &DecodeError, input: &[u8]) {
    assert!(error.position.offset <= input.len(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("(byte ") && text.len() <= ERROR_TEXT,
        "{text}"
    );
}

/// A message that was decoded from CBOR is written and read again as the same.
pub fn check_message_of_cbor(message: &Message, turn: Option<&Dict>) {
    let limits = Limits::default();
    // An element can be longer as ElementTree writes it.
    let limits = limits.message_bytes(usize::MAX).text_bytes(usize::MAX);
    let written = cbor::encode_message(message, turn, &limits).expect("it fitted the wire");
    let (again, turn_again) =
        cbor::decode_message(&written, &limits).expect("what was written is readable");
    let twice = cbor::encode_message(&again, turn_again.as_ref(), &limits);
    assert_eq!(twice.as_ref(), Ok(&written), "a second round changes it");
    if !has_nan(&message.params) {
        assert_eq!(&again, message);
    }
    check_arrays(&again.params);
    let json = message.to_json().expect("it fitted the wire");
    let from_json = Message::from_json(&json, None).expect("what was written is readable");
    assert_eq!(from_json.to_json().as_ref(), Ok(&json));
    // pymasep's protocol takes it if there is no array in it, and says so if there is.
    match message.encode(&limits) {
        Ok(_) => assert!(!has_array(&message.params)),
        Err(error) => assert_eq!(error.name(), "array", "{error}"),
    }
}

/// Arrays can be seen where they are.
fn check_arrays(value: &Value) {
    match value {
        Value::Array(array) => {
            let seen = match array.dtype() {
                DType::Bool => array.as_slice::<bool>().map(<[_]>::len),
                DType::UInt64 => array.as_slice::<u64>().map(<[_]>::len),
                DType::Int32 => array.as_slice::<i32>().map(<[_]>::len),
                DType::Float16 => array.float16_bits().map(<[_]>::len),
                DType::Float64 => array.as_slice::<f64>().map(<[_]>::len),
                _ => Ok(array.len()),
            };
            assert_eq!(seen, Ok(array.len()));
        }
        Value::Dict(dict) => dict.values().for_each(check_arrays),
        other => other
            .as_sequence()
            .unwrap_or_default()
            .iter()
            .for_each(check_arrays),
    }
}

fn has_array(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Dict(dict) => dict.values().any(has_array),
        other => other
            .as_sequence()
            .unwrap_or_default()
            .iter()
            .any(has_array),
    }
}

/// The JSON form of a message, as a tree and as text, is read as the same message.
pub fn check_json(message: &Message) {
    let json = message.to_json().expect("it fitted the wire");
    let again = Message::from_json(&json, None).expect("what was written is readable");
    assert_eq!(again.to_json().as_ref(), Ok(&json));
    if !has_nan(&message.params) {
        assert_eq!(&again, message, "{json}");
    }
    let parsed = json::from_slice(json.to_string().as_bytes());
    assert_eq!(parsed.as_ref(), Ok(&json), "as text");
}

fn check_value(value: &Value) {
    match value {
        Value::Element(element) => check_element(element),
        Value::Dict(dict) => dict.values().for_each(check_value),
        other => other
            .as_sequence()
            .unwrap_or_default()
            .iter()
            .for_each(check_value),
    }
}

/// An element is canonical; its tree, and what can be seen without one, agree.
pub fn check_element(element: &Element) {
    let xml = element.as_xml();
    let again = Element::parse(xml.clone()).expect("canonical text is well-formed");
    assert_eq!(again.as_xml(), xml, "its own canonical text");
    let unicode = element.to_unicode();
    // XML takes these two as references only.
    if !unicode.contains(['\u{fffe}', '\u{ffff}']) {
        assert_eq!(Element::parse(unicode).as_ref(), Ok(&again));
    }
    let node = element.to_node();
    let from_tree = Element::try_from(&node).expect("a tree that came from XML");
    assert_eq!(from_tree.as_xml(), xml, "the tree holds all of the text");
    check_view(element, &node);
    check_meaning(element);
}

/// All that can be seen of an element without a tree, down to its last child, is as the tree has it.
fn check_view(element: &Element, node: &Node) {
    assert_eq!(element.text(), node.text);
    assert_eq!(element.tail(), node.tail());
    assert!(element.name().ends_with(&**node.name.local()));
    let values = element.attributes().map(|(_, value)| value);
    assert!(values.eq(node.attributes().map(|(_, value)| value.clone())));
    let mut names = element.attributes().map(|(name, _)| name);
    assert!(names.all(|name| element.attribute(name).is_some()));
    let mut children = element.children();
    for node in &node.children {
        let child = children.next().expect("as many as in the tree");
        check_view(&child, node);
    }
    assert_eq!(children.next(), None, "more than in the tree");
}

/// The value that an element is read as is written as an element that is read as the same.
fn check_meaning(element: &Element) {
    match element.to_value() {
        Ok(value) if !has_nan(&value) => {
            assert_eq!(value.to_element().to_value(), Ok(value));
        }
        Ok(_) => {}
        Err(error) => check_error(&error, element.as_xml().as_bytes()),
    }
    if let Ok(action) = Action::try_from(element)
        && !action.params.values().any(has_nan)
    {
        assert_eq!(Action::try_from(&Element::from(&action)), Ok(action));
    }
    if let Ok(list) = CircularHeadList::try_from(element)
        && !list.data.iter().any(has_nan)
    {
        assert_eq!(CircularHeadList::try_from(&Element::from(&list)), Ok(list));
    }
}

/// True if there is a NaN in a value, which is not equal to itself then.
pub fn has_nan(value: &Value) -> bool {
    match value {
        Value::Float(float) => float.is_nan(),
        Value::Dict(dict) => dict.values().any(has_nan),
        other => other.as_sequence().unwrap_or_default().iter().any(has_nan),
    }
}

/// Bounds of a decoder that many inputs reach.
#[must_use]
pub fn tight() -> Limits {
    Limits::default()
        .message_bytes(200)
        .depth(5)
        .nodes(10)
        .text_bytes(20)
        .int_digits(5)
}

/// Tighter limits turn an answer into "over a limit", never into another answer.
pub fn check_limits<T: PartialEq + std::fmt::Debug>(
    wide: &Result<T, DecodeError>,
    tight: &Result<T, DecodeError>,
) {
    use DecodeErrorKind::{Encoding, Limit};
    match (wide, tight) {
        (_, Err(error)) if matches!(error.kind, Limit(_)) => {}
        // An error comes before the limit, and XML that is none at all is found behind it; an
        // error of the encoding is found before either.
        (Err(wide), Err(tight))
            if wide.kind.is_malformed()
                && (!tight.kind.is_malformed() || matches!(tight.kind, Encoding(_))) => {}
        // NaN is not equal to itself.
        (Ok(wide), Ok(tight)) => assert_eq!(format!("{tight:?}"), format!("{wide:?}")),
        (wide, tight) => assert_eq!(tight, wide),
    }
}
