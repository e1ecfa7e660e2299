//! ElementTree elements as elements.

use std::slice;

use masep_proto::{Element, EncodeError, Node, OpenElement, QName};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySequence, PyString};

use crate::{errors, from_python};

/// The element that stands in others of this depth, with its tail. Comments and processing
/// instructions are left out, as every receiver does.
///
/// Written as it is walked through. What has names in a namespace, or names that are none, goes the
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

/// Why an element was not written.
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
    let mut names = Names::default();
    let tag = element.getattr(intern!(py, "tag"))?;
    let name = names.tag(&tag)?;
    let attributes = names.attributes(element, &tag)?;
    let written = Element::build(&name, &borrowed(&attributes)?, |open| {
        names.fill(element, open, depth)
    })?;
    let tail = optional_text(element.getattr(intern!(py, "tail"))?)?;
    Ok(match tail {
        Some(tail) => written.with_tail(from_python::text(&tail)?),
        None => written,
    })
}

/// The texts of attributes, which belong to Python.
fn borrowed<'a>(
    attributes: &'a [(QName, Bound<'_, PyString>)],
) -> PyResult<Vec<(&'a QName, &'a str)>> {
    attributes
        .iter()
        .map(|(name, value)| Ok((name, from_python::text(value)?)))
        .collect()
}

impl<'py> Names<'py> {
    fn tag(&mut self, tag: &Bound<'py, PyAny>) -> PyResult<QName> {
        let Ok(tag) = tag.cast::<PyString>() else {
            let text = format!("the tag of an element is a str, not {}", tag.repr()?);
            return Err(errors::caller(tag.py(), text));
        };
        self.name(tag)
    }

    fn attributes(
        &mut self,
        element: &Bound<'py, PyAny>,
        tag: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<(QName, Bound<'py, PyString>)>> {
        let py = element.py();
        let attrib = element.getattr(intern!(py, "attrib"))?;
        let attrib = attrib.cast::<PyDict>()?;
        if attrib.is_empty() {
            return Ok(Vec::new());
        }
        let mut attributes = Vec::with_capacity(attrib.len());
        for (name, value) in attrib {
            let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast_into::<PyString>())
            else {
                let text = format!("{} of <{tag}> is no text", name.repr()?);
                return Err(errors::caller(py, text));
            };
            attributes.push((self.name(name)?, value));
        }
        Ok(attributes)
    }

    /// Writes the text and the children of an element.
    fn fill(
        &mut self,
        element: &Bound<'py, PyAny>,
        open: &mut OpenElement<'_>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let py = element.py();
        if let Some(found) = optional_text(element.getattr(intern!(py, "text"))?)? {
            open.text(from_python::text(&found)?);
        }
        // SAFETY: no more is asked of it than of any object; one that is no sequence raises an error.
        let children = unsafe { element.cast_unchecked::<PySequence>() };
        for index in 0..children.len()? {
            let child = children.get_item(index)?;
            let tag = child.getattr(intern!(py, "tag"))?;
            // That of a comment is a function.
            if tag.is_instance_of::<PyString>() || !tag.is_callable() {
                from_python::check_depth(py, depth + 1)?;
                let name = self.tag(&tag)?;
                let attributes = self.attributes(&child, &tag)?;
                let fill = |open: &mut OpenElement<'_>| self.fill(&child, open, depth + 1);
                match &attributes[..] {
                    // Most have one at the most: no list is made for it.
                    [] => open.child(&name, &[], fill)?,
                    [(only, value)] => {
                        let only = (only, from_python::text(value)?);
                        open.child(&name, slice::from_ref(&only), fill)?;
                    }
                    several => open.child(&name, &borrowed(several)?, fill)?,
                }
            }
            if let Some(tail) = optional_text(child.getattr(intern!(py, "tail"))?)? {
                open.text(from_python::text(&tail)?);
            }
        }
        Ok(())
    }
}

/// The tree of an ElementTree element. Comments and processing instructions are left out, as every
/// receiver does.
fn node(element: &Bound<'_, PyAny>, depth: usize) -> PyResult<Node> {
    let mut names = Names::default();
    let tag = element.getattr(intern!(element.py(), "tag"))?;
    names.node(element, &tag, depth)
}

/// Names of elements and attributes that were met: few stand in many elements, and Python has each of
/// them once, so that they are known by their place in memory.
struct Names<'py>([Option<(Bound<'py, PyString>, QName)>; PLACES]);

/// Names that are remembered at most. Two whose places are the same take turns.
const PLACES: usize = 64;
/// Bits of an address that are the same for all objects, or nearly so.
const ALIGNED: u32 = 4;

impl Default for Names<'_> {
    fn default() -> Self {
        Self([const { None }; PLACES])
    }
}

impl<'py> Names<'py> {
    fn name(&mut self, name: &Bound<'py, PyString>) -> PyResult<QName> {
        let address = name.as_ptr() as usize >> ALIGNED;
        let place = &mut self.0[(address ^ (address >> 6)) % PLACES];
        if let Some((known, made)) = place
            && known.is(name)
        {
            return Ok(made.clone());
        }
        let made = QName::from(from_python::text(name)?);
        *place = Some((name.clone(), made.clone()));
        Ok(made)
    }

    fn node(
        &mut self,
        element: &Bound<'py, PyAny>,
        tag: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<Node> {
        let py = element.py();
        from_python::check_depth(py, depth)?;
        let Ok(tag) = tag.cast::<PyString>() else {
            let text = format!("the tag of an element is a str, not {}", tag.repr()?);
            return Err(errors::caller(py, text));
        };
        let mut node = Node::new(self.name(tag)?);
        if let Some(found) = optional_text(element.getattr(intern!(py, "text"))?)? {
            node.text = from_python::text(&found)?.into();
        }
        if let Some(found) = optional_text(element.getattr(intern!(py, "tail"))?)? {
            node.set_tail(from_python::text(&found)?);
        }
        for (name, value) in element.getattr(intern!(py, "attrib"))?.cast::<PyDict>()? {
            let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
                let text = format!("{} of <{tag}> is no text", name.repr()?);
                return Err(errors::caller(py, text));
            };
            node.set_attribute(self.name(name)?, from_python::text(value)?);
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
            let tail = from_python::text(&tail)?;
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
