//! Python objects as values, ElementTree elements as elements.

use bytes::Bytes;
use masep_proto::{Dict, Int, Limit, LimitExceeded, Limits, Node, TypeName, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};

use crate::{elements, errors, to_python};

/// The value of a Python object that stands in elements of this depth.
///
/// As in pymasep, what counts is the exact class: an object of a subclass of `list` is no list, but
/// "any other object".
pub(crate) fn value(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    check_depth(object.py(), depth)?;
    if let Ok(text) = object.cast_exact::<PyString>() {
        Ok(Value::from(self::text(text)?))
    } else if object.is_none() {
        Ok(Value::None)
    } else if let Ok(value) = object.cast_exact::<PyBool>() {
        Ok(Value::Bool(value.is_true()))
    } else if let Ok(value) = object.cast_exact::<PyInt>() {
        int(value)
    } else if let Ok(value) = object.cast_exact::<PyFloat>() {
        Ok(Value::Float(value.value()))
    } else if let Ok(entries) = object.cast_exact::<PyDict>() {
        dict(entries, depth)
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        Ok(Value::List(items(list.iter(), depth)?))
    } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        Ok(Value::Tuple(items(tuple.iter(), depth)?))
    } else if let Ok(set) = object.cast_exact::<PySet>() {
        Ok(Value::Set(items(set.iter(), depth)?))
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        Ok(Value::Bytes(Bytes::copy_from_slice(bytes.as_bytes())))
    } else {
        any_other(object, depth)
    }
}

/// One level of values is two of elements: the container and its item.
fn items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
) -> PyResult<Vec<Value>> {
    items.map(|item| value(&item, depth + 2)).collect()
}

pub(crate) fn check_depth(py: Python<'_>, depth: usize) -> PyResult<()> {
    LimitExceeded::check(Limit::Depth, depth, Limits::default().depth)
        .map_err(|limit| errors::limit(py, &limit))
}

/// The text of a `str`. Python's can hold halves of characters, which no decoder takes.
pub(crate) fn text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str()
        .map_err(|error| errors::caller(text.py(), format!("text that is no Unicode: {error}")))
}

fn int(object: &Bound<'_, PyInt>) -> PyResult<Value> {
    if let Ok(small) = object.extract::<i64>() {
        return Ok(Value::from(small));
    }
    let py = object.py();
    // `str` has the limit of Python itself, which is that of masep.
    let digits = object
        .str()
        .map_err(|error| errors::caller(py, error.to_string()))?;
    let int = Int::parse(text(&digits)?, Limits::default().int_digits);
    Ok(Value::Int(
        int.map_err(|error| errors::caller(py, error.to_string()))?,
    ))
}

fn dict(entries: &Bound<'_, PyDict>, depth: usize) -> PyResult<Value> {
    let mut dict = Dict::with_capacity(entries.len());
    for (key, item) in entries {
        let item = value(&item, depth + 2)?;
        if let Ok(key) = key.cast::<PyString>() {
            dict.insert(text(key)?, item);
        } else if key.is_instance_of::<PyTuple>() {
            dict.insert(text(&key.repr()?)?, item);
        } else {
            let text = format!("the key of a dict is a str, not {}", key.repr()?);
            return Err(errors::caller(entries.py(), text));
        }
    }
    Ok(dict.into())
}

/// An element, what says itself how it looks as one, a class, or by its `str` anything else.
fn any_other(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let py = object.py();
    if object.is_instance(to_python::element_class(py)?)? {
        return Ok(elements::element(object, depth)?.into());
    }
    if let Some(to_xml) = bound_to_xml(object)? {
        let element = to_xml.call0()?;
        if !element.is_instance(to_python::element_class(py)?)? {
            let text = format!("to_xml() of {} gave no element", class_name(object)?);
            return Err(errors::caller(py, text));
        }
        return Ok(elements::element(&element, depth)?.into());
    }
    if let Some(class) = plain_class(object)? {
        return Ok(Value::Type(class));
    }
    if object.is_instance(type_name_class(py)?)? {
        let name = object.cast::<PyString>()?;
        return Ok(Value::Type(TypeName::from(text(name)?)));
    }
    let node = Node::new(class_name(object)?).with_text(text(&object.str()?)?);
    let element = node
        .to_element()
        .map_err(|error| errors::encode(py, &error))?;
    Ok(element.into())
}

/// `masep.TypeName`, by which a class is named that is not there.
fn type_name_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "masep._types", "TypeName")
}

fn class_name(object: &Bound<'_, PyAny>) -> PyResult<String> {
    object.get_type().name()?.extract()
}

/// The method `to_xml`, not the function of that name that a class has.
fn bound_to_xml<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    let Some(to_xml) = object.getattr_opt(intern!(py, "to_xml"))? else {
        return Ok(None);
    };
    let is_method = to_xml.is_instance(METHOD.import(py, "types", "MethodType")?)?;
    Ok(is_method.then_some(to_xml))
}

/// The name of a class as Python writes it, `<class 'name'>`. One with a metaclass is "any other
/// object", as in pymasep.
fn plain_class(object: &Bound<'_, PyAny>) -> PyResult<Option<TypeName>> {
    let Ok(class) = object.cast_exact::<PyType>() else {
        return Ok(None);
    };
    let name = class.str()?;
    let name = text(&name)?
        .strip_prefix("<class '")
        .and_then(|name| name.strip_suffix("'>"));
    Ok(name.map(TypeName::from))
}
