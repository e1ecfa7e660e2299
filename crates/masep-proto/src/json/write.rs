//! Values and messages to JSON.

use serde_json::{Map, Value as Json};

use super::{LEVELS_PER_ITEM, check_depth};
use crate::{Dict, Element, Int, LimitExceeded, Message, Value};

/// The form of arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrays {
    Whole,
    /// Only what they are: `uint8[84,84,4]`.
    Summary,
}

pub(super) fn message(message: &Message, arrays: Arrays) -> Result<Json, LimitExceeded> {
    let mut object = Map::new();
    object.insert("msg_type".into(), message.msg_type.as_str().into());
    object.insert("src_sub_app".into(), text(&message.src_sub_app));
    object.insert("params".into(), value(&message.params, arrays)?);
    Ok(object.into())
}

pub(super) fn value(value: &Value, arrays: Arrays) -> Result<Json, LimitExceeded> {
    nested(value, 1, arrays)
}

pub(super) fn element(element: &Element) -> Json {
    let mut object = Map::new();
    // Two characters that XML takes as references only stay references.
    let xml = element.to_unicode();
    let xml = xml
        .replace('\u{fffe}', "&#65534;")
        .replace('\u{ffff}', "&#65535;");
    object.insert("$xml".into(), xml.into());
    if !element.tail().is_empty() {
        object.insert("$tail".into(), text(element.tail()));
    }
    object.into()
}

fn text(text: &str) -> Json {
    text.to_owned().into()
}

/// The JSON of a value at this depth.
fn nested(value: &Value, depth: usize, arrays: Arrays) -> Result<Json, LimitExceeded> {
    check_depth(depth)?;
    match value {
        Value::List(values) => items(values, depth, arrays),
        Value::Tuple(values) => tagged_items("$tuple", values, depth, arrays),
        Value::Set(values) => tagged_items("$set", values, depth, arrays),
        Value::Dict(value) => dict(value, depth, arrays),
        scalar => Ok(self::scalar(scalar, arrays)),
    }
}

/// The JSON of what holds no other values; [`nested`] sees to the rest.
fn scalar(value: &Value, arrays: Arrays) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => int(value),
        Value::Float(value) => float(*value),
        Value::Str(value) => text(value),
        Value::Bytes(value) => tagged("$bytes_hex", hex::encode(value).into()),
        Value::Type(name) => tagged("$type", format!("{}.{}", name.module(), name.name()).into()),
        Value::Element(value) => element(value),
        Value::Array(value) => tagged(
            "$array",
            match arrays {
                Arrays::Whole => super::array::write(value),
                Arrays::Summary => value.to_string().into(),
            },
        ),
        Value::None | Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Dict(_) => {
            Json::Null
        }
    }
}

fn items(values: &[Value], depth: usize, arrays: Arrays) -> Result<Json, LimitExceeded> {
    let mut items = Vec::with_capacity(values.len());
    for value in values {
        items.push(nested(value, depth + LEVELS_PER_ITEM, arrays)?);
    }
    Ok(Json::Array(items))
}

fn tagged_items(
    tag: &str,
    values: &[Value],
    depth: usize,
    arrays: Arrays,
) -> Result<Json, LimitExceeded> {
    match items(values, depth, arrays) {
        Ok(items) => Ok(tagged(tag, items)),
        Err(error) => Err(error),
    }
}

fn dict(dict: &Dict, depth: usize, arrays: Arrays) -> Result<Json, LimitExceeded> {
    let as_pairs = dict.keys().any(|key| key.starts_with('$'));
    let mut pairs = Vec::new();
    let mut object = Map::new();
    for (key, value) in dict {
        let value = nested(value, depth + LEVELS_PER_ITEM, arrays)?;
        if as_pairs {
            pairs.push(Json::Array(vec![text(key), value]));
        } else {
            object.insert(key.to_string(), value);
        }
    }
    Ok(if as_pairs {
        tagged("$dict", Json::Array(pairs))
    } else {
        Json::Object(object)
    })
}

fn int(value: &Int) -> Json {
    value
        .as_i64()
        .map_or_else(|| tagged("$int", value.to_string().into()), Json::from)
}

/// A number with a fraction or an exponent, so that it is read as a float again.
fn float(value: f64) -> Json {
    if value.is_nan() {
        return tagged("$float", "nan".into());
    }
    serde_json::Number::from_f64(value).map_or_else(
        || tagged("$float", if value > 0.0 { "inf" } else { "-inf" }.into()),
        Json::Number,
    )
}

fn tagged(tag: &str, content: Json) -> Json {
    Json::Object(Map::from_iter([(tag.to_owned(), content)]))
}
