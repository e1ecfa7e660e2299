//! A row for each who was measured: a bar as long as the median, or a dot where the figures are too far apart for bars.

use super::super::number;
use super::axis::{Axis, tick};
use super::legend;
use super::svg::{Anchor, Svg};
use crate::peers::MASEP;
use crate::results::Cell;
use crate::stats::Spread;

const WIDTH: f64 = 760.0;
/// The left end of the bars, and the right end of the longest one.
const LEFT: f64 = 140.0;
const RIGHT: f64 = 680.0;
const TOP: f64 = 60.0;
const ROW: f64 = 24.0;
const BAR: f64 = 16.0;
/// Room for the ticks.
const BOTTOM: f64 = 34.0;
/// The part of the width that is behind the place where an axis is broken.
const BEHIND_BREAK: f64 = 80.0;

/// A figure this many times as great as the next smaller one is behind a break of the axis.
const GAP: f64 = 10.0;
/// If the greatest figure is this many times the least, the axis goes by powers of ten.
const FAR_APART: f64 = 50.0;

struct Row<'a> {
    subject: &'a str,
    value: Spread,
}

impl Row<'_> {
    fn is_ours(&self) -> bool {
        self.subject.starts_with(MASEP)
    }
}

pub(super) fn draw(about: &str, rounds: usize, cells: &[&Cell]) -> String {
    let rows = cells.iter().filter_map(|cell| {
        let subject = &cell.subject;
        cell.value.map(|value| Row { subject, value })
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let last = last_before_gap(rows.iter().map(|row| row.value.median).collect());
    let is_broken = rows.iter().any(|row| row.value.median > last);
    let within = || rows.iter().filter(|row| row.value.median <= last);
    let least = within().map(|row| row.value.min).fold(f64::MAX, f64::min);
    let greatest = within().map(|row| row.value.max).fold(0.0, f64::max);
    let end = if is_broken {
        RIGHT - BEHIND_BREAK
    } else {
        RIGHT
    };
    let is_logarithmic = greatest > FAR_APART * least && least > 0.0;
    let axis = match is_logarithmic {
        true => Axis::logarithmic((LEFT, end), least / 1.5, greatest * 1.1),
        false => Axis::linear((LEFT, end), greatest),
    };
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + BOTTOM);
    svg.text("title", (10.0, 16.0), Anchor::Start, about);
    let mut note = legend(
        if is_logarithmic { "dot" } else { "bar" },
        rounds,
        rows.iter().map(|row| row.value),
    );
    note += if is_logarithmic { "; logarithmic" } else { "" };
    note += if is_broken {
        "; the axis is broken at //"
    } else {
        ""
    };
    svg.text("note", (10.0, 37.0), Anchor::Start, &note);
    ticks(
        &mut svg,
        &axis,
        bottom,
        if is_broken { end + 8.0 } else { end },
    );
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let class = if row.is_ours() { "strong" } else { "" };
        svg.text(class, (LEFT - 10.0, y), Anchor::End, row.subject);
        let end = match row.value.median > last {
            true => beyond(&mut svg, row, y, end),
            false if is_logarithmic => dot(&mut svg, &axis, row, y),
            false => bar(&mut svg, &axis, row, y),
        };
        let figure = match row.value.median {
            median @ 1000.0.. => tick(median.round()),
            median => number(median),
        };
        svg.text(class, (end + 8.0, y), Anchor::Start, &figure);
    }
    if is_broken {
        break_axis(&mut svg, end + 20.0, bottom);
        svg.line("axis", &[(end + 24.0, bottom), (RIGHT, bottom)]);
    }
    svg.finish(about)
}

/// The greatest median in front of the first gap: all, if there is none.
fn last_before_gap(mut medians: Vec<f64>) -> f64 {
    medians.sort_by(f64::total_cmp);
    let gap = medians.windows(2).find(|pair| pair[1] > GAP * pair[0]);
    // A gap behind less than half of them says that those are few, not that the others are beyond.
    let is_outlier = |pair: &&[f64]| {
        let before = medians.iter().filter(|median| **median <= pair[0]).count();
        2 * before > medians.len()
    };
    let last = gap.filter(is_outlier).map(|pair| pair[0]);
    last.or_else(|| medians.last().copied()).unwrap_or(0.0)
}

fn ticks(svg: &mut Svg, axis: &Axis, bottom: f64, end: f64) {
    for value in axis.ticks() {
        let x = axis.at(value);
        svg.line("grid", &[(x, TOP), (x, bottom)]);
        svg.text("note", (x, bottom + 14.0), Anchor::Middle, &tick(value));
    }
    svg.line("axis", &[(LEFT, bottom), (end, bottom)]);
}

/// Returns where it ends, as the following do.
fn bar(svg: &mut Svg, axis: &Axis, row: &Row<'_>, y: f64) -> f64 {
    let Spread { median, min, max } = row.value;
    rectangle(svg, row, y, axis.at(median));
    if min < max {
        svg.spread_across(y, axis.at(min), axis.at(max));
    }
    axis.at(max)
}

fn dot(svg: &mut Svg, axis: &Axis, row: &Row<'_>, y: f64) -> f64 {
    let Spread { median, min, max } = row.value;
    if min < max {
        svg.spread_across(y, axis.at(min), axis.at(max));
    }
    let class = if row.is_ours() { "series0" } else { "series3" };
    svg.dot(class, (axis.at(median), y));
    axis.at(max).max(axis.at(median) + 4.0)
}

/// A bar that is longer than the diagram can show: it goes on behind the break.
fn beyond(svg: &mut Svg, row: &Row<'_>, y: f64, end: f64) -> f64 {
    rectangle(svg, row, y, RIGHT);
    let x = end + 20.0;
    let (upper, lower) = (y - BAR / 2.0 - 1.0, y + BAR / 2.0 + 1.0);
    svg.line("gap", &[(x - 4.0, lower), (x + 4.0, upper)]);
    RIGHT
}

fn rectangle(svg: &mut Svg, row: &Row<'_>, y: f64, end: f64) {
    let class = if row.is_ours() { "ours" } else { "theirs" };
    svg.rectangle(class, (LEFT, y - BAR / 2.0), (end, y + BAR / 2.0));
}

/// Two strokes across the axis.
fn break_axis(svg: &mut Svg, x: f64, bottom: f64) {
    for x in [x - 4.0, x + 4.0] {
        svg.line("axis", &[(x - 4.0, bottom + 6.0), (x + 4.0, bottom - 6.0)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_beyond_the_others_breaks_the_axis() {
        assert_eq!(last_before_gap(vec![62.8, 67.7, 88_030.0, 120.0]), 120.0);
        assert_eq!(last_before_gap(vec![1.0, 2.0, 3.0]), 3.0);
        assert_eq!(
            last_before_gap(vec![0.01, 1.0, 2.0, 3.0]),
            3.0,
            "one that is far below is no reason"
        );
    }
}
