//! The arrival of connections at a table.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use masep_table::{PeerKey, Verdict};

use super::ready::PeerWaker;
use crate::{Connection, Server};

type Arriving = Pin<Box<dyn Future<Output = Option<Connection>> + Send>>;

/// The door of a server.
pub(super) struct Door {
    server: Arc<Server>,
    next: Option<Arriving>,
}

impl Door {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            next: Some(Self::next(server.clone())),
            server,
        }
    }

    fn next(server: Arc<Server>) -> Arriving {
        Box::pin(async move { server.accept().await.ok() })
    }

    /// The next one that has come; `None` when nobody comes any more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Connection>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let arrived = std::task::ready!(next.as_mut().poll(context));
        self.next = arrived.as_ref().map(|_| Self::next(self.server.clone()));
        Poll::Ready(arrived)
    }

    /// The table's verdict about one that has said `HELLO`.
    pub(super) fn decide(&mut self, key: PeerKey, verdict: Verdict, waker: &Arc<PeerWaker>) {
        let _ = (key, verdict, waker);
    }
}
