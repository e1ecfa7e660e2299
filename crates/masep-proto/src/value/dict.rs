//! Dicts.

use std::fmt;
use std::ops::Index;

use bytestring::ByteString;
use indexmap::{IndexMap, map};

use crate::Value;

/// A dict with text as keys. It keeps the order of insertion, as Python's does; equality does not
/// look at it.
#[derive(Clone, Default, PartialEq)]
pub struct Dict(IndexMap<ByteString, Value>);

impl Dict {
    /// An empty dict.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty dict with room for this many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self(IndexMap::with_capacity(entries))
    }

    /// Sets the value of a key and returns the one it had. A key that was there keeps its place in
    /// the order.
    pub fn insert(&mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Option<Value> {
        self.0.insert(key.into(), value.into())
    }

    /// The same dict with one more entry: [`insert`](Self::insert) for building in one expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Takes an entry out; the others keep their order. Takes time in proportion to the entries.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.get_mut(key)
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &ByteString> {
        self.0.keys()
    }

    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.values()
    }
}

/// The entries of a [`Dict`], in order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(map::Iter<'a, ByteString, Value>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a ByteString, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The entries of a [`Dict`] by value, in order.
#[derive(Debug)]
pub struct IntoIter(map::IntoIter<ByteString, Value>);

impl Iterator for IntoIter {
    type Item = (ByteString, Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for IntoIter {}

impl<'a> IntoIterator for &'a Dict {
    type Item = (&'a ByteString, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Dict {
    type Item = (ByteString, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self.0.into_iter())
    }
}

impl<K: Into<ByteString>, V: Into<Value>> Extend<(K, V)> for Dict {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        self.0
            .extend(entries.into_iter().map(|(k, v)| (k.into(), v.into())));
    }
}

impl<K: Into<ByteString>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut dict = Self::new();
        dict.extend(entries);
        dict
    }
}

impl<K: Into<ByteString>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Dict {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl Index<&str> for Dict {
    type Output = Value;

    /// The value of a key.
    ///
    /// # Panics
    /// If the key is not there; [`get`](Self::get) does not.
    fn index(&self, key: &str) -> &Value {
        &self.0[key]
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_stands_at_its_first_place() {
        let mut dict = Dict::from([("a", 1), ("b", 2)]);
        assert_eq!(dict.insert("a", 3), Some(1.into()));
        let keys: Vec<&str> = dict.keys().map(|key| &**key).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(dict["a"], 3.into());
    }

    #[test]
    fn removal_keeps_the_order_of_the_others() {
        let mut dict = Dict::from([("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(dict.remove("a"), Some(1.into()));
        assert_eq!(dict.remove("a"), None);
        let entries: Vec<_> = dict.into_iter().collect();
        assert_eq!(entries, [("b".into(), 2.into()), ("c".into(), 3.into())]);
    }
}
