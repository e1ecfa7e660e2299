//! Links in Markdown files: those to files of the repository and to headings must lead somewhere.
//!
//! Links to other hosts are not followed: a lint gives the same answer on every run and in a train.

use std::path::{Component, Path, PathBuf};

use super::{files, none_found, read};
use crate::process::root;
use crate::step::Failure;

pub(crate) fn check() -> Result<(), Failure> {
    let mut broken = Vec::new();
    let mut count = 0;
    for file in files(&["md"])? {
        for (line, target) in targets(&read(&file)?) {
            if is_elsewhere(&target) {
                continue;
            }
            count += 1;
            if let Err(why) = resolve(&file, &target) {
                broken.push(format!("{file}:{line}: {target}: {why}"));
            }
        }
    }
    println!("{count} links within the repository");
    none_found(&broken, "links lead nowhere")
}

fn is_elsewhere(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// Checks that the target of a link in `file` exists.
fn resolve(file: &str, target: &str) -> Result<(), String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        PathBuf::from(file)
    } else {
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        within_repository(&directory.join(path)).ok_or("it leads out of the repository")?
    };
    if !root().join(&path).exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return Ok(());
    }
    let text = read(&path.to_string_lossy()).map_err(|failure| failure.to_string())?;
    if anchors(&text).iter().any(|known| known == anchor) {
        Ok(())
    } else {
        Err("no such heading".to_owned())
    }
}

/// The path without `.` and `..`; `None` if it climbs above the root.
fn within_repository(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The lines of the text that are not inside a fenced block, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let marker = ["```", "~~~"]
            .into_iter()
            .find(|marker| start.starts_with(marker));
        match (fence, marker) {
            (None, None) => return Some((index + 1, line)),
            (None, Some(_)) => fence = marker,
            (Some(open), Some(close)) if open == close => fence = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// The targets of `[text](target)` and `[name]: target`, with the line that each stands on.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        if let Some((_, target)) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
        {
            targets.push((number, first_word(target)));
        }
        for (at, _) in line.match_indices("](") {
            if let Some((target, _)) = line[at + 2..].split_once(')') {
                targets.push((number, first_word(target)));
            }
        }
    }
    targets
}

/// The target without the title that may follow it.
fn first_word(target: &str) -> String {
    let word = target.split_whitespace().next().unwrap_or("");
    word.trim_matches(['<', '>']).to_owned()
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let same = |known: &&String| {
            known.strip_prefix(&anchor).is_some_and(|rest| {
                rest.is_empty()
                    || rest
                        .strip_prefix('-')
                        .is_some_and(|number| number.parse::<u32>().is_ok())
            })
        };
        match anchors.iter().filter(same).count() {
            0 => anchors.push(anchor),
            before => anchors.push(format!("{anchor}-{before}")),
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "See [a](A.md#x \"title\") and [b](<b/c.md>).\n```\n[no](no.md)\n```\n\
                    `[no](no.md)` and ![image](p.png)\n\n[ref]: d.md\n";
        let found = targets(text);
        let expected = [(1, "A.md#x"), (1, "b/c.md"), (5, "p.png"), (7, "d.md")];
        assert_eq!(
            found,
            expected.map(|(line, target)| (line, target.to_owned()))
        );
    }

    #[test]
    fn headings_have_the_anchors_that_github_gives_them() {
        let text = "# The wire\n## `BYE`, and closing\n```\n# no heading\n```\n## 3.1 A_b é?\n## The wire\n#no\n";
        assert_eq!(
            anchors(text),
            ["the-wire", "bye-and-closing", "31-a_b-é", "the-wire-1"]
        );
    }

    #[test]
    fn a_path_stays_within_the_repository() {
        assert_eq!(
            within_repository(Path::new("a/./b/../c.md")),
            Some(PathBuf::from("a/c.md"))
        );
        assert_eq!(within_repository(Path::new("a/../../c.md")), None);
        assert_eq!(within_repository(Path::new("/etc/passwd")), None);
    }
}
