//! Times, as options take them.

use std::time::Duration;

/// The longest time that anything waits: thirty years. More is as good as for ever, and clocks cannot
/// be asked for all that a number of seconds can hold.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Reads a time such as `5s`, `200ms` or `1h 30m`. More than thirty years count as thirty years.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text);
    let time = time.map_err(|_| "expected a number with its unit, such as 500ms, 2s or 1h 30m");
    Ok(time?.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_never_more_than_a_clock_can_be_asked_for() {
        assert_eq!(parse("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for long in ["18446744073709551615s", "584542046090years", "40years"] {
            assert_eq!(parse(long), Ok(LONGEST), "{long}");
        }
        for wrong in ["5", "", "-1s", "1e3s", "18446744073709551616s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
