//! Python values as they go over the wire.

use bytes::Bytes;
use bytestring::ByteString;
use indexmap::IndexMap;

use crate::Element;

/// A Python value.
#[derive(Clone, Debug, PartialEq, Default)]
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
    List(Vec<Value>),
    /// A `tuple`.
    Tuple(Vec<Value>),
    /// A `set`, in the order in which it is sent.
    Set(Vec<Value>),
    /// A `dict` with text as keys.
    Dict(Dict),
    /// A class, by its dotted name: data, never resolved.
    Type(TypeName),
    /// Any other XML element: a State, an Object, an Agent, an Action, ...
    Element(Element),
}

/// An int of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Int(i64);

/// A dict with text as keys, in insertion order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dict(IndexMap<ByteString, Value>);

/// The dotted name of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName(ByteString);
