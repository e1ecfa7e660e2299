//! Dicts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Index;
use std::{slice, vec};

use bytestring::ByteString;

use crate::Value;
use crate::printable::{Quoted, debug_bounded};

/// Up to this many entries a key is looked for one by one: most dicts are small, and to compare a
/// few texts, most of them by their length alone, takes less than to hash one.
const FEW: usize = 12;

/// A dict with text as keys. It keeps the order of insertion, as Python's does; equality does not
/// look at it.
#[derive(Clone, Default)]
pub struct Dict {
    entries: Vec<(ByteString, Value)>,
    /// The places of the entries by their keys, if there are more than a few. The hash is seeded at
    /// random, so that nobody can send keys that collide.
    #[allow(
        clippy::box_collection,
        reason = "few dicts have one, and each value would be larger by it"
    )]
    places: Option<Box<HashMap<ByteString, usize>>>,
}

impl Dict {
    /// An empty dict.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: None,
        }
    }

    /// An empty dict with room for this many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            places: None,
        }
    }

    /// A dict of these entries, of which the last one counts where several have the same key.
    pub(crate) fn from_entries(entries: Vec<(ByteString, Value)>) -> Self {
        let has_before = |place: usize| {
            let key = &entries[place].0;
            entries[..place]
                .iter()
                .any(|(other, _)| is_same(other, key))
        };
        if entries.len() <= FEW && !(1..entries.len()).any(has_before) {
            return Self {
                entries,
                places: None,
            };
        }
        let mut dict = Self::with_capacity(entries.len());
        dict.extend(entries);
        dict
    }

    /// A dict of these entries, or a key that two of them have.
    pub(crate) fn from_different(entries: Vec<(ByteString, Value)>) -> Result<Self, ByteString> {
        if entries.len() <= FEW {
            for (place, (key, _)) in entries.iter().enumerate().skip(1) {
                if entries[..place]
                    .iter()
                    .any(|(other, _)| is_same(other, key))
                {
                    return Err(key.clone());
                }
            }
            return Ok(Self {
                entries,
                places: None,
            });
        }
        let mut places = HashMap::with_capacity(entries.len());
        for (place, (key, _)) in entries.iter().enumerate() {
            if places.insert(key.clone(), place).is_some() {
                return Err(key.clone());
            }
        }
        Ok(Self {
            entries,
            places: Some(Box::new(places)),
        })
    }

    /// Sets the value of a key and returns the one it had. A key that was there keeps its place in
    /// the order.
    pub fn insert(&mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let place = match &mut self.places {
            None => self.place(&key),
            Some(places) => match places.entry(key.clone()) {
                Entry::Occupied(place) => Some(*place.get()),
                Entry::Vacant(place) => {
                    place.insert(self.entries.len());
                    None
                }
            },
        };
        if let Some(place) = place {
            return Some(std::mem::replace(&mut self.entries[place].1, value));
        }
        self.entries.push((key, value));
        if self.places.is_none() && self.entries.len() > FEW {
            self.index();
        }
        None
    }

    /// The same dict with one more entry: [`insert`](Self::insert) for building in one expression.
    #[must_use]
    pub fn with(mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Takes an entry out; the others keep their order. Takes time in proportion to the entries.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.place(key)?;
        let (_, value) = self.entries.remove(place);
        if self.places.is_some() {
            self.index();
        }
        Some(value)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        Some(&self.entries[self.place(key)?].1)
    }

    /// The value of a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let place = self.place(key)?;
        Some(&mut self.entries[place].1)
    }

    /// True if the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self
                .entries
                .iter()
                .position(|(other, _)| is_same(other, key)),
        }
    }

    fn index(&mut self) {
        let keys = self.entries.iter().map(|(key, _)| key.clone());
        let places = keys.enumerate().map(|(place, key)| (key, place));
        self.places = Some(Box::new(places.collect()));
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.entries.iter())
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &ByteString> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }
}

/// True if two keys are the same. Those of one dict often differ in their last characters only.
fn is_same(key: &str, other: &str) -> bool {
    key.len() == other.len() && key.as_bytes().last() == other.as_bytes().last() && key == other
}

/// The entries of a [`Dict`], in order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, (ByteString, Value)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a ByteString, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The entries of a [`Dict`] by value, in order.
#[derive(Debug)]
pub struct IntoIter(vec::IntoIter<(ByteString, Value)>);

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
        IntoIter(self.entries.into_iter())
    }
}

impl PartialEq for Dict {
    fn eq(&self, other: &Self) -> bool {
        let is_in_other = |(key, value): (&ByteString, &Value)| other.get(key) == Some(value);
        self.len() == other.len() && self.iter().all(is_in_other)
    }
}

impl<K: Into<ByteString>, V: Into<Value>> Extend<(K, V)> for Dict {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Into<ByteString>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let entries = entries.into_iter();
        let mut dict = Self::with_capacity(entries.size_hint().0);
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
        self.get(key).expect("the key is in the dict")
    }
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            let entries = self.iter().map(|(key, value)| (Quoted(key), value));
            f.debug_map().entries(entries).finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        /// Few keys, so that many steps meet one that is there; more than [`FEW`], so that both ways
        /// of looking for one are taken.
        #[test]
        fn a_dict_is_a_list_of_entries_with_different_keys(
            steps in prop::collection::vec((0usize..30, any::<bool>()), 0..200),
        ) {
            let mut dict = Dict::new();
            let mut entries: Vec<(String, Value)> = Vec::new();
            for (value, (key, removes)) in steps.into_iter().enumerate() {
                let key = format!("key{key}");
                let place = entries.iter().position(|(other, _)| *other == key);
                let before = place.map(|place| entries[place].1.clone());
                if removes {
                    prop_assert_eq!(dict.remove(&key), before);
                    place.map(|place| entries.remove(place));
                } else {
                    prop_assert_eq!(dict.insert(&*key, value), before);
                    match place {
                        Some(place) => entries[place].1 = value.into(),
                        None => entries.push((key, value.into())),
                    }
                }
                prop_assert!(dict.iter().map(|(key, value)| (&**key, value)).eq(
                    entries.iter().map(|(key, value)| (&**key, value))
                ));
                let mut reversed = entries.clone();
                reversed.reverse();
                prop_assert_eq!(&dict, &Dict::from_iter(reversed));
            }
            for key in (0..30).map(|key| format!("key{key}")) {
                let value = entries.iter().find(|(other, _)| *other == key);
                prop_assert_eq!(dict.get(&key), value.map(|(_, value)| value));
                prop_assert_eq!(dict.contains_key(&key), value.is_some());
            }
        }
    }
}
