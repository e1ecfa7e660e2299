//! Arrays as lists, for peers that have no arrays.

use super::{Array, DType, f16_to_f64, f32_to_f64};
use crate::{Limit, LimitExceeded, Limits, Value};

impl Array {
    /// Its items as lists in each other, one level for each dimension, as numpy's `tolist`: what a peer of pymasep's
    /// protocol can read. An array without dimensions is its one item.
    ///
    /// # Errors
    /// More values than half of the default of [`Limits::nodes`], each of which takes two elements of XML: 50,000.
    pub fn to_list(&self) -> Result<Value, LimitExceeded> {
        let allowed = Limits::default().nodes / 2;
        let mut lists = 1usize;
        let mut values = 0usize;
        for length in &self.shape {
            values = values.saturating_add(lists);
            lists = lists.saturating_mul(*length);
        }
        values = values.saturating_add(lists);
        LimitExceeded::check(Limit::Nodes, values, allowed)?;
        let mut level: Vec<Value> = self
            .bytes
            .chunks_exact(self.dtype.size())
            .map(|bytes| item(self.dtype, bytes))
            .collect();
        // The number of lists of each level is the product of the lengths outside of it, also if an inner length is 0.
        for (index, length) in self.shape.iter().enumerate().rev() {
            let count = self.shape[..index].iter().product();
            let mut values = level.into_iter();
            level = (0..count)
                .map(|_| Value::List(values.by_ref().take(*length).collect()))
                .collect();
        }
        Ok(level.into_iter().next().unwrap_or_default())
    }
}

/// The value of one item.
fn item(dtype: DType, bytes: &[u8]) -> Value {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(word);
    let [a, b, c, d, ..] = word;
    match dtype {
        DType::Bool => Value::from(a != 0),
        DType::UInt8 | DType::UInt16 | DType::UInt32 | DType::UInt64 => Value::from(unsigned),
        DType::Int8 => Value::from(i8::from_le_bytes([a])),
        DType::Int16 => Value::from(i16::from_le_bytes([a, b])),
        DType::Int32 => Value::from(i32::from_le_bytes([a, b, c, d])),
        DType::Int64 => Value::from(i64::from_le_bytes(word)),
        DType::Float16 => Value::from(f16_to_f64(u16::from_le_bytes([a, b]))),
        DType::Float32 => Value::from(f32_to_f64(u32::from_le_bytes([a, b, c, d]))),
        DType::Float64 => Value::from(f64::from_le_bytes(word)),
    }
}
