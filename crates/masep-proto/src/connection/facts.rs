//! Facts about a connection that others ask for: the peer, how it is protected, and how far it has come.

use std::time::Duration;

#[cfg(doc)]
use super::Event;
use super::{Config, Connection, HelloFailure, Outcome, Phase};
use crate::framing::Framing;
use crate::protocol2::{Hello, Notice, Protocol, Welcome};
use crate::tls::LayerState;
use crate::{CloseReason, Encoding, Frame, PeerId};

/// The bounds of what a peer can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerLimits {
    /// The generation of the protocol that it speaks.
    pub protocol: Protocol,
    /// Bytes in the body of a frame: 65,535 in pymasep's protocol, and what the peer has told in protocol 2.
    pub frame_bytes: usize,
}

impl Connection {
    /// Takes the state of a layer between this connection and the stream, after a call of it: to be told with each
    /// [`put_room`](Self::put_room) and [`put_transmit`](Self::put_transmit), before it, by a shell whose stream has one.
    pub fn note_layer(&mut self, layer: LayerState) {
        if self.layer != layer {
            self.layer = layer;
            self.note_change();
        }
    }

    /// True if the peer speaks TLS.
    pub const fn is_secure(&self) -> bool {
        self.layer.secure
    }

    /// True if a read would bring something, though the stream is not readable.
    pub const fn has_more(&self) -> bool {
        self.layer.more && !self.input_over
    }

    /// The configuration of this side.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The form of messages on this connection, with the bounds of this side.
    pub fn encoding(&self) -> Encoding {
        let limits = self.peer_limits();
        let receives = self.config.payload_bytes(self.connects);
        Encoding::new(self.config.clone(), self.peer.clone(), limits, receives)
    }

    /// The generation of the protocol that the peer speaks, from [`Event::Hello`] or [`Event::Open`] on.
    pub const fn protocol(&self) -> Protocol {
        match self.masep {
            None => Protocol::Pymasep,
            Some(_) => Protocol::Masep2,
        }
    }

    /// The bounds of what the peer can be sent, from [`Event::Open`] on.
    pub fn peer_limits(&self) -> PeerLimits {
        PeerLimits {
            protocol: self.protocol(),
            frame_bytes: match self.framing() {
                Framing::Pymasep { .. } => Frame::MAX_BYTES,
                Framing::Masep { sends, .. } => sends as usize,
            },
        }
    }

    /// The client's HELLO (protocol 2), from [`Event::Hello`] on. [`Event::Open`] takes the access token,
    /// `resume` and `make` out of it: they are for the verdict, and not kept.
    pub fn hello(&self) -> Option<&Hello> {
        self.masep.as_ref()?.hello.as_deref()
    }

    /// The server's WELCOME (protocol 2), from [`Event::Open`] on.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.masep.as_ref()?.welcome.as_deref()
    }

    /// The time of the last round trip of a ping (protocol 2). Pings are sent after a heartbeat without anything else, and
    /// where [`ping`](Self::ping) asks for one.
    pub fn rtt(&self) -> Option<Duration> {
        self.masep.as_ref()?.rtt()
    }

    /// The next notice of the peer's (protocol 2), see [`Event::Notice`]. The latest 16 are kept.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.masep.as_mut()?.take_notice()
    }

    /// The number of notices that were dropped because nobody took them.
    pub fn lost_notices(&self) -> u64 {
        self.masep.as_ref().map_or(0, |masep| masep.lost_notices())
    }

    /// The id that the peer gave in its hello, when that was heard.
    pub const fn peer(&self) -> Option<&PeerId> {
        self.peer.as_ref()
    }

    /// The reason for which the connection ended. It is settled from [`Event::Ended`] on.
    #[inline]
    pub const fn reason(&self) -> Option<&CloseReason> {
        match &self.outcome {
            Outcome::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// The reason why there is no connection, from [`Event::Failed`] on.
    #[inline]
    pub const fn failure(&self) -> Option<&HelloFailure> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The outcome of the peer's hello: it was heard, or there will be no connection. `None` as long as it is awaited.
    pub fn hello_outcome(&self) -> Option<Result<(), HelloFailure>> {
        self.outcome_if(self.peer.is_some())
    }

    /// The outcome of both hellos: the connection was open once, or never will be. `None` as long as one is awaited.
    pub fn open_outcome(&self) -> Option<Result<(), HelloFailure>> {
        self.outcome_if(self.was_open())
    }

    fn outcome_if(&self, is_done: bool) -> Option<Result<(), HelloFailure>> {
        match self.failure() {
            Some(failure) => Some(Err(failure.clone())),
            None => is_done.then_some(Ok(())),
        }
    }

    /// True if the connection has ended, or is being ended: no frame is accepted any more.
    #[inline]
    pub const fn is_ending(&self) -> bool {
        !matches!(self.outcome, Outcome::Undecided)
    }

    /// True if the reason of the end is settled, or that there will be no connection: the frames that wait are the last.
    #[inline]
    pub const fn is_settled(&self) -> bool {
        matches!(self.outcome, Outcome::Ended(_) | Outcome::Failed(_))
    }

    /// True if the connection was open once, which [`Event::Open`] tells.
    #[inline]
    pub const fn was_open(&self) -> bool {
        !self.is_before_open() && !matches!(self.outcome, Outcome::Failed(_))
    }

    /// True if the peer was told of the end, or cannot be, which [`Event::Closed`] tells.
    #[inline]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// True if the end waits for nothing, after [`abort`](Self::abort).
    #[inline]
    pub const fn is_aborted(&self) -> bool {
        self.is_hurried
    }

    /// True if nothing is left to be done, once all actions are done.
    #[inline]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// True if the peer writes header and body apart, as every pymasep peer does.
    pub const fn peer_splits_frames(&self) -> bool {
        self.masep.is_none() && self.pattern.is_apart()
    }
}
