//! JSON to values and messages.

use std::cell::Cell;

use bytestring::ByteString;
use serde_json::{Map, Number, Value as Json};

use super::{JsonError, JsonErrorKind, LEVELS_PER_ITEM, check_depth};
use crate::value::{excerpt, unique_members};
use crate::{
    Dict, Element, Int, Limit, LimitExceeded, Limits, Message, MessageType, Node, TypeName, Value,
};

/// Tags that other keys may stand beside, and which.
const COMPANIONS: [(&str, &[&str]); 2] = [
    ("$xml", &["$tail", "$class", "$action", "$circular"]),
    ("$py", &["name", "str"]),
];

type Object = Map<String, Json>;

pub(super) fn message(json: &Json, sender: Option<&str>) -> Result<Message, JsonError> {
    let object = json
        .as_object()
        .ok_or_else(|| JsonErrorKind::unexpected("a message", json))?;
    let known = ["msg_type", "src_sub_app", "params"];
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(JsonErrorKind::UnknownKey(excerpt(key)).into());
    }
    let src_sub_app = match (object.get("src_sub_app"), sender) {
        (None, Some(sender)) => sender.into(),
        _ => under(object, "src_sub_app", text)?,
    };
    let params = if object.contains_key("params") {
        under(object, "params", value)?
    } else {
        Value::None
    };
    let msg_type = under(object, "msg_type", text)?;
    Ok(Message::new(
        MessageType::from(msg_type),
        params,
        src_sub_app,
    ))
}

pub(super) fn value(json: &Json) -> Result<Value, JsonError> {
    let elements = Cell::new(0);
    nested(
        json,
        Nesting {
            depth: 1,
            elements: &elements,
        },
    )
}

/// The nesting of a value, and what all of them have in common.
#[derive(Clone, Copy)]
struct Nesting<'a> {
    /// The depth, in elements on the wire.
    depth: usize,
    /// Elements on the wire so far: a `$nest` makes many out of a few bytes.
    elements: &'a Cell<usize>,
}

impl Nesting<'_> {
    /// The nesting of a value in this many containers in each other.
    const fn inside(self, containers: usize) -> Self {
        let deeper = containers.saturating_mul(LEVELS_PER_ITEM);
        Self {
            depth: self.depth.saturating_add(deeper),
            ..self
        }
    }

    /// Checks the depth, and counts the elements of this many values.
    fn take(self, values: usize) -> Result<(), LimitExceeded> {
        check_depth(self.depth)?;
        let elements = values.saturating_mul(LEVELS_PER_ITEM);
        self.elements
            .set(self.elements.get().saturating_add(elements));
        LimitExceeded::check(Limit::Nodes, self.elements.get(), Limits::default().nodes)
    }
}

pub(super) fn element(json: &Json) -> Result<Element, JsonError> {
    match value(json)? {
        Value::Element(element) => Ok(element),
        _ => Err(JsonErrorKind::unexpected("an element (\"$xml\")", json).into()),
    }
}

/// The value at this depth.
///
/// Here and in `write`, what stands on the stack once for every level of nesting is kept small: one
/// function for containers and one for all that is none, loops instead of `collect`.
fn nested(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    nesting.take(1)?;
    match json {
        Json::Array(_) => list(json, nesting),
        Json::Object(object) => match tag(object)? {
            None => plain_dict(object, nesting),
            Some(tag) => tagged(object, tag, nesting),
        },
        scalar => self::scalar(scalar),
    }
}

fn scalar(json: &Json) -> Result<Value, JsonError> {
    match json {
        Json::Null => Ok(Value::None),
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Number(value) => number(value),
        _ => text(json).map(Value::Str),
    }
}

fn list(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    items(json, nesting).map(Value::List)
}

fn tuple(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    items(json, nesting).map(Value::Tuple)
}

fn set(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    match unique_members(items(json, nesting)?) {
        Ok(members) => Ok(Value::Set(members)),
        Err(type_name) => Err(JsonErrorKind::Unhashable(type_name).into()),
    }
}

fn items(json: &Json, nesting: Nesting<'_>) -> Result<Vec<Value>, JsonError> {
    let values = array(json)?;
    let mut items = Vec::with_capacity(values.len());
    for (index, json) in values.iter().enumerate() {
        match nested(json, nesting.inside(1)) {
            Ok(value) => items.push(value),
            Err(error) => return Err(error.at_index(index)),
        }
    }
    Ok(items)
}

fn plain_dict(object: &Object, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    let mut dict = Dict::with_capacity(object.len());
    for (key, json) in object {
        match nested(json, nesting.inside(1)) {
            Ok(value) => dict.insert(key.as_str(), value),
            Err(error) => return Err(error.under_key(key)),
        };
    }
    Ok(Value::Dict(dict))
}

fn dict_of_pairs(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    let mut dict = Dict::new();
    for (index, json) in array(json)?.iter().enumerate() {
        let (key, json) = match pair(json) {
            Ok(pair) => pair,
            Err(error) => return Err(error.at_index(index)),
        };
        match nested(json, nesting.inside(1)) {
            Ok(value) => dict.insert(key, value),
            Err(error) => return Err(error.at_index(1).at_index(index)),
        };
    }
    Ok(Value::Dict(dict))
}

fn pair(json: &Json) -> Result<(ByteString, &Json), JsonError> {
    let [key, value] = array(json)? else {
        return Err(JsonErrorKind::unexpected("a pair of key and value", json).into());
    };
    let key = super::key::key(key).map_err(|error| error.at_index(0))?;
    Ok((key, value))
}

/// The tag of an object, if a key of it starts with `$`; nothing else may stand beside it then.
fn tag(object: &Object) -> Result<Option<&str>, JsonError> {
    let is_tag = |key: &&String| key.starts_with('$');
    let Some(first) = object.keys().find(is_tag).map(String::as_str) else {
        return Ok(None);
    };
    if object.contains_key("$object") {
        return Err(JsonErrorKind::Unrepresentable.into());
    }
    let (tag, companions) = COMPANIONS
        .into_iter()
        .find(|(tag, _)| object.contains_key(*tag))
        .unwrap_or((first, &[]));
    let alone = |key: &&String| *key != tag && !companions.contains(&key.as_str());
    if let Some(key) = object.keys().find(alone) {
        let (tag, key) = (excerpt(tag), excerpt(key));
        return Err(JsonErrorKind::BesideTag { tag, key }.into());
    }
    Ok(Some(tag))
}

fn tagged(object: &Object, tag: &str, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    let read: fn(&Json, Nesting<'_>) -> Result<Value, JsonError> = match tag {
        "$int" => |json, _| int(str(json)?),
        "$float" => |json, _| float(json),
        "$tuple" => tuple,
        "$set" => set,
        "$dict" => dict_of_pairs,
        "$codepoints" => |json, _| text_of_code_points(json).map(Value::Str),
        "$bytes_hex" => |json, _| bytes(json),
        "$type" => |json, _| Ok(Value::Type(TypeName::from(text(json)?))),
        "$array" => |json, _| super::array::read(json).map(Value::from),
        "$nest" => nest,
        "$element" => |json, _| super::tree::read(json),
        "$xml" => return xml(object),
        "$py" => return described(object),
        _ => return Err(JsonErrorKind::UnknownTag(excerpt(tag)).into()),
    };
    match read(&object[tag], nesting) {
        Ok(value) => Ok(value),
        Err(error) => Err(error.under_key(tag)),
    }
}

/// A number is a float if its text has a fraction or an exponent.
fn number(number: &Number) -> Result<Value, JsonError> {
    let text = number.to_string();
    if text.contains(['.', 'e', 'E']) {
        finite(&text)
    } else {
        int(&text)
    }
}

fn int(text: &str) -> Result<Value, JsonError> {
    match text.parse::<Int>() {
        Ok(int) => Ok(Value::Int(int)),
        Err(kind) => Err(JsonErrorKind::int(kind, text).into()),
    }
}

fn finite(text: &str) -> Result<Value, JsonError> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::Float(value)),
        _ => Err(JsonErrorKind::InvalidFloat(excerpt(text)).into()),
    }
}

fn float(json: &Json) -> Result<Value, JsonError> {
    match json {
        Json::Number(number) => finite(&number.to_string()),
        _ => match str(json)? {
            "nan" => Ok(Value::Float(f64::NAN)),
            "inf" => Ok(Value::Float(f64::INFINITY)),
            "-inf" => Ok(Value::Float(f64::NEG_INFINITY)),
            text => finite(text),
        },
    }
}

fn bytes(json: &Json) -> Result<Value, JsonError> {
    match hex::decode(str(json)?) {
        Ok(bytes) => Ok(Value::Bytes(bytes.into())),
        Err(error) => Err(JsonErrorKind::InvalidHex(error.to_string()).into()),
    }
}

/// `["list" or "dict", how many, leaf]`.
fn nest(json: &Json, nesting: Nesting<'_>) -> Result<Value, JsonError> {
    let (wrap, levels, leaf) = layers(json)?;
    // At least one item, or nests of none in each other would be as deep as they like.
    let inside = nesting.inside(levels.max(1));
    let counted = inside.take(levels).map_err(JsonError::from);
    match counted.and_then(|()| nested(leaf, inside)) {
        Ok(leaf) => Ok((0..levels).fold(leaf, |value, _| wrap(value))),
        Err(error) => Err(error.at_index(2)),
    }
}

/// The parts of a nest: one layer around a value, the number of layers, and the leaf.
type Layers<'a> = (fn(Value) -> Value, usize, &'a Json);

fn layers(json: &Json) -> Result<Layers<'_>, JsonError> {
    let [kind, levels, leaf] = array(json)? else {
        return Err(JsonErrorKind::unexpected("a kind, a depth and a leaf", json).into());
    };
    let wrap: fn(Value) -> Value = match kind.as_str() {
        Some("list") => |value| Value::List(vec![value]),
        Some("dict") => |value| Value::Dict(Dict::from([("k", value)])),
        _ => {
            let error = JsonError::from(JsonErrorKind::unexpected("\"list\" or \"dict\"", kind));
            return Err(error.at_index(0));
        }
    };
    let Some(count) = levels.as_u64() else {
        let error = JsonError::from(JsonErrorKind::unexpected("a number of levels", levels));
        return Err(error.at_index(1));
    };
    Ok((wrap, usize::try_from(count).unwrap_or(usize::MAX), leaf))
}

fn xml(object: &Object) -> Result<Value, JsonError> {
    let element = under(object, "$xml", |json| {
        Element::parse(str(json)?).map_err(|error| JsonErrorKind::InvalidXml(error).into())
    })?;
    if !object.contains_key("$tail") {
        return Ok(Value::Element(element));
    }
    let tail = under(object, "$tail", text)?;
    Ok(Value::Element(element.with_tail(tail)))
}

/// The element that pymasep sends for an object that it does not know: the object's text in an element named
/// after its class.
fn described(object: &Object) -> Result<Value, JsonError> {
    let name = under(object, "name", text)?;
    let text = under(object, "str", text)?;
    match Node::new(name).with_text(text).to_element() {
        Ok(element) => Ok(Value::Element(element)),
        Err(error) => Err(JsonErrorKind::element(error).into()),
    }
}

pub(super) fn str(json: &Json) -> Result<&str, JsonError> {
    json.as_str()
        .ok_or_else(|| JsonErrorKind::unexpected("a string", json).into())
}

pub(super) fn array(json: &Json) -> Result<&[Json], JsonError> {
    match json {
        Json::Array(values) => Ok(values),
        _ => Err(JsonErrorKind::unexpected("an array", json).into()),
    }
}

/// A string, plain or as its code points.
pub(super) fn text(json: &Json) -> Result<ByteString, JsonError> {
    match json {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Object(object) if tag(object)? == Some("$codepoints") => {
            under(object, "$codepoints", text_of_code_points)
        }
        _ => Err(JsonErrorKind::unexpected("a string", json).into()),
    }
}

fn text_of_code_points(json: &Json) -> Result<ByteString, JsonError> {
    let code_point = |(index, json): (usize, &Json)| {
        let number = json.as_u64().and_then(|number| u32::try_from(number).ok());
        match (number, number.and_then(char::from_u32)) {
            (_, Some(c)) => Ok(c),
            (Some(surrogate @ 0xd800..=0xdfff), None) => Err(JsonErrorKind::Surrogate(surrogate)),
            _ => Err(JsonErrorKind::unexpected("a code point", json)),
        }
        .map_err(|kind| JsonError::from(kind).at_index(index))
    };
    let text: Result<String, _> = array(json)?.iter().enumerate().map(code_point).collect();
    Ok(text?.into())
}

/// Reads what stands under a key; errors say so.
pub(super) fn under<T>(
    object: &Object,
    key: &str,
    read: impl FnOnce(&Json) -> Result<T, JsonError>,
) -> Result<T, JsonError> {
    match object.get(key) {
        Some(json) => read(json).map_err(|error| error.under_key(key)),
        None => Err(JsonErrorKind::MissingKey(key.to_owned()).into()),
    }
}
