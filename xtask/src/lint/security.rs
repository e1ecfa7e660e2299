//! The tests that SECURITY.md names: each has to be where it says.

use super::{none_found, read};
use crate::step::Failure;

const DOCUMENT: &str = "SECURITY.md";

pub(crate) fn check() -> Result<(), Failure> {
    let named = named_tests(&read(DOCUMENT)?);
    if named.is_empty() {
        return Err(Failure::new(format!("{DOCUMENT} names no test")));
    }
    let mut missing = Vec::new();
    for (test, file) in &named {
        if !is_defined(&read(file)?, test) {
            missing.push(format!(
                "{DOCUMENT} names the test {test}, which is not in {file}"
            ));
        }
    }
    println!("{} tests are named", named.len());
    none_found(&missing, "tests are missing")
}

/// The links of the table whose text is the name of a test: that name and the file.
fn named_tests(document: &str) -> Vec<(String, String)> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('[').skip(1))
        .filter_map(|link| {
            let (test, rest) = link.split_once("](")?;
            let (file, _) = rest.split_once(')')?;
            Some((test.to_owned(), file.to_owned()))
        })
        .collect()
}

/// Whether the source has a function of this name, in Rust or in Python.
fn is_defined(source: &str, test: &str) -> bool {
    ["fn", "def"]
        .iter()
        .any(|word| source.contains(&format!("{word} {test}(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_by_the_links_of_the_table() {
        let document = "[a page](PROTOCOL.md)\n| does | ends | [one](a.rs), [two](b.py) |\n";
        let named = named_tests(document);
        let expected = [("one", "a.rs"), ("two", "b.py")];
        assert_eq!(
            named,
            expected.map(|(test, file)| (test.to_owned(), file.to_owned()))
        );
    }

    #[test]
    fn a_name_that_only_begins_like_a_test_is_none() {
        assert!(is_defined("async fn one() {}", "one"));
        assert!(is_defined("def two(masep):", "two"));
        assert!(!is_defined("fn one_more() {} // one", "one"));
    }
}
