//! The prefixes that ElementTree chooses for namespaces.

use bytestring::ByteString;

use super::escape;

/// The prefixes of the namespaces in an element, numbered as the namespaces come up. That of the
/// prefix `xml` is not among them: it is never declared.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    chosen: Vec<Choice>,
}

#[derive(Debug)]
struct Choice {
    prefix: String,
    uri: ByteString,
}

impl Prefixes {
    pub(super) const fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Chooses a prefix for a namespace that has none yet, and returns its number. Those that
    /// everybody knows have their usual ones.
    pub(super) fn add(&mut self, uri: ByteString) -> usize {
        let number = self.chosen.len();
        let prefix = match &*uri {
            "http://www.w3.org/1999/xhtml" => "html".to_owned(),
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#" => "rdf".to_owned(),
            "http://schemas.xmlsoap.org/wsdl/" => "wsdl".to_owned(),
            "http://www.w3.org/2001/XMLSchema" => "xs".to_owned(),
            "http://www.w3.org/2001/XMLSchema-instance" => "xsi".to_owned(),
            "http://purl.org/dc/elements/1.1/" => "dc".to_owned(),
            _ => format!("ns{number}"),
        };
        self.chosen.push(Choice { prefix, uri });
        number
    }

    /// The prefix of the namespace with this number.
    pub(super) fn prefix(&self, number: usize) -> &str {
        self.chosen.get(number).map_or("", |choice| &choice.prefix)
    }

    /// Writes the declarations, as attributes of the outermost element: in the order of the
    /// prefixes.
    pub(super) fn push_declarations(&self, output: &mut String) {
        let mut sorted: Vec<&Choice> = self.chosen.iter().collect();
        sorted.sort_unstable_by_key(|choice| &choice.prefix);
        for Choice { prefix, uri } in sorted {
            output.push_str(" xmlns:");
            output.push_str(prefix);
            output.push_str("=\"");
            escape::push_attribute(output, uri);
            output.push('"');
        }
    }
}

/// Writes a name.
pub(super) fn push_name(output: &mut String, prefix: Option<&str>, local: &str) {
    if let Some(prefix) = prefix {
        output.push_str(prefix);
        output.push(':');
    }
    output.push_str(local);
}
