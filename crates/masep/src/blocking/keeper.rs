//! The one thread of the process that does the work of connections that no call waits for: hellos at a server's door,
//! rests of frames that were sent without a wait, and farewells. It is started when there is work, and ends when
//! there was none for a while.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use masep_proto::connection::Want;

use super::drive::is_past;
use super::poller::Poller;
use super::shared::Shared;
use super::stream::{Readiness, Stream, Wait, after, earlier};
use crate::CloseReason;
use crate::sync::{self, Instant, Mutex, MutexGuard, thread};

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

/// The things that the keeper waits for on behalf of a connection.
pub(super) struct Watch {
    pub(super) stream: Arc<Stream>,
    pub(super) wanted: Readiness,
    pub(super) until: Option<Instant>,
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

fn run(woken: &PipeReader) {
    let mut kept = match Kept::new() {
        Ok(kept) => kept,
        Err(error) => return give_up(&error),
    };
    loop {
        let Some(arrivals) = take_arrivals() else {
            return;
        };
        for shared in arrivals {
            kept.step(shared, Readiness::default());
        }
        let is_idle = kept.watches.is_empty();
        let until = if is_idle {
            after(IDLE_TIME)
        } else {
            kept.deadlines.first().map(|(until, _)| *until)
        };
        let is_woken = kept.poller.wait(woken, until).unwrap_or_else(|error| {
            tracing::warn!("waiting for connections: {error}");
            thread::sleep(Duration::from_millis(10));
            true
        });
        for (key, found) in kept.poller.ready().collect::<Vec<_>>() {
            kept.look(key, found);
        }
        let now = sync::now();
        while let Some((until, key)) = kept.deadlines.first().copied()
            && until <= now
        {
            kept.look(key, Readiness::default());
        }
        if is_idle && !is_woken && end() {
            return;
        }
    }
}

/// There is no way to wait for connections.
fn give_up(error: &io::Error) {
    tracing::warn!("no way to wait for what is left of connections: {error}");
    let keeper = lock().take();
    for shared in keeper.into_iter().flat_map(|keeper| keeper.arrivals) {
        shared.leave_at_once();
    }
}

/// The connections of the keeper.
struct Kept {
    watches: HashMap<usize, (Arc<Shared>, Watch)>,
    deadlines: BTreeSet<(Instant, usize)>,
    poller: Poller,
}

impl Kept {
    fn new() -> io::Result<Self> {
        Ok(Self {
            watches: HashMap::new(),
            deadlines: BTreeSet::new(),
            poller: Poller::new()?,
        })
    }

    /// Takes a step of one of them for which something was found, or the time is over.
    fn look(&mut self, key: usize, found: Readiness) {
        if let Some((shared, watch)) = self.watches.get(&key) {
            let (shared, found) = (shared.clone(), found.of(watch.wanted));
            self.step(shared, found);
        }
    }

    fn step(&mut self, shared: Arc<Shared>, found: Readiness) {
        let key = shared.id.as_key();
        if let Some((_, watch)) = self.watches.remove(&key) {
            self.poller.remove(&watch.stream, watch.wanted);
            if let Some(until) = watch.until {
                self.deadlines.remove(&(until, key));
            }
            shared.give_back(watch.wanted);
        }
        let Some(watch) = shared.step(found) else {
            return;
        };
        if let Err(error) = self.poller.add(key, &watch.stream, watch.wanted) {
            tracing::warn!("no way to wait for what is left of a connection: {error}");
            shared.give_back(watch.wanted);
            return shared.leave_at_once();
        }
        self.deadlines.extend(watch.until.map(|until| (until, key)));
        self.watches.insert(key, (shared, watch));
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
    /// A step of the keeper, for a connection that needs it. It has the roles from here on that it waits for.
    pub(super) fn step(self: &Arc<Self>, found: Readiness) -> Option<Watch> {
        let mut state = self.lock();
        let now = state.tick();
        if is_past(state.roles.looks_until, now) {
            state.roles.looks_until = None;
        }
        state = self.found_by(state, found);
        loop {
            state = self.advance(state);
            let looks = state.roles.looks_until.is_some();
            if looks && state.core.wants().read == Want::Now {
                state = self.read(state, Wait::No);
                continue;
            }
            if !state.needs_keeper() || (state.core.is_open() && state.roles.waiting > 0) {
                break;
            }
            let reads = !state.core.is_open() || looks;
            let may_wait = state.may_wait(state.core.wants());
            let wanted = Readiness {
                reads: reads && may_wait.reads,
                writes: may_wait.writes,
            };
            let until = earlier(state.core.deadline(), state.roles.looks_until);
            let stream = state.stream.clone()?;
            state.take(wanted);
            state.roles.kept = wanted;
            state.roles.is_watched = true;
            return Some(Watch {
                stream,
                wanted,
                until,
            });
        }
        self.notify(&state);
        None
    }

    /// The keeper has the roles no more.
    pub(super) fn give_back(&self, wanted: Readiness) {
        let mut state = self.lock();
        state.give_back(wanted);
        state.roles.kept = Readiness::default();
        state.roles.is_watched = false;
    }

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
