//! The time of day, as events have it.

use std::time::SystemTime;

/// A time as RFC 3339 has it: in UTC, with microseconds, as in `2026-11-29T21:04:05.678901Z`.
pub(crate) fn rfc_3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// Puts a time, if there is one, in front of all else in a line that is an object of JSON and not empty.
pub(crate) fn with_time(time: Option<SystemTime>, line: String) -> String {
    match (time, line.strip_prefix('{')) {
        (Some(time), Some(rest)) => format!("{{\"time\":\"{}\",{rest}", rfc_3339(time)),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_the_first_of_all_keys() {
        let line = || r#"{"event":"eof"}"#.to_owned();
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_989_845_678_901);
        assert_eq!(with_time(None, line()), line());
        assert_eq!(
            with_time(Some(time), line()),
            r#"{"time":"2026-11-29T22:04:05.678901Z","event":"eof"}"#
        );
    }
}
