//! The queues of an async server that sends to all connections: one for each, which a task empties.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::buffer::{BATCH, HEADER};
use crate::job::{ACKNOWLEDGEMENT, ACTION, Request, filler};

/// Messages that may wait for one connection.
const CAPACITY: usize = 1024;

/// Messages that are taken out of a queue for one write: of 1 KiB, as many as go out in one piece.
pub(crate) const AT_ONCE: usize = BATCH / (HEADER + 1024);

/// The queues of all connections.
#[derive(Clone, Default)]
pub(crate) struct Queues(Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>);

impl Queues {
    /// The queue of a new connection: what is put into it, and into all, comes out at the other end.
    pub(crate) fn join(&self) -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        let (queue, waiting) = mpsc::channel(CAPACITY);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue.clone());
        (queue, waiting)
    }

    /// Does what a message asks for that came on the connection with this queue.
    pub(crate) async fn answer(&self, own: &mpsc::Sender<Bytes>, body: Bytes) -> Result<()> {
        match Request::read(&body) {
            Request::Take => {}
            Request::Echo => own.send(body).await?,
            Request::Observation => own.send(ACTION).await?,
            Request::Acknowledge => own.send(ACKNOWLEDGEMENT).await?,
            Request::Turn { size } => own.send(filler(size as usize)).await?,
            Request::Broadcast { count, size } => {
                let queues = self
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let body = filler(size as usize);
                for _ in 0..count {
                    broadcast(&queues, &body).await?;
                }
            }
        }
        Ok(())
    }
}

/// Sends to all; waits only for those that have no room.
async fn broadcast(queues: &[mpsc::Sender<Bytes>], body: &Bytes) -> Result<()> {
    for queue in queues {
        if let Err(mpsc::error::TrySendError::Full(body)) = queue.try_send(body.clone()) {
            queue.send(body).await?;
        }
    }
    Ok(())
}

/// The answer of a connection that is alone with its server, if there is one.
#[cfg(any(feature = "tonic", feature = "tungstenite"))]
pub(crate) fn answer_alone(body: Bytes) -> Option<Bytes> {
    match Request::read(&body) {
        Request::Take | Request::Broadcast { .. } => None,
        Request::Echo => Some(body),
        Request::Observation => Some(ACTION),
        Request::Acknowledge => Some(ACKNOWLEDGEMENT),
        Request::Turn { size } => Some(filler(size as usize)),
    }
}
