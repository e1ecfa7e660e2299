//! Values of the natural Rust types.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use bytestring::ByteString;

use super::{Dict, Int, TypeName, Value};
use crate::Element;

macro_rules! from_int {
    ($($int:ty),*) => { $(
        impl From<$int> for Value {
            fn from(value: $int) -> Self {
                Self::Int(value.into())
            }
        }
    )* };
}
from_int!(
    i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, Int
);

macro_rules! from_variant {
    ($($from:ty => $variant:ident),* $(,)?) => { $(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )* };
}
from_variant! {
    bool => Bool,
    f32 => Float,
    f64 => Float,
    &str => Str,
    String => Str,
    ByteString => Str,
    Bytes => Bytes,
    Dict => Dict,
    TypeName => Type,
    Element => Element,
}

impl From<Cow<'_, str>> for Value {
    fn from(value: Cow<'_, str>) -> Self {
        Self::Str(value.into_owned().into())
    }
}

impl From<char> for Value {
    fn from(value: char) -> Self {
        Self::Str(value.to_string().into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

fn values<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Vec<Value> {
    items.into_iter().map(Into::into).collect()
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(values(items))
    }
}

impl<T: Into<Self> + Clone> From<&[T]> for Value {
    fn from(items: &[T]) -> Self {
        Self::List(values(items.iter().cloned()))
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::List(values(items))
    }
}

impl<T: Into<Self>> FromIterator<T> for Value {
    /// A list.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(values(items))
    }
}

impl<T: Into<Self>, S> From<HashSet<T, S>> for Value {
    fn from(items: HashSet<T, S>) -> Self {
        Self::Set(values(items))
    }
}

impl<T: Into<Self>> From<BTreeSet<T>> for Value {
    fn from(items: BTreeSet<T>) -> Self {
        Self::Set(values(items))
    }
}

impl<K: Into<ByteString>, V: Into<Self>, S> From<HashMap<K, V, S>> for Value {
    fn from(entries: HashMap<K, V, S>) -> Self {
        Self::Dict(entries.into_iter().collect())
    }
}

impl<K: Into<ByteString>, V: Into<Self>> From<BTreeMap<K, V>> for Value {
    fn from(entries: BTreeMap<K, V>) -> Self {
        Self::Dict(entries.into_iter().collect())
    }
}

macro_rules! from_tuple {
    ($($name:ident)*) => {
        #[allow(non_snake_case, reason = "the type's own name is the clearest for its value")]
        impl<$($name: Into<Value>),*> From<($($name,)*)> for Value {
            fn from(($($name,)*): ($($name,)*)) -> Self {
                Self::Tuple(vec![$($name.into()),*])
            }
        }
    };
}
from_tuple!(A);
from_tuple!(A B);
from_tuple!(A B C);
from_tuple!(A B C D);
from_tuple!(A B C D E);
from_tuple!(A B C D E F);
from_tuple!(A B C D E F G);
from_tuple!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_types_become_the_python_types_of_the_same_use() {
        assert_eq!(
            Value::from((1, "a", true)),
            Value::Tuple(vec![1.into(), "a".into(), true.into()])
        );
        assert_eq!(Value::from([1u8, 2]), Value::List(vec![1.into(), 2.into()]));
        assert_eq!(Value::from(None::<i32>), Value::None);
        assert_eq!(Value::from(Some(1)), Value::from(1));
        assert_eq!(Value::from(0.5f32), Value::Float(0.5));
        assert_eq!(
            Value::from(BTreeSet::from([2, 1])),
            Value::Set(vec![1.into(), 2.into()])
        );
        assert_eq!(
            Value::from(HashMap::from([("k", 1.5)])),
            Value::Dict(Dict::from([("k", 1.5)]))
        );
        assert_eq!((0..2).collect::<Value>(), Value::from([0, 1]));
    }
}
