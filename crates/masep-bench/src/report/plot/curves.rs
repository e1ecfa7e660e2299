//! A line for each series. To the right it goes by powers of ten; upwards too if the figures are far apart.

use super::axis::{Axis, tick};
use super::legend;
use super::svg::{Anchor, Svg};
use crate::peers::MASEP;
use crate::results::Cell;
use crate::stats::Spread;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 735.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 345.0;

/// If the greatest figure is this many times the least, it goes upwards by powers of ten.
const FAR_APART: f64 = 20.0;

/// The points of each series, in the order of the figures.
type Series<'a> = Vec<(&'a str, Vec<(f64, Spread)>)>;

pub(super) fn draw(about: &str, rounds: usize, x: &str, cells: &[&Cell]) -> String {
    let series = series(cells);
    let points = || series.iter().flat_map(|(_, points)| points);
    let (left, right) = extremes(points().map(|(x, _)| (*x, *x)));
    let (least, greatest) = extremes(points().map(|(_, value)| (value.min, value.max)));
    let is_logarithmic = greatest > FAR_APART * least;
    let across = Axis::logarithmic((LEFT, RIGHT), left / 1.3, right * 1.3);
    let upwards = match is_logarithmic {
        true => Axis::logarithmic((BOTTOM, TOP), least / 1.5, greatest * 1.5),
        false => Axis::linear((BOTTOM, TOP), greatest * 1.1),
    };
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.text("title", (10.0, 16.0), Anchor::Start, about);
    let note = legend("dot", rounds, points().map(|(_, value)| *value));
    let axes = if is_logarithmic { "both axes" } else { x };
    let note = format!("{note}; {axes} logarithmic");
    svg.text("note", (10.0, 37.0), Anchor::Start, &note);
    grid(&mut svg, &across, &upwards, points().map(|(x, _)| *x));
    svg.text("note", (RIGHT, BOTTOM + 40.0), Anchor::End, x);
    let mut others = 1..;
    let mut key = LEFT;
    for (name, points) in &series {
        let class = match *name {
            MASEP => "series0".to_owned(),
            _ => format!("series{}", (others.next().unwrap_or(1) - 1) % 3 + 1),
        };
        svg.line(&format!("line {class}"), &[(key, 60.0), (key + 24.0, 60.0)]);
        svg.dot(&class, (key + 12.0, 60.0));
        svg.text("", (key + 32.0, 60.0), Anchor::Start, name);
        key += 60.0 + 8.0 * name.chars().count() as f64;
        let at = |(x, value): &(f64, Spread)| (across.at(*x), upwards.at(value.median));
        let line: Vec<_> = points.iter().map(at).collect();
        svg.line(&format!("line {class}"), &line);
        for point in points {
            let (x, value) = point;
            if value.min < value.max {
                svg.spread_upwards(across.at(*x), upwards.at(value.min), upwards.at(value.max));
            }
            svg.dot(&class, at(point));
        }
    }
    svg.finish(about)
}

fn series<'a>(cells: &[&'a Cell]) -> Series<'a> {
    let mut series = Series::new();
    for cell in cells {
        let (Some(point), Some(value)) = (&cell.point, cell.value) else {
            continue;
        };
        let at = (point.x, value);
        match series.iter_mut().find(|(name, _)| *name == point.series) {
            Some((_, points)) => points.push(at),
            None => series.push((&point.series, vec![at])),
        }
    }
    series
}

/// The places of the points below, round values to the left.
fn grid(svg: &mut Svg, across: &Axis, upwards: &Axis, points: impl Iterator<Item = f64>) {
    for value in upwards.ticks() {
        let y = upwards.at(value);
        svg.line("grid", &[(LEFT, y), (RIGHT, y)]);
        svg.text("note", (LEFT - 8.0, y), Anchor::End, &tick(value));
    }
    let mut places: Vec<f64> = points.collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    for place in places {
        let x = across.at(place);
        svg.line("axis", &[(x, BOTTOM), (x, BOTTOM + 5.0)]);
        svg.text("note", (x, BOTTOM + 18.0), Anchor::Middle, &tick(place));
    }
    svg.line("axis", &[(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)]);
}

fn extremes(values: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    values.fold(
        (f64::MAX, f64::MIN_POSITIVE),
        |(least, greatest), (min, max)| (least.min(min), greatest.max(max)),
    )
}
