//! Names of classes.

use std::fmt;

use bytestring::ByteString;

use crate::printable::Quoted;

/// The dotted name of a class, such as `pursuit.PursuitGame`: data, never resolved.
///
/// Builtins have no module, as in Python's `<class 'int'>`: `builtins.int` and `int` are the same
/// name. Any text is taken; what stands in it up to the first `'` is what a reader will see,
/// because that is how pymasep reads the name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeName(ByteString);

impl TypeName {
    /// The class of this name.
    pub fn new(name: impl Into<ByteString>) -> Self {
        let name = name.into();
        match name.strip_prefix("builtins.") {
            Some(builtin) => Self(name.slice_ref(builtin)),
            None => Self(name),
        }
    }

    /// The whole name: `pursuit.PursuitGame`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name up to the last dot, or `builtins` if there is none. For a class that stands in
    /// another one this is not the module alone: the text does not tell them apart.
    pub fn module(&self) -> &str {
        self.0
            .rsplit_once('.')
            .map_or("builtins", |(module, _)| module)
    }

    /// The name behind the last dot.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(_, name)| name)
    }
}

impl From<&str> for TypeName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for TypeName {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<ByteString> for TypeName {
    fn from(name: ByteString) -> Self {
        Self::new(name)
    }
}

impl AsRef<str> for TypeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Quoted and escaped: a name comes from outside and may hold anything.
impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Quoted(&self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builtin_has_no_module_in_its_name() {
        assert_eq!(TypeName::from("builtins.int"), TypeName::from("int"));
        assert_eq!(TypeName::from("int").module(), "builtins");
        assert_eq!(TypeName::from("int").name(), "int");
    }

    #[test]
    fn the_last_dot_parts_module_and_name() {
        let name = TypeName::from("a.b.C");
        assert_eq!((name.module(), name.name()), ("a.b", "C"));
    }
}
