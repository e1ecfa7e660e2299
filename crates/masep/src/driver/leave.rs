//! How a connection is left: with all that the peer is owed, a `BYE` included.

use std::future::poll_fn;
use std::net::Shutdown;
use std::task::Poll;

use masep_proto::Limits;
use tokio::sync::Semaphore;

use super::CLOSE_GRACE;
use super::conversation::Conversation;
use crate::CloseReason;
use crate::connection::Shared;
use crate::sync::time::timeout;
use crate::wire::Wire;

/// Connections whose peer is [heard out](hear_out) at the same time. Those beyond are closed at once.
static HEARD_OUT: Semaphore = Semaphore::const_new(256);

/// Delivers what is queued, and a `BYE`, to a peer that may still read. The wire can be closed then; one
/// that is returned is better heard out before.
pub(super) async fn take_leave(
    shared: &Shared,
    reason: &CloseReason,
    limits: &Limits,
) -> Option<Wire> {
    let said = {
        let mut line = shared.line();
        let wire = line.wire.as_mut()?;
        let said = wire.farewell.is_empty();
        if said || reason.is_bye_of_peer() {
            shared.count_lost(wire);
            wire.unsent.clear();
            wire.farewell.clear();
        }
        said
    };
    if said {
        return part(shared, reason).await;
    }
    if reason.is_bye_of_peer() {
        return None;
    }
    // Who takes nothing any more, is cut off for taking too little, or when a shut-down runs out of
    // time, is owed no more than the BYE, which closing the wire says if it still can.
    let cut_off = matches!(
        reason,
        CloseReason::QueueFull(_) | CloseReason::Shutdown | CloseReason::Replaced
    );
    if cut_off || !reason.peer_may_read() {
        return None;
    }
    let mut rest = Conversation::new(shared, limits);
    let rest = poll_fn(|context| {
        rest.attach(context, false);
        rest.poll_write(&mut shared.line(), context)
    });
    let _ = timeout(CLOSE_GRACE, rest).await;
    None
}

/// Waits until the `BYE` that was written is sent. Whoever is replaced makes room at once.
async fn part(shared: &Shared, reason: &CloseReason) -> Option<Wire> {
    if !reason.peer_may_read() || *reason == CloseReason::Replaced {
        return None;
    }
    let _ = timeout(CLOSE_GRACE, sent(shared)).await;
    // What else ends a connection may be the peer's doing: it shall not keep our sockets open.
    let ours = matches!(reason, CloseReason::LocalBye | CloseReason::Shutdown);
    if !ours || shared.is_aborted() {
        return None;
    }
    shared.line().wire.take()
}

/// Waits until all that was written is sent, and throws away what the peer sends until then. What arrives
/// at a socket that is closed makes the system reset the connection, and drop what it has not sent yet:
/// of a peer that reads slowly and sends meanwhile, our last frames and the `BYE`.
async fn sent(shared: &Shared) {
    poll_fn(|context| {
        // Whoever is cut off meanwhile has been told all there is to tell.
        shared.outbound.attach_consumer(context, false);
        match &mut shared.line().wire {
            Some(wire) if !shared.is_aborted() => wire.poll_sent(context),
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Throws away what the peer sends until it ends its side, up to a second, and closes. A reset before that
/// could reach it while it has not read everything, or while a part of that has to be sent again.
///
/// Nobody else waits for this: a peer of pymasep's closes nothing when it reads a `BYE`.
pub(super) async fn hear_out(mut wire: Wire) {
    let Ok(_permit) = HEARD_OUT.try_acquire() else {
        return;
    };
    let _ = wire.transport.shutdown(Shutdown::Write);
    let end = poll_fn(|context| wire.poll_discard(context));
    let _ = timeout(CLOSE_GRACE, end).await;
}
