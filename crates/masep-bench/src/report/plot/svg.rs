//! An SVG file in the making, with the colours of all diagrams in a style sheet.

use std::fmt::Write;

/// Light colours, and dark ones for whom the system says so. Each is named by what it is for.
const STYLE: &str = "\
text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 13.5px; font-weight: 600 }
.note { font-size: 12px; fill: #59636e }
.strong { font-weight: 600 }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; fill: none }
.axis { stroke: #59636e; fill: none }
.spread { stroke: #1f2328; fill: none; stroke-width: 1.5 }
.gap { stroke: #ffffff; fill: none; stroke-width: 6 }
.ours { fill: #3f8fdb; stroke: none }
.theirs { fill: #b3bcc5; stroke: none }
.series0 { fill: #1f78c8; stroke: #1f78c8 }
.series1 { fill: #b35900; stroke: #b35900 }
.series2 { fill: #2f8a4a; stroke: #2f8a4a }
.series3 { fill: #59636e; stroke: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note { fill: #9198a1 }
.paper { fill: #0d1117 }
.grid { stroke: #30363d }
.axis { stroke: #9198a1 }
.spread { stroke: #e6edf3 }
.gap { stroke: #0d1117 }
.ours { fill: #2f7fd0 }
.theirs { fill: #57616c }
.series0 { fill: #5aa5f5; stroke: #5aa5f5 }
.series1 { fill: #e89245; stroke: #e89245 }
.series2 { fill: #5cb878; stroke: #5cb878 }
.series3 { fill: #9198a1; stroke: #9198a1 }
}
.line { fill: none; stroke-width: 2 }
";

/// The side of its place on which a text stands.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A point, in pixels from the upper left corner.
pub(super) type Point = (f64, f64);

/// A drawing. The class of a thing says how it looks.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let mut svg = Self {
            width,
            height,
            body: String::new(),
        };
        svg.rectangle("paper", (0.0, 0.0), (width, height));
        svg
    }

    /// A text on the line whose middle is at `y`.
    pub(super) fn text(&mut self, class: &str, (x, y): Point, anchor: Anchor, text: &str) {
        let (anchor, text) = (anchor.name(), escaped(text));
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
            y + 4.5
        );
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&mut self, class: &str, from: Point, to: Point) {
        let (width, height) = (to.0 - from.0, to.1 - from.1);
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            from.0, from.1
        );
    }

    /// A dot around a point.
    pub(super) fn dot(&mut self, class: &str, (x, y): Point) {
        let _ = writeln!(
            self.body,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
        );
    }

    /// A line from point to point.
    pub(super) fn line(&mut self, class: &str, points: &[Point]) {
        let points: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let points = points.join(" ");
        let _ = writeln!(
            self.body,
            "<polyline class=\"{class}\" points=\"{points}\"/>"
        );
    }

    /// A line across from the least to the greatest, with a bar at each end.
    pub(super) fn spread_across(&mut self, y: f64, from: f64, to: f64) {
        self.line("spread", &[(from, y), (to, y)]);
        for end in [from, to] {
            self.line("spread", &[(end, y - 6.0), (end, y + 6.0)]);
        }
    }

    /// The same from below.
    pub(super) fn spread_upwards(&mut self, x: f64, from: f64, to: f64) {
        self.line("spread", &[(x, from), (x, to)]);
        for end in [from, to] {
            self.line("spread", &[(x - 6.0, end), (x + 6.0, end)]);
        }
    }

    /// The file, with a title for whoever cannot see it.
    pub(super) fn finish(self, title: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n{body}</svg>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_markup() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text("note", (1.0, 1.0), Anchor::Middle, "a < b & c");
        assert!(svg.finish("<t>").contains(">a &lt; b &amp; c</text>"));
    }

    #[test]
    fn every_colour_has_a_dark_one() {
        let (light, dark) = STYLE
            .split_once("@media (prefers-color-scheme: dark)")
            .unwrap_or_default();
        let coloured = light.lines().filter(|line| line.contains('#'));
        for line in coloured {
            let class = line.split(' ').next().unwrap_or_default();
            assert!(dark.contains(&format!("\n{class} {{")), "{class}");
        }
    }
}
