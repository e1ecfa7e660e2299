//! The arrival of connections at a table.
//!
//! A peer of pymasep's protocol comes when its connection is open. One of protocol 2 comes with its `HELLO`; the table has
//! its verdict at once, and the connection is open a little later.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use masep_table::{PeerKey, Verdict};

use super::joining;
use crate::{Admitting, Connection, ConnectionId, Request, Server};

type Arriving<T> = Option<Pin<Box<dyn Future<Output = Option<T>> + Send>>>;

/// Something that has happened at the door.
pub(super) enum Arrival {
    /// This one has said `HELLO`, and waits for the table's verdict.
    Request(Box<Request>),
    /// A connection is open: of the peer with this key, or of one that the table does not know.
    Open(Connection, Option<PeerKey>),
    /// There will be no connection of this peer.
    Lost(PeerKey),
}

/// The door of a server.
pub(super) struct Door {
    server: Arc<Server>,
    opened: Arriving<Connection>,
    requested: Arriving<Request>,
    undecided: BTreeMap<PeerKey, Request>,
    opening: Vec<Opening>,
}

/// A connection on its way.
struct Opening {
    key: PeerKey,
    id: ConnectionId,
    /// Until it is open.
    admitting: Option<Admitting>,
}

impl Door {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            opened: accept(server.clone()),
            requested: request(server.clone()),
            server,
            undecided: BTreeMap::new(),
            opening: Vec::new(),
        }
    }

    /// The next thing that happens.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        for at in 0..self.opening.len() {
            let opening = &mut self.opening[at];
            let Some(admitting) = &mut opening.admitting else {
                continue;
            };
            match Pin::new(admitting).poll(context) {
                Poll::Ready(Ok(())) => opening.admitting = None,
                Poll::Ready(Err(_)) => {
                    let lost = self.opening.swap_remove(at);
                    return Poll::Ready(Arrival::Lost(lost.key));
                }
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(Some(connection)) = poll_one(&mut self.opened, context) {
            self.opened = accept(self.server.clone());
            let is_this = |opening: &Opening| opening.id == connection.id();
            let at = self.opening.iter().position(is_this);
            let key = at.map(|at| self.opening.swap_remove(at).key);
            return Poll::Ready(Arrival::Open(connection, key));
        }
        if let Poll::Ready(Some(next)) = poll_one(&mut self.requested, context) {
            self.requested = request(self.server.clone());
            return Poll::Ready(Arrival::Request(Box::new(next)));
        }
        Poll::Pending
    }

    /// The table is asked about this one.
    pub(super) fn ask(&mut self, key: PeerKey, request: Request) {
        self.undecided.insert(key, request);
    }

    /// The table's verdict.
    pub(super) fn decide(&mut self, key: PeerKey, verdict: Verdict) {
        let Some(request) = self.undecided.remove(&key) else {
            return;
        };
        let id = request.connection();
        let Some(admitting) = joining::decide(request, verdict) else {
            return;
        };
        self.opening.push(Opening {
            key,
            id,
            admitting: Some(admitting),
        });
    }
}

fn accept(server: Arc<Server>) -> Arriving<Connection> {
    Some(Box::pin(async move { server.accept().await.ok() }))
}

fn request(server: Arc<Server>) -> Arriving<Request> {
    Some(Box::pin(async move { server.next_request().await.ok() }))
}

/// `None` when nobody comes any more.
fn poll_one<T>(arriving: &mut Arriving<T>, context: &mut Context<'_>) -> Poll<Option<T>> {
    let Some(next) = arriving else {
        return Poll::Ready(None);
    };
    let arrived = std::task::ready!(next.as_mut().poll(context));
    *arriving = None;
    Poll::Ready(arrived)
}
