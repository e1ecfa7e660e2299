//! The tokens of a server while it runs.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use masep_proto::access::Grants;

#[cfg(feature = "token-file")]
use super::file::{TokenFile, TokenFileError};

/// The time between two looks at the dates of the tokens, and at their file.
const LOOK_TIME: Duration = Duration::from_millis(250);

/// The access tokens of a server, or of several: clones are the same. They can be changed while it runs.
///
/// A token that is taken out, or whose time is over, ends its connections within half a second, with the code `revoked`. An
/// entry that is changed holds for the connections to come, and ends those that it does not allow any more, in the same way.
/// One that allows less than before also ends those of which the server does not know what they have become since: a client
/// that has said no role, or an actor to whom nobody has given a seat. The code is `narrowed`, and they may come back.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Its end is that of the thread that looks.
    _alive: Sender<()>,
    /// For the thread, until it is started.
    waiting: Mutex<Option<Receiver<()>>>,
}

struct State {
    grants: Grants,
    doors: Vec<Weak<dyn Renews>>,
    #[cfg(feature = "token-file")]
    file: Option<TokenFile>,
}

/// A server's door.
pub(crate) trait Renews: Send + Sync {
    /// These are the tokens now; without any, the same as before. The date has changed.
    fn renew(self: Arc<Self>, grants: Option<Grants>, date: SystemTime);
}

impl Tokens {
    /// These tokens.
    pub fn new(grants: Grants) -> Self {
        Self::of(State {
            grants,
            doors: Vec::new(),
            #[cfg(feature = "token-file")]
            file: None,
        })
    }

    /// The tokens of a file, which is read anew when it changes: within half a second. A file that cannot be read any more,
    /// or that is broken, leaves the tokens as they are, and a warning in the log says so.
    ///
    /// ```toml
    /// [[token]]
    /// name = "lab3"                    # for people, and for kick and ban; each once
    /// sha256 = "9f86d081884c7d65..."   # of the token
    /// roles = ["actor"]                # all that follows may be left out, and then allows everything
    /// ids = ["agent-1"]
    /// games = ["pursuit.PursuitGame"]
    /// seats = ["red"]
    /// expires = 2027-01-31T12:00:00Z   # in UTC
    /// ```
    ///
    /// # Errors
    /// The file cannot be read, or is none: with the line. A key that is not known is an error too.
    #[cfg(feature = "token-file")]
    pub fn file(path: impl Into<std::path::PathBuf>) -> Result<Self, TokenFileError> {
        let (file, grants) = TokenFile::open(path.into())?;
        Ok(Self::of(State {
            grants,
            doors: Vec::new(),
            file: Some(file),
        }))
    }

    fn of(state: State) -> Self {
        let (alive, waiting) = channel();
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            _alive: alive,
            waiting: Mutex::new(Some(waiting)),
        }))
    }

    /// The tokens as they are now.
    pub fn grants(&self) -> Grants {
        self.0.lock().grants.clone()
    }

    /// Sets the tokens anew, in place of all that there were; of a file, until that changes. Returns when the connections of
    /// those that are not among them any more were told to end.
    pub fn replace(&self, grants: Grants) {
        let mut state = self.0.lock();
        state.grants = grants;
        let doors = state.live_doors();
        let grants = state.grants.clone();
        drop(state);
        let date = SystemTime::now();
        for door in doors {
            door.renew(Some(grants.clone()), date);
        }
    }

    /// Tells this door of changes from here on.
    pub(crate) fn subscribe(&self, door: &Arc<impl Renews + 'static>) -> io::Result<()> {
        let door: Arc<dyn Renews> = door.clone();
        let mut state = self.0.lock();
        state.doors.push(Arc::downgrade(&door));
        let grants = state.grants.clone();
        drop(state);
        // They may have changed since the door was made.
        door.renew(Some(grants), SystemTime::now());
        self.0.begin_to_look(Arc::downgrade(&self.0))
    }
}

/// Looks at the file and the dates until nobody has the tokens any more.
fn look(inner: &Weak<Inner>, alive: &Receiver<()>) {
    while alive.recv_timeout(LOOK_TIME) == Err(RecvTimeoutError::Timeout) {
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let mut state = inner.lock();
        let changed = state.read_anew();
        let doors = state.live_doors();
        drop(state);
        let date = SystemTime::now();
        for door in doors {
            door.renew(changed.clone(), date);
        }
    }
}

impl Inner {
    /// Starts the thread, once. Without one, the next server tries it again.
    fn begin_to_look(&self, inner: Weak<Self>) -> io::Result<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_some() {
            let (give, given) = channel();
            let thread = thread::Builder::new().name("masep-tokens".into());
            thread.spawn(move || given.recv().map(|alive| look(&inner, &alive)))?;
            // It waits for that.
            let _ = waiting.take().map(|alive| give.send(alive));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The tokens of the file, if they are others than before.
    #[cfg(feature = "token-file")]
    fn read_anew(&mut self) -> Option<Grants> {
        let grants = self.file.as_mut()?.read_anew()?;
        self.grants = grants.clone();
        Some(grants)
    }

    #[cfg(not(feature = "token-file"))]
    const fn read_anew(&mut self) -> Option<Grants> {
        None
    }

    fn live_doors(&mut self) -> Vec<Arc<dyn Renews>> {
        let live: Vec<_> = self.doors.iter().filter_map(Weak::upgrade).collect();
        self.doors.retain(|door| door.strong_count() > 0);
        live
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grants = self.grants();
        let names = grants.iter().map(|grant| &*grant.name);
        f.debug_tuple("Tokens")
            .field(&names.collect::<Vec<_>>())
            .finish()
    }
}
