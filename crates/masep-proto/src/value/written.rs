//! Equality of what is written for values.

use bytes::Bytes;

use super::{Dict, Value};

impl Value {
    /// True if both are written in the same way. Unlike for `==`, the order of dicts and sets counts, 0.0 and -0.0 differ, and
    /// NaN is itself. Bytes and arrays that share their memory are not looked through.
    ///
    /// ```
    /// # use masep_proto::Value;
    /// let (zero, negative) = (Value::from(0.0), Value::from(-0.0));
    /// assert!(zero == negative && !zero.is_written_as(&negative));
    /// ```
    pub fn is_written_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Bytes(a), Self::Bytes(b)) => are_same(a, b),
            (Self::List(a), Self::List(b))
            | (Self::Tuple(a), Self::Tuple(b))
            | (Self::Set(a), Self::Set(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_written_as(b))
            }
            (Self::Dict(a), Self::Dict(b)) => a.is_written_as(b),
            (Self::Array(a), Self::Array(b)) => {
                a.dtype() == b.dtype() && a.shape() == b.shape() && are_same(a.bytes(), b.bytes())
            }
            _ => self == other,
        }
    }
}

impl Dict {
    /// True if both are written in the same way, as [`Value::is_written_as`] says.
    pub fn is_written_as(&self, other: &Self) -> bool {
        let mut both = self.iter().zip(other);
        self.len() == other.len() && both.all(|(a, b)| a.0 == b.0 && a.1.is_written_as(b.1))
    }
}

/// Views of one State often share an image: it need not be read for each of them.
fn are_same(a: &Bytes, b: &Bytes) -> bool {
    std::ptr::eq(&**a, &**b) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    #[test]
    fn what_is_written_otherwise_differs() {
        let dict = |entries: [(&str, Value); 2]| Value::from(Dict::from_iter(entries));
        let entry = |name, value: f64| (name, Value::from(value));
        let pairs = [
            (Value::from(0.0), Value::from(-0.0)),
            (
                dict([entry("a", 1.0), entry("x", 0.0)]),
                dict([entry("x", 0.0), entry("a", 1.0)]),
            ),
            (
                dict([entry("a", 1.0), entry("x", 0.0)]),
                dict([entry("a", 1.0), entry("x", -0.0)]),
            ),
            (
                Value::Set(vec![1.into(), 2.into()]),
                Value::Set(vec![2.into(), 1.into()]),
            ),
        ];
        for (a, b) in pairs {
            for (a, b) in [
                (a.clone(), b.clone()),
                (Value::List(vec![a.clone()]), Value::List(vec![b.clone()])),
                (Value::Tuple(vec![a]), Value::Tuple(vec![b])),
            ] {
                assert_eq!(a, b);
                assert!(!a.is_written_as(&b) && a.is_written_as(&a.clone()), "{a:?}");
            }
        }
        let nan = Value::from(f64::NAN);
        assert!(nan.is_written_as(&nan));
    }

    #[test]
    fn what_is_not_equal_is_not_written_as_the_other() {
        let array = |shape: &[usize]| Value::from(Array::from_slice(shape, &[0u8; 4]).unwrap());
        let values = [
            Value::None,
            Value::from(1),
            Value::from(1.0),
            Value::from(true),
            Value::from("1"),
            Value::from(Bytes::from_static(b"1")),
            Value::List(vec![]),
            Value::Tuple(vec![]),
            Value::List(vec![1.into()]),
            Value::from(Dict::new()),
            Value::from(Dict::from_iter([("a", 1)])),
            array(&[4]),
            array(&[2, 2]),
            Array::from_slice(&[4], &[0i8; 4]).unwrap().into(),
        ];
        for (at, a) in values.iter().enumerate() {
            for (other, b) in values.iter().enumerate() {
                assert_eq!(a.is_written_as(b), at == other, "{a:?} {b:?}");
            }
        }
        let copy = Array::from_slice(&[4], &[0u8; 4]).unwrap();
        assert!(array(&[4]).is_written_as(&copy.into()));
    }
}
