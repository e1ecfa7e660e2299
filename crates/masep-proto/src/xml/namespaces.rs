//! Namespaces: which prefix means which URI. pymasep uses none.

use std::collections::HashMap;

use bytestring::ByteString;

use crate::DecodeErrorKind;

/// The namespace that the prefix `xml` always has.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of the declarations themselves, which nothing may be declared as.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The declarations in force.
#[derive(Debug, Default)]
pub(super) struct Namespaces<'a> {
    /// The URIs of each prefix, innermost last; the default namespace has the prefix "".
    uris: HashMap<&'a str, Vec<ByteString>>,
    /// What was declared, with the depth of the element that it stands on.
    declared: Vec<(usize, &'a str)>,
}

impl<'a> Namespaces<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.declared.is_empty()
    }

    /// Forgets what was declared on elements that are deeper than this.
    pub(super) fn leave(&mut self, depth: usize) {
        while let Some((_, prefix)) = self.declared.pop_if(|(declared, _)| *declared > depth) {
            if let Some(uris) = self.uris.get_mut(prefix) {
                uris.pop();
            }
        }
    }

    /// Declares what a prefix means on an element at this depth and in it.
    ///
    /// # Errors
    /// What expat refuses: to redefine what XML reserves, to take a meaning away, and `}` in a URI,
    /// with which ElementTree parts it from the name.
    pub(super) fn declare(
        &mut self,
        prefix: &'a str,
        uri: ByteString,
        depth: usize,
    ) -> Result<(), DecodeErrorKind> {
        let problem = if prefix == "xmlns" {
            Some("the prefix xmlns cannot be declared")
        } else if (prefix == "xml") != (uri == XML) {
            Some("the prefix xml and its namespace belong together")
        } else if uri == XMLNS {
            Some("the namespace of declarations cannot be declared")
        } else if !prefix.is_empty() && uri.is_empty() {
            Some("a prefix cannot be undeclared")
        } else if uri.contains('}') {
            Some("a namespace with } in it")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(DecodeErrorKind::Syntax(problem));
        }
        self.uris.entry(prefix).or_default().push(uri);
        self.declared.push((depth, prefix));
        Ok(())
    }

    /// The URI of a prefix, or of the default namespace for ""; `None` if there is none.
    pub(super) fn uri(&self, prefix: &str) -> Option<ByteString> {
        if prefix == "xml" {
            return Some(ByteString::from_static(XML));
        }
        let innermost = self.uris.get(prefix)?.last()?;
        (!innermost.is_empty()).then(|| innermost.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_declaration_counts_until_its_element_ends() {
        let mut namespaces = Namespaces::default();
        namespaces.declare("p", "urn:1".into(), 1).unwrap();
        namespaces.declare("p", "urn:2".into(), 2).unwrap();
        namespaces.declare("", "urn:d".into(), 2).unwrap();
        namespaces.declare("", "".into(), 3).unwrap();
        assert_eq!(namespaces.uri("p").as_deref(), Some("urn:2"));
        assert_eq!(namespaces.uri(""), None);
        namespaces.leave(2);
        assert_eq!(namespaces.uri("").as_deref(), Some("urn:d"));
        namespaces.leave(1);
        assert_eq!(namespaces.uri("p").as_deref(), Some("urn:1"));
        assert_eq!(namespaces.uri(""), None);
        namespaces.leave(0);
        assert!(namespaces.is_empty() && namespaces.uri("p").is_none());
    }

    #[test]
    fn what_xml_reserves_stays_as_it_is() {
        let mut namespaces = Namespaces::default();
        for (prefix, uri) in [
            ("xmlns", "urn:x"),
            ("xml", "urn:x"),
            ("p", XML),
            ("", XML),
            ("p", XMLNS),
            ("p", ""),
            ("p", "a}b"),
        ] {
            assert!(
                namespaces.declare(prefix, uri.into(), 1).is_err(),
                "{prefix} {uri}"
            );
        }
        assert!(namespaces.declare("xml", XML.into(), 1).is_ok());
        assert_eq!(namespaces.uri("xml").as_deref(), Some(XML));
    }
}
