//! Clients about which a host's own function is asked whether they are let in.

use std::fmt;
use std::sync::Arc;

use masep_proto::PeerId;
use masep_proto::access::Grant;
use masep_proto::admission::Ticket;
use masep_proto::protocol2::Hello;

use crate::request::{Decides, Peer};
use crate::{Address, ConnectionId};

/// A client of protocol 2 that has said HELLO, for a host that checks tokens by itself
/// ([`ServerBuilder::admit`](crate::ServerBuilder::admit)).
///
/// It is to be answered within [`ServerLimits::decision_time`](crate::ServerLimits::decision_time), by any thread; then the
/// client is refused with the code `undecided`. A request that is dropped refuses its client.
#[must_use = "a request that is dropped refuses its client"]
pub struct AccessRequest {
    peer: Box<Peer>,
    ticket: Ticket,
    /// The door, until the request is answered.
    door: Option<Arc<dyn Decides>>,
}

impl AccessRequest {
    pub(crate) fn new(peer: Peer, ticket: Ticket, door: Arc<dyn Decides>) -> Self {
        Self {
            peer: Box::new(peer),
            ticket,
            door: Some(door),
        }
    }

    /// The facts that the client gives about itself: id, role, game, seat, and its access token.
    pub const fn hello(&self) -> &Hello {
        &self.peer.hello
    }

    /// The client's id, by its own word.
    pub const fn peer(&self) -> &PeerId {
        &self.peer.hello.id
    }

    /// The client's address.
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// The number of the connection, which a [`Connection`](crate::Connection) has from then on when it was admitted.
    pub const fn connection(&self) -> ConnectionId {
        self.peer.connection
    }

    /// Lets the client in, as this. It is refused with the code `forbidden` if it says in its HELLO that it would be
    /// something else. Does not wait.
    pub fn admit(mut self, grant: Grant) {
        self.answer(Some(grant));
    }

    /// Does not let the client in. It is told what those are told who have no valid token. Does not wait.
    pub fn refuse(mut self) {
        self.answer(None);
    }

    fn answer(&mut self, grant: Option<Grant>) {
        if let Some(door) = self.door.take() {
            door.let_in(self.ticket, grant);
        }
    }
}

impl Drop for AccessRequest {
    fn drop(&mut self) {
        self.answer(None);
    }
}

impl fmt::Debug for AccessRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRequest")
            .field("hello", &self.peer.hello)
            .field("address", &self.peer.address)
            .field("connection", &self.peer.connection)
            .finish_non_exhaustive()
    }
}
