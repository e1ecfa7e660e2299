//! The pixels of values.

/// An axis from one pixel to another. Linear ones begin at zero.
pub(super) struct Axis {
    from: f64,
    to: f64,
    least: f64,
    greatest: f64,
    is_logarithmic: bool,
}

impl Axis {
    /// From zero to the greatest value.
    pub(super) const fn linear(pixels: (f64, f64), greatest: f64) -> Self {
        let (from, to) = pixels;
        Self {
            from,
            to,
            least: 0.0,
            greatest,
            is_logarithmic: false,
        }
    }

    /// By powers of ten.
    pub(super) const fn logarithmic(pixels: (f64, f64), least: f64, greatest: f64) -> Self {
        let (from, to) = pixels;
        Self {
            from,
            to,
            least,
            greatest,
            is_logarithmic: true,
        }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = match self.is_logarithmic {
            true => (value / self.least).ln() / (self.greatest / self.least).ln(),
            false => (value - self.least) / (self.greatest - self.least),
        };
        self.from + share * (self.to - self.from)
    }

    /// Values to write beside the axis: round ones, or powers of ten.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let (first, last) = (self.least.log10().ceil(), self.greatest.log10().floor());
            return (first as i32..=last as i32)
                .map(|power| 10_f64.powi(power))
                .collect();
        }
        let step = round_step(self.greatest / 6.0);
        let number = (self.greatest / step + 1e-9) as u32;
        (0..=number).map(|tick| f64::from(tick) * step).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, 50, ... that is not less.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    let digit = digits.into_iter().find(|digit| digit * power >= step);
    digit.unwrap_or(10.0) * power
}

/// A tick in words: no digits behind the point that say nothing.
pub(super) fn tick(value: f64) -> String {
    match value {
        1000.0.. => grouped(value as u64),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

/// A number with a comma before each group of three digits.
fn grouped(number: u64) -> String {
    match number {
        1000.. => format!("{},{:03}", grouped(number / 1000), number % 1000),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let ticks = |axis: Axis| axis.ticks().into_iter().map(tick).collect::<Vec<_>>();
        let pixels = (0.0, 100.0);
        let linear = |greatest| ticks(Axis::linear(pixels, greatest));
        assert_eq!(linear(95.0), ["0", "20", "40", "60", "80"]);
        assert_eq!(linear(0.45), ["0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(
            ticks(Axis::logarithmic(pixels, 0.05, 2000.0)),
            ["0.1", "1", "10", "100", "1,000"]
        );
    }

    #[test]
    fn an_axis_may_go_upwards() {
        let axis = Axis::linear((300.0, 100.0), 10.0);
        assert_eq!(
            (axis.at(0.0), axis.at(5.0), axis.at(10.0)),
            (300.0, 200.0, 100.0)
        );
        let axis = Axis::logarithmic((0.0, 100.0), 1.0, 100.0);
        assert!((axis.at(10.0) - 50.0).abs() < 1e-9);
    }
}
