//! Python values as they go over the wire.

mod array;
mod dict;
mod find;
mod from;
mod int;
mod set;
mod type_name;
mod written;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

pub use array::{Array, ArrayError, ArrayItem, DType};
pub(crate) use array::{f16_to_f64, f32_to_f64};
pub use dict::Dict;
pub(crate) use dict::Iter as DictIter;
pub use int::Int;
pub use type_name::TypeName;

pub(crate) use find::{FoundArray, find_array, find_lacking_element};
pub(crate) use int::excerpt;
pub(crate) use set::unique_members;

use crate::printable::{Quoted, debug_bounded};
use crate::{Element, xml};

/// A Python value.
///
/// Equality is that of the Python values, with one difference: values of different types are never
/// equal here, while Python takes `1`, `1.0` and `True` for the same. Lists and tuples are compared
/// in order, sets and dicts without it, floats by `==` (so that NaN is not equal to itself), arrays by their bytes.
///
/// ```
/// use masep_proto::{Dict, Value};
/// let value = Value::from(Dict::from_iter([("position", (3, 4))]));
/// assert_eq!(value.get("position"), Some(&Value::from((3, 4))));
/// ```
#[derive(Clone, Default)]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// A `bool`.
    Bool(bool),
    /// An `int`, of any size.
    Int(Int),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(ByteString),
    /// A `bytes`.
    Bytes(Bytes),
    /// A `list`.
    List(Vec<Self>),
    /// A `tuple`.
    Tuple(Vec<Self>),
    /// A `set`, in the order in which it is sent.
    Set(Vec<Self>),
    /// A `dict` with text as keys.
    Dict(Dict),
    /// A class, by its dotted name: data, never resolved.
    Type(TypeName),
    /// Any other XML element: a State, an Object, an Agent, an Action, ...
    Element(Element),
    /// An array of numbers or bools, as numpy's. Only protocol 2 has it.
    Array(Box<Array>),
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            let holds: &dyn fmt::Debug = match self {
                Self::None => return f.write_str("None"),
                Self::Bool(value) => value,
                Self::Int(value) => value,
                Self::Float(value) => value,
                Self::Str(value) => &Quoted(value),
                Self::Bytes(value) => value,
                Self::List(items) | Self::Tuple(items) | Self::Set(items) => items,
                Self::Dict(value) => value,
                Self::Type(value) => value,
                Self::Array(value) => value,
                // It tells its own name.
                Self::Element(value) => return fmt::Debug::fmt(value, f),
            };
            f.debug_tuple(self.variant()).field(holds).finish()
        })
    }
}

/// Lists and dicts hold values side by side, and each is moved there.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Value>() <= 48);

impl Value {
    const fn variant(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "Bool",
            Self::Int(_) => "Int",
            Self::Float(_) => "Float",
            Self::Str(_) => "Str",
            Self::Bytes(_) => "Bytes",
            Self::List(_) => "List",
            Self::Tuple(_) => "Tuple",
            Self::Set(_) => "Set",
            Self::Dict(_) => "Dict",
            Self::Type(_) => "Type",
            Self::Element(_) => "Element",
            Self::Array(_) => "Array",
        }
    }

    /// The name of the Python type: `"NoneType"`, `"bool"`, `"int"`, ...; `"Element"` for an
    /// [`Element`], `"ndarray"` for an [`Array`].
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Dict(_) => "dict",
            Self::Type(_) => "type",
            Self::Element(_) => "Element",
            Self::Array(_) => "ndarray",
        }
    }

    /// True if Python takes the value for true: not `None`, `False`, a zero or anything empty.
    /// Parameters that are false are not sent at all. An array is true, of which Python refuses to tell.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::Bytes(value) => !value.is_empty(),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => !items.is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
            Self::Type(_) | Self::Element(_) | Self::Array(_) => true,
        }
    }

    /// True if this is `None`.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The value of a bool.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The int.
    pub const fn as_int(&self) -> Option<&Int> {
        match self {
            Self::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The value of an int, if it fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_int()?.as_i64()
    }

    /// The value of a float, or of an int as the nearest float (as Python's `float(value)`).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(value.to_f64()),
            _ => None,
        }
    }

    /// The text of a str.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The content of a bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a tuple.
    pub fn as_tuple(&self) -> Option<&[Self]> {
        match self {
            Self::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The members of a set, in the order in which they are sent.
    pub fn as_set(&self) -> Option<&[Self]> {
        match self {
            Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a list, a tuple or a set.
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The dict.
    pub const fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The dict, to change it.
    pub const fn as_dict_mut(&mut self) -> Option<&mut Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The name of a class.
    pub const fn as_type(&self) -> Option<&TypeName> {
        match self {
            Self::Type(name) => Some(name),
            _ => None,
        }
    }

    /// The XML element.
    pub const fn as_element(&self) -> Option<&Element> {
        match self {
            Self::Element(element) => Some(element),
            _ => None,
        }
    }

    /// The array.
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The value under a key, if this is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_dict()?.get(key)
    }

    /// The element that spells the value on the wire: `<int>5</int>` for 5. An [`Element`] is itself.
    ///
    /// No element spells an array: `<ndarray … />` with its type and shape stands in its place, and what has such an
    /// element in it is refused by the call that sends it, as the array itself is.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Element(element) => element.clone(),
            _ => xml::encode_value(self).into(),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => set::same_members(a, b),
            (Self::Dict(a), Self::Dict(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Element(a), Self::Element(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_pythons() {
        let falsy = [
            Value::None,
            Value::from(false),
            Value::from(0),
            Value::from(-0.0),
            Value::from(""),
            Value::from(Bytes::new()),
            Value::List(vec![]),
            Value::Tuple(vec![]),
            Value::Set(vec![]),
            Value::from(Dict::new()),
        ];
        for value in falsy {
            assert!(!value.is_truthy(), "{value:?}");
        }
        let truthy = [
            Value::from(true),
            Value::from(-1),
            Value::from(f64::NAN),
            Value::from(" "),
            Value::List(vec![Value::None]),
            Value::from(TypeName::from("int")),
        ];
        for value in truthy {
            assert!(value.is_truthy(), "{value:?}");
        }
    }

    #[test]
    fn values_of_different_types_are_not_equal() {
        assert_ne!(Value::from(1), Value::from(1.0));
        assert_ne!(Value::from(1), Value::from(true));
        assert_ne!(Value::List(vec![]), Value::Tuple(vec![]));
        assert_ne!(Value::from("1"), Value::from(1));
    }

    #[test]
    fn floats_are_compared_by_value() {
        assert_eq!(Value::from(0.0), Value::from(-0.0));
        assert_ne!(Value::from(f64::NAN), Value::from(f64::NAN));
    }

    #[test]
    fn sets_and_dicts_have_no_order() {
        assert_eq!(
            Value::Set(vec![1.into(), "a".into()]),
            Value::Set(vec!["a".into(), 1.into()])
        );
        assert_eq!(
            Value::from(Dict::from_iter([("a", 1), ("b", 2)])),
            Value::from(Dict::from_iter([("b", 2), ("a", 1)]))
        );
        assert_ne!(Value::from(vec![1, 2]), Value::from(vec![2, 1]));
    }

    #[test]
    fn accessors_answer_for_their_own_type_only() {
        let value = Value::from(Dict::from_iter([("n", Value::from(7)), ("s", "x".into())]));
        assert_eq!(value.get("n").and_then(Value::as_i64), Some(7));
        assert_eq!(value.get("n").and_then(Value::as_f64), Some(7.0));
        assert_eq!(value.get("n").and_then(Value::as_str), None);
        assert_eq!(value.get("s").and_then(Value::as_str), Some("x"));
        assert_eq!(value.get("none"), None);
        assert_eq!(Value::from(7).get("n"), None);
    }
}
