//! Arrays of the crate `ndarray`.

use ndarray::{ArrayRef, ArrayViewD, Dimension, IxDyn};

use super::{Array, ArrayError, ArrayItem};

impl Array {
    /// A copy of an array of `ndarray`, of any memory layout.
    ///
    /// # Errors
    /// As [`new`](Self::new): more than [`MAX_DIMENSIONS`](Self::MAX_DIMENSIONS).
    pub fn from_ndarray<T: ArrayItem, D: Dimension>(
        array: &ArrayRef<T, D>,
    ) -> Result<Self, ArrayError> {
        // Its iterator is row-major, whatever the layout.
        Self::from_vec(array.shape(), array.iter().copied().collect())
    }

    /// The array as one of `ndarray`, without a copy.
    ///
    /// # Errors
    /// As [`as_slice`](Self::as_slice).
    pub fn as_ndarray<T: ArrayItem>(&self) -> Result<ArrayViewD<'_, T>, ArrayError> {
        let items = self.as_slice()?;
        ArrayViewD::from_shape(IxDyn(&self.shape), items).map_err(|_| ArrayError::TooLarge)
    }
}
