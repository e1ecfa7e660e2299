//! Names with their namespaces.

use std::fmt;

use bytestring::ByteString;

use crate::printable::Quoted;
use crate::xml;

/// The name of an element or an attribute: a local name, perhaps in a namespace.
///
/// As text it is written as ElementTree does it: `local`, or `{uri}local`. pymasep uses no
/// namespaces.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QName {
    /// The URI of a name that is not plain; empty if that is not because of a namespace. Plain
    /// names, which all of pymasep's are, shall not pay for it.
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
            None => Self::in_namespace(ByteString::new(), name),
        }
    }

    /// A name in a namespace; an empty URI is none.
    pub fn in_namespace(uri: impl Into<ByteString>, local: impl Into<ByteString>) -> Self {
        let (uri, local) = (uri.into(), local.into());
        let is_plain = uri.is_empty() && local != "xmlns" && xml::is_name(&local);
        Self {
            uri: (!is_plain).then(|| Box::new(uri)),
            local,
        }
    }

    /// A name of XML that was read, in no namespace.
    #[inline]
    pub(crate) fn of_xml(local: ByteString) -> Self {
        if local == "xmlns" {
            return Self::in_namespace(ByteString::new(), local);
        }
        Self { uri: None, local }
    }

    /// The name as it is written, if it can be written as it is: it is in no namespace, XML takes it,
    /// and as an attribute it would not declare anything.
    #[inline]
    pub(crate) fn as_plain(&self) -> Option<&str> {
        match self.uri {
            None => Some(&self.local),
            Some(_) => None,
        }
    }

    /// The name without the namespace.
    pub const fn local(&self) -> &ByteString {
        &self.local
    }

    /// True if XML takes the name.
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
        let uri = self.uri();
        if uri.is_empty() {
            return self.local == *other;
        }
        other
            .strip_prefix('{')
            .and_then(|rest| rest.strip_prefix(&**uri))
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
        let uri = self.uri();
        if !uri.is_empty() {
            write!(f, "{{{uri}}}")?;
        }
        f.write_str(&self.local)
    }
}

/// Quoted and escaped: a name comes from outside and may hold anything.
impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Quoted(&self.to_string()), f)
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

    #[test]
    fn a_name_is_the_same_wherever_it_is_from() {
        for name in ["a", "xmlns", "\u{e9}"] {
            assert_eq!(QName::of_xml(name.into()), QName::new(name));
            assert_eq!(QName::in_namespace("", name), QName::new(name));
        }
        for name in ["a", "\u{e9}"] {
            assert_eq!(QName::new(name).as_plain(), Some(name));
        }
        for name in ["xmlns", "1", "a:b", "", "{urn:x}a"] {
            assert_eq!(QName::new(name).as_plain(), None, "{name}");
        }
    }
}
