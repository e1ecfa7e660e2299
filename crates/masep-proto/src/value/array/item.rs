//! Rust's types as items of arrays.

use bytemuck::checked::{CheckedCastError, try_cast_slice};
use bytemuck::{PodCastError, cast_slice};
use bytes::Bytes;

use super::{ArrayError, DType};

/// A Rust type that the items of an [`Array`](crate::Array) can be: the ints of 8 to 64 bits, `f32`, `f64` and
/// `bool`. (Rust has no float of 16 bits: [`Array::float16_bits`](crate::Array::float16_bits).)
pub trait ArrayItem: sealed::Item {
    /// The type of such items.
    const DTYPE: DType;
}

mod sealed {
    use bytemuck::{CheckedBitPattern, NoUninit};

    pub trait Item: CheckedBitPattern + NoUninit + Send + Sync {
        fn read(bytes: &[u8]) -> Self;
        fn write(self, bytes: &mut Vec<u8>);
    }
}

macro_rules! items {
    ($($item:ty => $dtype:ident;)*) => { $(
        impl ArrayItem for $item {
            const DTYPE: DType = DType::$dtype;
        }

        impl sealed::Item for $item {
            fn read(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<Self>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

items! {
    u8 => UInt8;
    u16 => UInt16;
    u32 => UInt32;
    u64 => UInt64;
    i8 => Int8;
    i16 => Int16;
    i32 => Int32;
    i64 => Int64;
    f32 => Float32;
    f64 => Float64;
}

impl ArrayItem for bool {
    const DTYPE: DType = DType::Bool;
}

impl sealed::Item for bool {
    fn read(bytes: &[u8]) -> Self {
        bytes != [0]
    }

    fn write(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
}

/// True if items of such a size are in memory as on the wire.
const fn is_native(size: usize) -> bool {
    cfg!(target_endian = "little") || size == 1
}

/// Items as the owner of memory that is seen as bytes.
struct Owner<T>(Vec<T>);

impl<T: ArrayItem> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        cast_slice(&self.0)
    }
}

/// The bytes of items, in their own memory.
pub(super) fn into_bytes<T: ArrayItem>(items: Vec<T>) -> Bytes {
    if is_native(size_of::<T>()) {
        return Bytes::from_owner(Owner(items));
    }
    let mut bytes = Vec::with_capacity(items.len() * size_of::<T>());
    items.into_iter().for_each(|item| item.write(&mut bytes));
    bytes.into()
}

/// Bytes as the items that they are.
pub(super) fn view<T: ArrayItem>(bytes: &[u8]) -> Result<&[T], ArrayError> {
    // No items can be anywhere.
    if bytes.is_empty() {
        return Ok(&[]);
    }
    if !is_native(size_of::<T>()) {
        return Err(ArrayError::Endianness);
    }
    try_cast_slice(bytes).map_err(|error| match error {
        CheckedCastError::PodCastError(PodCastError::TargetAlignmentGreaterAndInputNotAligned) => {
            ArrayError::Alignment
        }
        CheckedCastError::InvalidBitPattern => ArrayError::NotBool(0),
        CheckedCastError::PodCastError(_) => ArrayError::Length {
            expected: bytes.len().next_multiple_of(size_of::<T>()),
            actual: bytes.len(),
        },
    })
}

/// The items that bytes are.
pub(super) fn copy<T: ArrayItem>(bytes: &[u8]) -> Vec<T> {
    match view(bytes) {
        Ok(items) => items.to_vec(),
        Err(_) => bytes.chunks_exact(size_of::<T>()).map(T::read).collect(),
    }
}

/// A copy of bytes that begins where any item may.
pub(super) fn aligned_copy(bytes: &[u8]) -> Bytes {
    let mut words = vec![0u64; bytes.len().div_ceil(size_of::<u64>())];
    let copy: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    copy[..bytes.len()].copy_from_slice(bytes);
    Bytes::from_owner(Owner(words)).slice(..bytes.len())
}
