//! Frames on their way between Python and connections.

use bytes::Bytes;
use masep_proto::{Frame, Pieces};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Bytes of Python's from this size on are sent from where they are.
const SHARE_FROM: usize = 4 * 1024;

/// A message in the form in which it is sent on one connection. Its large arrays may be where the caller has them.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Outgoing {
    encoded: Result<Pieces, Frame>,
}

impl Outgoing {
    pub(crate) const fn new(encoded: Result<Pieces, Frame>) -> Self {
        Self { encoded }
    }
}

#[pymethods]
impl Outgoing {
    /// Bytes in it.
    fn __len__(&self) -> usize {
        match &self.encoded {
            Ok(pieces) => pieces.size(),
            Err(frame) => frame.size(),
        }
    }
}

/// What is sent: a message, or the bytes of one.
pub(crate) fn outgoing(body: &Bound<'_, PyAny>) -> PyResult<Result<Pieces, Frame>> {
    if let Ok(outgoing) = body.cast_exact::<Outgoing>() {
        return Ok(outgoing.get().encoded.clone());
    }
    let bytes: &[u8] = body.extract()?;
    if bytes.len() < SHARE_FROM {
        return Ok(Err(Frame::new(Bytes::copy_from_slice(bytes))));
    }
    let shared: PyBackedBytes = body.cast::<PyBytes>()?.clone().into();
    Ok(Err(Frame::new(Bytes::from_owner(shared))))
}

/// A frame that was received.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Received {
    pub(crate) frame: Frame,
}

#[pymethods]
impl Received {
    /// Bytes in it.
    fn __len__(&self) -> usize {
        self.frame.size()
    }

    /// Its body.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.frame.bytes())
    }
}
