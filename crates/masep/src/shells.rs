//! Calls that wait, and stand once for both shells: in a macro that is given `async` and `await`, or nothing.

/// The documentation of what only the call with `async` does, in a paragraph of its own.
macro_rules! of_async {
    ($_async:ident $text:literal) => {
        concat!("\n", $text, "\n")
    };
}

pub(crate) use of_async;
