//! The promises that a run found broken.

use crate::growth::Growth;
use crate::report::Report;

/// Bytes of the server's memory that a connection may take while nothing happens on it.
const BYTES_PER_CONNECTION: f64 = 8_192.0;
/// By how much of itself the server's memory may grow in the second half of a run: what leaks with each
/// frame or connection takes more.
const GROWTH: f64 = 0.1;
/// By how much stalled readers may move the 99th percentile of other peers' round trips.
const MAX_RATIO: f64 = 2.0;

pub(crate) fn broken(report: &Report) -> Vec<String> {
    let mut broken = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let plan = &report.plan;
    let (counts, tallied) = (&report.counts, &report.tallied);
    let connected = report.joined.as_ref().map_or(0, |joined| joined.connected);
    expect(
        connected == plan.connections,
        format!("{connected} of {} connected", plan.connections),
    );
    expect(
        tallied.errors == 0,
        format!("{} errors: {:?}", tallied.errors, tallied.told),
    );
    expect(
        report.lost() == 0 && counts.received == counts.sent,
        format!("frames lost: {tallied:?}, {counts:?}"),
    );
    expect(
        counts.received == tallied.sent + report.pings_of_the_pair(),
        format!(
            "{} frames arrived at the server instead of {}",
            counts.received,
            tallied.sent + report.pings_of_the_pair()
        ),
    );
    expect(
        counts.not_understood == 0 && counts.rejections.is_empty(),
        format!("frames or connections that nobody made: {counts:?}"),
    );
    let down = report.shut_down.as_ref();
    expect(
        down.is_some_and(|down| down.ended == plan.connections + 1 && down.cut == 0),
        format!("the shut-down did not reach everybody: {down:?}"),
    );
    let unexpected: Vec<_> = counts
        .ends
        .keys()
        .filter(|reason| {
            !matches!(
                &***reason,
                "local_bye" | "peer_bye" | "queue_full" | "write_timeout"
            )
        })
        .collect();
    expect(
        unexpected.is_empty(),
        format!("connections ended for other reasons: {unexpected:?}"),
    );
    if plan.judge_figures {
        broken.extend(figures(report));
    }
    broken
}

fn figures(report: &Report) -> Vec<String> {
    let mut broken = Vec::new();
    let bytes = report.bytes_per_connection();
    if bytes > BYTES_PER_CONNECTION {
        broken.push(format!(
            "{bytes:.0} bytes per connection, at most {BYTES_PER_CONNECTION:.0} are allowed"
        ));
    }
    let rss = Growth::of(&report.samples, |sample| sample.footprint.rss as f64);
    if let Some(growth) = rss
        && let Some(slope) = growth.slope
        && slope * report.plan.hold.as_secs_f64() / 7_200.0 > growth.last * GROWTH
    {
        broken.push(format!(
            "the server grows by {slope:.0} bytes per hour, to {:.0} now",
            growth.last
        ));
    }
    let ratio = report.ratio();
    if ratio >= MAX_RATIO {
        broken.push(format!(
            "stalled readers move the p99 of others by {ratio:.2}, less than {MAX_RATIO} is allowed"
        ));
    }
    broken
}
