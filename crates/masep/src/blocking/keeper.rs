//! The one thread of the process that does the work of connections that no call waits for: hellos at a server's door,
//! rests of frames that were sent without a wait, and farewells. It is started when there is work, or a server, and ends
//! when there was none for a while.

mod steps;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::poller::{Poller, Remote};
use super::shared::Shared;
use super::stream::{Readiness, Stream, after};
use super::warn_of_scarcity;
use crate::sync::{self, Instant, Mutex, MutexGuard, thread};

/// The time for which the thread stays though there is nothing to do.
const IDLE_TIME: Duration = Duration::from_millis(if cfg!(masep_model) { 10 } else { 1_000 });

#[cfg(not(masep_model))]
static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);
#[cfg(masep_model)]
shuttle::lazy_static! {
    static ref KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);
}

/// The number of [holds](Hold). It changes with the lock of the keeper alone.
static HOLDS: AtomicUsize = AtomicUsize::new(0);

/// The thread does not end before this is dropped. A server has one: its connections come when the process may have no
/// descriptor left to start the thread with.
#[derive(Debug)]
pub(super) struct Hold(());

/// Starts the thread if need be, and has it stay.
///
/// # Errors
/// No thread, or no descriptor.
pub(super) fn hold() -> io::Result<Hold> {
    with_keeper(|_| {
        HOLDS.fetch_add(1, Ordering::Relaxed);
        Ok(Hold(()))
    })
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut keeper = lock();
        let is_last = HOLDS.fetch_sub(1, Ordering::Relaxed) == 1;
        if let Some(keeper) = &mut *keeper
            && is_last
            && keeper.process == std::process::id()
        {
            // It finds out for how long it stays.
            let _ = keeper.wake();
        }
    }
}

/// The thread, as others see it.
struct Keeper {
    /// A process that was forked has no such thread.
    process: u32,
    arrivals: Vec<Arrival>,
    remote: Remote,
    /// It looks at the arrivals before it sleeps.
    is_awake: bool,
    /// The time at which it wakes by itself.
    wakes_at: Option<Instant>,
}

enum Arrival {
    /// The thread is to take a step of a connection.
    Step(Arc<Shared>),
    /// Its poller waits for a connection by now.
    Watched(Arc<Shared>, Watch),
}

/// The things that the keeper waits for on behalf of a connection.
pub(super) struct Watch {
    pub(super) stream: Arc<Stream>,
    pub(super) wanted: Readiness,
    pub(super) until: Option<Instant>,
}

/// The thread that takes a step of a connection for the keeper.
enum Stepping {
    /// The one that asks.
    This,
    /// Another one, which is told to look again.
    Another,
    /// The keeper itself.
    Keeper,
}

fn lock() -> MutexGuard<'static, Option<Keeper>> {
    KEEPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to a connection that no call waits for, whether the keeper has it already or not. If the keeper has not, this thread
/// takes the step that is due, and the keeper is not woken.
pub(super) fn watch(shared: &Arc<Shared>) {
    see_to(shared, Readiness::default());
}

/// The same for a connection that has just come, whose first bytes may be here.
pub(super) fn hear(shared: &Arc<Shared>) {
    see_to(shared, Readiness::READS);
}

fn see_to(shared: &Arc<Shared>, found: Readiness) {
    match shared.begin_step() {
        Stepping::Another => {}
        Stepping::This => {
            if let Some(watch) = shared.step(found) {
                place(shared, watch);
            }
        }
        Stepping::Keeper => {
            let asked = with_keeper(|keeper| {
                keeper.arrivals.push(Arrival::Step(shared.clone()));
                keeper.wake()
            });
            if let Err(error) = asked {
                warn_of_scarcity("no thread for what is left of a connection", &error);
                shared.leave_at_once();
            }
        }
    }
}

/// Has the keeper wait for a connection.
fn place(shared: &Arc<Shared>, watch: Watch) {
    let wanted = watch.wanted;
    let placed = with_keeper(|keeper| {
        let key = shared.info.id.as_key();
        keeper.remote.add(key, &watch.stream, wanted)?;
        let until = watch.until;
        keeper
            .arrivals
            .push(Arrival::Watched(shared.clone(), watch));
        if until.is_some_and(|until| keeper.wakes_at.is_none_or(|wakes_at| until < wakes_at)) {
            keeper.wake()?;
        }
        Ok(())
    });
    if let Err(error) = placed {
        give_up(shared, &error);
    }
}

/// Leaves a connection for which the keeper cannot wait.
fn give_up(shared: &Arc<Shared>, error: &io::Error) {
    warn_of_scarcity("no way to wait for what is left of a connection", error);
    shared.give_back(false);
    shared.leave_at_once();
}

/// Calls with the thread, which is started if need be.
fn with_keeper<T>(call: impl FnOnce(&mut Keeper) -> io::Result<T>) -> io::Result<T> {
    let mut keeper = lock();
    if let Some(forked) = keeper.take_if(|keeper| keeper.process != std::process::id()) {
        // Its connections are those of the other process.
        std::mem::forget(forked);
    }
    match &mut *keeper {
        Some(keeper) => call(keeper),
        none => call(none.insert(Keeper::start()?)),
    }
}

impl Keeper {
    fn start() -> io::Result<Self> {
        let kept = Kept::new()?;
        let remote = kept.poller.remote()?;
        thread::Builder::new()
            .name("masep-keeper".into())
            .spawn(move || kept.run())?;
        Ok(Self {
            process: std::process::id(),
            arrivals: Vec::new(),
            remote,
            is_awake: true,
            wakes_at: None,
        })
    }

    fn wake(&mut self) -> io::Result<()> {
        if !self.is_awake {
            self.remote.wake()?;
            self.is_awake = true;
        }
        Ok(())
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

    fn run(mut self) {
        while self.take_arrivals() {
            let is_idle = self.is_idle();
            let Some(until) = self.fall_asleep() else {
                continue;
            };
            let is_woken = self.poller.wait(until).unwrap_or_else(|error| {
                warn_of_scarcity("no wait for connections", &error);
                thread::sleep(Duration::from_millis(10));
                true
            });
            if !self.take_arrivals() {
                return;
            }
            for (key, found) in self.poller.ready().collect::<Vec<_>>() {
                self.look(key, found);
            }
            let now = sync::now();
            while let Some((until, key)) = self.deadlines.first().copied()
                && until <= now
            {
                self.look(key, Readiness::default());
            }
            if is_idle && !is_woken && self.is_idle() && end() {
                return;
            }
        }
    }

    /// The time at which the thread wakes by itself, or never. `None` if there is something to do before it sleeps.
    fn fall_asleep(&self) -> Option<Option<Instant>> {
        let mut keeper = lock();
        let keeper = keeper.as_mut()?;
        let until = match self.deadlines.first() {
            _ if self.is_idle() => (HOLDS.load(Ordering::Relaxed) == 0)
                .then(|| after(IDLE_TIME))
                .flatten(),
            first => first.map(|(until, _)| *until),
        };
        keeper.is_awake = !keeper.arrivals.is_empty();
        keeper.wakes_at = until;
        (!keeper.is_awake).then_some(until)
    }

    fn is_idle(&self) -> bool {
        self.watches.is_empty()
    }

    /// False in a process that is not the keeper's.
    fn take_arrivals(&mut self) -> bool {
        let arrivals = lock().as_mut().map(|keeper| {
            keeper.is_awake = true;
            std::mem::take(&mut keeper.arrivals)
        });
        let is_ours = arrivals.is_some();
        for arrival in arrivals.into_iter().flatten() {
            match arrival {
                Arrival::Step(shared) => self.step_on(shared),
                Arrival::Watched(shared, watch) => {
                    let key = shared.info.id.as_key();
                    let is_due = shared.lock().roles.steps_again;
                    self.keep(shared, watch);
                    if is_due {
                        self.look(key, Readiness::default());
                    }
                }
            }
        }
        is_ours
    }

    /// Another thread has asked for a step.
    fn step_on(&mut self, shared: Arc<Shared>) {
        let key = shared.info.id.as_key();
        if self.watches.contains_key(&key) {
            return self.look(key, Readiness::default());
        }
        match shared.begin_step() {
            Stepping::This => self.step(shared, Readiness::default()),
            Stepping::Another => {}
            // It is still on its way here, and is due when it has come.
            Stepping::Keeper => shared.lock().roles.steps_again = true,
        }
    }

    /// Takes a step of one of them for which something was found, or the time is over.
    fn look(&mut self, key: usize, found: Readiness) {
        let Some((shared, watch)) = self.watches.remove(&key) else {
            return;
        };
        self.poller.remove(&watch.stream, watch.wanted);
        if let Some(until) = watch.until {
            self.deadlines.remove(&(until, key));
        }
        shared.give_back(true);
        self.step(shared, found.of(watch.wanted));
    }

    fn step(&mut self, shared: Arc<Shared>, found: Readiness) {
        let Some(watch) = shared.step(found) else {
            return;
        };
        let key = shared.info.id.as_key();
        if let Err(error) = self.poller.add(key, &watch.stream, watch.wanted) {
            return give_up(&shared, &error);
        }
        self.keep(shared, watch);
    }

    fn keep(&mut self, shared: Arc<Shared>, watch: Watch) {
        let key = shared.info.id.as_key();
        self.deadlines.extend(watch.until.map(|until| (until, key)));
        self.watches.insert(key, (shared, watch));
    }
}

/// Ends the thread, unless there is something to do again, or it is held.
fn end() -> bool {
    let mut keeper = lock();
    let ends = HOLDS.load(Ordering::Relaxed) == 0
        && keeper
            .as_ref()
            .is_none_or(|keeper| keeper.arrivals.is_empty());
    if ends {
        *keeper = None;
    }
    ends
}
