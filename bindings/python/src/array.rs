//! `masep.Array`: an array without numpy, and the memory of those that numpy has of received messages.

use std::ffi::{CStr, c_int, c_long};
use std::mem;
use std::ptr::{self, NonNull};
use std::slice;

use bytes::{Bytes, BytesMut};
use masep_proto::connection::FrameMemory;
use masep_proto::{Array, DType};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple, PyType};
use pyo3::{ffi, intern};

use crate::errors;

/// An array of numbers or bools, in row-major order. Its memory is its own, and can be written to through its buffer.
#[pyclass(frozen, weakref, module = "masep", name = "Array")]
pub(crate) struct PyArray {
    dtype: DType,
    shape: Box<[ffi::Py_ssize_t]>,
    strides: Box<[ffi::Py_ssize_t]>,
    memory: Memory,
}

/// Bytes that only those who have the GIL read and write.
struct Memory {
    start: NonNull<u8>,
    size: usize,
    /// It is only given back or dropped: all else is done by way of `start`.
    owner: BytesMut,
    /// Where it came from.
    origin: Option<FrameMemory>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(origin) = &self.origin {
            origin.give_back(mem::take(&mut self.owner));
        }
    }
}

// SAFETY: what it owns can be owned by any thread, and it is used with the GIL only.
unsafe impl Send for Memory {}
// SAFETY: the same.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(mut owner: BytesMut, origin: Option<FrameMemory>) -> Self {
        let size = owner.len();
        let start = NonNull::from(&mut *owner).cast::<u8>();
        Self {
            start,
            size,
            owner,
            origin,
        }
    }

    /// The bytes of an array as memory of its own: that of the frame in which it came, if nobody else has any of that, and
    /// it is not much more than the array needs, of which the user may keep many.
    fn of(bytes: Bytes, origin: Option<&FrameMemory>) -> Self {
        if bytes.is_empty() {
            // At a place where an item may begin, though there is none.
            return Self::new(BytesMut::with_capacity(size_of::<u64>()), None);
        }
        let taken = match origin {
            Some(origin) => origin.take_out(bytes),
            None => bytes.try_into_mut(),
        };
        match taken {
            Ok(own) if own.capacity() / 2 <= own.len() => Self::new(own, origin.cloned()),
            Ok(large) => Self::new(BytesMut::from(&large[..]), None),
            Err(shared) => Self::new(BytesMut::from(&shared[..]), None),
        }
    }

    /// The bytes, as long as no other code of Python runs.
    fn bytes(&self, _py: Python<'_>) -> &[u8] {
        // SAFETY: the owner has so many bytes there, neither moves nor changes them, and lives as long as `self`. Others
        // write to them by way of the buffer with the GIL only, which this thread has.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }
}

impl PyArray {
    fn new(array: Array, origin: Option<&FrameMemory>) -> Self {
        let dtype = array.dtype();
        let shape = array.shape().iter();
        let shape: Box<[_]> = shape.map(|length| length.cast_signed()).collect();
        Self {
            dtype,
            strides: strides(dtype, &shape),
            shape,
            memory: Memory::of(array.into_bytes(), origin),
        }
    }

    fn nests(
        &self,
        items: &Bound<'_, PyTuple>,
        dimension: usize,
        at: &mut usize,
    ) -> PyResult<Py<PyAny>> {
        let py = items.py();
        let Some(length) = self.shape.get(dimension) else {
            let item = items.get_item(*at)?;
            *at += 1;
            return Ok(item.unbind());
        };
        let list = PyList::empty(py);
        for _ in 0..*length {
            list.append(self.nests(items, dimension + 1, at)?)?;
        }
        Ok(list.into_any().unbind())
    }
}

/// The distance between neighbours in each dimension, in bytes.
fn strides(dtype: DType, shape: &[ffi::Py_ssize_t]) -> Box<[ffi::Py_ssize_t]> {
    let mut strides: Vec<_> = shape
        .iter()
        .rev()
        .scan(dtype.size().cast_signed(), |next, length| {
            let stride = *next;
            *next *= (*length).max(1);
            Some(stride)
        })
        .collect();
    strides.reverse();
    strides.into()
}

/// The format of items in the module `struct`, and for numpy.
const fn format(dtype: DType) -> &'static CStr {
    // numpy has a type for each of C's types. These are the ones that it calls int64 and uint64.
    let (int64, uint64) = match size_of::<c_long>() {
        8 => (c"l", c"L"),
        _ => (c"q", c"Q"),
    };
    match dtype {
        DType::Bool => c"?",
        DType::Int8 => c"b",
        DType::UInt16 => c"H",
        DType::Int16 => c"h",
        DType::UInt32 => c"I",
        DType::Int32 => c"i",
        DType::UInt64 => uint64,
        DType::Int64 => int64,
        DType::Float16 => c"e",
        DType::Float32 => c"f",
        DType::Float64 => c"d",
        _ => c"B",
    }
}

#[pymethods]
impl PyArray {
    #[new]
    #[pyo3(signature = (shape, dtype, data=None))]
    fn of(
        py: Python<'_>,
        shape: Vec<isize>,
        dtype: &str,
        data: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let lengths = shape.iter().map(|length| usize::try_from(*length));
        let Ok(shape) = lengths.collect::<Result<Vec<_>, _>>() else {
            let text = format!("the lengths of a shape are 0 or more, not {shape:?}");
            return Err(errors::caller(py, text));
        };
        let Ok(known) = dtype.parse::<DType>() else {
            let names = DType::ALL.iter().map(|dtype| dtype.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let text = format!("{dtype:?} is no type of items: there are {names}");
            return Err(errors::caller(py, text));
        };
        let bytes = match data {
            Some(data) => copied(data)?,
            None => zeros(py, known, &shape)?,
        };
        Array::new(known, shape, bytes)
            .map(|array| Self::new(array, None))
            .map_err(|error| errors::caller(py, error.to_string()))
    }

    /// The type of its items by numpy's name: `"float32"`.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.dtype.as_str()
    }

    /// The same as the modules `struct` and `array` have it: `"f"`.
    #[getter]
    fn format(&self) -> String {
        format(self.dtype).to_string_lossy().into_owned()
    }

    /// The number of items in each dimension, the outermost first.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &*self.shape)
    }

    /// The number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Bytes of one item.
    #[getter]
    fn itemsize(&self) -> usize {
        self.dtype.size()
    }

    /// Bytes of all items.
    #[getter]
    fn nbytes(&self) -> usize {
        self.memory.size
    }

    /// Its items as lists in each other, one level for each dimension; of an array without dimensions its one item.
    fn tolist(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let count = self.memory.size / self.dtype.size();
        let format = format!("<{count}{}", standard(self.dtype));
        let items = py
            .import(intern!(py, "struct"))?
            .call_method1(intern!(py, "unpack"), (format, self.tobytes(py)))?;
        self.nests(items.cast::<PyTuple>()?, 0, &mut 0)
    }

    /// A copy of its items.
    fn tobytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.memory.bytes(py))
    }

    fn __len__(&self) -> PyResult<usize> {
        match self.shape.first() {
            Some(length) => Ok(length.cast_unsigned()),
            None => Err(PyTypeError::new_err(
                "an array without dimensions has no length",
            )),
        }
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> Py<PyAny> {
        let Ok(other) = other.cast::<Self>() else {
            return py.NotImplemented();
        };
        let other = other.get();
        let is_equal = self.dtype == other.dtype
            && self.shape == other.shape
            && self.memory.bytes(py) == other.memory.bytes(py);
        is_equal.into_pyobject(py).map_or_else(
            |never| match never {},
            |is_equal| is_equal.to_owned().into_any().unbind(),
        )
    }

    fn __repr__(&self) -> String {
        let lengths: Vec<_> = self.shape.iter().map(ToString::to_string).collect();
        format!("<masep.Array {}[{}]>", self.dtype, lengths.join(","))
    }

    /// For `pickle` and `copy`.
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let this = slf.get();
        let args = (this.shape(py)?, this.dtype(), this.tobytes(py));
        Ok((slf.get_type(), args.into_pyobject(py)?))
    }

    /// The buffer: writable, row-major.
    ///
    /// # Safety
    /// Python calls it, with a view that it has room for.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: as below. A view that is not filled has no object.
        unsafe { (*view).obj = ptr::null_mut() };
        let is_asked = |flag: c_int| flags & flag == flag;
        let is_columns = this.shape.iter().filter(|length| **length != 1).count() <= 1
            || this.shape.contains(&0);
        if is_asked(ffi::PyBUF_F_CONTIGUOUS) && !is_columns {
            return Err(PyBufferError::new_err("the items are in row-major order"));
        }
        let has_shape = is_asked(ffi::PyBUF_ND);
        let filled = ffi::Py_buffer {
            buf: this.memory.start.as_ptr().cast(),
            len: this.memory.size.cast_signed(),
            itemsize: this.dtype.size().cast_signed(),
            readonly: 0,
            ndim: if has_shape {
                c_int::try_from(this.shape.len())?
            } else {
                1
            },
            format: if is_asked(ffi::PyBUF_FORMAT) {
                format(this.dtype).as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            },
            shape: if has_shape {
                this.shape.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            },
            strides: if is_asked(ffi::PyBUF_STRIDES) {
                this.strides.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            },
            obj: slf.clone().into_ptr(),
            ..ffi::Py_buffer::new()
        };
        // SAFETY: `view` is Python's, and written to as the buffer protocol wants it: memory, shape and strides are those of
        // `slf`, which the view holds, and none of them moves or changes its size as long as `slf` lives. Consumers only
        // read format, shape and strides; what they write to the memory, they write with the GIL, or the program has a
        // race of its own, as with every writable buffer.
        unsafe { view.write(filled) };
        Ok(())
    }
}

/// The format of items whose size does not depend on the machine.
const fn standard(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "?",
        DType::Int8 => "b",
        DType::UInt16 => "H",
        DType::Int16 => "h",
        DType::UInt32 => "I",
        DType::Int32 => "i",
        DType::UInt64 => "Q",
        DType::Int64 => "q",
        DType::Float16 => "e",
        DType::Float32 => "f",
        DType::Float64 => "d",
        _ => "B",
    }
}

/// A copy of the bytes of an object with a buffer.
fn copied(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let bytes = PyUntypedBuffer::get(data)
        .and_then(|_has_one| data.py().get_type::<PyBytes>().call1((data,)));
    match bytes {
        Ok(bytes) => Ok(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes())),
        Err(error) => Err(errors::caller(
            data.py(),
            format!("data has no buffer: {error}"),
        )),
    }
}

fn zeros(py: Python<'_>, dtype: DType, shape: &[usize]) -> PyResult<Bytes> {
    let size =
        Array::byte_count(dtype, shape).map_err(|error| errors::caller(py, error.to_string()))?;
    let mut zeros = Vec::new();
    zeros
        .try_reserve_exact(size)
        .map_err(|_| PyMemoryError::new_err(format!("an array of {size} bytes")))?;
    zeros.resize(size, 0);
    Ok(zeros.into())
}

/// The parts of numpy that make arrays.
struct Numpy {
    /// The class `ndarray`.
    class: Py<PyAny>,
    /// Its types of items, in the order of [`DType::ALL`].
    dtypes: Vec<Py<PyAny>>,
}

/// Those; none if numpy cannot be imported, which is tried once, when there is the first array.
fn numpy(py: Python<'_>) -> PyResult<Option<&Numpy>> {
    static NUMPY: PyOnceLock<Option<Numpy>> = PyOnceLock::new();
    let found = NUMPY.get_or_try_init(py, || match py.import("numpy") {
        Ok(numpy) => {
            let dtype = |dtype: &DType| numpy.call_method1("dtype", (dtype.as_str(),));
            let dtypes = DType::ALL.iter().map(|of| dtype(of).map(Bound::unbind));
            let dtypes = dtypes.collect::<PyResult<_>>()?;
            let class = numpy.getattr("ndarray")?.unbind();
            Ok(Some(Numpy { class, dtypes }))
        }
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyImportError>(py) => Ok(None),
        Err(error) => Err(error),
    })?;
    Ok(found.as_ref())
}

/// An array as Python gets it: numpy's if there is numpy, over memory that is its own.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    array: Array,
    memory: Option<&FrameMemory>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(numpy) = numpy(py)? else {
        return Ok(Bound::new(py, PyArray::new(array, memory))?.into_any());
    };
    let dtype = DType::ALL.iter().position(|of| *of == array.dtype());
    let dtype = dtype.and_then(|at| numpy.dtypes.get(at));
    let shape = PyTuple::new(py, array.shape())?;
    let memory = Bound::new(py, PyArray::new(array, memory))?;
    // Not by `asarray`, which looks for the type and the shape of whatever it is given.
    numpy.class.bind(py).call1((shape, dtype, memory))
}
