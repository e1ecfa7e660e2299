//! How a connection is left: with all that the peer is owed, a `BYE` included.

use std::future::poll_fn;
use std::task::Poll;

use masep_proto::Limits;

use super::CLOSE_GRACE;
use super::conversation::Conversation;
use crate::CloseReason;
use crate::connection::Shared;
use crate::line::Turn;
use crate::sync::time::timeout;

/// Delivers what is queued, and a `BYE`, to a peer that may still read; the socket can be closed then.
pub(super) async fn take_leave(shared: &Shared, reason: &CloseReason, limits: &Limits) {
    let said = {
        let mut line = shared.line();
        let Some(wire) = &mut line.wire else {
            return;
        };
        let said = wire.farewell.is_empty();
        if said || *reason == CloseReason::PeerBye {
            wire.unsent.clear();
            wire.farewell.clear();
        }
        // A call of `recv` that has not seen the end yet must not read behind what is thrown away.
        line.turn = Turn::Delivering;
        said
    };
    if said {
        // Whoever is replaced makes room at once.
        if reason.peer_may_read() && *reason != CloseReason::Replaced {
            let _ = timeout(CLOSE_GRACE, linger(shared)).await;
        }
        return;
    }
    if *reason == CloseReason::PeerBye {
        return;
    }
    // Who takes nothing any more, is cut off for taking too little, or when a shut-down runs out of
    // time, is owed no more than the BYE, which closing the wire says if it still can.
    let cut_off = matches!(
        reason,
        CloseReason::QueueFull(_) | CloseReason::Shutdown | CloseReason::Replaced
    );
    if cut_off || !reason.peer_may_read() {
        return;
    }
    let mut rest = Conversation::new(shared, limits);
    let rest = poll_fn(|context| {
        shared.outbound.attach_consumer(context);
        rest.poll_write(context)
    });
    let _ = timeout(CLOSE_GRACE, rest).await;
}

/// Waits until our `BYE` is sent, not only written, and throws away what the peer sends until then. What
/// arrives at a socket that is closed makes the system reset the connection, and drop what it has not
/// sent yet: of a peer that reads slowly and sends meanwhile, our last frames and the `BYE`.
///
/// The peer's own end is not waited for: one of pymasep's closes nothing when it reads a `BYE`.
async fn linger(shared: &Shared) {
    poll_fn(|context| {
        // Whoever is cut off meanwhile has been told all there is to tell.
        shared.outbound.attach_consumer(context);
        match &mut shared.line().wire {
            Some(wire) if !shared.is_aborted() => wire.poll_sent(context),
            _ => Poll::Ready(()),
        }
    })
    .await;
}
