//! The tests that SECURITY.md names: each has to be where it says.

use super::{none_found, read};
use crate::step::Failure;

const DOCUMENT: &str = "SECURITY.md";
/// The first lines of lists of scenarios, each of which is a test of either shell (`crates/masep/tests/shells`).
const SCENARIOS: [&str; 4] = [
    "of_each_shell! {",
    "of_each_pair! {",
    "of_each_network! {",
    "of_each_pair_and_network! {",
];

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

/// True if the source has a test of this name that is run: in Rust a function under an attribute
/// that ends in `test`, and not under `#[ignore]`, or a scenario in the list of a macro that makes
/// tests of both shells; in Python a function at the left margin.
fn is_defined(source: &str, test: &str) -> bool {
    let python = format!("def {test}(");
    let rust = [format!("fn {test}("), format!("async fn {test}(")];
    let mut in_scenarios = false;
    let mut attributes: Vec<&str> = Vec::new();
    for line in source.lines() {
        let code = line.trim_start();
        in_scenarios &= code != "}";
        in_scenarios |= SCENARIOS.contains(&line);
        let is_scenario = in_scenarios && code.rsplit(' ').next() == Some(test);
        if line.starts_with(&python) || (is_scenario && !code.starts_with("//")) {
            return true;
        }
        if rust.iter().any(|head| code.starts_with(head)) {
            let is_test = attributes.iter().any(|attribute| is_test(attribute));
            return is_test
                && !attributes
                    .iter()
                    .any(|attribute| attribute.starts_with("#[ignore"));
        }
        if code.starts_with("#[") {
            attributes.push(code);
        } else if !code.starts_with("//") {
            attributes.clear();
        }
    }
    false
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(flavor = "multi_thread")]`, ...
fn is_test(attribute: &str) -> bool {
    let path = attribute.trim_start_matches("#[").split(['(', ']']).next();
    path.is_some_and(|path| path.rsplit("::").next() == Some("test"))
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
    fn only_a_test_that_is_run_counts() {
        assert!(is_defined("#[test]\nfn one() {}", "one"));
        assert!(is_defined("of_each_shell! {\n    one\n}", "one"));
        assert!(is_defined(
            "of_each_pair! {\n    #[cfg(unix)] one\n}",
            "one"
        ));
        assert!(is_defined(
            "of_each_network! {\n    two\n    ; with resets:\n    one\n}",
            "one"
        ));
        assert!(!is_defined("of_none! {\n    one\n}", "one"));
        assert!(!is_defined("of_each_pair! {\n    // one\n}\none", "one"));
        assert!(is_defined(
            "#[tokio::test(start_paused = true)]\n// why\n    async fn one() {",
            "one"
        ));
        assert!(is_defined("def two(masep):", "two"));
        for none in [
            "fn one() {}",
            "#[test]\nfn one_more() {} // one",
            "// #[test]\n// fn one() {}",
            "#[test]\n#[ignore = \"slow\"]\nfn one() {}",
            "#[test]\nfn other() {\n}\nfn one() {}",
        ] {
            assert!(!is_defined(none, "one"), "{none}");
        }
        assert!(!is_defined("# def two():", "two"));
    }
}
