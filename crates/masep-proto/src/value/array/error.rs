//! The errors of arrays.

use super::{Array, DType};

/// An array that cannot be, or cannot be seen so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// More dimensions than [`Array::MAX_DIMENSIONS`].
    #[error("{0} dimensions of an array, where {most} are allowed", most = Array::MAX_DIMENSIONS)]
    Dimensions(usize),
    /// A shape of more items than any memory holds.
    #[error("the shape of an array is too large")]
    TooLarge,
    /// Another number of bytes than the shape has.
    #[error("an array of {actual} bytes, whose shape has {expected}")]
    Length {
        /// The number that type and shape give.
        expected: usize,
        /// The number that is there.
        actual: usize,
    },
    /// A bool that is neither 0 nor 1: which, from 0 on.
    #[error("item {0} of an array of bools is neither 0 nor 1")]
    NotBool(usize),
    /// Items of another type than was asked for.
    #[error("an array of {found}, not of {asked}")]
    DType {
        /// The type of the items.
        found: DType,
        /// The type that was asked for.
        asked: DType,
    },
    /// The bytes do not begin where such an item may.
    #[error("the bytes of the array are not aligned for its items: copy them (to_vec)")]
    Alignment,
    /// The bytes are little endian, and the machine is not.
    #[error("the items are little endian, which this machine is not: copy them (to_vec)")]
    Endianness,
}
