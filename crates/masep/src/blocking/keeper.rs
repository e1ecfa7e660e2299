//! The one thread of the process that does the work of connections that no call waits for: hellos at a server's door,
//! rests of frames that were sent without a wait, and farewells. It is started when there is work, and ends when
//! there was none for a while.

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::drive::Watch;
use super::shared::Shared;
use super::stream::{Readiness, WOKEN, after, earlier, poll_fd, readiness, wait_for};
use crate::sync::{self, Mutex, MutexGuard, thread};
use crate::{CloseReason, ConnectionId};

/// The time for which the thread stays though there is nothing to do.
const IDLE_TIME: Duration = Duration::from_millis(if cfg!(masep_model) { 10 } else { 1_000 });

#[cfg(not(masep_model))]
static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);
#[cfg(masep_model)]
shuttle::lazy_static! {
    static ref KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);
}

/// The thread, as others see it.
struct Keeper {
    /// A process that was forked has no such thread.
    process: u32,
    arrivals: Vec<Arc<Shared>>,
    wake: PipeWriter,
}

fn lock() -> MutexGuard<'static, Option<Keeper>> {
    KEEPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the keeper look at a connection, whether it has it already or not.
pub(super) fn watch(shared: &Arc<Shared>) {
    let mut keeper = lock();
    if let Some(forked) = keeper.take_if(|keeper| keeper.process != std::process::id()) {
        // Its connections are those of the other process.
        std::mem::forget(forked);
    }
    let keeper_of = |keeper: &mut Option<Keeper>| -> io::Result<()> {
        if let Some(keeper) = keeper {
            if keeper.arrivals.is_empty() {
                keeper.wake.write_all(&[0])?;
            }
            keeper.arrivals.push(shared.clone());
            return Ok(());
        }
        let (woken, wake) = io::pipe()?;
        thread::Builder::new()
            .name("masep-keeper".into())
            .spawn(move || run(&woken))?;
        *keeper = Some(Keeper {
            process: std::process::id(),
            arrivals: vec![shared.clone()],
            wake,
        });
        Ok(())
    };
    let kept = keeper_of(&mut keeper);
    drop(keeper);
    if let Err(error) = kept {
        tracing::warn!("no thread for what is left of a connection: {error}");
        shared.leave_at_once();
    }
}

fn run(mut woken: &PipeReader) {
    let mut watches: HashMap<ConnectionId, (Arc<Shared>, Watch)> = HashMap::new();
    loop {
        let Some(arrivals) = take_arrivals() else {
            return;
        };
        for shared in arrivals {
            let before = watches.remove(&shared.id);
            step(
                &mut watches,
                shared,
                before.map(|(_, watch)| watch),
                Readiness::default(),
            );
        }
        let is_idle = watches.is_empty();
        let until = watches
            .values()
            .fold(None, |until, (_, watch)| earlier(until, watch.until));
        let until = if is_idle { after(IDLE_TIME) } else { until };
        let polled: Vec<_> = watches
            .values()
            .filter(|(_, watch)| !watch.wanted.is_none())
            .collect();
        let mut asked: Vec<_> = polled
            .iter()
            .map(|(_, watch)| poll_fd(&watch.stream.0, watch.wanted))
            .collect();
        asked.push(poll_fd(&woken, WOKEN));
        if let Err(kind) = wait_for(&mut asked, until) {
            tracing::warn!("waiting for connections: {kind}");
            thread::sleep(Duration::from_millis(10));
        }
        let is_woken = asked.pop().is_some_and(|asked| readiness(&asked).reads);
        let mut found: HashMap<ConnectionId, Readiness> = HashMap::new();
        for ((shared, watch), asked) in polled.iter().zip(&asked) {
            let ready = readiness(asked).of(watch.wanted);
            if !ready.is_none() {
                found.insert(shared.id, ready);
            }
        }
        drop((asked, polled));
        let now = sync::now();
        for (shared, watch) in watches.values() {
            if watch.until.is_some_and(|until| until <= now) {
                found.entry(shared.id).or_default();
            }
        }
        for (id, ready) in found {
            if let Some((shared, watch)) = watches.remove(&id) {
                step(&mut watches, shared, Some(watch), ready);
            }
        }
        if is_woken {
            let _ = woken.read(&mut [0; 16]);
        } else if is_idle && end() {
            return;
        }
    }
}

fn step(
    watches: &mut HashMap<ConnectionId, (Arc<Shared>, Watch)>,
    shared: Arc<Shared>,
    before: Option<Watch>,
    found: Readiness,
) {
    if let Some(watch) = before {
        shared.give_back(watch.wanted);
    }
    if let Some(watch) = shared.step(found) {
        watches.insert(shared.id, (shared, watch));
    }
}

/// `None` in a process that is not the keeper's.
fn take_arrivals() -> Option<Vec<Arc<Shared>>> {
    lock()
        .as_mut()
        .map(|keeper| std::mem::take(&mut keeper.arrivals))
}

/// Ends the thread, unless there is something to do again.
fn end() -> bool {
    let mut keeper = lock();
    let ends = keeper
        .as_ref()
        .is_none_or(|keeper| keeper.arrivals.is_empty());
    if ends {
        *keeper = None;
    }
    ends
}

impl Shared {
    /// There is no thread that could wait for this connection.
    fn leave_at_once(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.core.is_open() {
            let now = state.tick();
            state.core.abort(CloseReason::Aborted, now);
            drop(state);
            drop(self.write_now());
        }
    }
}
