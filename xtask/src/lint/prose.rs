//! Sentences in documents and comments: none opens with a question word, which would put its subject off.

use super::{files, none_found, read};
use crate::step::Failure;

const WORDS: [&str; 5] = ["Who", "Whoever", "What", "Whether", "How"];

pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = Vec::new();
    for file in files(&["md", "rs", "py", "pyi"])? {
        let text = read(&file)?;
        let lines = if file.ends_with(".md") {
            prose_of_markdown(&text)
        } else {
            prose_of_comments(&text, if file.ends_with(".rs") { "//" } else { "#" })
        };
        for (number, line) in lines {
            if let Some(sentence) = question(line) {
                findings.push(format!("{file}:{number}: {sentence}"));
            }
        }
    }
    none_found(&findings, "sentences that open with a question word")
}

/// The lines of a Markdown file outside blocks of code, with their numbers.
fn prose_of_markdown(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let prose = (1..).zip(text.lines()).filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    prose.collect()
}

/// The comments that have a line for themselves, and the first lines of docstrings.
fn prose_of_comments<'a>(text: &'a str, mark: &str) -> Vec<(usize, &'a str)> {
    let comment = |line: &'a str| {
        let line = line.trim_start();
        let text = line
            .strip_prefix(mark)
            .or_else(|| line.strip_prefix(r#"""""#));
        text.map(|text| text.trim_start_matches(['/', '!']))
    };
    let lines = (1..).zip(text.lines());
    lines
        .filter_map(|(number, line)| Some((number, comment(line)?)))
        .collect()
}

/// The first sentence of a line that opens with a question word.
fn question(line: &str) -> Option<&str> {
    let is_mark = |c: char| c.is_whitespace() || "#*->|".contains(c);
    let begins = [0].into_iter().chain(
        [". ", "! ", "? ", "| "]
            .iter()
            .flat_map(|end| line.match_indices(end).map(|(at, end)| at + end.len())),
    );
    begins
        .map(|at| line[at..].trim_start_matches(is_mark))
        .find(|rest| {
            let word = rest.split(|c: char| !c.is_alphabetic()).next();
            let follows = |word: &str| rest[word.len()..].starts_with([' ', '\'']);
            word.is_some_and(|word| WORDS.contains(&word) && follows(word))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_opens_with_a_question_word_is_found_wherever_it_begins() {
        for line in [
            "What it is.",
            " # How to do it",
            "- **Who comes**, sits.",
            "It is so. Whether it stays is unknown.",
            "| a | Whoever reads |",
        ] {
            assert!(question(line).is_some(), "{line}");
        }
        for line in [
            "It is what it is.",
            "`How` tells it.",
            "[`What`](a) is a link.",
            "However it comes, it stays. Whole frames arrive.",
            "How::Played",
        ] {
            assert_eq!(question(line), None, "{line}");
        }
    }

    #[test]
    fn code_is_no_prose() {
        let text = "One.\n```sh\n# What is it\n```\nTwo.";
        assert_eq!(prose_of_markdown(text), [(1, "One."), (5, "Two.")]);
        let code = "let what = 1; // How\n    /// What is it\n\"What\"";
        assert_eq!(prose_of_comments(code, "//"), [(2, " What is it")]);
    }
}
