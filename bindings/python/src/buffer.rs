//! Objects of Python with a buffer (numpy's arrays, `array.array`, `memoryview`, ...) as arrays.

use std::slice;

use bytes::Bytes;
use masep_proto::{Array, ArrayError, DType, Limit, LimitExceeded, Value};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMemoryView};
use pyo3::{ffi, intern};

use crate::errors;
use crate::place::Place;

/// Items of so many bytes are used where they are. Fewer are copied, which takes less than to see to their owner.
const BORROW_FROM: usize = 4 * 1024;

/// True if the object has a buffer.
pub(crate) fn has_buffer(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: it looks at the type of an object that is there, with the GIL, and has no errors.
    unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) != 0 }
}

/// The array in the buffer of an object. Its bytes are those of the object where that is possible, so nothing of it may
/// be kept longer than the caller of Python waits: they change when the object does.
pub(crate) fn array(object: &Bound<'_, PyAny>, at: &Place<'_, '_>) -> PyResult<Value> {
    let Ok(buffer) = PyUntypedBuffer::get(object) else {
        return viewed(object, at);
    };
    let Some(dtype) = dtype(buffer.format().to_bytes(), buffer.item_size()) else {
        let format = buffer.format().to_string_lossy();
        return Err(refused(object, at, Some(&format)));
    };
    let shape: Box<[usize]> = buffer.shape().into();
    let bytes = bytes(object, buffer, at)?;
    made(object, at, Array::new(dtype, shape, bytes))
}

/// The array of an object whose buffer lacks a shape, because it has no dimensions, or strides, as those of `ctypes`.
fn viewed(object: &Bound<'_, PyAny>, at: &Place<'_, '_>) -> PyResult<Value> {
    let py = object.py();
    let Ok(view) = PyMemoryView::from(object) else {
        return Err(refused(object, at, None));
    };
    let format: String = view.getattr(intern!(py, "format"))?.extract()?;
    let size = view.getattr(intern!(py, "itemsize"))?.extract()?;
    let Some(dtype) = dtype(format.as_bytes(), size) else {
        return Err(refused(object, at, Some(&format)));
    };
    let shape: Vec<usize> = view.getattr(intern!(py, "shape"))?.extract()?;
    let items = copied(&view, view.getattr(intern!(py, "nbytes"))?.extract()?, at)?;
    made(object, at, Array::new(dtype, shape, items))
}

fn made(
    object: &Bound<'_, PyAny>,
    at: &Place<'_, '_>,
    array: Result<Array, ArrayError>,
) -> PyResult<Value> {
    array
        .map(Value::from)
        .map_err(|error| errors::caller(object.py(), format!("{at}: {error}")))
}

/// The exception for a buffer that is no array: `masep._forms` knows what can be sent instead.
fn refused(object: &Bound<'_, PyAny>, at: &Place<'_, '_>, format: Option<&str>) -> PyErr {
    let py = object.py();
    let refusal = py.import(intern!(py, "masep._forms")).and_then(|forms| {
        forms.call_method1(intern!(py, "no_array"), (object, at.to_string(), format))
    });
    match refusal {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// The type of items of this format (that of the module `struct`) and size. None has another order of bytes than little
/// endian.
fn dtype(format: &[u8], size: usize) -> Option<DType> {
    let (order, letter) = match format {
        [letter] => (b'@', *letter),
        [order, letter] => (*order, *letter),
        _ => return None,
    };
    let is_little = match order {
        b'@' | b'=' => cfg!(target_endian = "little"),
        b'<' => true,
        b'>' | b'!' => false,
        _ => return None,
    };
    if !is_little && size != 1 {
        return None;
    }
    Some(match (letter, size) {
        (b'?', 1) => DType::Bool,
        (b'B' | b'H' | b'I' | b'L' | b'Q' | b'N', 1) => DType::UInt8,
        (b'B' | b'H' | b'I' | b'L' | b'Q' | b'N', 2) => DType::UInt16,
        (b'B' | b'H' | b'I' | b'L' | b'Q' | b'N', 4) => DType::UInt32,
        (b'B' | b'H' | b'I' | b'L' | b'Q' | b'N', 8) => DType::UInt64,
        (b'b' | b'h' | b'i' | b'l' | b'q' | b'n', 1) => DType::Int8,
        (b'b' | b'h' | b'i' | b'l' | b'q' | b'n', 2) => DType::Int16,
        (b'b' | b'h' | b'i' | b'l' | b'q' | b'n', 4) => DType::Int32,
        (b'b' | b'h' | b'i' | b'l' | b'q' | b'n', 8) => DType::Int64,
        (b'e', 2) => DType::Float16,
        (b'f', 4) => DType::Float32,
        (b'd', 8) => DType::Float64,
        _ => return None,
    })
}

/// The items of a buffer in row-major order.
fn bytes(
    object: &Bound<'_, PyAny>,
    buffer: PyUntypedBuffer,
    at: &Place<'_, '_>,
) -> PyResult<Bytes> {
    let py = object.py();
    if !buffer.is_c_contiguous() {
        return copied(&PyMemoryView::from(object)?, buffer.len_bytes(), at);
    }
    let borrowed = Borrowed(buffer);
    if borrowed.0.len_bytes() < BORROW_FROM {
        let copy = Bytes::copy_from_slice(borrowed.as_ref());
        borrowed.0.release(py);
        return Ok(copy);
    }
    Ok(Bytes::from_owner(borrowed))
}

/// A copy of the items of a view in row-major order, if some frame could have so many bytes.
fn copied(view: &Bound<'_, PyMemoryView>, size: usize, at: &Place<'_, '_>) -> PyResult<Bytes> {
    let py = view.py();
    let allowed = u32::MAX as usize;
    if size > allowed {
        // A view may have one item many times.
        let exceeded = LimitExceeded {
            limit: Limit::FrameBytes,
            actual: size,
            allowed,
        };
        return Err(errors::limit_at(py, at, &exceeded));
    }
    let copy = view.call_method0(intern!(py, "tobytes"))?;
    let copy = PyBackedBytes::from(copy.cast_into::<PyBytes>()?);
    Ok(Bytes::from_owner(copy))
}

/// The memory of an object of Python, which stays where it is as long as this is there.
struct Borrowed(PyUntypedBuffer);

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        let size = self.0.len_bytes();
        if size == 0 {
            return &[];
        }
        // SAFETY: a buffer that is contiguous has so many bytes from its beginning on, and its exporter neither frees nor
        // moves them before it is released, which is when `self` is dropped. Objects of Python change only with the GIL,
        // which this thread has from here until the bytes were copied into a message or handed to the system: whoever
        // borrows them drops them, or has a copy, before it returns to Python (see `array`). A program whose other
        // threads write into an array without the GIL while it is being sent gets a mixture of old and new items, as with
        // `socket.send`.
        unsafe { slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), size) }
    }
}
