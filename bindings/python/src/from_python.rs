//! Python objects as values, ElementTree elements as elements.

use bytes::Bytes;
use masep_proto::{Dict, Int, Limit, LimitExceeded, Limits, Node, QName, TypeName, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};

use crate::{errors, to_python};

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

fn check_depth(py: Python<'_>, depth: usize) -> PyResult<()> {
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
    let node = if object.is_instance(to_python::element_class(py)?)? {
        node(object, depth)?
    } else if let Some(to_xml) = bound_to_xml(object)? {
        let element = to_xml.call0()?;
        if !element.is_instance(to_python::element_class(py)?)? {
            let text = format!("to_xml() of {} gave no element", class_name(object)?);
            return Err(errors::caller(py, text));
        }
        node(&element, depth)?
    } else if let Some(class) = plain_class(object)? {
        return Ok(Value::Type(class));
    } else if object.is_instance(type_name_class(py)?)? {
        let name = object.cast::<PyString>()?;
        return Ok(Value::Type(TypeName::from(text(name)?)));
    } else {
        Node::new(class_name(object)?).with_text(text(&object.str()?)?)
    };
    let tail = node.tail().clone();
    let element = node
        .to_element()
        .map_err(|error| errors::encode(py, &error))?;
    Ok(element.with_tail(tail).into())
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

/// The tree of an ElementTree element. Comments and processing instructions are left out, as every
/// receiver does.
pub(crate) fn node(element: &Bound<'_, PyAny>, depth: usize) -> PyResult<Node> {
    let mut names = Names::default();
    let tag = element.getattr(intern!(element.py(), "tag"))?;
    names.node(element, &tag, depth)
}

/// Names of elements and attributes that were met: few stand in many elements, and Python has each of
/// them once.
#[derive(Default)]
struct Names<'py>(Vec<(Bound<'py, PyString>, QName)>);

/// So many names are looked for one by one.
const FEW: usize = 32;

impl<'py> Names<'py> {
    fn name(&mut self, name: &Bound<'py, PyString>) -> PyResult<QName> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| known.is(name)) {
            return Ok(known.clone());
        }
        let made = QName::from(text(name)?);
        if self.0.len() < FEW {
            self.0.push((name.clone(), made.clone()));
        }
        Ok(made)
    }

    fn node(
        &mut self,
        element: &Bound<'py, PyAny>,
        tag: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<Node> {
        let py = element.py();
        check_depth(py, depth)?;
        let Ok(tag) = tag.cast::<PyString>() else {
            let text = format!("the tag of an element is a str, not {}", tag.repr()?);
            return Err(errors::caller(py, text));
        };
        let mut node = Node::new(self.name(tag)?);
        if let Some(found) = optional_text(element.getattr(intern!(py, "text"))?)? {
            node.text = text(&found)?.into();
        }
        if let Some(found) = optional_text(element.getattr(intern!(py, "tail"))?)? {
            node.set_tail(text(&found)?);
        }
        for (name, value) in element.getattr(intern!(py, "attrib"))?.cast::<PyDict>()? {
            let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
                let text = format!("{} of <{tag}> is no text", name.repr()?);
                return Err(errors::caller(py, text));
            };
            node.set_attribute(self.name(name)?, text(value)?);
        }
        let children = element.len()?;
        node.children.reserve_exact(children);
        for index in 0..children {
            self.add_child(&mut node, &element.get_item(index)?, depth)?;
        }
        Ok(node)
    }

    fn add_child(
        &mut self,
        parent: &mut Node,
        child: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<()> {
        let py = child.py();
        let tag = child.getattr(intern!(py, "tag"))?;
        if !tag.is_callable() {
            parent.children.push(self.node(child, &tag, depth + 1)?);
            return Ok(());
        }
        // A comment: what stands behind it belongs to what stands before it.
        if let Some(tail) = optional_text(child.getattr(intern!(py, "tail"))?)? {
            let tail = text(&tail)?;
            match parent.children.last_mut() {
                Some(sibling) => sibling.set_tail(format!("{}{tail}", sibling.tail())),
                None => parent.text = format!("{}{tail}", parent.text).into(),
            }
        }
        Ok(())
    }
}

fn optional_text(found: Bound<'_, PyAny>) -> PyResult<Option<Bound<'_, PyString>>> {
    if found.is_none() {
        return Ok(None);
    }
    let py = found.py();
    match found.cast_into::<PyString>() {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let text = format!("text of an element is a str, not {}", error.into_inner());
            Err(errors::caller(py, text))
        }
    }
}
