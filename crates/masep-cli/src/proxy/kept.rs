//! Connections to a pymasep engine whose clients have left: see [`masep_proto::gate`] on why they are kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use masep::PeerId;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::guard::SharedGuard;
use super::relay::{Far, Heard};

/// The connections that nobody has a use for now, by the ids that they have at the engine.
#[derive(Default)]
pub(super) struct Kept(Mutex<BTreeMap<PeerId, Keeping>>);

/// One of them, and the task that reads it.
struct Keeping {
    /// Ends the task, which gives the connection back. If this is dropped, the task says BYE.
    wanted: oneshot::Sender<()>,
    task: JoinHandle<Option<Far>>,
}

impl Kept {
    fn all(&self) -> MutexGuard<'_, BTreeMap<PeerId, Keeping>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one until the end of the game, or until it is [taken](Self::take).
    pub(super) fn keep(&self, id: PeerId, far: Far, guard: SharedGuard) {
        let (wanted, is_wanted) = oneshot::channel();
        let task = tokio::spawn(read(id.clone(), far, guard, is_wanted));
        self.all().insert(id, Keeping { wanted, task });
    }

    /// The connection that is kept for this id, if it is still open.
    pub(super) async fn take(&self, id: &PeerId) -> Option<Far> {
        let keeping = self.all().remove(id)?;
        // It may have ended by itself.
        let _ = keeping.wanted.send(());
        let far = keeping.task.await.ok().flatten()?;
        far.connection().close_reason().is_none().then_some(far)
    }

    /// Says BYE on all of them.
    pub(super) async fn end(&self) {
        let all = std::mem::take(&mut *self.all());
        let (wanted, tasks): (Vec<_>, Vec<_>) = all
            .into_values()
            .map(|keeping| (keeping.wanted, keeping.task))
            .unzip();
        drop(wanted);
        for task in tasks {
            // One that panicked has no connection any more.
            let _ = task.await;
        }
    }
}

/// Reads what the engine sends to a client that has left.
async fn read(
    id: PeerId,
    mut far: Far,
    guard: SharedGuard,
    mut is_wanted: oneshot::Receiver<()>,
) -> Option<Far> {
    while guard.keeps(&id) {
        tokio::select! {
            biased;
            wanted = &mut is_wanted => match wanted {
                Ok(()) => return Some(far),
                Err(_ended) => break,
            },
            heard = far.hear() => match heard {
                Ok(Heard::Frame(frame)) => guard.overhear(&id, &frame),
                Ok(Heard::Notice(_)) => {}
                Err(_closed) => return None,
            },
            () = guard.over() => {}
        }
    }
    far.connection().bye().await;
    None
}
