//! Names with their namespaces.

use std::fmt;

use bytestring::ByteString;

use crate::xml;

/// The name of an element or an attribute: a local name, perhaps in a namespace.
///
/// As text it is written as ElementTree does it: `local`, or `{uri}local`. pymasep uses no
/// namespaces.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QName {
    /// Not empty. Names in no namespace, which all of pymasep's are, shall not pay for it.
    uri: Option<Box<ByteString>>,
    local: ByteString,
}

impl QName {
    /// A name from its text: `local` or `{uri}local`.
    pub fn new(name: impl Into<ByteString>) -> Self {
        let name = name.into();
        let parts = name
            .strip_prefix('{')
            .and_then(|rest| rest.rsplit_once('}'));
        match parts {
            Some((uri, local)) => Self::in_namespace(name.slice_ref(uri), name.slice_ref(local)),
            None => Self::local_name(name),
        }
    }

    /// A name in a namespace; an empty URI is none.
    pub fn in_namespace(uri: impl Into<ByteString>, local: impl Into<ByteString>) -> Self {
        let uri = uri.into();
        Self {
            uri: (!uri.is_empty()).then(|| Box::new(uri)),
            local: local.into(),
        }
    }

    /// A name in no namespace, which is not looked at.
    pub(crate) const fn local_name(local: ByteString) -> Self {
        Self { uri: None, local }
    }

    /// The name without the namespace.
    pub const fn local(&self) -> &ByteString {
        &self.local
    }

    /// Whether XML takes the name.
    pub(super) fn is_valid(&self) -> bool {
        let is_uri = |uri: &ByteString| !uri.contains('}') && *uri != xml::XMLNS_NAMESPACE;
        xml::is_name(&self.local) && self.uri.as_deref().is_none_or(is_uri)
    }

    /// The URI of the namespace; empty if the name is in none.
    pub fn uri(&self) -> &ByteString {
        static NONE: ByteString = ByteString::new();
        self.uri.as_deref().unwrap_or(&NONE)
    }
}

impl<T: Into<ByteString>> From<T> for QName {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

impl PartialEq<str> for QName {
    fn eq(&self, other: &str) -> bool {
        let Some(uri) = &self.uri else {
            return self.local == *other;
        };
        other
            .strip_prefix('{')
            .and_then(|rest| rest.strip_prefix(&***uri))
            .and_then(|rest| rest.strip_prefix('}'))
            == Some(&*self.local)
    }
}

impl PartialEq<&str> for QName {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(uri) = &self.uri {
            write!(f, "{{{uri}}}")?;
        }
        f.write_str(&self.local)
    }
}

/// Quoted and escaped: a name comes from outside and may hold anything.
impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_elementtree_writes_it() {
        let name = QName::from("{urn:x}a");
        assert_eq!((&**name.uri(), &**name.local()), ("urn:x", "a"));
        assert_eq!(name.to_string(), "{urn:x}a");
        assert_eq!(name, "{urn:x}a");
        assert_ne!(name, "a");
        assert_eq!(QName::from("a"), "a");
        assert_eq!(QName::from("a").to_string(), "a");
    }
}
