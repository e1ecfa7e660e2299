//! Every bound of a message, a connection and a server in one place.

use std::time::Duration;

/// Writes a struct of bounds, its defaults and a chainable setter for each field from one table, so that a bound
/// cannot be documented in one place and defined in another. For the crates of masep only.
#[doc(hidden)]
#[macro_export]
macro_rules! __bounds {
    (
        $(#[$struct_doc:meta])*
        pub struct $struct:ident {
            $( $(#[$doc:meta])* $name:ident : $type:ty = $default:expr; )*
        }
    ) => {
        $(#[$struct_doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $struct {
            $( $(#[$doc])* pub $name: $type, )*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl $struct {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub const fn $name(mut self, value: $type) -> Self {
                    self.$name = value;
                    self
                }
            )*
        }
    };
}

__bounds! {
    /// The bounds of a message and of a connection, each with its default, its unit and what raising it costs.
    ///
    /// ```
    /// use masep_proto::Limits;
    /// let limits = Limits::default().queue_messages(10).depth(64);
    /// assert_eq!(limits.queue_messages, 10);
    /// ```
    pub struct Limits {
        /// Bytes in the body of one frame. Default and maximum 65,535: the header of pymasep's frame has
        /// two bytes for it. A smaller value is applied to what arrives and to what is sent.
        frame_bytes: usize = 65_535;

        /// Bytes in the payload of one frame of protocol 2 that this side receives; its peer is told. Default: 1 MiB for
        /// a server, 16 MiB for a client. At most 4 GiB. The bounds of a message on such a connection follow it. A frame
        /// takes that much memory when a sixteenth of it has arrived: a server's share of it is for strangers.
        payload_bytes: Option<u32> = None;

        /// Bytes of one message handed to the decoder. Default 1 MiB: what comes in a frame is never
        /// more than 65,535 bytes, but a message can also be read from a file. Decoding takes memory in
        /// proportion (up to 25 times as much for a moment, and 13 times for what is kept).
        message_bytes: usize = 1 << 20;

        /// The nesting depth of XML elements. Default 1,024: pymasep cannot send more than
        /// about 990, because ElementTree recurses once per level and Python stops at 1,000 frames.
        /// Values are compared, printed and dropped by recursion, one level for two elements: with a
        /// much larger limit they need a larger stack than the usual 2 MiB of a thread.
        depth: usize = 1_024;

        /// XML elements, or data items of CBOR, in one message. Default 100,000: a frame of 65,535 bytes holds at most 16,383.
        nodes: usize = 100_000;

        /// Bytes of one text or attribute value, decoded; of CBOR also of one `bytes` or array. Default 1 MiB, as `message_bytes`.
        text_bytes: usize = 1 << 20;

        /// Digits of one int. Default 4,300: Python's own limit (`sys.get_int_max_str_digits`), above
        /// which a pymasep peer could not read the number back. Applied to what is read and to what is
        /// written.
        int_digits: usize = 4_300;

        /// Bytes of a peer's id in the handshake. Default 1,024: pymasep's own ids have 36 (a UUID);
        /// every id is kept, compared and logged for as long as its connection lives.
        id_bytes: usize = 1_024;

        /// The time that a peer may take for its whole hello. Default 5 s: a hello is one small frame.
        hello_time: Duration = Duration::from_secs(5);

        /// The time that a connection may be silent before it is ended. Default none: pymasep has no
        /// keep-alive message, and an observer says nothing all game long. A peer that is gone without
        /// a word is found by TCP keep-alive instead.
        idle_time: Option<Duration> = None;

        /// The time without sending after which each side of a connection of protocol 2 pings, as the server says.
        /// Default 10 s. A peer that shows no sign of life for three times as long is gone. With `None` a server asks
        /// for no pings, and a client does not end a connection for the lack of them.
        heartbeat: Option<Duration> = Some(Duration::from_secs(10));

        /// The time that bytes may wait for a peer that takes none, or acknowledges none, before the
        /// connection is ended. Default 30 s. This bounds what a peer that never reads can hold up. Less
        /// than 5 s is too little for an idle connection over a network that loses packets.
        write_time: Duration = Duration::from_secs(30);

        /// Frames that may wait in one queue (one for sending and one for receiving per connection).
        /// Default 1,024.
        queue_messages: usize = 1_024;

        /// Bytes that may wait in one such queue. Default 4 MiB: 64 of the largest frames. A single
        /// frame is always taken when the queue is empty.
        queue_bytes: usize = 4 << 20;

        /// Messages that one peer may send in a second. Default none: trusted agents run at full speed, and a full queue
        /// slows them. With a bound, as many may come at once, and the others come through one by one as the time
        /// passes, in order: none is lost. Meanwhile the peer is not read, so that TCP slows it. Everything counts that is
        /// sent as a frame, but BYE: also the pings of protocol 2. 0 is taken for 1. A connection with a rate does without
        /// the shortest way through the code, and keeps up to 64 KiB that wait, or one frame.
        messages_per_second: Option<u32> = None;

        /// Bytes that one peer may send in a second, the headers of frames included. Default none. As
        /// `messages_per_second`. A frame of more bytes than that waits until the peer has sent nothing for a second, and
        /// those behind it wait until the rate has made up for it.
        bytes_per_second: Option<u64> = None;

        /// The time for which a peer may send more than its rate without a pause, in which all that it has sent has come through.
        /// Default 10 s; then its connection is ended. Time in which this side did not read is added. A longer time
        /// costs nothing here: the peer goes on to be slowed.
        rate_time: Duration = Duration::from_secs(10);
    }
}

__bounds! {
    /// The bounds of a server beyond those of its connections ([`Limits`]).
    ///
    /// ```
    /// use masep_proto::ServerLimits;
    /// let limits = ServerLimits::default().connections(10);
    /// assert_eq!(limits.connections, 10);
    /// ```
    pub struct ServerLimits {
        /// Connections of one server at the same time, those that have not said hello included.
        /// Default 1,024: each costs a descriptor, and 1,024 is the usual soft limit of a process.
        connections: usize = 1_024;

        /// Connections of one server from one address (of IPv6, from one network of 64 bits) at the same
        /// time. Default none: agents often share a host, and players an address. Without it one host can
        /// take all the places.
        connections_per_address: Option<usize> = None;

        /// The time in which a host that the door asks decides about a client of protocol 2; after it the client is refused
        /// with the code `undecided`. Default 4 s: less than the time after which such a client gives up by itself.
        decision_time: Duration = Duration::from_secs(4);

        /// Bytes of memory for frames of protocol 2 of more than 64 KiB that are on their way in, on all connections
        /// of one server together. Default 64 MiB: 64 of the largest. A frame takes its memory whole when a sixteenth of it,
        /// or 64 KiB, has arrived. A peer that finds none is not read until there is some, and a peer that takes more than
        /// 30 s for such a frame while others wait is ended. One frame of any size is taken where no other is on its way in.
        /// Memory that connections keep for their next frames counts too, and is at most half of it.
        incoming_bytes: usize = 64 << 20;

        /// Answers to the LAN search that one server gives per second, of which one other host gets at
        /// most half. Default 1,000: agents that start together on one host ask a few times each. More
        /// is a flood, and an answer, hardly longer than its question, goes to an address that may be
        /// forged.
        answers_per_second: u32 = 1_000;
    }
}
