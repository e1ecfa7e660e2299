//! Frames on their way between Python and connections.

use bytes::Bytes;
use bytestring::ByteString;
use masep_proto::{Array, Dict, Frame, FrameKind, Message, Pieces, TypeName, Value};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use crate::message::{self, Decoded};

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

/// The content to be sent: a message, or the bytes of one.
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

/// Something that is sent on many connections, without anything that Python could change meanwhile.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct ForAll {
    pub(crate) what: Whole,
}

/// A message, or a frame.
#[derive(Clone)]
pub(crate) enum Whole {
    Message(Message),
    Frame(Frame),
}

impl ForAll {
    fn message(mut message: Message) -> Self {
        message.params = apart(message.params, usize::MAX);
        let what = Whole::Message(message);
        Self { what }
    }
}

#[pymethods]
impl ForAll {
    /// Bytes; a message in XML if so.
    #[staticmethod]
    fn of_bytes(body: &[u8], is_xml: bool) -> Self {
        let body = Bytes::copy_from_slice(body);
        let what = Whole::Frame(if is_xml {
            Frame::of(FrameKind::Xml, body)
        } else {
            Frame::new(body)
        });
        Self { what }
    }

    /// A message that was read.
    #[staticmethod]
    fn of_decoded(py: Python<'_>, decoded: &Decoded) -> PyResult<Self> {
        Ok(Self::message(decoded.message(py)?))
    }

    /// A message. With `as_text` as for [`encode_message`](message::encode_message).
    #[staticmethod]
    #[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
    fn of_message<'py>(
        msg_type: &Bound<'py, PyString>,
        params: &Bound<'py, PyAny>,
        src_sub_app_id: &Bound<'py, PyString>,
        as_text: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let others = message::others(as_text);
        let message = message::message(msg_type, params, src_sub_app_id, others)?;
        Ok(Self::message(message))
    }
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

/// True if there is an array of at least so many bytes in a value.
pub(crate) fn has_array(value: &Value, least: usize) -> bool {
    match value {
        Value::Array(array) => array.bytes().len() >= least,
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            items.iter().any(|item| has_array(item, least))
        }
        Value::Dict(dict) => dict.values().any(|item| has_array(item, least)),
        _ => false,
    }
}

/// A copy of a value, but for arrays of at least so many bytes: nothing else keeps the frame in which they came.
pub(crate) fn apart(value: Value, least: usize) -> Value {
    let items = |items: Vec<Value>| items.into_iter().map(|item| apart(item, least)).collect();
    match value {
        Value::Str(text) => Value::Str(ByteString::from(&*text)),
        Value::Bytes(bytes) => Value::Bytes(Bytes::copy_from_slice(&bytes)),
        Value::Type(name) => Value::Type(TypeName::from(name.as_str())),
        Value::List(list) => Value::List(items(list)),
        Value::Tuple(tuple) => Value::Tuple(items(tuple)),
        Value::Set(set) => Value::Set(items(set)),
        Value::Dict(dict) => {
            let mut copy = Dict::with_capacity(dict.len());
            for (key, item) in dict {
                copy.insert(ByteString::from(&*key), apart(item, least));
            }
            Value::Dict(copy)
        }
        Value::Array(array) if array.bytes().len() < least => {
            let bytes = Bytes::copy_from_slice(array.bytes());
            let copy = Array::new(array.dtype(), array.shape(), bytes);
            copy.map_or_else(|_| Value::Array(array), Value::from)
        }
        other => other,
    }
}
