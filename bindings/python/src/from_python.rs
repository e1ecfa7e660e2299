//! Python objects as values, ElementTree elements as elements.

use std::fmt;

use bytes::Bytes;
use masep_proto::{Dict, Int, Limit, LimitExceeded, Limits, Node, TypeName, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};

use crate::array::PyArray;
use crate::place::Place;
use crate::{buffer, elements, errors, to_python};

/// The treatment of objects that have no form of their own on the wire.
#[derive(Clone, Copy)]
pub(crate) enum Others<'a, 'py> {
    /// Objects that stand for a plain one become that: `masep._forms.plain` has the rules, and
    /// refuses all others.
    Strict,
    /// Each becomes its `str`, as in pymasep. This callable is given the object and its place before.
    AsText(&'a Bound<'py, PyAny>),
}

impl<'py> Others<'_, 'py> {
    /// The value of a Python object at this place.
    ///
    /// As in pymasep, what counts is the exact class: an object of a subclass of `list` is no list, but
    /// "any other object".
    pub(crate) fn value(self, object: &Bound<'py, PyAny>, at: &Place<'_, 'py>) -> PyResult<Value> {
        check_depth(object.py(), at.depth)?;
        if let Ok(text) = object.cast_exact::<PyString>() {
            Ok(Value::from(text_at(text, at)?))
        } else if object.is_none() {
            Ok(Value::None)
        } else if let Ok(value) = object.cast_exact::<PyBool>() {
            Ok(Value::Bool(value.is_true()))
        } else if let Ok(value) = object.cast_exact::<PyInt>() {
            int(value, at)
        } else if let Ok(value) = object.cast_exact::<PyFloat>() {
            Ok(Value::Float(value.value()))
        } else if let Ok(entries) = object.cast_exact::<PyDict>() {
            self.dict(entries, at)
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            Ok(Value::List(self.items(list.iter(), at)?))
        } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            Ok(Value::Tuple(self.items(tuple.iter(), at)?))
        } else if let Ok(set) = object.cast_exact::<PySet>() {
            let members = set.iter().map(|member| self.value(&member, &at.member()));
            Ok(Value::Set(members.collect::<PyResult<_>>()?))
        } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            Ok(Value::Bytes(Bytes::copy_from_slice(bytes.as_bytes())))
        } else {
            self.any_other(object, at)
        }
    }

    fn items(
        self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        at: &Place<'_, 'py>,
    ) -> PyResult<Vec<Value>> {
        items
            .enumerate()
            .map(|(index, item)| self.value(&item, &at.index(index)))
            .collect()
    }

    fn dict(self, entries: &Bound<'py, PyDict>, at: &Place<'_, 'py>) -> PyResult<Value> {
        let mut dict = Dict::with_capacity(entries.len());
        for (key, item) in entries {
            let key = match key.cast_into::<PyString>() {
                Ok(key) => key,
                Err(other) => self.other_key(&other.into_inner(), at)?,
            };
            let item = self.value(&item, &at.key(&key))?;
            dict.insert(text_at(&key, at)?, item);
        }
        Ok(dict.into())
    }

    /// A key that is no text: of tuples, pymasep sends the `repr`.
    fn other_key(
        self,
        key: &Bound<'py, PyAny>,
        at: &Place<'_, 'py>,
    ) -> PyResult<Bound<'py, PyString>> {
        if matches!(self, Self::AsText(_)) && key.is_instance_of::<PyTuple>() {
            return key.repr();
        }
        let text = format!("{at}: the key of a dict is a str, not {}", key.repr()?);
        Err(errors::caller(key.py(), text))
    }

    /// An element, what says itself how it looks as one, a class, or an object without a form.
    fn any_other(self, object: &Bound<'py, PyAny>, at: &Place<'_, 'py>) -> PyResult<Value> {
        let py = object.py();
        if matches!(self, Self::Strict) && is_array(object)? {
            return buffer::array(object, at);
        }
        if object.is_instance(to_python::element_class(py)?)? {
            return Ok(elements::element(object, at.depth)?.into());
        }
        if let Some(to_xml) = bound_to_xml(object)? {
            let element = to_xml.call0()?;
            if !element.is_instance(to_python::element_class(py)?)? {
                let text = format!("{at}: to_xml() of {} gave no element", class_name(object)?);
                return Err(errors::caller(py, text));
            }
            return Ok(elements::element(&element, at.depth)?.into());
        }
        if let Some(class) = plain_class(object)? {
            return Ok(Value::Type(class));
        }
        if object.is_instance(type_name_class(py)?)? {
            let name = object.cast::<PyString>()?;
            return Ok(Value::Type(TypeName::from(text_at(name, at)?)));
        }
        match self {
            Self::Strict => {
                let forms = py.import(intern!(py, "masep._forms"))?;
                let plain = forms.call_method1(intern!(py, "plain"), (object, at.to_string()))?;
                if buffer::has_buffer(&plain) && !plain.is_instance_of::<PyBytes>() {
                    return buffer::array(&plain, at);
                }
                self.value(&plain, at)
            }
            Self::AsText(told) => {
                told.call1((object, at.to_string()))?;
                as_text(object, at)
            }
        }
    }
}

/// True if this is an array of numpy's or ours and of no subclass: what most arrays are is found first.
fn is_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    if object.is_exact_instance_of::<PyArray>() {
        return Ok(true);
    }
    if let Some(class) = CLASS.get(py) {
        return Ok(object.is_exact_instance(class.bind(py)));
    }
    let modules = py
        .import(intern!(py, "sys"))?
        .getattr(intern!(py, "modules"))?;
    if object.get_type().name()? != "ndarray" || !modules.contains(intern!(py, "numpy"))? {
        return Ok(false);
    }
    Ok(object.is_exact_instance(CLASS.import(py, "numpy", "ndarray")?))
}

/// The place of the first array in these parameters.
pub(crate) fn place_of_array<'py>(
    object: &Bound<'py, PyAny>,
    at: &Place<'_, 'py>,
) -> PyResult<Option<String>> {
    let items = |items: &mut dyn Iterator<Item = Bound<'py, PyAny>>| {
        let found = items
            .enumerate()
            .map(|(index, item)| place_of_array(&item, &at.index(index)));
        first(found)
    };
    if let Ok(entries) = object.cast_exact::<PyDict>() {
        first(entries.iter().map(|(key, item)| {
            let key = key.cast_into::<PyString>()?;
            place_of_array(&item, &at.key(&key))
        }))
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        items(&mut list.iter())
    } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        items(&mut tuple.iter())
    } else {
        let value = Others::Strict.value(object, at)?;
        Ok(matches!(value, Value::Array(_)).then(|| at.to_string()))
    }
}

fn first<T>(mut found: impl Iterator<Item = PyResult<Option<T>>>) -> PyResult<Option<T>> {
    found.find_map(PyResult::transpose).transpose()
}

/// The element that pymasep makes of any other object: the name of its class, and its `str`.
fn as_text(object: &Bound<'_, PyAny>, at: &Place<'_, '_>) -> PyResult<Value> {
    let node = Node::new(class_name(object)?).with_text(text_at(&object.str()?, at)?);
    let element = node.to_element();
    Ok(element
        .map_err(|error| errors::encode(object.py(), &error))?
        .into())
}

pub(crate) fn check_depth(py: Python<'_>, depth: usize) -> PyResult<()> {
    LimitExceeded::check(Limit::Depth, depth, Limits::default().depth)
        .map_err(|limit| errors::limit(py, &limit))
}

fn text_at<'a>(text: &'a Bound<'_, PyString>, at: &Place<'_, '_>) -> PyResult<&'a str> {
    text.to_str().map_err(|error| {
        errors::caller(text.py(), format!("{at}: text that is no Unicode: {error}"))
    })
}

/// The text of a `str`. Python's can hold halves of characters, which no decoder takes.
pub(crate) fn text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str()
        .map_err(|error| errors::caller(text.py(), format!("text that is no Unicode: {error}")))
}

fn int(object: &Bound<'_, PyInt>, at: &Place<'_, '_>) -> PyResult<Value> {
    if let Ok(small) = object.extract::<i64>() {
        return Ok(Value::from(small));
    }
    let refused = |error: &dyn fmt::Display| errors::caller(object.py(), format!("{at}: {error}"));
    // `str` has the limit of Python itself, which is that of masep.
    let digits = object.str().map_err(|error| refused(&error))?;
    let int = Int::parse(text(&digits)?, Limits::default().int_digits);
    Ok(Value::Int(int.map_err(|error| refused(&error))?))
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
