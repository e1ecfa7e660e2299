//! A table without async: see [`masep::table`](crate::table), whose calls these are.

mod aside;
mod direct;
mod handling;
mod shared;
mod turn;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_table::{Event, SeatId, TableError as Error, TurnTime, View};

use self::handling::{Handling, take_requests};
use self::shared::Shared;
pub use self::turn::{Actions, Turn};
use super::{Connection, Server, ServerBuilder, TimedOut, answering_in_calls, spawn};
use crate::table::asking::{Host, TurnHost as _, make_views, open_turn};
#[cfg(feature = "unstable-bindings")]
pub use crate::table::asking::{OpenActions, OpenTurn};
use crate::table::driver::Driver;
use crate::table::seat::LateAction;
use crate::table::{Move, Seat, TableBuilder, host_calls};
use crate::{Address, IntoTarget};

/// A table, for its host. See [`masep::table`](crate::table).
///
/// A call that waits looks after the table itself: it decides what is late. Each connection has a thread that reads it, and
/// the table one for its clocks and one for those who come.
///
/// When it is dropped, all its connections end with a `BYE`.
///
/// ```
/// use masep::{Element, Table};
///
/// # fn play() -> Result<(), Box<dyn std::error::Error>> {
/// let table = Table::builder("countdown.Countdown")
///     .seats(["red", "blue"])
///     .bind_blocking("127.0.0.1:60000")?;
/// table.filled()?;
/// let state = Element::parse(r#"<State env_step="0" />"#)?;
/// for its in table.ask_all(|_seat| state.clone())? {
///     println!("{}: {:?} {:?}", its.seat(), its.how(), its.action());
/// }
/// table.end();
/// # Ok(())
/// # }
/// ```
pub struct Table {
    pub(super) shared: Arc<Shared>,
    server: Arc<Server>,
    late: Option<LateAction>,
}

impl TableBuilder {
    /// As [`bind`](Self::bind), for a table without async.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and where the system has no thread.
    pub fn bind_blocking(self, address: impl IntoTarget) -> io::Result<Table> {
        let shared = Shared::new(self.driver()?);
        let place = Arc::downgrade(&shared);
        let mut settings = self.server(move || {
            let table = place.upgrade()?;
            Some(table.lock().driver.table().free_seats())
        });
        settings.endpoint = answering_in_calls(settings.endpoint);
        let server = ServerBuilder::with(settings)
            .handler(Handling(shared.clone()))
            .bind(address)?;
        let table = Table {
            shared,
            server: Arc::new(server),
            late: self.late,
        };
        let (shared, server) = (table.shared.clone(), table.server.clone());
        let clocks = shared.clone();
        spawn("table", move || clocks.keep_time())?;
        spawn("seats", move || take_requests(&shared, &server))?;
        Ok(table)
    }
}

impl Table {
    /// The address that the table listens on, with the real port.
    pub fn local_address(&self) -> Address {
        self.server.local_address()
    }

    /// The server below: [`kick`](Server::kick) and [`ban`](Server::ban) are its calls. Its connections are the table's:
    /// ends and refusals belong to that. The seat of a player that is sent away is kept for its grace, as that of one whose
    /// connection is lost.
    pub fn server(&self) -> &Server {
        &self.server
    }

    host_calls!();

    /// Waits until no seat is open, for the first time: each has somebody, or the host has closed it. A game may begin without
    /// that.
    ///
    /// # Errors
    /// [`TableError::Over`](Error::Over) if the table has ended before.
    pub fn filled(&self) -> Result<(), Error> {
        let filled = self.shared.wait(None, |driver| driver.filled());
        filled.unwrap_or(Err(Error::Over))
    }

    /// [`filled`](Self::filled) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if a seat has had nobody in that time.
    pub fn filled_timeout(&self, time: Duration) -> Result<Result<(), Error>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.shared.wait(until, |driver| driver.filled())
    }

    /// Asks one seat, and waits for its decision.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub fn ask(&self, seat: &str, view: impl Into<View>) -> Result<Move, Error> {
        let view = view.into();
        let _asking = self.shared.ask();
        let mut turn = self.open([seat], |_: &Seat| view.clone())?;
        turn.next().unwrap_or(Err(Error::Over))
    }

    /// Asks all seats at the same time, and waits for all decisions, which are in the order of the seats. Seats that are
    /// closed or gone are decided too, without an action or by the one for the late.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub fn ask_all<V: Into<View>>(&self, view: impl FnMut(&Seat) -> V) -> Result<Vec<Move>, Error> {
        self.ask_all_timed(TurnTime::AsSet, view)
    }

    /// As [`ask_all`](Self::ask_all), with a time of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub fn ask_all_timed<V: Into<View>>(
        &self,
        time: TurnTime,
        view: impl FnMut(&Seat) -> V,
    ) -> Result<Vec<Move>, Error> {
        let seats = self.all_seats();
        let _asking = self.shared.ask();
        let mut turn = self.open_seats(&seats, time, view)?;
        let mut moves = Vec::with_capacity(seats.len());
        while let Some(decision) = turn.next() {
            moves.push(decision?);
        }
        moves.sort_unstable_by_key(Move::index);
        Ok(moves)
    }

    /// Lets each seat act at its own pace (pymasep's `FREE_FOR_ALL`): it is asked again as soon as it has acted and the host
    /// has taken that.
    pub fn actions<F, V>(&self, view: F) -> Actions<'_, F>
    where
        F: FnMut(&Seat) -> V,
        V: Into<View>,
    {
        Actions::new(self, view)
    }

    /// The next thing that has happened, in order; `None` when the table has ended and all was told. The latest 4,096 that
    /// nobody took are kept, see [`missed_events`](Self::missed_events).
    pub fn event(&self) -> Option<Event> {
        let event = self.shared.wait(None, |driver| driver.next_event());
        event.unwrap_or(None)
    }

    /// [`event`](Self::event) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if nothing happened in that time.
    pub fn event_timeout(&self, time: Duration) -> Result<Option<Event>, TimedOut> {
        let until = Instant::now().checked_add(time);
        self.shared.wait(until, |driver| driver.next_event())
    }

    /// Ends the game: turns that are open are closed, pymasep peers are told `END` and have
    /// [some time](crate::table::Settings::farewell) to answer, others are told why their connections end. Returns when all
    /// have ended, at the latest two and a half seconds after that time, also where others go on coming.
    pub fn end(&self) {
        self.shared.with(|inner, now| {
            inner.aside.remove_all();
            inner.driver.end_table(now);
        });
        self.server.stop_announcing();
        let is_over = |driver: &mut Driver<Connection>| driver.table().is_over().then_some(());
        let _ = self.shared.wait(None, is_over);
        self.server.stop_accepting();
        let until = Instant::now().checked_add(Driver::<Connection>::FAREWELL);
        for connection in self.server.registry().connections() {
            let _ = connection.closed_until(until);
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.shared.stop();
        self.server.end_all();
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("address", &self.local_address())
            .field("seats", &self.seats())
            .finish_non_exhaustive()
    }
}

impl Host for Table {
    type Link = Connection;

    fn late(&self) -> Option<&LateAction> {
        self.late.as_ref()
    }

    fn call<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
        self.shared.call(call)
    }

    fn look<R>(&self, look: impl FnOnce(&mut Driver<Connection>) -> R) -> R {
        look(&mut self.shared.lock().driver)
    }

    fn open<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
        self.shared.open(call)
    }
}
