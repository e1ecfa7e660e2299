//! The place of an object in the parameters of a message.

use std::fmt;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The place of an object, which errors name as an expression of Python: `params['o']['x'][3]`.
///
/// It is made on the stack while objects are walked through, and becomes text only if something is
/// wrong.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a, 'py> {
    within: Option<&'a Self>,
    step: Step<'a, 'py>,
    /// The depth of the element of the object.
    pub(crate) depth: usize,
}

#[derive(Clone, Copy)]
enum Step<'a, 'py> {
    Params,
    Named(&'static str),
    Key(&'a Bound<'py, PyString>),
    Index(usize),
    /// The members of a set have no order.
    Member,
}

impl<'py> Place<'_, 'py> {
    /// The place of the parameters: in the elements `Message` and what the parameters are.
    pub(crate) const PARAMS: Self = Self {
        within: None,
        step: Step::Params,
        depth: 2,
    };

    /// A value that stands alone, of this name.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self {
            within: None,
            step: Step::Named(name),
            depth: 4,
        }
    }

    /// The value of a key of the dict at this place.
    pub(crate) const fn key<'b>(&'b self, key: &'b Bound<'py, PyString>) -> Place<'b, 'py> {
        self.inside(Step::Key(key))
    }

    /// An item of the list or tuple at this place.
    pub(crate) const fn index(&self, index: usize) -> Place<'_, 'py> {
        self.inside(Step::Index(index))
    }

    /// A member of the set at this place.
    pub(crate) const fn member(&self) -> Place<'_, 'py> {
        self.inside(Step::Member)
    }

    /// One level of values is two of elements: the container and its item.
    const fn inside<'b>(&'b self, step: Step<'b, 'py>) -> Place<'b, 'py> {
        Place {
            within: Some(self),
            step,
            depth: self.depth + 2,
        }
    }
}

impl fmt::Display for Place<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(within) = self.within {
            within.fmt(f)?;
        }
        match self.step {
            Step::Params => f.write_str("params"),
            Step::Named(name) => f.write_str(name),
            Step::Key(key) => match key.repr() {
                Ok(key) => write!(f, "[{key}]"),
                Err(_) => f.write_str("[...]"),
            },
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Member => f.write_str("{...}"),
        }
    }
}
