//! Values as Python objects, elements as ElementTree elements.

use masep_proto::connection::FrameMemory;
use masep_proto::{Element, Node, QName, Value};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple, PyType};
use pyo3::{IntoPyObjectExt, intern};

use crate::{array, frames};

/// The class of ElementTree's elements.
pub(crate) fn element_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "xml.etree.ElementTree", "Element")
}

/// The Python object of a value. Values are no deeper than `Limits::depth`. It is taken apart on the way, so that an array
/// can have the memory of the frame that it came in.
pub(crate) fn value<'py>(
    py: Python<'py>,
    value: Value,
    memory: Option<&FrameMemory>,
) -> PyResult<Bound<'py, PyAny>> {
    let items = |items: Vec<Value>| -> PyResult<Vec<_>> {
        items
            .into_iter()
            .map(|item| self::value(py, item, memory))
            .collect()
    };
    match value {
        Value::None => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Int(int) => match int.as_i64() {
            Some(int) => int.into_bound_py_any(py),
            None => py.get_type::<PyInt>().call1((int.to_string(),)),
        },
        Value::Float(value) => Ok(PyFloat::new(py, value).into_any()),
        Value::Str(text) => Ok(PyString::new(py, &text).into_any()),
        Value::Bytes(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
        Value::List(list) => Ok(PyList::new(py, items(list)?)?.into_any()),
        Value::Tuple(tuple) => Ok(PyTuple::new(py, items(tuple)?)?.into_any()),
        Value::Set(set) => Ok(PySet::new(py, items(set)?)?.into_any()),
        Value::Dict(dict) => {
            let result = PyDict::new(py);
            for (key, item) in dict {
                result.set_item(&*key, self::value(py, item, memory)?)?;
            }
            Ok(result.into_any())
        }
        Value::Type(name) => py
            .import(intern!(py, "masep._types"))?
            .call_method1(intern!(py, "resolve"), (name.as_str(),)),
        Value::Element(found) => element(py, &found),
        Value::Array(array) => array::to_python(py, *array, memory),
    }
}

/// The parameters of a message that came in a frame of so many bytes, of which this is the memory. An array that is most
/// of it gets that memory: all else of the frame is gone by then.
pub(crate) fn params<'py>(
    py: Python<'py>,
    params: Value,
    size: usize,
    memory: Option<&FrameMemory>,
) -> PyResult<Bound<'py, PyAny>> {
    let least = size / 2;
    if memory.is_none() || !frames::has_array(&params, least) {
        return value(py, params, memory);
    }
    let is_large =
        |item: &Value| matches!(item, Value::Array(array) if array.bytes().len() >= least);
    let dict = match params {
        Value::Dict(dict) if dict.values().any(is_large) => dict,
        // It is deeper inside.
        other => return value(py, frames::apart(other, least), memory),
    };
    let result = PyDict::new(py);
    let mut large = None;
    for (key, item) in dict {
        match item {
            Value::Array(array) if large.is_none() && array.bytes().len() >= least => {
                // In its place among the others.
                result.set_item(&*key, py.None())?;
                large = Some((PyString::new(py, &key), array));
            }
            other => result.set_item(&*key, value(py, other, None)?)?,
        }
    }
    if let Some((key, array)) = large {
        result.set_item(key, array::to_python(py, *array, memory)?)?;
    }
    Ok(result.into_any())
}

/// True if there is the name of a class in a value: one that may not be resolved.
pub(crate) fn names_a_class(value: &Value) -> bool {
    match value {
        Value::Type(_) => true,
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            items.iter().any(names_a_class)
        }
        Value::Dict(dict) => dict.values().any(names_a_class),
        _ => false,
    }
}

/// The ElementTree element of an element.
pub(crate) fn element<'py>(py: Python<'py>, element: &Element) -> PyResult<Bound<'py, PyAny>> {
    node(element_class(py)?, &element.to_node())
}

/// Built node by node and not parsed again: expat refuses or changes characters that pymasep sends
/// as they are.
fn node<'py>(class: &Bound<'py, PyType>, node: &Node) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let element = if node.attributes().len() == 0 {
        class.call1((name(py, &node.name),))?
    } else {
        let attributes = PyDict::new(py);
        for (key, value) in node.attributes() {
            attributes.set_item(name(py, key), &**value)?;
        }
        class.call1((name(py, &node.name), attributes))?
    };
    if !node.text.is_empty() {
        element.setattr(intern!(py, "text"), &*node.text)?;
    }
    if !node.tail().is_empty() {
        element.setattr(intern!(py, "tail"), &**node.tail())?;
    }
    for child in &node.children {
        let child = self::node(class, child)?;
        element.call_method1(intern!(py, "append"), (child,))?;
    }
    Ok(element)
}

/// Few names stand in many elements: interned, each is there once.
fn name<'py>(py: Python<'py>, name: &QName) -> Bound<'py, PyString> {
    if name.uri().is_empty() {
        PyString::intern(py, name.local())
    } else {
        PyString::new(py, &name.to_string())
    }
}
