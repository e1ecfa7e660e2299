//! Equality of the members of sets, in time that does not grow with the square of their number.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::{Int, Value};

/// True if two sets have the same members.
pub(super) fn same_members(a: &[Value], b: &[Value]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut missing: HashMap<Vec<u8>, usize> = HashMap::with_capacity(a.len());
    for member in a {
        let Some(key) = Key::of(member, Numbers::ByType) else {
            return false;
        };
        *missing.entry(key).or_default() += 1;
    }
    b.iter().all(|member| {
        let count = Key::of(member, Numbers::ByType).and_then(|key| {
            missing.get_mut(&key).map(|n| {
                let found = *n > 0;
                *n = n.saturating_sub(1);
                found
            })
        });
        count == Some(true)
    })
}

/// The members of a Python set that is built from these items: of those that are equal in Python
/// (`1`, `1.0` and `True` are) the first stays. XML elements and NaN are equal to nothing.
///
/// # Errors
/// The name of the type of an item that Python cannot hash.
pub(crate) fn unique_members(items: Vec<Value>) -> Result<Vec<Value>, &'static str> {
    if let Some(unhashable) = items.iter().find_map(unhashable) {
        return Err(unhashable);
    }
    if items.len() < 2 || all_differ(&items) {
        return Ok(items);
    }
    let mut seen = HashSet::with_capacity(items.len());
    Ok(items
        .into_iter()
        .filter(|item| Key::of(item, Numbers::AsPython).is_none_or(|key| seen.insert(key)))
        .collect())
}

/// Up to this many members are compared with each other one by one.
const FEW: usize = 12;

/// True if the members are of types whose values are equal in Python exactly if they are so here, and all
/// differ. It is asked first because it needs no memory for each of them.
fn all_differ(items: &[Value]) -> bool {
    if !items.iter().all(is_exact) {
        return false;
    }
    if items.len() <= FEW {
        let others = |place: usize| &items[..place];
        return (1..items.len()).all(|place| !others(place).contains(&items[place]));
    }
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().all(|item| seen.insert(Exact(item)))
}

/// True if no value of another type is equal to this one in Python.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::None | Value::Int(_) | Value::Str(_) | Value::Bytes(_) | Value::Type(_) => true,
        Value::Tuple(items) => items.iter().all(is_exact),
        _ => false,
    }
}

/// A value that [`is_exact`].
#[derive(PartialEq)]
struct Exact<'a>(&'a Value);

/// Such a value is equal to itself.
impl Eq for Exact<'_> {}

impl Hash for Exact<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self.0).hash(state);
        match self.0 {
            Value::Int(value) => value.hash(state),
            Value::Str(value) => value.hash(state),
            Value::Bytes(value) => value.hash(state),
            Value::Type(value) => value.hash(state),
            Value::Tuple(items) => {
                state.write_usize(items.len());
                items.iter().for_each(|item| Exact(item).hash(state));
            }
            _ => {}
        }
    }
}

/// The type that makes a value unhashable in Python: its own, or that of something in a tuple.
fn unhashable(value: &Value) -> Option<&'static str> {
    match value {
        Value::List(_) | Value::Set(_) | Value::Dict(_) | Value::Array(_) => {
            Some(value.type_name())
        }
        Value::Tuple(items) => items.iter().find_map(unhashable),
        _ => None,
    }
}

/// The rule by which numbers are told apart.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    /// As [`Value`]'s equality does: numbers of different types differ. Elements are compared too.
    ByType,
    /// As Python does: `1`, `1.0` and `True` are one number. Elements are all different.
    AsPython,
}

/// Bytes that are the same for two values exactly if they are equal.
struct Key {
    bytes: Vec<u8>,
    numbers: Numbers,
}

impl Key {
    /// `None` for a value that is equal to nothing, not even to itself.
    fn of(value: &Value, numbers: Numbers) -> Option<Vec<u8>> {
        let mut key = Self {
            bytes: Vec::new(),
            numbers,
        };
        key.push(value)?;
        Some(key.bytes)
    }

    fn push(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::None => self.bytes.push(b'N'),
            Value::Bool(value) => match self.numbers {
                Numbers::ByType => self.bytes.extend([b'b', u8::from(*value)]),
                Numbers::AsPython => self.text(b'i', if *value { b"1" } else { b"0" }),
            },
            Value::Int(value) => self.int(value),
            Value::Float(value) => self.float(*value)?,
            Value::Str(value) => self.text(b's', value.as_bytes()),
            Value::Bytes(value) => self.text(b'y', value),
            Value::Type(value) => self.text(b't', value.as_str().as_bytes()),
            Value::List(items) => self.sequence(b'[', items)?,
            Value::Tuple(items) => self.sequence(b'(', items)?,
            Value::Set(items) => {
                let members = items.iter().map(|item| Self::of(item, self.numbers));
                self.unordered(b'{', members.collect::<Option<_>>()?);
            }
            Value::Dict(dict) => {
                let entries = dict.iter().map(|(key, value)| {
                    let mut entry = Self {
                        bytes: Vec::new(),
                        numbers: self.numbers,
                    };
                    entry.text(b'k', key.as_bytes());
                    entry.push(value)?;
                    Some(entry.bytes)
                });
                self.unordered(b'd', entries.collect::<Option<_>>()?);
            }
            Value::Array(array) => {
                self.text(b'a', array.to_string().as_bytes());
                self.text(b'~', array.bytes());
            }
            Value::Element(_) if self.numbers == Numbers::AsPython => return None,
            Value::Element(element) => {
                self.text(b'x', element.as_xml().as_bytes());
                self.text(b'~', element.tail().as_bytes());
            }
        }
        Some(())
    }

    fn float(&mut self, value: f64) -> Option<()> {
        if value.is_nan() {
            return None;
        }
        match small_int(value) {
            Some(int) if self.numbers == Numbers::AsPython => {
                self.text(b'i', int.to_string().as_bytes());
            }
            _ => {
                self.bytes.push(b'f');
                // `+ 0.0` makes -0.0 zero.
                self.bytes.extend((value + 0.0).to_bits().to_le_bytes());
            }
        }
        Some(())
    }

    /// An int that is equal to a float in Python is written as that float: small ones the other way
    /// round. The digits of a large float are many, and take long to find.
    fn int(&mut self, value: &Int) {
        let digits = value.to_string();
        if self.numbers == Numbers::AsPython && value.as_i64().is_none() {
            let float = value.to_f64();
            if small_int(float).is_none() && float.is_finite() && format!("{float:.0}") == digits {
                self.bytes.push(b'f');
                self.bytes.extend(float.to_bits().to_le_bytes());
                return;
            }
        }
        self.text(b'i', digits.as_bytes());
    }

    /// A kind and a text with its length, so that no two sequences of texts look the same.
    fn text(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        self.length(text.len());
        self.bytes.extend_from_slice(text);
    }

    fn sequence(&mut self, kind: u8, items: &[Value]) -> Option<()> {
        self.bytes.push(kind);
        self.length(items.len());
        items.iter().try_for_each(|item| self.push(item))
    }

    fn unordered(&mut self, kind: u8, mut members: Vec<Vec<u8>>) {
        members.sort_unstable();
        self.bytes.push(kind);
        self.length(members.len());
        for member in members {
            self.bytes.extend(member);
        }
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend(length.to_le_bytes());
    }
}

/// The int that Python finds equal to a float, if it is one of `i64`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range or has a fraction is left out before"
)]
fn small_int(value: f64) -> Option<i64> {
    const RANGE: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && RANGE.contains(&value)).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dict;

    #[test]
    fn equal_members_are_counted() {
        let set = |items: &[i32]| items.iter().map(|i| Value::from(*i)).collect::<Vec<_>>();
        assert!(same_members(&set(&[1, 2, 2]), &set(&[2, 1, 2])));
        assert!(!same_members(&set(&[1, 1, 2]), &set(&[2, 1, 2])));
        assert!(!same_members(&set(&[1]), &set(&[1, 1])));
    }

    #[test]
    fn members_of_any_type_are_compared_by_type() {
        let a = Value::from(Dict::from([("a", 1), ("b", 2)]));
        let b = Value::from(Dict::from([("b", 2), ("a", 1)]));
        let nested = |dict: &Value| Value::Tuple(vec![Value::Set(vec![dict.clone(), 1.into()])]);
        assert!(same_members(&[nested(&a)], &[nested(&b)]));
        assert!(!same_members(&[1.into()], &[true.into()]));
        assert!(!same_members(&[1.into()], &[1.0.into()]));
        assert!(same_members(&[0.0.into()], &[(-0.0).into()]));
        assert!(!same_members(&[f64::NAN.into()], &[f64::NAN.into()]));
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let pair = |a: &str, b: &str| Value::from((a, b));
        assert!(!same_members(&[pair("ab", "c")], &[pair("a", "bc")]));
    }

    #[test]
    fn a_built_set_keeps_the_first_of_what_python_finds_equal() {
        let items = vec![
            Value::from(1),
            true.into(),
            1.0.into(),
            "1".into(),
            (1, false).into(),
            (true, -0.0).into(),
            1e300.into(),
            Value::from(false),
        ];
        assert_eq!(
            unique_members(items).unwrap(),
            [
                Value::from(1),
                "1".into(),
                (1, false).into(),
                1e300.into(),
                false.into()
            ]
        );
    }

    #[test]
    fn large_ints_and_floats_are_equal_if_they_are_so_exactly() {
        let unique = |items: [Value; 2]| unique_members(items.to_vec()).unwrap().len();
        for (int, float, members) in [
            ("9223372036854775807", 9_223_372_036_854_775_808.0, 2),
            ("9223372036854775808", 9_223_372_036_854_775_808.0, 1),
            ("-9223372036854775808", -9_223_372_036_854_775_808.0, 1),
            ("-9223372036854775809", -9_223_372_036_854_775_808.0, 2),
            ("9007199254740993", 9_007_199_254_740_992.0, 2),
            ("100000000000000000000", 1e20, 1),
            ("100000000000000000001", 1e20, 2),
        ] {
            let int = Value::Int(int.parse().unwrap());
            assert_eq!(unique([int.clone(), float.into()]), members, "{int:?}");
            assert_eq!(unique([float.into(), int]), members);
        }
        let most = Value::Int(format!("{:.0}", f64::MAX).parse().unwrap());
        assert_eq!(unique([most, f64::MAX.into()]), 1);
        let beyond = Value::Int("9".repeat(400).parse().unwrap());
        assert_eq!(unique([beyond.clone(), f64::INFINITY.into()]), 2);
        assert_eq!(unique([beyond.clone(), beyond]), 1);
    }

    #[test]
    fn many_members_are_compared_as_few_are() {
        for length in [5, 40] {
            let value = |n: i32| match n % 4 {
                0 => Value::from(n),
                1 => n.to_string().into(),
                2 => (n, n.to_string()).into(),
                _ => Value::Bytes(vec![7; n as usize].into()),
            };
            let mut items: Vec<Value> = (0..length).map(value).collect();
            assert_eq!(unique_members(items.clone()).unwrap(), items);
            for n in [3, 0, 2, 1] {
                items.push(value(n));
            }
            let unique = unique_members(items.clone()).unwrap();
            assert_eq!(unique, items[..length as usize]);
        }
    }

    #[test]
    fn nan_is_never_a_duplicate() {
        let items = vec![Value::from(f64::NAN), f64::NAN.into()];
        assert_eq!(unique_members(items).unwrap().len(), 2);
    }

    #[test]
    fn what_python_cannot_hash_is_named() {
        assert_eq!(unique_members(vec![Value::List(vec![])]), Err("list"));
        assert_eq!(
            unique_members(vec![(1, (Value::from(Dict::new()),)).into()]),
            Err("dict")
        );
        assert_eq!(unique_members(vec![Value::Set(vec![])]), Err("set"));
    }
}
