//! Players and spectators of a table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep::blocking;
use masep::blocking::TimedOut;
use masep::player::{Backoff, End, Event, Turn};
use masep_proto::{Role, TypeName};
use pyo3::intern;
use pyo3::prelude::*;

use crate::access::{Way, with_credentials};
use crate::bounds::{self, seconds};
use crate::table::values;
use crate::waiting::{self, Process};
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
    protocol: Option<u16>,
    trust: Option<tls::Trust>,
}

/// A player or a spectator, which connects and comes back by itself.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Player {
    /// Taken out by the end.
    inner: Arc<Mutex<Option<blocking::Player>>>,
    is_closed: AtomicBool,
    process: Process,
}

/// The outcome of a look for a turn.
enum Look {
    Turn(Box<Turn>),
    Over,
    Nothing,
    /// There is no connection.
    Apart,
}

type Inner = Mutex<Option<blocking::Player>>;

fn lock(inner: &Inner) -> MutexGuard<'_, Option<blocking::Player>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks for a turn, for no longer than this.
fn look(inner: &Inner, time: Duration) -> Look {
    let mut guard = lock(inner);
    let Some(player) = guard.as_mut() else {
        return Look::Over;
    };
    match player.next_connected(time) {
        Ok(Some(turn)) => Look::Turn(Box::new(turn)),
        Ok(None) => Look::Over,
        Err(TimedOut) if player.connection().is_some() => Look::Nothing,
        Err(TimedOut) => Look::Apart,
    }
}

/// Makes one attempt to connect, or waits for it a while. True if there is a connection, or it is over.
fn connect(inner: &Inner) -> bool {
    lock(inner)
        .as_mut()
        .is_none_or(|player| player.connect_or_wait(SLICE))
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

    /// Does something with the player, which may wait for a call of another thread; nothing if it was closed.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut blocking::Player) -> T + Send,
    ) -> PyResult<Option<T>> {
        self.process.check(py)?;
        Ok(py.detach(|| lock(&self.inner).as_mut().map(call)))
    }

    /// Ends it, in order, by a call that may take its time.
    fn end_by(
        &self,
        py: Python<'_>,
        end: impl FnOnce(&mut blocking::Player) + Send + 'static,
    ) -> PyResult<()> {
        self.process.check(py)?;
        self.is_closed.store(true, Ordering::Release);
        let inner = self.inner.clone();
        waiting::call(py, move || {
            let player = lock(&inner).take();
            if let Some(mut player) = player {
                end(&mut player);
            }
        })
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        waiting::release(self.process, self.inner.clone());
    }
}

#[pymethods]
impl Player {
    /// A player that has not connected.
    #[staticmethod]
    fn join(py: Python<'_>, address: &str, part: &Bound<'_, PyAny>) -> PyResult<Self> {
        let part: Part<'_> = bounds::given(part, "options")?;
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
            inner: Arc::new(Mutex::new(Some(player))),
            is_closed: AtomicBool::new(false),
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
        while !self.is_closed.load(Ordering::Acquire) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            slice = left.map_or(slice, |left| left.min(slice));
            match py.detach(|| look(&self.inner, slice)) {
                Look::Turn(turn) => return Self::turn(py, &turn).map(Some),
                Look::Over => return Ok(None),
                Look::Nothing => py.check_signals()?,
                Look::Apart => {
                    let inner = self.inner.clone();
                    waiting::call(py, move || connect(&inner))?;
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
        // Another thread may have it while it makes a connection.
        let looked = match self.inner.try_lock() {
            Err(_) => Look::Apart,
            Ok(guard) => {
                drop(guard);
                py.detach(|| look(&self.inner, Duration::ZERO))
            }
        };
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
        Ok(py.detach(|| connect(&self.inner)))
    }

    /// Answers the turn that was given last, without a wait for the peer.
    fn act(&self, py: Python<'_>, action: &Bound<'_, PyAny>) -> PyResult<bool> {
        let action = values::kept(action, "action")?;
        let acted = self.with(py, |player| player.try_act(action))?;
        acted
            .unwrap_or(Ok(false))
            .map_err(|error| errors::send(py, &error))
    }

    /// Gives the seat up.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.end_by(py, |player| {
            player.leave();
        })
    }

    /// Ends the connection, and keeps the seat.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end_by(py, |player| {
            if let Some(connection) = player.connection() {
                connection.bye();
            }
        })
    }

    /// The end, if it is over: its kind, code and text.
    fn end(&self, py: Python<'_>) -> PyResult<Option<(&'static str, String, String)>> {
        let end = self.with(py, |player| player.end().cloned())?;
        Ok(end.flatten().map(|end| match end {
            End::Finished => ("finished", String::new(), String::new()),
            End::Ended(bye) => ("ended", bye.code.to_string(), bye.text.to_string()),
            End::Rejected(why) => ("rejected", why.code.to_string(), why.text.to_string()),
            End::GaveUp(reason) => ("gave_up", String::new(), reason),
            _ => ("ended", String::new(), String::new()),
        }))
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
