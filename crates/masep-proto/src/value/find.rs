//! The search for an array in a value.

use std::fmt::Write;
use std::slice;

use bytestring::ByteString;

use super::Value;
use super::dict::Iter as DictIter;
use super::int::excerpt;
use crate::is_printable;
use crate::printable::Quoted;

/// An array that was found.
#[derive(Debug, Default)]
pub(crate) struct FoundArray {
    /// The path to it: `params.observation.camera`, `params.frames[3]`.
    pub(crate) path: String,
    /// Its type and shape, `uint8[84,84,4]`, or the element that was made of it.
    pub(crate) array: String,
}

/// The rest of a container that is searched, and the length of the path to it.
struct Open<'a> {
    rest: Rest<'a>,
    path: usize,
}

enum Rest<'a> {
    Items(std::iter::Enumerate<slice::Iter<'a, Value>>),
    Entries(DictIter<'a>),
}

/// The first array in a value that stands at this path, or the first element that was made of one.
#[cold]
pub(crate) fn find_array(root: &str, value: &Value) -> Option<FoundArray> {
    find(root, value, true)
}

/// The first element in a value that was made of an array. Arrays themselves are passed over.
#[cold]
pub(crate) fn find_lacking_element(root: &str, value: &Value) -> Option<FoundArray> {
    find(root, value, false)
}

/// The containers are kept in a list, so that no depth can exhaust the stack.
fn find(root: &str, value: &Value, arrays: bool) -> Option<FoundArray> {
    let mut path = root.to_owned();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next {
            let rest = match value {
                Value::Array(array) if arrays => {
                    let array = array.to_string();
                    return Some(FoundArray { path, array });
                }
                Value::Element(element) if element.lacks_array() => {
                    let array = format!("an array in <{}>", excerpt(element.name()));
                    return Some(FoundArray { path, array });
                }
                Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
                    Some(Rest::Items(items.iter().enumerate()))
                }
                Value::Dict(dict) => Some(Rest::Entries(dict.iter())),
                _ => None,
            };
            open.extend(rest.map(|rest| Open {
                rest,
                path: path.len(),
            }));
        }
        let container = open.last_mut()?;
        path.truncate(container.path);
        next = match &mut container.rest {
            Rest::Items(items) => items.next().map(|(index, value)| {
                let _ = write!(path, "[{index}]");
                value
            }),
            Rest::Entries(entries) => entries.next().map(|(key, value)| {
                push_key(&mut path, key);
                value
            }),
        };
        if next.is_none() {
            open.pop();
        }
    }
}

fn push_key(path: &mut String, key: &ByteString) {
    let key = excerpt(key);
    let is_plain = key.starts_with(|c: char| c == '_' || c.is_alphabetic())
        && key
            .chars()
            .all(|c| c == '_' || (c.is_alphanumeric() && is_printable(c)));
    let _ = if is_plain {
        write!(path, ".{key}")
    } else {
        write!(path, "[{}]", Quoted(&key))
    };
}
