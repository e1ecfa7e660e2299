//! Messages between Python and the wire.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use bytestring::ByteString;
use masep_proto::connection::FrameMemory;
use masep_proto::{
    Element, EncodeError, Frame, Limit, LimitExceeded, Limits, Message, MessageType, PeerId, Value,
    cbor,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::from_python::Others;
use crate::place::Place;
use crate::{elements, errors, from_python, to_python};

pub(crate) fn message<'py>(
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    others: Others<'_, 'py>,
) -> PyResult<Message> {
    // Those that are false are not sent, whatever they are.
    let params = match others {
        Others::Strict => dict_or_none(params)?,
        Others::AsText(_) if !params.is_truthy()? => Value::None,
        Others::AsText(_) => others.value(params, &Place::PARAMS)?,
    };
    let msg_type = from_python::text(msg_type)?;
    Ok(Message::new(
        msg_type,
        params,
        from_python::text(src_sub_app_id)?,
    ))
}

/// Parameters of which none can be lost because they are false.
fn dict_or_none(params: &Bound<'_, PyAny>) -> PyResult<Value> {
    match Others::Strict.value(params, &Place::PARAMS)? {
        dict_or_none @ (Value::Dict(_) | Value::None) => Ok(dict_or_none),
        _ => {
            let class = params.get_type().name()?;
            let text = format!("params is a dict or None, not {class}");
            Err(errors::caller(params.py(), text))
        }
    }
}

pub(crate) fn others<'a, 'py>(as_text: Option<&'a Bound<'py, PyAny>>) -> Others<'a, 'py> {
    as_text.map_or(Others::Strict, Others::AsText)
}

/// The bytes of a message. With `as_text`, objects that have no form of their own become their `str`,
/// and it is given each of them with its place before; without it they are refused.
#[pyfunction]
#[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
pub(crate) fn encode_message<'py>(
    py: Python<'py>,
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    as_text: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = message(msg_type, params, src_sub_app_id, others(as_text))?.to_bytes();
    let bytes = bytes.map_err(|error| not_encoded(params, error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// A message in CBOR; `as_text` as for [`encode_message`].
#[pyfunction]
#[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
pub(crate) fn encode_cbor<'py>(
    py: Python<'py>,
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    as_text: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let message = message(msg_type, params, src_sub_app_id, others(as_text))?;
    let bytes = cbor::encode_message(&message, None, &large(usize::MAX));
    let bytes = bytes.map_err(|error| not_encoded(params, error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// The bounds of a message that is in memory anyway.
fn large(bytes: usize) -> Limits {
    let default = Limits::default();
    let nodes = default.nodes.max(bytes / 10);
    default.nodes(nodes).message_bytes(bytes).text_bytes(bytes)
}

/// The exception for parameters that were not encoded. The place of an array is told as an expression of Python.
pub(crate) fn not_encoded(params: &Bound<'_, PyAny>, error: EncodeError) -> PyErr {
    let py = params.py();
    let named = |error: EncodeError| -> PyResult<EncodeError> {
        Ok(match error {
            EncodeError::Array { path, array } => {
                let place = from_python::place_of_array(params, &Place::PARAMS)?;
                let path = place.unwrap_or(path);
                EncodeError::Array { path, array }
            }
            other => other,
        })
    };
    let error = match error {
        EncodeError::Peer {
            peer,
            protocol,
            error,
        } => named(*error).map(|error| EncodeError::Peer {
            peer,
            protocol,
            error: Box::new(error),
        }),
        other => named(other),
    };
    error.map_or_else(|error| error, |error| errors::encode(py, &error))
}

/// A message as an ElementTree element; `as_text` as for [`encode_message`].
#[pyfunction]
#[pyo3(signature = (msg_type, params, src_sub_app_id, as_text=None))]
pub(crate) fn message_to_xml<'py>(
    py: Python<'py>,
    msg_type: &Bound<'py, PyString>,
    params: &Bound<'py, PyAny>,
    src_sub_app_id: &Bound<'py, PyString>,
    as_text: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let element = message(msg_type, params, src_sub_app_id, others(as_text))?.to_element();
    let element = element.map_err(|error| not_encoded(params, error))?;
    to_python::element(py, &element)
}

/// A message that was read: checked as a whole, with parameters that become Python objects when
/// somebody looks at them.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Decoded {
    msg_type: MessageType,
    src_sub_app_id: ByteString,
    /// The parameters, until they were taken.
    params: Mutex<Option<Value>>,
    /// That of the frame in which they came, of so many bytes.
    memory: Option<FrameMemory>,
    size: usize,
}

impl Decoded {
    pub(crate) fn new(message: Message) -> Self {
        Self::received(message, 0, None)
    }

    /// One from a connection, of which this is the memory, in a frame of so many bytes.
    pub(crate) fn received(mut message: Message, size: usize, memory: Option<FrameMemory>) -> Self {
        if memory.is_some() {
            // So that they do not keep the frame, whose memory its array gets.
            message.msg_type = MessageType::from(message.msg_type.as_str());
            message.src_sub_app = ByteString::from(&*message.src_sub_app);
        }
        Self {
            memory,
            size,
            msg_type: message.msg_type,
            src_sub_app_id: message.src_sub_app,
            params: Mutex::new(Some(message.params)),
        }
    }

    /// Does something with the parameters. Without any waits: no other code of Python runs meanwhile.
    fn with<T>(&self, py: Python<'_>, call: impl FnOnce(&Value) -> T) -> PyResult<T> {
        let params = self.params.lock().unwrap_or_else(PoisonError::into_inner);
        let params = params.as_ref().ok_or_else(|| gone(py))?;
        Ok(call(params))
    }

    /// The message, which costs little: its content is shared.
    pub(crate) fn message(&self, py: Python<'_>) -> PyResult<Message> {
        let params = self.with(py, Value::clone)?;
        Ok(Message::new(
            self.msg_type.clone(),
            params,
            self.src_sub_app_id.clone(),
        ))
    }
}

fn gone(py: Python<'_>) -> PyErr {
    errors::caller(py, "the parameters were taken")
}

impl Decoded {
    /// The type and the parameters.
    pub(crate) fn into_parts<'py>(
        self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyAny>)> {
        Ok((self.msg_type(py), self.take_params(py)?))
    }
}

#[pymethods]
impl Decoded {
    /// The type of the message.
    #[getter]
    fn msg_type<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.msg_type.as_str())
    }

    /// The sender.
    #[getter]
    fn src_sub_app_id(&self) -> &str {
        &self.src_sub_app_id
    }

    /// Type and sender; whether there are parameters, be they empty; and whether a class is named in them, so that
    /// [`take_params`](Self::take_params) may fail.
    fn head<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyString>, &str, bool, bool)> {
        let told = |params: &Value| (!params.is_none(), to_python::names_a_class(params));
        let (has_params, names_a_class) = self.with(py, told)?;
        let msg_type = self.msg_type(py);
        Ok((msg_type, self.src_sub_app_id(), has_params, names_a_class))
    }

    /// The parameters, once.
    fn take_params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let params = self
            .params
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let params = params.ok_or_else(|| gone(py))?;
        to_python::params(py, params, self.size, self.memory.as_ref())
    }

    /// The bytes of the message.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.message(py)?.to_bytes();
        let bytes = bytes.map_err(|error| errors::encode(py, &error))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The message in CBOR.
    fn to_cbor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = cbor::encode_message(&self.message(py)?, None, &large(usize::MAX));
        let bytes = bytes.map_err(|error| errors::encode(py, &error))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

/// Reads a message.
#[pyfunction]
pub(crate) fn decode_message(py: Python<'_>, data: &[u8]) -> PyResult<Decoded> {
    let message = Message::from_bytes(Bytes::copy_from_slice(data))
        .map_err(|error| errors::decode(py, &error))?;
    Ok(Decoded::new(message))
}

/// Reads a message in CBOR.
#[pyfunction]
pub(crate) fn decode_cbor(py: Python<'_>, data: &[u8]) -> PyResult<Decoded> {
    let limits = large(data.len().max(Limits::default().message_bytes));
    let read = cbor::decode_message(&Bytes::copy_from_slice(data), &limits);
    let (message, _turn) = read.map_err(|error| errors::decode(py, &error))?;
    Ok(Decoded::new(message))
}

/// Reads a message that is an ElementTree element.
#[pyfunction]
pub(crate) fn decode_element(xml_node: &Bound<'_, PyAny>) -> PyResult<Decoded> {
    let py = xml_node.py();
    let element = elements::element(xml_node, 1)?;
    let message = Message::from_element(&element).map_err(|error| errors::decode(py, &error))?;
    Ok(Decoded::new(message))
}

/// A text from outside, such as the id of a peer, in quotes and so that it is only seen: for the log.
#[pyfunction]
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", PeerId::from(text))
}

/// Any XML element as one of ElementTree, within the limits of messages.
#[pyfunction]
pub(crate) fn parse_element<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let element = Element::decode(Bytes::copy_from_slice(data), &Limits::default())
        .map_err(|error| errors::decode(py, &error))?;
    to_python::element(py, &element)
}

/// Checks that a frame can have a body of this size.
#[pyfunction]
pub(crate) fn check_frame(py: Python<'_>, size: usize) -> PyResult<()> {
    LimitExceeded::check(Limit::FrameBytes, size, Frame::MAX_BYTES)
        .map_err(|exceeded| errors::limit(py, &exceeded))
}

/// Checks that this many frames and bytes may wait to be sent.
#[pyfunction]
pub(crate) fn check_queue(py: Python<'_>, frames: usize, bytes: usize) -> PyResult<()> {
    let limits = Limits::default();
    LimitExceeded::check(Limit::QueueMessages, frames, limits.queue_messages)
        .and_then(|()| LimitExceeded::check(Limit::QueueBytes, bytes, limits.queue_bytes))
        .map_err(|exceeded| errors::limit(py, &exceeded))
}
