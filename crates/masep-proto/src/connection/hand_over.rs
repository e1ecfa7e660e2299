//! A connection that another process goes on with, from the client's HELLO on.

use std::fmt;
use std::time::Instant;

use super::signals::Pending;
use super::{Connection, HelloFailure, Outcome, Phase, Read, event};
use crate::protocol2::preamble;

/// All that a server has heard of a client of protocol 2 that waits for the verdict, for a connection that goes on with
/// the stream: in another process, for example. `{:?}` does not show the bytes, which may have tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Heard {
    /// The client's first bytes, HELLO, and what has arrived behind it.
    pub bytes: Vec<u8>,
    /// The server's first 16 bytes were said.
    pub is_answered: bool,
}

impl Heard {
    /// The frame of HELLO, as the client has said it: it may have keys that nobody knows here.
    pub(super) fn hello(frame: &[u8]) -> Box<Self> {
        Box::new(Self {
            bytes: [preamble::CLIENT, frame].concat(),
            is_answered: false,
        })
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("bytes", &self.bytes.len())
            .field("is_answered", &self.is_answered)
            .finish()
    }
}

/// The answer of [`Connection::hand_over`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The connection is over, without a word to the client, and its stream is another's.
    Done(Heard),
    /// A read or a write is under way.
    Later,
    /// The peer is no client of protocol 2 that waits for the verdict.
    Never,
}

impl Connection {
    /// Gives the client away that waits for the verdict: nothing of it is read or written here any more, and the stream is
    /// not to be shut. [`take_over`](Self::take_over) goes on with it.
    pub fn hand_over(&mut self) -> HandOver {
        let (Phase::Deciding, Some(masep)) = (self.phase, &mut self.masep) else {
            return HandOver::Never;
        };
        if self.inbound.is_out() || self.transmit_out || self.rest.is_some() {
            return HandOver::Later;
        }
        let Some(mut heard) = masep.heard.take() else {
            return HandOver::Never;
        };
        heard.is_answered = masep.first_is_out;
        heard.bytes.extend_from_slice(self.inbound.rest());
        self.inbound.discard_rest();
        self.outcome = Outcome::Failed(HelloFailure::Refused);
        self.phase = Phase::Over;
        (self.events, self.actions) = (Pending::default(), Pending::default());
        self.tell(event::OVER);
        self.note_change();
        HandOver::Done(*heard)
    }

    /// Goes on, before anything else, with what another connection has heard. It waits for the verdict then.
    pub fn take_over(&mut self, heard: &Heard, now: Instant) {
        let mut left = &heard.bytes[..];
        // All of it, though no more is read than that of a client that waits.
        while !left.is_empty() {
            let framing = self.framing();
            let kept = self.masep.as_deref_mut();
            let mut room = self.inbound.take_room(framing, kept);
            let filled = room.fill(left);
            left = &left[filled..];
            self.put_room(room, Read::Bytes, now);
        }
        if heard.is_answered
            && let Some(masep) = &mut self.masep
        {
            masep.first_is_out = true;
        }
        self.note_change();
    }
}
