//! Arrays of numbers.

mod dtype;
mod error;
mod item;
mod list;
#[cfg(feature = "ndarray")]
mod nd;

use std::fmt;

use bytes::Bytes;

pub use dtype::DType;
pub(crate) use dtype::{f16_to_f64, f32_to_f64};
pub use error::ArrayError;
pub use item::ArrayItem;

use crate::{DecodeErrorKind, Value};

/// An array of numbers or bools of one type, in row-major order: an image, a vector of weights, ...
///
/// It is a few words with a slice of [`Bytes`]: a clone shares the items, and what was read from a frame shares them
/// with the frame. Only protocol 2 has arrays: to a peer of pymasep's protocol [`to_list`](Self::to_list) goes
/// instead.
///
/// Equality is that of type, shape and bytes: unlike floats, two NaN of the same bits are equal, and 0.0 and -0.0 are
/// not.
///
/// ```
/// use masep_proto::{Array, DType, Value};
/// let array = Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!((array.dtype(), array.shape()), (DType::Float32, &[2, 3][..]));
/// assert_eq!(array.as_slice::<f32>()?[4], 5.0);
/// assert!(array.as_slice::<f64>().is_err());
/// assert_eq!(format!("{array:?}"), "float32[2,3]");
/// let value = Value::from(array);
/// assert_eq!(value.as_array().map(|array| array.len()), Some(6));
/// # Ok::<(), masep_proto::ArrayError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Array {
    dtype: DType,
    shape: Box<[usize]>,
    bytes: Bytes,
}

impl Array {
    /// The most dimensions that an array may have: 32.
    pub const MAX_DIMENSIONS: usize = 32;

    /// An array of these bytes: the items in row-major order, each little endian, bools as 0 and 1. A shape without
    /// dimensions has one item.
    ///
    /// # Errors
    /// More than [`MAX_DIMENSIONS`](Self::MAX_DIMENSIONS); a shape whose items take more than `isize::MAX` bytes (a
    /// zero in it left out), or another number of bytes than are there; a bool that is neither 0 nor 1.
    pub fn new(
        dtype: DType,
        shape: impl Into<Box<[usize]>>,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, ArrayError> {
        let (shape, bytes) = (shape.into(), bytes.into());
        let expected = byte_count(dtype, &shape)?;
        if bytes.len() != expected {
            return Err(ArrayError::Length {
                expected,
                actual: bytes.len(),
            });
        }
        if dtype == DType::Bool
            && let Some(offset) = bytes.iter().position(|byte| *byte > 1)
        {
            return Err(ArrayError::NotBool(offset));
        }
        Ok(Self {
            dtype,
            shape,
            bytes,
        })
    }

    /// An array of copies of these items, in row-major order.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_slice<T: ArrayItem>(shape: &[usize], items: &[T]) -> Result<Self, ArrayError> {
        check_count::<T>(shape, items.len())?;
        Self::from_vec(shape, items.to_vec())
    }

    /// An array of these items, in row-major order. They are not copied (but on a big-endian machine).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_vec<T: ArrayItem>(shape: &[usize], items: Vec<T>) -> Result<Self, ArrayError> {
        check_count::<T>(shape, items.len())?;
        Ok(Self {
            dtype: T::DTYPE,
            shape: shape.into(),
            bytes: item::into_bytes(items),
        })
    }

    /// An array of what an iterator gives, in row-major order: of at most one item more than the shape has.
    ///
    /// # Errors
    /// As [`new`](Self::new); too many items are told as one too many.
    pub fn from_items<T: ArrayItem>(
        shape: &[usize],
        items: impl IntoIterator<Item = T>,
    ) -> Result<Self, ArrayError> {
        let count = byte_count(T::DTYPE, shape)? / T::DTYPE.size();
        let items = items.into_iter().take(count.saturating_add(1));
        Self::from_vec(shape, items.collect())
    }

    /// The type of its items.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of items in each dimension, the outermost first.
    pub const fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its items in row-major order, each little endian.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The number of bytes that the items of an array of this type and shape take.
    ///
    /// # Errors
    /// More than [`MAX_DIMENSIONS`](Self::MAX_DIMENSIONS); more bytes than `isize::MAX` (a zero in the shape left out).
    pub fn byte_count(dtype: DType, shape: &[usize]) -> Result<usize, ArrayError> {
        byte_count(dtype, shape)
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True if it has no items: a dimension of it is zero.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its items in row-major order, where they are.
    ///
    /// ```
    /// # use masep_proto::{Array, ArrayError};
    /// let array = Array::from_slice(&[2], &[1u16, 2])?;
    /// assert_eq!(array.as_slice::<u16>()?, [1, 2]);
    /// # Ok::<(), ArrayError>(())
    /// ```
    ///
    /// # Errors
    /// Items of another type; bytes that do not begin where such an item may (those of a decoded array always do, and
    /// [`to_vec`](Self::to_vec) takes any); a big-endian machine, unless the items have one byte.
    pub fn as_slice<T: ArrayItem>(&self) -> Result<&[T], ArrayError> {
        self.check(T::DTYPE)?;
        item::view(&self.bytes)
    }

    /// A copy of its items in row-major order.
    ///
    /// # Errors
    /// Items of another type.
    pub fn to_vec<T: ArrayItem>(&self) -> Result<Vec<T>, ArrayError> {
        self.check(T::DTYPE)?;
        Ok(item::copy(&self.bytes))
    }

    /// An array of float16 of these bits, in row-major order. They are not copied (but on a big-endian machine).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_float16_bits(shape: &[usize], bits: Vec<u16>) -> Result<Self, ArrayError> {
        Ok(Self {
            dtype: DType::Float16,
            ..Self::from_vec(shape, bits)?
        })
    }

    /// The bits of the items of an array of float16, where they are: what the crate `half` reinterprets.
    ///
    /// # Errors
    /// As [`as_slice`](Self::as_slice).
    pub fn float16_bits(&self) -> Result<&[u16], ArrayError> {
        self.check(DType::Float16)?;
        item::view(&self.bytes)
    }

    fn check(&self, asked: DType) -> Result<(), ArrayError> {
        let found = self.dtype;
        if found == asked {
            return Ok(());
        }
        Err(ArrayError::DType { found, asked })
    }

    /// The array with its bytes at a place where a machine word may begin. They are copied if they are not yet.
    pub(crate) fn aligned(mut self) -> Self {
        if self.bytes.as_ptr().align_offset(self.dtype.size()) != 0 && !self.is_empty() {
            self.bytes = item::aligned_copy(&self.bytes);
        }
        self
    }
}

/// The number of bytes of the items of a shape.
fn byte_count(dtype: DType, shape: &[usize]) -> Result<usize, ArrayError> {
    if shape.len() > Array::MAX_DIMENSIONS {
        return Err(ArrayError::Dimensions(shape.len()));
    }
    // A zero hides no overflow: whoever computes strides multiplies the others.
    let others = shape.iter().filter(|length| **length != 0);
    let bytes = others
        .copied()
        .try_fold(dtype.size(), usize::checked_mul)
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .ok_or(ArrayError::TooLarge)?;
    Ok(if shape.contains(&0) { 0 } else { bytes })
}

fn check_count<T: ArrayItem>(shape: &[usize], items: usize) -> Result<(), ArrayError> {
    let expected = byte_count(T::DTYPE, shape)?;
    let actual = items.saturating_mul(T::DTYPE.size());
    if actual == expected {
        return Ok(());
    }
    Err(ArrayError::Length { expected, actual })
}

/// Type and shape alone: `uint8[84,84,4]`.
impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (index, length) in self.shape.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{length}")?;
        }
        f.write_str("]")
    }
}

/// As it is displayed.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(Box::new(array))
    }
}

impl From<ArrayError> for DecodeErrorKind {
    fn from(error: ArrayError) -> Self {
        Self::InvalidArray(error)
    }
}

#[cfg(test)]
mod tests;
