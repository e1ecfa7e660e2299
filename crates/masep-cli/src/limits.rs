//! The bounds of connections as options, shared by the verbs that have some.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use masep::{Limits, ServerLimits, SocketOptions};

use crate::duration;

/// Reads a number of what there has to be one of: with none, nobody would ever be served.
pub(crate) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// The bounds of a server's connections together.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct SharedLimits {
    /// Connections at the same time
    #[arg(
        long,
        alias = "connections",
        value_name = "N",
        default_value_t = 1_024,
        value_parser = at_least_one()
    )]
    max_connections: usize,

    /// Connections from one address at the same time [default: as many as there may be]
    ///
    /// Without it, one host can take all the places. Of IPv6, a network of 64 bits counts as one.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    max_per_address: Option<usize>,

    /// Bytes of memory for frames over 64 KiB that are on their way in, on all connections together
    ///
    /// A peer whose frame finds none is not read until there is some; one frame of any size finds it where no
    /// other is on its way in.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    incoming_bytes: usize,
}

impl SharedLimits {
    /// These bounds, and the default of every other.
    pub(crate) fn limits(&self) -> ServerLimits {
        ServerLimits::default()
            .connections(self.max_connections)
            .connections_per_address(self.max_per_address)
            .incoming_bytes(self.incoming_bytes)
    }
}

/// The bounds of one connection.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct ConnectionLimits {
    /// Time that the other side may take for its hello
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    hello_time: Duration,

    /// Time that a connection may be silent before it is ended [default: for ever]
    ///
    /// pymasep has no sign of life: an observer says nothing all game long. Peers that are gone
    /// without a word are found by TCP keep-alive, after --write-time.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    idle_time: Option<Duration>,

    /// Time that bytes may wait for a peer that takes none before its connection is ended
    ///
    /// A peer that is gone without a word is given up after this time too, if --keepalive-time is not 0s.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    write_time: Duration,

    /// Silence after which TCP asks whether the other side still lives, at most half of --write-time; 0s:
    /// never
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration::parse)]
    keepalive_time: Duration,

    /// Silence after which a peer of protocol 2 is asked whether it still lives; after three times this it is gone; 0s: never
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    heartbeat: Duration,

    /// Bytes in one frame of protocol 2 that is taken; peers are told it [default: 1 MiB of a server, 16 MiB of a client]
    ///
    /// This side sends as much as the other takes. A frame of pymasep's protocol has 65,535 bytes at most.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    payload_bytes: Option<u32>,

    /// Frames that may wait for one peer
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    queue_messages: usize,

    /// Bytes that may wait for one peer
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    queue_bytes: usize,

    /// Messages that one peer may send in a second [default: as many as it can]
    ///
    /// The others wait in order, unread. Pings count.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    messages_per_second: Option<u32>,

    /// Bytes that one peer may send in a second, with the headers of frames [default: as many as it can]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_second: Option<u64>,

    /// Time for which a peer may send more than its rate without a pause before its connection is ended
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    rate_time: Duration,
}

impl ConnectionLimits {
    /// The options of sockets among them.
    pub(crate) fn socket_options(&self) -> SocketOptions {
        SocketOptions::default()
            .keepalive_time(Some(self.keepalive_time).filter(|time| !time.is_zero()))
    }

    /// These bounds, and the default of every other.
    pub(crate) fn limits(&self) -> Limits {
        Limits::default()
            .hello_time(self.hello_time)
            .idle_time(self.idle_time)
            .write_time(self.write_time)
            .heartbeat(Some(self.heartbeat).filter(|time| !time.is_zero()))
            .payload_bytes(self.payload_bytes)
            .queue_messages(self.queue_messages)
            .queue_bytes(self.queue_bytes)
            .messages_per_second(self.messages_per_second)
            .bytes_per_second(self.bytes_per_second)
            .rate_time(self.rate_time)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        limits: ConnectionLimits,

        #[command(flatten)]
        shared: SharedLimits,
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let cli = Cli::parse_from(["masep"]);
        assert_eq!(cli.limits.limits(), Limits::default());
        assert_eq!(cli.limits.socket_options(), SocketOptions::default());
        assert_eq!(cli.shared.limits(), ServerLimits::default());
    }

    #[test]
    fn rates_are_those_that_are_given() {
        let rates = ["--messages-per-second=60", "--bytes-per-second=100000"];
        let cli = Cli::parse_from(["masep", "--rate-time=2s"].into_iter().chain(rates));
        let expected = Limits::default()
            .messages_per_second(Some(60))
            .bytes_per_second(Some(100_000))
            .rate_time(Duration::from_secs(2));
        assert_eq!(cli.limits.limits(), expected);
        assert!(Cli::try_parse_from(["masep", "--messages-per-second=0"]).is_err());
    }
}
