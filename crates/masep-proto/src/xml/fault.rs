//! Errors while the input is read: by offset, without the work of finding line and column.

use crate::{DecodeErrorKind, LimitExceeded};

/// A fault, and the byte of the text at which it is.
///
/// It is boxed because it is rare: a result with it fits into registers, and nearly everything that
/// reads gives one.
#[derive(Debug)]
pub(crate) struct Fault(Box<(DecodeErrorKind, usize)>);

impl Fault {
    #[cold]
    pub(super) fn new(kind: impl Into<DecodeErrorKind>, at: usize) -> Self {
        Self(Box::new((kind.into(), at)))
    }

    #[cold]
    pub(super) fn syntax(expected: &'static str, at: usize) -> Self {
        Self::new(DecodeErrorKind::Syntax(expected), at)
    }

    #[cold]
    pub(super) fn truncated(construct: &'static str, at: usize) -> Self {
        Self::new(DecodeErrorKind::Truncated(construct), at)
    }

    /// Attaches the place to the result of a check.
    pub(super) fn limit(check: Result<(), LimitExceeded>, at: usize) -> Result<(), Self> {
        check.map_err(|exceeded| Self::new(exceeded, at))
    }

    /// The kind of the fault.
    pub(super) const fn kind(&self) -> &DecodeErrorKind {
        &self.0.0
    }

    /// The place of the fault: bytes from the start of the text.
    pub(super) const fn at(&self) -> usize {
        self.0.1
    }

    pub(super) fn into_kind(self) -> DecodeErrorKind {
        self.0.0
    }
}
