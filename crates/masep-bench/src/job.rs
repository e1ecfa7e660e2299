//! The job of one process of a measurement: told on its command line, as JSON.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use masep::Protocols;
use serde::{Deserialize, Serialize};

use crate::certificates::Certificates;
use crate::codec;

/// The work that client and server do together. A peer chooses its best settings by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Work {
    /// The client sends a message and waits until it comes back.
    RoundTrip,
    /// The same with the messages of a turn: an observation of a real session, which is answered by an
    /// action.
    WholeTurn,
    /// The client sends as fast as it can; the server receives each message whole.
    OneWay,
    /// The server sends each message to all connections.
    FanOut,
    /// The connections are there and say nothing.
    Idle,
    /// One actor plays; the server sends each observation to all connections.
    Spectators,
    /// The client connects, ends the connection and connects anew, on several connections at once.
    Handshakes,
    /// Many connections; on each the client sends an action and gets an observation back.
    Turns,
}

impl Work {
    /// True if the server sends to all connections.
    pub(crate) fn fans_out(self) -> bool {
        matches!(self, Self::FanOut | Self::Spectators)
    }
}

/// One side of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The name of the peer that does it.
    pub(crate) peer: String,
    /// The work.
    pub(crate) work: Work,
    /// Bytes in the body of a message; for turns, of an observation.
    pub(crate) size: usize,
    /// The number of connections.
    pub(crate) links: usize,
    /// The time to measure, in seconds. Work that does not fit in takes longer: nothing is cut.
    pub(crate) seconds: f64,
    /// True if a peer that can is to spin for what is awaited instead of sleeping.
    pub(crate) spin: bool,
    /// Worker threads of a peer that has any: 1 is a runtime in one thread.
    pub(crate) threads: usize,
    /// The only processor to run on.
    pub(crate) cpu: Option<usize>,
    /// The protocol in which a masep talks: 1 is pymasep's. In 2 there are arrays, for which others have headers that say
    /// their length.
    #[serde(default = "pymasep")]
    pub(crate) protocol: u8,
    /// True for a Unix socket instead of TCP, in the libraries that have it.
    #[serde(default)]
    pub(crate) unix: bool,
    /// In TLS with these, for whoever can.
    #[serde(default)]
    pub(crate) tls: Option<Certificates>,
    /// True if a connection is ended in order before the next one, where that is no part of dropping it.
    #[serde(default)]
    pub(crate) ends: bool,
    /// Where the server listens, as text; the server itself has none.
    pub(crate) address: Option<String>,
    /// Through a relay that passes on at most so many bytes at once.
    #[serde(default)]
    pub(crate) relay: Option<usize>,
    /// The process of the server, whose computing time a client may want to know.
    pub(crate) server: Option<u32>,
}

const fn pymasep() -> u8 {
    1
}

impl Job {
    /// Where the server listens.
    pub(crate) fn target(&self) -> anyhow::Result<&str> {
        self.address
            .as_deref()
            .ok_or_else(|| anyhow::anyhow!("the client was not told where its server listens"))
    }

    /// The same, over TCP.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.target()?.parse()?)
    }

    /// The certificates of a job in TLS.
    pub(crate) fn certificates(&self) -> anyhow::Result<&Certificates> {
        let certificates = self.tls.as_ref();
        certificates.ok_or_else(|| anyhow::anyhow!("there is no TLS without certificates"))
    }

    /// Where the server of a masep listens, for a client of it.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let target = self.target()?;
        Ok(match self.tls {
            Some(_) => format!("masep+tls://{target}"),
            None => target.to_owned(),
        })
    }

    /// The protocols of a client of masep.
    pub(crate) fn protocols(&self) -> Protocols {
        match self.protocol {
            2 => Protocols::Masep2,
            _ => Protocols::Pymasep,
        }
    }

    /// Where a server of masep is to listen.
    pub(crate) fn listen_at(&self) -> String {
        match self.unix {
            true => format!("unix:///tmp/masep-bench-{}.sock", std::process::id()),
            false => "127.0.0.1:0".to_owned(),
        }
    }

    /// A message of [`Job::size`] bytes that asks for this.
    pub(crate) fn body(&self, request: Request) -> Bytes {
        request.body(self.size)
    }
}

/// A message's request to the server. Its first bytes say so, so that one server does for all work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Send it back.
    Echo,
    /// Nothing: to have received it is enough.
    Take,
    /// Take it and say so, which tells the client that all before it were taken.
    Acknowledge,
    /// Send a message of `size` bytes `count` times to every connection.
    Broadcast {
        /// The number of messages.
        count: u32,
        /// Bytes in the body of each.
        size: u32,
    },
    /// Send a message of `size` bytes back: an action asks for the next observation.
    Turn {
        /// Bytes in the body of the answer.
        size: u32,
    },
    /// It is an observation: send an action.
    Observation,
}

/// Bytes of the longest request.
const LONGEST: usize = 9;

impl Request {
    /// A message that asks for this, filled up to `size` bytes; longer if it has to be.
    pub(crate) fn body(self, size: usize) -> Bytes {
        let mut body = BytesMut::with_capacity(size.max(LONGEST));
        match self {
            Self::Echo => body.put_u8(b'e'),
            Self::Take => body.put_u8(b't'),
            Self::Acknowledge => body.put_u8(b'a'),
            Self::Broadcast { count, size } => {
                body.put_u8(b'b');
                body.put_u32(count);
                body.put_u32(size);
            }
            Self::Turn { size } => {
                body.put_u8(b'n');
                body.put_u32(size);
            }
            // It is as long as it is.
            Self::Observation => return OBSERVATION,
        }
        body.resize(body.len().max(size), b'.');
        body.freeze()
    }

    /// The request of this message; an unknown one is to be taken.
    #[inline]
    pub(crate) fn read(body: &[u8]) -> Self {
        match body {
            [b'e', ..] => Self::Echo,
            [b'a', ..] => Self::Acknowledge,
            [b'b', a, b, c, d, e, f, g, h, ..] => Self::Broadcast {
                count: u32::from_be_bytes([*a, *b, *c, *d]),
                size: u32::from_be_bytes([*e, *f, *g, *h]),
            },
            [b'n', a, b, c, d, ..] => Self::Turn {
                size: u32::from_be_bytes([*a, *b, *c, *d]),
            },
            [b'<', ..] => Self::Observation,
            _ => Self::Take,
        }
    }
}

/// A message that asks for nothing, of this size: what a server sends on its own account.
pub(crate) fn filler(size: usize) -> Bytes {
    Request::Take.body(size)
}

/// An observation and an action of a real session, as pymasep writes them.
const OBSERVATION: Bytes = Bytes::from_static(codec::AN_OBSERVATION.body);
/// The answer to [`Request::Observation`].
pub(crate) const ACTION: Bytes = Bytes::from_static(codec::AN_ACTION.body);
/// The answer to [`Request::Acknowledge`].
pub(crate) const ACKNOWLEDGEMENT: Bytes = Bytes::from_static(b"taken");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_were_written() {
        let requests = [
            Request::Echo,
            Request::Take,
            Request::Acknowledge,
            Request::Broadcast {
                count: 70_000,
                size: 1024,
            },
            Request::Turn { size: 7_000 },
            Request::Observation,
        ];
        for request in requests {
            for size in [0, 16, 6 * 1024] {
                let body = request.body(size);
                assert_eq!(Request::read(&body), request);
                assert!(body.len() >= size);
            }
        }
        assert_eq!(Request::Echo.body(64).len(), 64);
        assert_eq!(Request::read(b""), Request::Take);
    }
}
