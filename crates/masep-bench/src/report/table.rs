//! The table.

use std::fmt::Write;

use super::number;
use crate::results::{Cell, Judgement};
use crate::stats::Spread;

/// A block for each figure, a line in it for each subject: the median over the rounds with the least and the
/// greatest, the same of the ratio to the base, and whether what was to be reached was.
pub(crate) fn table(cells: &[Cell]) -> String {
    let mut text = String::new();
    for block in cells.chunk_by(|a, b| heading(a) == heading(b)) {
        let _ = writeln!(text, "\n{}", heading(&block[0]));
        let wide = block
            .iter()
            .map(|cell| cell.subject.chars().count())
            .max()
            .unwrap_or(0);
        for cell in block {
            let _ = writeln!(text, "  {:wide$}  {}", cell.subject, line(cell));
        }
    }
    text
}

fn heading(cell: &Cell) -> String {
    let better = if cell.less_is_better { "less" } else { "more" };
    let Cell {
        about,
        metric_about,
        unit,
        base,
        ..
    } = cell;
    let place = cell.placement.name();
    format!("{about}, {place}: {metric_about} in {unit} ({better} is better), ratio to {base}")
}

fn line(cell: &Cell) -> String {
    let mut line = match (&cell.value, &cell.missing) {
        (Some(value), _) => format!("{:32}", spread(value)),
        (None, Some(why)) => format!("missing: {why}"),
        (None, None) => "missing: not measured".to_owned(),
    };
    if let Some(ratio) = &cell.ratio {
        let _ = write!(line, "  {:24}", spread(ratio));
    }
    if let (Some(_), Some(why)) = (&cell.value, &cell.missing) {
        let failed = cell.rounds.iter().filter(|round| round.is_none()).count();
        let _ = write!(
            line,
            "  failed in {failed} of {} rounds: {why}",
            cell.rounds.len()
        );
    }
    if let Some(verdict) = &cell.verdict {
        let said = match verdict.judgement {
            Judgement::Reached => "reached",
            Judgement::Missed => "MISSED",
            Judgement::NotMeasured => "not measured",
        };
        let _ = write!(line, "  {said}: {}", verdict.target);
        if let Some(note) = &verdict.note {
            let _ = write!(line, ", {note}");
        }
    }
    line.trim_end().to_owned()
}

fn spread(spread: &Spread) -> String {
    let Spread { median, min, max } = *spread;
    format!("{:>8} [{} .. {}]", number(median), number(min), number(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Placement;
    use crate::results::Verdict;

    fn cell(subject: &str, value: Option<Spread>, missing: Option<&str>) -> Cell {
        Cell {
            experiment: "round-trip-64".to_owned(),
            about: "round trip, 64 B".to_owned(),
            placement: Placement::OneCore,
            metric: "p50".to_owned(),
            metric_about: "median".to_owned(),
            unit: "µs".to_owned(),
            less_is_better: true,
            subject: subject.to_owned(),
            point: None,
            base: "raw".to_owned(),
            rounds: vec![value.map(|value| value.median), None],
            value,
            ratio: value,
            missing: missing.map(str::to_owned),
            verdict: None,
        }
    }

    #[test]
    fn nobody_is_left_out() {
        let spread = Spread {
            median: 1.25,
            min: 0.05,
            max: 1234.5,
        };
        let mut masep = cell("masep", Some(spread), None);
        masep.verdict = Some(Verdict {
            target: "at most 1.20 of raw".to_owned(),
            judgement: Judgement::Missed,
            note: Some("but for some rounds".to_owned()),
        });
        let cells = [
            masep,
            cell("zmq", Some(spread), Some("time-out")),
            cell("nats", None, Some("no program nats-server")),
        ];
        let text = table(&cells);
        let lines: Vec<&str> = text.trim().lines().collect();
        assert_eq!(
            lines[0],
            "round trip, 64 B, one core: median in µs (less is better), ratio to raw"
        );
        assert!(
            lines[1].starts_with("  masep      1.25 [0.0500 .. 1234]"),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with("MISSED: at most 1.20 of raw, but for some rounds"));
        assert!(lines[2].ends_with("failed in 1 of 2 rounds: time-out"));
        assert!(lines[3].starts_with("  nats   missing: no program nats-server"));
        assert_eq!(lines.len(), 4);
    }
}
