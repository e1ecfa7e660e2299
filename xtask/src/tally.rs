//! Tests counted, as the summaries of `cargo test` and pytest tell them.

use std::fmt;
use std::ops::AddAssign;

/// The beginning of what a test says that cannot run here. The name of another test may stand before it.
const SKIPPED: &str = "SKIPPED ";

/// Tests that passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// `3 passed, 0 failed`, and `, 1 skipped` if there are any.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl Tally {
    /// The counts in `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, the line that ends each test binary, and in
    /// `SKIPPED ...`, the line of a test that cannot run here, which passes as well; `None` for any other line.
    pub(crate) fn of_cargo_test(line: &str) -> Option<Self> {
        if line.contains(SKIPPED) {
            return Some(Self {
                skipped: 1,
                ..Self::default()
            });
        }
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Some(Self::of_counts(counts.split("; ")))
    }

    /// The counts in `==== 2 failed, 3 passed, 1 skipped in 0.12s ====`, the line that ends pytest's
    /// output; `None` for any other line.
    pub(crate) fn of_pytest(line: &str) -> Option<Self> {
        let (counts, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
        let is_time = time.starts_with(|first: char| first.is_ascii_digit());
        let is_count = |part: &str| {
            part.split_once(' ')
                .is_some_and(|(number, word)| number.parse::<u64>().is_ok() && !word.contains(' '))
        };
        (is_time && counts.split(", ").all(is_count)).then(|| Self::of_counts(counts.split(", ")))
    }

    /// The counts in a line that [`Display`](fmt::Display) has written; `None` for any other line.
    pub(crate) fn of_summary(line: &str) -> Option<Self> {
        let tally = Self::of_counts(line.split(", "));
        (tally.to_string() == line).then_some(tally)
    }

    fn of_counts<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut tally = Self::default();
        for (number, word) in parts.filter_map(|part| part.split_once(' ')) {
            let number = number.parse().unwrap_or(0);
            match word {
                "passed" | "xpassed" => tally.passed += number,
                "failed" | "error" | "errors" => tally.failed += number,
                "ignored" | "skipped" | "xfailed" => tally.skipped += number,
                _ => {}
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn the_last_line_of_a_test_binary_is_counted() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_cargo_test(ok), Some(tally(12, 0, 1)));
        let failed =
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::of_cargo_test(failed), Some(tally(5, 2, 0)));
        let skipped = "test of_a_lan ... SKIPPED of_a_lan: no network namespaces";
        assert_eq!(Tally::of_cargo_test(skipped), Some(tally(0, 0, 1)));
        assert_eq!(Tally::of_cargo_test("test result_is_kept ... ok"), None);
        assert_eq!(Tally::of_cargo_test("running 12 tests"), None);
    }

    #[test]
    fn the_last_line_of_pytest_is_counted() {
        for (line, expected) in [
            ("===== 3 passed in 0.05s =====", tally(3, 0, 0)),
            (
                "== 2 failed, 30 passed, 1 skipped, 4 warnings, 1 error in 61.20s (0:01:01) ==",
                tally(30, 3, 1),
            ),
            ("1 xfailed, 2 xpassed, 5 deselected in 1s", tally(2, 0, 1)),
        ] {
            assert_eq!(Tally::of_pytest(line), Some(expected), "{line}");
        }
        for line in [
            "=== test session starts ===",
            "3 passed in a row",
            "no tests ran in 0.00s",
            "FAILED test_x.py::test - assert 3 failed in 2s",
        ] {
            assert_eq!(Tally::of_pytest(line), None, "{line}");
        }
    }

    #[test]
    fn skipped_tests_are_told_only_if_there_are_any() {
        assert_eq!(tally(7, 0, 0).to_string(), "7 passed, 0 failed");
        let all = tally(7, 1, 2);
        assert_eq!(all.to_string(), "7 passed, 1 failed, 2 skipped");
        assert_eq!(Tally::of_summary(&all.to_string()), Some(all));
        assert_eq!(Tally::of_summary("error: 7 passed, 1 failed"), None);
    }
}
