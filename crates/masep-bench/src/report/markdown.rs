//! The tables of docs/performance.md: the figures that people compare, without the least and the greatest of all but masep.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Report, number};
use crate::experiment::Point;
use crate::peers::{BLOCKING, MASEP, RAW};
use crate::placement::Placement;
use crate::results::{Cell, Judgement, Verdict};

/// The columns of the first table, between raw sockets and masep.
const OTHERS: [&str; 7] = [
    "tokio",
    "tungstenite",
    "tonic",
    "zeromq",
    "zenoh",
    "nats",
    "pymasep",
];

/// All tables.
pub(crate) fn tables(report: &Report) -> String {
    let cells = &report.cells;
    let mut text = caption(report);
    text += &beside_others(cells);
    text += &codec(cells);
    text += &by_number(cells, "turns", "turns", "actors");
    text += &spectators(cells);
    text += &by_number(cells, "sizes-round-trip", "p50", "bytes");
    text += &by_number(cells, "sizes-one-way", "each", "bytes");
    text
}

fn caption(report: &Report) -> String {
    let Report {
        machine,
        rounds,
        seconds,
        ..
    } = report;
    let text = format!(
        "{machine}. Client and server are two processes on 127.0.0.1. Each subject is measured once in each of \
         {rounds} rounds, for {seconds} s (codec: a fifth of that). Figures are medians. Ratios are to `std::net` in \
         the same round; for masep the least and the greatest ratio follow in parentheses. `masep::blocking` is masep \
         without async, in the threads that call it. *One core*: all processes share one processor, which compares \
         the work that is done. *Unpinned*: the system places them. The figures of one placement come from one run. \
         A target is *reached* or *missed* in the median. *Not measured* means that the median misses it, some round \
         keeps it, and the rounds differ by more than a quarter."
    );
    wrapped(&text)
}

/// In lines of the width of this repository's documents.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 115;
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        if length > 0 {
            let new_line = length + 1 + word.chars().count() > WIDTH;
            lines.push(if new_line { '\n' } else { ' ' });
            length = if new_line { 0 } else { length + 1 };
        }
        lines.push_str(word);
        length += word.chars().count();
    }
    lines + "\n"
}

/// Each block of cells is one figure of one experiment in one placement.
fn blocks<'a>(
    cells: &'a [Cell],
    wanted: impl Fn(&Cell) -> bool + 'a,
) -> impl Iterator<Item = &'a [Cell]> {
    let same = |a: &Cell, b: &Cell| {
        (&a.experiment, &a.metric, a.placement) == (&b.experiment, &b.metric, b.placement)
    };
    cells.chunk_by(same).filter(move |block| wanted(&block[0]))
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let mut line = "|".to_owned();
    for cell in cells {
        let _ = write!(line, " {} |", cell.replace('|', "\\|"));
    }
    line + "\n"
}

fn head(cells: &[&str]) -> String {
    let names = row(cells.iter().map(|&name| name.to_owned()));
    let rule = row(cells.iter().map(|_| "---".to_owned()));
    format!("\n{names}{rule}")
}

fn beside_others(cells: &[Cell]) -> String {
    let mut columns = vec!["", RAW];
    columns.extend(OTHERS);
    columns.extend([MASEP, "masep::blocking", "target", ""]);
    let mut text = head(&columns);
    // The first figure of each experiment that has raw sockets beside it.
    let mut last = None;
    let mut missing = BTreeMap::new();
    let all = blocks(cells, |cell| cell.base == RAW && cell.metric != "p99");
    for block in all.filter(|block| !block[0].experiment.starts_with("sizes")) {
        let place = (&block[0].experiment, block[0].placement);
        if last.replace(place) == Some(place) {
            continue;
        }
        text += &compared(block);
        for cell in block {
            if let (None, Some(why)) = (&cell.value, &cell.missing) {
                let works: &mut Vec<String> = missing
                    .entry((cell.subject.clone(), why.clone()))
                    .or_default();
                if !works.contains(&cell.about) {
                    works.push(cell.about.clone());
                }
            }
        }
    }
    if !missing.is_empty() {
        text += "\nA dash stands where the question makes no sense, or where the figure is missing:\n\n";
    }
    for ((subject, why), works) in missing {
        let _ = writeln!(text, "- {subject} ({}): {why}", works.join("; "));
    }
    text
}

fn compared(block: &[Cell]) -> String {
    let find = |name: &str| block.iter().find(|cell| cell.subject == name);
    let masep = block
        .iter()
        .find(|cell| cell.verdict.is_some())
        .or_else(|| find(MASEP));
    let first = &block[0];
    let title = format!(
        "{}, {}, {}",
        first.about,
        first.placement.name(),
        first.metric_about
    );
    let mut line = vec![title, find(RAW).map_or_else(dash, absolute)];
    line.extend(OTHERS.map(|name| find(name).map_or_else(dash, ratio)));
    line.push(masep.map_or_else(dash, |cell| match &*cell.subject {
        MASEP => in_full(cell),
        other => format!("{other} {}", in_full(cell)),
    }));
    let blocking = masep.and_then(|cell| find(&cell.subject.replacen(MASEP, BLOCKING, 1)));
    line.push(blocking.map_or_else(dash, in_full));
    let verdict = masep.and_then(|cell| cell.verdict.as_ref());
    line.push(verdict.map_or_else(String::new, |verdict| verdict.target.clone()));
    let also = blocking.and_then(|cell| cell.verdict.as_ref());
    line.push(verdict.map_or_else(String::new, |verdict| both(verdict, also)));
    row(line)
}

/// The verdict on masep, and that on `masep::blocking` if it is another one.
fn both(verdict: &Verdict, blocking: Option<&Verdict>) -> String {
    match blocking {
        Some(blocking) if blocking.judgement != verdict.judgement => {
            format!("{}; `masep::blocking` {}", said(verdict), said(blocking))
        }
        _ => said(verdict),
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn absolute(cell: &Cell) -> String {
    cell.value.map_or_else(dash, |value| {
        format!("{} {}", number(value.median), cell.unit)
    })
}

fn ratio(cell: &Cell) -> String {
    cell.ratio.map_or_else(dash, |ratio| number(ratio.median))
}

fn in_full(cell: &Cell) -> String {
    let spread = cell.ratio.map(|ratio| {
        let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(number);
        format!(": **{median}** ({min} to {max})")
    });
    absolute(cell) + &spread.unwrap_or_default()
}

fn said(verdict: &Verdict) -> String {
    let judgement = match verdict.judgement {
        Judgement::Reached => "reached",
        Judgement::Missed => "missed",
        Judgement::NotMeasured => "not measured",
    };
    match &verdict.note {
        Some(note) => format!("{judgement}: {note}"),
        None => judgement.to_owned(),
    }
}

/// One row for each message and direction.
fn codec(cells: &[Cell]) -> String {
    const COLUMNS: [&str; 6] = [
        "messages",
        "quick-xml",
        "masep",
        "masep, trees or `Action`",
        "pymasep",
        "targets",
    ];
    let mut rows = String::new();
    for block in blocks(cells, |cell| {
        cell.experiment.starts_with("codec") && cell.metric == "rate"
    }) {
        let find = |names: &[&str]| {
            let mut cells = block.iter();
            cells.find(|cell| names.contains(&&*cell.subject))
        };
        let verdicts = block.iter().filter_map(|cell| {
            let verdict = cell.verdict.as_ref()?;
            Some(format!(
                "{}: {}, {}",
                cell.subject,
                verdict.target,
                said(verdict)
            ))
        });
        let own = |names: &[&str]| find(names).map_or_else(dash, in_full);
        rows += &row([
            block[0].about.clone(),
            find(&["quick-xml"]).map_or_else(dash, absolute),
            own(&[MASEP]),
            own(&["masep, trees", "masep, Action"]),
            find(&["pymasep"]).map_or_else(dash, ratio),
            verdicts.collect::<Vec<_>>().join("; "),
        ]);
    }
    if rows.is_empty() {
        return rows;
    }
    let beside_pymasep = cells.iter().filter(|cell| {
        cell.experiment.starts_with("codec") && cell.metric == "time" && cell.verdict.is_some()
    });
    let mut text = format!(
        "\nThe message path: speed, and the ratio to a bare loop over quick-xml's events, which builds no \
         values:\n{}{rows}",
        head(&COLUMNS)
    );
    for cell in beside_pymasep {
        if let Some(verdict) = &cell.verdict {
            let line = format!(
                "{}: masep takes {}, {} of the time of pymasep; {}, {}.",
                sentence(&cell.about),
                absolute(cell),
                ratio(cell),
                verdict.target,
                said(verdict)
            );
            text += &format!("\n{}", wrapped(&line));
        }
    }
    text
}

/// A row for each number, a column for each that is measured with it.
fn by_number(cells: &[Cell], experiment: &str, metric: &str, what: &str) -> String {
    let mut text = String::new();
    let wanted = |cell: &Cell| {
        (&*cell.experiment, &*cell.metric, cell.placement)
            == (experiment, metric, Placement::Unpinned)
    };
    for block in blocks(cells, wanted) {
        let mut series: Vec<&str> = Vec::new();
        let mut rows: BTreeMap<u64, BTreeMap<&str, &Cell>> = BTreeMap::new();
        for cell in block {
            let Some(Point { series: name, x }) = &cell.point else {
                continue;
            };
            if !series.contains(&&**name) {
                series.push(name);
            }
            rows.entry(*x as u64).or_default().insert(name, cell);
        }
        let first = &block[0];
        let _ = writeln!(
            text,
            "\n{}, {}: {} in {}; in parentheses the ratio to {}:",
            sentence(&first.about),
            first.placement.name(),
            first.metric_about,
            first.unit,
            first.base
        );
        let columns: Vec<&str> = std::iter::once(what)
            .chain(series.iter().copied())
            .collect();
        text += &head(&columns);
        for (x, cells) in &rows {
            let figures = series
                .iter()
                .map(|name| cells.get(name).map_or_else(dash, |cell| pair(cell)));
            text += &row(std::iter::once(x.to_string()).chain(figures));
        }
    }
    text + &verdicts(cells, experiment, metric)
}

/// The targets and verdicts, also of the figures of the same experiment that have no table of their own.
fn verdicts(cells: &[Cell], experiment: &str, metric: &str) -> String {
    let mut text = String::new();
    let of = cells
        .iter()
        .filter(|cell| cell.experiment == experiment && metric == "turns");
    for cell in of {
        if let (Some(verdict), Some(value)) = (&cell.verdict, cell.ratio) {
            let line = format!(
                "{}, {}, {}: {} ({} to {}) of that with {}; {}, {}.",
                sentence(&cell.metric_about),
                cell.subject,
                cell.placement.name(),
                number(value.median),
                number(value.min),
                number(value.max),
                cell.base,
                verdict.target,
                said(verdict)
            );
            text += &format!("\n{}", wrapped(&line));
        }
    }
    text
}

fn pair(cell: &Cell) -> String {
    match (cell.value, cell.ratio) {
        (Some(value), Some(ratio)) => {
            format!("{} ({})", number(value.median), number(ratio.median))
        }
        (Some(value), None) => number(value.median),
        _ => dash(),
    }
}

fn spectators(cells: &[Cell]) -> String {
    let mut text = String::new();
    for block in blocks(cells, |cell| cell.experiment == "spectators") {
        if block[0].placement == Placement::OneCore {
            continue;
        }
        let first = &block[0];
        let measured = block.iter().filter(|cell| cell.value.is_some());
        let figures = measured.map(|cell| format!("{} {}", cell.subject, absolute(cell)));
        let line = format!(
            "{}, {}, {}: {}.",
            sentence(&first.about),
            first.placement.name(),
            first.metric_about,
            figures.collect::<Vec<_>>().join(", ")
        );
        text += &format!("\n{}", wrapped(&line));
    }
    text
}

/// With a large letter in front.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let words = vec!["word"; 100].join(" ");
        let lines = wrapped(&words);
        assert_eq!(lines.split_whitespace().count(), 100);
        assert!(lines.lines().all(|line| line.len() <= 115));
        assert!(lines.ends_with("word\n"));
    }

    #[test]
    fn what_is_said_of_both_is_said_once() {
        let verdict = |judgement, note: Option<&str>| Verdict {
            target: "at most 1.20 of raw".to_owned(),
            judgement,
            note: note.map(str::to_owned),
        };
        let missed = verdict(Judgement::Missed, Some("tokio misses it too"));
        let reached = verdict(Judgement::Reached, None);
        assert_eq!(both(&reached, Some(&reached)), "reached");
        assert_eq!(both(&missed, None), "missed: tokio misses it too");
        assert_eq!(
            both(&missed, Some(&reached)),
            "missed: tokio misses it too; `masep::blocking` reached"
        );
    }

    #[test]
    fn a_row_has_as_many_columns_as_cells() {
        let line = row(["a|b".to_owned(), dash()]);
        assert_eq!(line, "| a\\|b | – |\n");
        assert_eq!(head(&["x", ""]), "\n| x |  |\n| --- | --- |\n");
    }
}
