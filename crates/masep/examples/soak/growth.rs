//! Growth over time, if there is any.

use serde::Serialize;

use crate::system::Footprint;

/// The server at one moment, with nobody stalled and everybody connected.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// Minutes since all were connected.
    pub(crate) minute: f64,
    pub(crate) footprint: Footprint,
    pub(crate) tasks: usize,
    /// Bytes that all sockets of the machine hold in the kernel.
    pub(crate) socket_memory: u64,
}

/// A line through fewer points says little.
const ENOUGH: usize = 5;

/// One figure of the samples: the first, the last, and how it went on in between.
pub(crate) struct Growth {
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// By which the figure grew per hour in the second half, in a straight line that fits best: what
    /// caches and the allocator keep for next time is there by then. `None` for fewer than
    /// [`ENOUGH`] samples there.
    pub(crate) slope: Option<f64>,
}

impl Growth {
    pub(crate) fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        let half = samples.partition_point(|sample| sample.minute < last.minute / 2.0);
        let points: Vec<_> = samples[half..]
            .iter()
            .map(|sample| (sample.minute / 60.0, figure(sample)))
            .collect();
        Some(Self {
            first: figure(first),
            last: figure(last),
            slope: (points.len() >= ENOUGH).then(|| slope(&points)),
        })
    }
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}
