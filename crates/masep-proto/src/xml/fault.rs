//! Errors while the input is read: by offset, without the work of finding line and column.

use crate::{DecodeErrorKind, LimitExceeded};

/// What is wrong, and at which byte of the text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(super) kind: DecodeErrorKind,
    pub(super) at: usize,
}

impl Fault {
    pub(super) fn new(kind: impl Into<DecodeErrorKind>, at: usize) -> Self {
        Self {
            kind: kind.into(),
            at,
        }
    }

    pub(super) const fn syntax(expected: &'static str, at: usize) -> Self {
        Self {
            kind: DecodeErrorKind::Syntax(expected),
            at,
        }
    }

    pub(super) const fn truncated(construct: &'static str, at: usize) -> Self {
        Self {
            kind: DecodeErrorKind::Truncated(construct),
            at,
        }
    }

    /// Attaches the place to the result of a check.
    pub(super) fn limit(check: Result<(), LimitExceeded>, at: usize) -> Result<(), Self> {
        check.map_err(|exceeded| Self::new(exceeded, at))
    }
}
