//! Namespaces: which prefix means which URI. pymasep uses none.

use std::collections::HashMap;

use bytestring::ByteString;

use crate::DecodeErrorKind;

/// The namespace that the prefix `xml` always has.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of the declarations themselves, which nothing may be declared as.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The number of a namespace in its document. Names are compared by it: a URI can be as long as the
/// document, and each name of the document can be in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Uri {
    /// The URI of the prefix `xml`.
    Xml,
    Declared(usize),
}

/// The declarations in force.
#[derive(Debug, Default)]
pub(super) struct Namespaces<'a> {
    /// The meaning of each prefix here, `None` if it has none; the default namespace has the prefix "".
    meanings: HashMap<&'a str, Option<Uri>>,
    declared: Vec<Declaration<'a>>,
    /// Every URI of the document, by number and the other way round.
    uris: Vec<ByteString>,
    numbers: HashMap<ByteString, usize>,
}

#[derive(Debug)]
struct Declaration<'a> {
    prefix: &'a str,
    /// The meaning of the prefix before.
    outer: Option<Uri>,
    /// The depth of the element that it is on.
    depth: usize,
}

impl<'a> Namespaces<'a> {
    /// True if no declaration is in force.
    pub(super) const fn is_empty(&self) -> bool {
        self.declared.is_empty()
    }

    /// True if the document has declared none so far.
    pub(super) const fn is_unused(&self) -> bool {
        self.uris.is_empty()
    }

    /// Forgets what was declared on elements that are deeper than this.
    pub(super) fn leave(&mut self, depth: usize) {
        while let Some(inner) = self.declared.pop_if(|inner| inner.depth > depth) {
            self.meanings.insert(inner.prefix, inner.outer);
        }
    }

    /// Declares what a prefix means on an element at this depth and in it.
    ///
    /// # Errors
    /// Declarations that expat refuses: to redefine a prefix or URI that XML reserves, to take a meaning away,
    /// and `}` in a URI, with which ElementTree parts it from the name.
    pub(super) fn declare(
        &mut self,
        prefix: &'a str,
        uri: &str,
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
        let meaning = (!uri.is_empty()).then(|| self.number(uri));
        let outer = self.meanings.insert(prefix, meaning).flatten();
        self.declared.push(Declaration {
            prefix,
            outer,
            depth,
        });
        Ok(())
    }

    fn number(&mut self, uri: &str) -> Uri {
        if uri == XML {
            return Uri::Xml;
        }
        if let Some(number) = self.numbers.get(uri) {
            return Uri::Declared(*number);
        }
        let number = self.uris.len();
        let uri = ByteString::from(uri);
        self.uris.push(uri.clone());
        self.numbers.insert(uri, number);
        Uri::Declared(number)
    }

    /// The namespace of a prefix, or the default one for ""; `None` if there is none.
    pub(super) fn uri(&self, prefix: &str) -> Option<Uri> {
        if prefix == "xml" {
            return Some(Uri::Xml);
        }
        *self.meanings.get(prefix)?
    }

    /// The text of a URI.
    pub(super) fn text(&self, uri: Uri) -> ByteString {
        match uri {
            Uri::Xml => ByteString::from_static(XML),
            Uri::Declared(number) => self.uris.get(number).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(namespaces: &Namespaces<'_>, prefix: &str) -> Option<ByteString> {
        namespaces.uri(prefix).map(|uri| namespaces.text(uri))
    }

    #[test]
    fn the_innermost_declaration_counts_until_its_element_ends() {
        let mut namespaces = Namespaces::default();
        assert!(namespaces.is_unused());
        namespaces.declare("p", "urn:1", 1).unwrap();
        namespaces.declare("p", "urn:2", 2).unwrap();
        namespaces.declare("", "urn:d", 2).unwrap();
        namespaces.declare("", "", 3).unwrap();
        assert_eq!(text(&namespaces, "p").as_deref(), Some("urn:2"));
        assert_eq!(namespaces.uri(""), None);
        namespaces.leave(2);
        assert_eq!(text(&namespaces, "").as_deref(), Some("urn:d"));
        namespaces.leave(1);
        assert_eq!(text(&namespaces, "p").as_deref(), Some("urn:1"));
        assert_eq!(namespaces.uri(""), None);
        namespaces.leave(0);
        assert!(namespaces.is_empty() && namespaces.uri("p").is_none());
        assert!(!namespaces.is_unused());
    }

    #[test]
    fn a_namespace_has_one_number_whatever_its_prefixes() {
        let mut namespaces = Namespaces::default();
        namespaces.declare("p", "urn:1", 1).unwrap();
        namespaces.declare("q", "urn:1", 1).unwrap();
        namespaces.declare("r", "urn:2", 1).unwrap();
        assert_eq!(namespaces.uri("p"), namespaces.uri("q"));
        assert_ne!(namespaces.uri("p"), namespaces.uri("r"));
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
                namespaces.declare(prefix, uri, 1).is_err(),
                "{prefix} {uri}"
            );
        }
        assert!(namespaces.declare("xml", XML, 1).is_ok());
        assert_eq!(namespaces.uri("xml"), Some(Uri::Xml));
        assert_eq!(namespaces.text(Uri::Xml), XML);
    }
}
