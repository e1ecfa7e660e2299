//! The keys of dicts.

use bytestring::ByteString;
use serde_json::Value as Json;

use super::read::text;
use super::{JsonError, JsonErrorKind, LEVELS_PER_ITEM, check_depth};
use crate::Int;

/// The key of a pair of a `$dict`: text, or a tuple, for which pymasep sends its `repr` and takes
/// that for the key (a position, `(1, 2)`). Python's other keys cannot be sent.
pub(super) fn key(json: &Json) -> Result<ByteString, JsonError> {
    let Some(items) = tuple(json) else {
        return text(json);
    };
    let mut repr = String::new();
    push_tuple(&mut repr, items, 1)?;
    Ok(repr.into())
}

fn tuple(json: &Json) -> Option<&[Json]> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    Some(object.get("$tuple")?.as_array()?)
}

fn push_tuple(repr: &mut String, items: &[Json], depth: usize) -> Result<(), JsonError> {
    check_depth(depth)?;
    repr.push('(');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            repr.push_str(", ");
        }
        push_item(repr, item, depth)?;
    }
    repr.push_str(if items.len() == 1 { ",)" } else { ")" });
    Ok(())
}

/// Appends the `repr` of what a tuple holds, if that is the same in an attribute. (pymasep does not
/// escape such a key: with other content it sends XML that is not well-formed, or fails.)
fn push_item(repr: &mut String, json: &Json, depth: usize) -> Result<(), JsonError> {
    let expected = "an int, a bool, null, a plain string or a tuple of these in a key";
    let unexpected = || JsonErrorKind::unexpected(expected, json);
    match json {
        Json::Null => repr.push_str("None"),
        Json::Bool(value) => repr.push_str(if *value { "True" } else { "False" }),
        Json::Number(number) => {
            let int = number.to_string().parse::<Int>();
            repr.push_str(&int.map_err(|_| unexpected())?.to_string());
        }
        Json::String(text) if text.chars().all(is_plain) => repr.extend(["'", text, "'"]),
        _ => push_tuple(
            repr,
            tuple(json).ok_or_else(unexpected)?,
            depth + LEVELS_PER_ITEM,
        )?,
    }
    Ok(())
}

/// True if a character is the same in the `repr` of a string and in an attribute.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || ((' '..='~').contains(&c) && !"'\\&<>\"".contains(c))
}
