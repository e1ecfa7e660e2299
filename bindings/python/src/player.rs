//! Players and spectators of a table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use masep::blocking::TimedOut;
use masep::player::{Backoff, End, Event, Turn};
use masep::{ConnectError, blocking};
use masep_proto::{Role, TypeName};
use pyo3::intern;
use pyo3::prelude::*;

use crate::access::{Way, with_credentials};
use crate::bounds::{self, seconds};
use crate::exit::{attach, detach};
use crate::table::values;
use crate::waiting::{self, Call, Process};
use crate::{client, errors, tls};

/// The time for which a call keeps the player from others, and a signal waiting.
const SLICE: Duration = Duration::from_millis(50);

/// `masep._player._Part`, by its attributes. Times are seconds.
#[derive(FromPyObject)]
struct Part<'py> {
    id: String,
    game: String,
    role: String,
    seat: Option<String>,
    resume: Option<String>,
    token: Option<String>,
    patience: f64,
    limits: Option<Bound<'py, PyAny>>,
    socket_options: Option<Bound<'py, PyAny>>,
    protocol: Option<bounds::Generation>,
    trust: Option<tls::Trust>,
}

/// A player or a spectator, which connects and comes back by itself.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Player {
    shared: Arc<Shared>,
    process: Process,
}

/// A player that any thread may use. None of them has it for long.
struct Shared {
    /// Taken out by the end.
    player: Mutex<Option<blocking::Player>>,
    /// Those who wait for the player have this: a thread that takes it again and again has to wait for them.
    next: Mutex<()>,
    /// One thread at a time connects. It does not have the player meanwhile.
    attempt: Mutex<()>,
    /// True if a call has waited for another one. Those that wait for turns do so without the player then, which takes
    /// a call of the system more.
    is_used_by_several: AtomicBool,
    is_closed: AtomicBool,
}

/// The outcome of a look for a turn.
enum Look {
    Turn(Box<Turn>),
    Over,
    Nothing,
    /// There is no connection.
    Apart,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<blocking::Player>> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let player = match self.player.try_lock() {
            Ok(player) => player,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.is_used_by_several.store(true, Ordering::Relaxed);
                self.player.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        drop(next);
        player
    }

    /// Looks for a turn, for no longer than this.
    fn look(&self, time: Duration) -> Look {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_alone = !self.is_used_by_several.load(Ordering::Relaxed);
            let mut guard = self.lock();
            let Some(player) = guard.as_mut() else {
                return Look::Over;
            };
            let found = player.next_connected(if is_alone { left } else { Duration::ZERO });
            match (found, player.connection()) {
                (Ok(Some(turn)), _) => return Look::Turn(Box::new(turn)),
                (Ok(None), _) => return Look::Over,
                (Err(TimedOut), None) => return Look::Apart,
                (Err(TimedOut), Some(_)) if is_alone || left.is_zero() => return Look::Nothing,
                (Err(TimedOut), Some(connection)) => {
                    let connection = connection.clone();
                    drop(guard);
                    connection.wait_for_frame(left);
                }
            }
        }
    }

    /// Makes one attempt to connect, or waits for it a while. True if there is a connection, or it is over.
    fn connect(&self) -> bool {
        let _alone = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = self
            .lock()
            .as_mut()
            .and_then(blocking::Player::next_attempt);
        let Some(attempt) = attempt else {
            return true;
        };
        let attempted = attempt.make(SLICE);
        let mut guard = self.lock();
        match guard.as_mut() {
            Some(player) => player.attempted(attempted),
            // It was closed meanwhile: what was connected says so.
            None => true,
        }
    }

    /// Gives the seat up, or keeps it, and ends the connection.
    fn end(&self, gives_up: bool) {
        // The engine is told of it that a seat is given up, as soon as there is a connection.
        let alone = gives_up.then(|| self.attempt.lock().unwrap_or_else(PoisonError::into_inner));
        let player = self.lock().take();
        drop(alone);
        let Some(mut player) = player else {
            return;
        };
        if gives_up {
            player.leave();
        } else if let Some(connection) = player.connection() {
            connection.bye();
        }
    }
}

impl Player {
    fn turn<'py>(py: Python<'py>, turn: &Turn) -> PyResult<Bound<'py, PyAny>> {
        let last = turn.last().map(|last| {
            let (how, why) = values::how(last.how);
            let after = last.after.map(|it| it.as_secs_f64());
            (last.turn, how, why, after, last.played)
        });
        let fields = (
            turn.number(),
            turn.episode(),
            turn.kind().as_str(),
            turn.remaining().map(|time| time.as_secs_f64()),
            turn.bank().map(|time| time.as_secs_f64()),
            last,
            turn.skipped(),
            values::inert(py, turn.view().clone())?,
            values::inert_dict(py, turn.information().clone())?,
        );
        Ok(fields.into_pyobject(py)?.into_any())
    }

    /// Does something with the player, which another call may have for a moment; nothing if it was closed.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut blocking::Player) -> T + Send,
    ) -> PyResult<Option<T>> {
        self.process.check(py)?;
        Ok(detach(py, || self.shared.lock().as_mut().map(call)))
    }

    /// Ends it, in order.
    fn end_now(&self, py: Python<'_>, gives_up: bool, wait: Option<f64>) -> PyResult<()> {
        self.process.check(py)?;
        self.shared.is_closed.store(true, Ordering::Release);
        let shared = self.shared.clone();
        waiting::call_for(py, wait, move || shared.end(gives_up))
    }

    /// The call that ends the connection, and keeps the seat. None in a process that was forked.
    pub(crate) fn ending(&self) -> Option<Call> {
        self.process.is_this().then(|| {
            self.shared.is_closed.store(true, Ordering::Release);
            let shared = self.shared.clone();
            Box::new(move || shared.end(false)) as Call
        })
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        waiting::release(self.process, self.shared.clone());
    }
}

#[pymethods]
impl Player {
    /// A player that has not connected.
    #[staticmethod]
    fn join(py: Python<'_>, address: &str, part: &Bound<'_, PyAny>) -> PyResult<Self> {
        let part: Part<'_> = bounds::given(part, "")?;
        client::check_id(py, &part.id)?;
        let way = Way::new(py, address, part.token, part.protocol)?;
        let role = match part.role.as_str() {
            "actor" => Role::Actor,
            "observer" => Role::Observer,
            other => {
                let text = format!("role is \"actor\" or \"observer\", not {other:?}");
                return Err(errors::caller(py, text));
            }
        };
        let backoff = Backoff {
            patience: seconds(py, "patience", part.patience)?,
            ..Backoff::default()
        };
        let mut builder = masep::Player::builder(part.id, TypeName::from(part.game.as_str()))
            .role(role)
            .backoff(backoff)
            .limits(bounds::limits(part.limits.as_ref())?)
            .socket_options(bounds::socket_options(part.socket_options.as_ref())?)
            .protocols(way.protocols);
        builder = with_credentials!(way, builder);
        if let Some(seat) = part.seat {
            builder = builder.seat(seat);
        }
        if let Some(resume) = part.resume {
            builder = builder.resume(resume);
        }
        if let Some(tls) = tls::client(part.trust) {
            builder = builder.tls(tls);
        }
        let player = builder.join_blocking(way.target);
        let player = player.map_err(|error| errors::caller(py, error.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                player: Mutex::new(Some(player)),
                next: Mutex::default(),
                attempt: Mutex::default(),
                is_used_by_several: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
            }),
            process: Process::this(),
        })
    }

    /// The next turn, as the fields of `masep.PlayerTurn`; `None` when the part is over.
    #[pyo3(signature = (timeout=None))]
    fn next_turn<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.process.check(py)?;
        let until = waiting::deadline(py, timeout)?;
        let mut slice = SLICE;
        while !self.shared.is_closed.load(Ordering::Acquire) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            slice = left.map_or(slice, |left| left.min(slice));
            match detach(py, || self.shared.look(slice)) {
                Look::Turn(turn) => return Self::turn(py, &turn).map(Some),
                Look::Over => return Ok(None),
                Look::Nothing => py.check_signals()?,
                Look::Apart => {
                    let shared = self.shared.clone();
                    waiting::call(py, move || shared.connect())?;
                }
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Err(errors::timed_out(py));
            }
        }
        Ok(None)
    }

    /// The next turn, if it has arrived: whether there is a connection, or it is over, and the turn.
    fn try_next_turn<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(&'static str, Option<Bound<'py, PyAny>>)> {
        self.process.check(py)?;
        let looked = detach(py, || self.shared.look(Duration::ZERO));
        Ok(match looked {
            Look::Turn(turn) => ("turn", Some(Self::turn(py, &turn)?)),
            Look::Over => ("over", None),
            Look::Nothing => ("nothing", None),
            Look::Apart => ("apart", None),
        })
    }

    /// Makes one attempt to connect, or waits for it a while. True if there is a connection, or it is over.
    fn connect(&self, py: Python<'_>) -> PyResult<bool> {
        self.process.check(py)?;
        Ok(detach(py, || self.shared.connect()))
    }

    /// Answers the turn of this number, without a wait for the peer. False if it is not the one that was given last.
    fn act(&self, py: Python<'_>, turn: u64, action: &Bound<'_, PyAny>) -> PyResult<bool> {
        let action = values::kept(action, "action")?;
        let acted = self.with(py, |player| player.try_act(turn, action))?;
        acted
            .unwrap_or(Ok(false))
            .map_err(|error| errors::send(py, &error))
    }

    /// Gives the seat up.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.end_now(py, true, None)
    }

    /// Ends the connection, and keeps the seat. With `wait`, it waits for no longer than so many seconds, and the end
    /// goes on.
    #[pyo3(signature = (wait=None))]
    fn close(&self, py: Python<'_>, wait: Option<f64>) -> PyResult<()> {
        self.end_now(py, false, wait)
    }

    /// The end, if it is over: its kind, code and text.
    fn end(&self, py: Python<'_>) -> PyResult<Option<(&'static str, String, String)>> {
        let end = self.with(py, |player| player.end().cloned())?;
        Ok(end.flatten().map(|end| match end {
            End::Finished => ("finished", String::new(), String::new()),
            End::Ended(bye) => ("ended", bye.code.to_string(), bye.text.to_string()),
            End::Rejected(why) => ("rejected", why.code.to_string(), why.text.to_string()),
            End::CannotConnect(reason) => ("cannot_connect", String::new(), reason),
            End::GaveUp(reason) => ("gave_up", String::new(), reason),
            _ => ("ended", String::new(), String::new()),
        }))
    }

    /// The error of the last attempt to connect, if that has failed, as the one that connecting raises.
    fn failure(&self, py: Python<'_>) -> PyResult<Option<PyErr>> {
        // Nobody waits for the lock and holds Python's.
        let raised = |error: &ConnectError| attach(|py| errors::connect(py, error));
        let failure = self.with(py, |player| player.failure().map(raised))?;
        Ok(failure.flatten())
    }

    /// The things that have happened since the last call, in order.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.with(py, blocking::Player::events)?;
        let told = events.unwrap_or_default().into_iter();
        told.map(|event| self::event(py, event)).collect()
    }

    /// With this text another process gets the seat.
    #[getter]
    fn resume(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let resume = self.with(py, |player| player.resume().map(str::to_owned))?;
        Ok(resume.flatten())
    }

    /// Another descriptor of the connection's socket, which is the caller's to close, and the seconds after which a side
    /// pings that has sent nothing.
    fn descriptor(&self, py: Python<'_>) -> PyResult<Option<(i32, Option<f64>)>> {
        let found = self.with(py, |player| {
            let connection = player.connection()?;
            let heartbeat = connection.welcome().map(|welcome| welcome.heartbeat_ms);
            let heartbeat = heartbeat.filter(|it| *it > 0).map(Duration::from_millis);
            let socket = connection.socket().ok()?;
            let heartbeat = heartbeat.map(|it| it.as_secs_f64());
            Some((std::os::fd::IntoRawFd::into_raw_fd(socket), heartbeat))
        })?;
        Ok(found.flatten())
    }
}

/// `masep.PlayerEvent`.
fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    let class = py
        .import(intern!(py, "masep._player"))?
        .getattr(intern!(py, "PlayerEvent"))?;
    let fields = pyo3::types::PyDict::new(py);
    let kind = match event {
        Event::Joined {
            seat,
            epoch,
            is_new_engine,
        } => {
            fields.set_item("seat", seat)?;
            fields.set_item("epoch", epoch)?;
            fields.set_item("is_new_engine", is_new_engine)?;
            "joined"
        }
        Event::Lost(reason) => {
            fields.set_item("text", reason)?;
            "lost"
        }
        Event::Retrying(time) => {
            fields.set_item("after", time.as_secs_f64())?;
            "retrying"
        }
        Event::NotCounted { turn, how, code } => {
            fields.set_item("turn", turn)?;
            let (how, why) = how.map_or((None, None), |how| {
                let (how, why) = values::how(how);
                (Some(how), why)
            });
            fields.set_item("how", how)?;
            fields.set_item("why", why)?;
            fields.set_item("code", code)?;
            "not_counted"
        }
        Event::Unknown { turn } => {
            fields.set_item("turn", turn)?;
            "unknown"
        }
        Event::Notice { code, text } => {
            fields.set_item("code", code)?;
            fields.set_item("text", text)?;
            "notice"
        }
        _ => "other",
    };
    fields.set_item("kind", kind)?;
    class.call((), Some(&fields))
}
