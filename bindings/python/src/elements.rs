//! ElementTree elements as elements.

use masep_proto::{Element, EncodeError, Node, OpenElement};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::{errors, from_python};

/// The element that stands in others of this depth, with its tail. Comments and processing
/// instructions are left out, as every receiver does.
///
/// Written as it is walked through. An element with names in a namespace, or with names that are none, goes the
/// long way by a tree, which also knows what is wrong.
pub(crate) fn element(element: &Bound<'_, PyAny>, depth: usize) -> PyResult<Element> {
    let py = element.py();
    match write(element, depth) {
        Ok(written) => Ok(written),
        Err(Refusal::Python(error)) => Err(error),
        Err(Refusal::Names) => {
            let node = node(element, depth)?;
            let tail = node.tail().clone();
            let element = node.to_element();
            Ok(element
                .map_err(|error| errors::encode(py, &error))?
                .with_tail(tail))
        }
    }
}

/// The reason why an element was not written.
enum Refusal {
    Python(PyErr),
    /// It has a name that needs a tree, or is none.
    Names,
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<EncodeError> for Refusal {
    fn from(_: EncodeError) -> Self {
        Self::Names
    }
}

fn write(element: &Bound<'_, PyAny>, depth: usize) -> Result<Element, Refusal> {
    let py = element.py();
    from_python::check_depth(py, depth)?;
    let tag = element.getattr(intern!(py, "tag"))?;
    let tag = name(&tag)?;
    let written = Element::build(from_python::text(tag)?, |open| {
        fill(element, tag, open, depth)
    })?;
    let tail = optional_text(element.getattr(intern!(py, "tail"))?)?;
    Ok(match tail {
        Some(tail) => written.with_tail(from_python::text(&tail)?),
        None => written,
    })
}

/// The tag of an element that is no comment.
fn name<'a, 'py>(tag: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyString>> {
    tag.cast::<PyString>().map_err(|_| {
        let text = match tag.repr() {
            Ok(tag) => format!("the tag of an element is a str, not {tag}"),
            Err(error) => return error,
        };
        errors::caller(tag.py(), text)
    })
}

/// Writes the attributes, the text and the children of an element.
fn fill(
    element: &Bound<'_, PyAny>,
    tag: &Bound<'_, PyString>,
    open: &mut OpenElement<'_>,
    depth: usize,
) -> Result<(), Refusal> {
    let py = element.py();
    attributes(element, tag, |name, value| {
        open.attribute(name, value).map_err(Refusal::from)
    })?;
    if let Some(found) = optional_text(element.getattr(intern!(py, "text"))?)? {
        open.text(from_python::text(&found)?);
    }
    for index in 0..element.len()? {
        let child = element.get_item(index)?;
        let tag = child.getattr(intern!(py, "tag"))?;
        // That of a comment is a function.
        if tag.is_instance_of::<PyString>() || !tag.is_callable() {
            from_python::check_depth(py, depth + 1)?;
            let tag = name(&tag)?;
            open.child(from_python::text(tag)?, |open| {
                fill(&child, tag, open, depth + 1)
            })?;
        }
        if let Some(tail) = optional_text(child.getattr(intern!(py, "tail"))?)? {
            open.text(from_python::text(&tail)?);
        }
    }
    Ok(())
}

/// Gives each attribute of an element to `take`.
fn attributes<E: From<PyErr>>(
    element: &Bound<'_, PyAny>,
    tag: &Bound<'_, PyString>,
    mut take: impl FnMut(&str, &str) -> Result<(), E>,
) -> Result<(), E> {
    let py = element.py();
    let attrib = element.getattr(intern!(py, "attrib"))?;
    let attrib = attrib.cast::<PyDict>().map_err(PyErr::from)?;
    if attrib.is_empty() {
        return Ok(());
    }
    for (name, value) in attrib {
        let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
            let text = format!("{} of <{tag}> is no text", name.repr()?);
            return Err(errors::caller(py, text).into());
        };
        take(from_python::text(name)?, from_python::text(value)?)?;
    }
    Ok(())
}

/// The tree of an ElementTree element. Comments and processing instructions are left out, as every
/// receiver does.
fn node(element: &Bound<'_, PyAny>, depth: usize) -> PyResult<Node> {
    let py = element.py();
    from_python::check_depth(py, depth)?;
    let tag = element.getattr(intern!(py, "tag"))?;
    let tag = name(&tag)?;
    let mut node = Node::new(from_python::text(tag)?);
    if let Some(found) = optional_text(element.getattr(intern!(py, "text"))?)? {
        node.text = from_python::text(&found)?.into();
    }
    if let Some(found) = optional_text(element.getattr(intern!(py, "tail"))?)? {
        node.set_tail(from_python::text(&found)?);
    }
    attributes(element, tag, |name, value| {
        node.set_attribute(name, value);
        Ok::<(), PyErr>(())
    })?;
    let children = element.len()?;
    node.children.reserve_exact(children);
    for index in 0..children {
        add_child(&mut node, &element.get_item(index)?, depth)?;
    }
    Ok(node)
}

fn add_child(parent: &mut Node, child: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    let py = child.py();
    let tag = child.getattr(intern!(py, "tag"))?;
    if !tag.is_callable() {
        parent.children.push(node(child, depth + 1)?);
        return Ok(());
    }
    // A comment: what stands behind it belongs to what stands before it.
    if let Some(tail) = optional_text(child.getattr(intern!(py, "tail"))?)? {
        let tail = from_python::text(&tail)?;
        match parent.children.last_mut() {
            Some(sibling) => sibling.set_tail(format!("{}{tail}", sibling.tail())),
            None => parent.text = format!("{}{tail}", parent.text).into(),
        }
    }
    Ok(())
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
