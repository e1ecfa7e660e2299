//! Options of the sockets under connections.

use std::time::Duration;

masep_proto::__bounds! {
    /// Options of the sockets under connections: how they are opened, watched and waited for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use masep::SocketOptions;
    ///
    /// let options = SocketOptions::default().connect_time(Duration::from_secs(1));
    /// assert_eq!(options.connect_time, Duration::from_secs(1));
    /// ```
    pub struct SocketOptions {
        /// The time that the name of a server may take to resolve, and that the TCP connection to one of
        /// its addresses may take. Default 5 s each.
        connect_time: Duration = Duration::from_secs(5);

        /// Silence after which TCP asks whether the other side still lives. Default 15 s, and at most half
        /// of [`Limits::write_time`](crate::Limits::write_time); from 1 s on. It asks at least three times, up to 5 s apart, and ends the
        /// connection when nothing was heard for `write_time` (elsewhere than on Linux, after the third
        /// question): so a peer that is gone is found after 30 s. Costs a packet per idle connection and
        /// interval. `None` turns it off.
        keepalive_time: Option<Duration> = Some(Duration::from_secs(15));

        /// The time for which a connection that waits for bytes looks for them before its thread sleeps.
        /// Default 0: it sleeps at once. Waking a thread up can take longer than all else in a round
        /// trip; on both ends, 50 µs and more than a peer takes to answer make that disappear. The cost
        /// is a core that is busy all that time after each frame, so give each end a core of its own:
        /// two ends that share one only wait for each other.
        busy_poll: Duration = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_protocol_has_the_defaults() {
        let options = format!("{:?}", SocketOptions::default());
        let (_, fields) = options.split_once(" { ").unwrap();
        let fields = fields.trim_end_matches(" }").split(", ").map(|field| {
            let (name, value) = field.split_once(": ").unwrap();
            let value = value.trim_start_matches("Some(").trim_end_matches(')');
            format!("| `{name}` | {} |", value.to_lowercase())
        });
        let protocol = include_str!("../../../PROTOCOL.md").replace(" s |", "s |");
        for row in fields {
            assert!(protocol.contains(&row), "{row}");
        }
    }
}
