//! The work of the server for a reader that is stalled: it keeps sending, by a policy for full queues.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use masep::{Connection, SendError, WhenFull};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::frames::{item, total};
use crate::server::Feeding;

/// The time that a queue stays full until its reader counts as stalled.
const STALLED_AFTER: Duration = Duration::from_millis(100);
/// The time between two items for a queue in which the newest wins: that of a fast game.
const PACE: Duration = Duration::from_millis(20);

/// Counts one up for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fills the queue of a connection, goes on by the policy until it is told to stop, and says how many
/// items there were. Ends with the connection.
pub(crate) async fn feed(
    connection: &Connection,
    when_full: WhenFull,
    patience: Duration,
    stop: &Notify,
    feeding: &Feeding,
) {
    let _fed = Counted::new(&feeding.fed);
    let mut sent = 0;
    let fed = async {
        fill(connection, &mut sent).await?;
        let _stalled = Counted::new(&feeding.stalled);
        match when_full {
            WhenFull::NewestWins => {
                let mut pace = interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    pace.tick().await;
                    connection.send_or(item(sent), when_full).await?;
                    sent += 1;
                }
            }
            WhenFull::Disconnect => {
                sleep(patience).await;
                loop {
                    connection.send_or(item(sent), when_full).await?;
                    sent += 1;
                }
            }
            _ => loop {
                connection.send_or(item(sent), when_full).await?;
                sent += 1;
            },
        }
    };
    let ended: Option<Result<(), SendError>> = tokio::select! {
        ended = fed => Some(ended),
        () = stop.notified() => None,
    };
    feeding.items.fetch_add(sent, Ordering::Relaxed);
    if ended.is_none() {
        // Fails only when the connection has ended, which the reader finds out by itself.
        let _ = connection.send(total(sent)).await;
    }
}

/// Sends until the socket and the queue take no more.
async fn fill(connection: &Connection, sent: &mut u64) -> Result<(), SendError> {
    let mut full_since = None;
    loop {
        match connection.try_send(item(*sent)) {
            Ok(()) => {
                *sent += 1;
                full_since = None;
                // The connection's task has something to write.
                tokio::task::yield_now().await;
            }
            Err(SendError::Full(_)) if full_since == Some(*sent) => return Ok(()),
            Err(SendError::Full(_)) => {
                full_since = Some(*sent);
                sleep(STALLED_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
}
