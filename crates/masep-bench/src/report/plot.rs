//! The diagrams of README.md.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::{Report, number};
use crate::peers::MASEP;
use crate::placement::Placement;
use crate::results::Cell;

/// A diagram that was drawn.
pub(crate) struct Diagram {
    /// The name of its file, without the extension.
    pub(crate) name: &'static str,
    /// What is seen on it.
    pub(crate) about: String,
}

const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(31, 119, 180);
const THEIRS: RGBColor = RGBColor(160, 160, 160);
const LINES: [RGBColor; 3] = [
    RGBColor(90, 90, 90),
    RGBColor(214, 119, 39),
    RGBColor(60, 150, 80),
];

/// Unpinned figures with a bar for each, by experiment and figure.
const BARS: [(&str, &str, &str); 5] = [
    ("round-trip", "round-trip-64", "p50"),
    ("one-way-small", "one-way-64", "messages"),
    ("one-way-large", "one-way-60k", "bytes"),
    ("fan-out", "fan-out", "messages"),
    ("memory", "idle", "memory"),
];
/// Unpinned figures with a line for each series, by experiment and figure, and what goes to the right.
const CURVES: [(&str, &str, &str, &str); 3] = [
    ("turns", "turns", "turns", "actors"),
    ("round-trip-by-size", "sizes-round-trip", "p50", "bytes"),
    ("one-way-by-size", "sizes-one-way", "each", "bytes"),
];

/// Draws all for which there are figures.
pub(crate) fn draw(report: &Report, directory: &Path) -> Result<Vec<Diagram>> {
    let find = |experiment: &str, metric: &str| -> Vec<&Cell> {
        let cells = report.cells.iter().filter(|cell| {
            cell.experiment == experiment
                && cell.metric == metric
                && cell.placement == Placement::Unpinned
                && cell.value.is_some()
        });
        cells.collect()
    };
    let file = |name: &str| directory.join(name).with_extension("svg");
    let mut diagrams = Vec::new();
    for (name, experiment, metric) in BARS {
        let cells = find(experiment, metric);
        if let Some(first) = cells.first() {
            let about = about(first);
            bars(&file(name), &about, &cells)?;
            diagrams.push(Diagram { name, about });
        }
    }
    for (name, experiment, metric, x) in CURVES {
        let cells = find(experiment, metric);
        if let Some(first) = cells.first() {
            let about = about(first);
            curves(&file(name), &about, x, &cells)?;
            diagrams.push(Diagram { name, about });
        }
    }
    Ok(diagrams)
}

fn about(cell: &Cell) -> String {
    let Cell {
        about,
        metric_about,
        unit,
        ..
    } = cell;
    let better = if cell.less_is_better { "less" } else { "more" };
    format!(
        "{about}, {}: {metric_about} in {unit} ({better} is better)",
        cell.placement.name()
    )
}

/// Whoever takes a hundred times as much as the least would leave nothing to be seen of the others: the bar ends
/// where the diagram does.
const BEYOND: f64 = 100.0;

/// A bar to the right for each, as long as the median, with a line from the least to the greatest.
fn bars(file: &Path, about: &str, cells: &[&Cell]) -> Result<()> {
    const WIDTH: i32 = 760;
    const LEFT: i32 = 130;
    const RIGHT: i32 = 90;
    const TOP: i32 = 40;
    const ROW: i32 = 24;
    let height = TOP + ROW * cells.len() as i32 + 10;
    let values = || cells.iter().filter_map(|cell| cell.value);
    let least = values().map(|value| value.median).fold(f64::MAX, f64::min);
    let greatest = values()
        .filter(|value| value.median < least * BEYOND)
        .map(|value| value.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| {
        let pixels = value / greatest * f64::from(WIDTH - LEFT - RIGHT);
        LEFT + (pixels as i32).min(WIDTH - LEFT - RIGHT)
    };
    let area = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    let text = |text: String, x, y, size| Text::new(text, (x, y), (FONT, size).into_font());
    area.fill(&WHITE).map_err(failed)?;
    area.draw(&text(about.to_owned(), 10, 12, 16))
        .map_err(failed)?;
    for (index, cell) in cells.iter().enumerate() {
        let Some(value) = cell.value else { continue };
        let y = TOP + ROW * index as i32;
        let color = if cell.subject.starts_with(MASEP) {
            OURS
        } else {
            THEIRS
        };
        let bar = [(LEFT, y), (length(value.median), y + ROW - 6)];
        area.draw(&text(cell.subject.clone(), 10, y + 2, 14))
            .map_err(failed)?;
        area.draw(&Rectangle::new(bar, color.filled()))
            .map_err(failed)?;
        let middle = y + (ROW - 6) / 2;
        let spread = vec![(length(value.min), middle), (length(value.max), middle)];
        area.draw(&PathElement::new(spread, BLACK))
            .map_err(failed)?;
        let end = length(value.max.max(value.median)) + 6;
        // The arrow: it would go on.
        let figure = match value.median > greatest {
            true => format!("→ {}", number(value.median)),
            false => number(value.median),
        };
        area.draw(&text(figure, end, y + 2, 14)).map_err(failed)?;
    }
    area.present().map_err(failed)
}

/// The points of each series, in the order of the figures.
type Series<'a> = Vec<(&'a str, Vec<(f64, f64)>)>;

/// A line for each series. To the right it goes by powers of ten; upwards too if the figures are far apart.
fn curves(file: &Path, about: &str, x: &str, cells: &[&Cell]) -> Result<()> {
    let mut series = Series::new();
    for cell in cells {
        let (Some(point), Some(value)) = (&cell.point, cell.value) else {
            continue;
        };
        let at = (point.x, value.median);
        match series.iter_mut().find(|(name, _)| *name == point.series) {
            Some((_, points)) => points.push(at),
            None => series.push((&point.series, vec![at])),
        }
    }
    let points = || series.iter().flat_map(|(_, points)| points);
    let (least, greatest) = extremes(points().map(|point| point.1));
    let area = SVGBackend::new(file, (760, 380)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    if greatest > 20.0 * least {
        let range = (least / 1.5..greatest * 1.5).log_scale();
        lines(&area, about, x, &series, range)?;
    } else {
        lines(&area, about, x, &series, 0.0..greatest * 1.15)?;
    }
    area.present().map_err(failed)
}

fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, greatest), value| {
        (least.min(value), greatest.max(value))
    })
}

fn lines<Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    about: &str,
    x: &str,
    series: &Series<'_>,
    range: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let points = series.iter().flat_map(|(_, points)| points);
    let (left, right) = extremes(points.map(|point| point.0));
    let mut chart = ChartBuilder::on(area)
        .caption(about, (FONT, 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((left / 1.3..right * 1.3).log_scale(), range)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(x)
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .draw()
        .map_err(failed)?;
    let mut others = LINES.iter().cycle();
    for (name, points) in series {
        let color = match *name {
            MASEP => OURS,
            _ => *others.next().unwrap_or(&THEIRS),
        };
        let dots = points.iter().map(|&at| Circle::new(at, 3, color.filled()));
        chart.draw_series(dots).map_err(failed)?;
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color.stroke_width(2));
        chart
            .draw_series(line)
            .map_err(failed)?
            .label(*name)
            .legend(key);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 14))
        .draw()
        .map_err(failed)
}

fn tick(value: f64) -> String {
    if value >= 1.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

/// plotters' errors borrow what they are about.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
