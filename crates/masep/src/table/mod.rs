//! A table: seats, turns, deadlines, rejoining and spectators above the connections. An engine states its rules and
//! plays; a player that is late, lost or hostile costs the others no more than they say. [`masep_table`] has the rules.
//!
//! ```
//! use masep::table::{Clock, Table};
//! use masep::{Action, Element};
//! use std::time::Duration;
//!
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//! let table = Table::builder("countdown.Countdown")
//!     .seats(["red", "blue"])
//!     .clock(Clock { per_turn: Some(Duration::from_secs(2)), bank: None })
//!     .late(|_view| Action::new(0))
//!     .bind("127.0.0.1:60000")
//!     .await?;
//! table.filled().await?;
//! for left in (0..10).rev() {
//!     let state = Element::parse(format!(r#"<State env_step="{left}" />"#))?;
//!     for its in table.ask_all(|_seat| state.clone()).await? {
//!         println!("{}: {:?} {:?}", its.seat(), its.how(), its.action());
//!     }
//!     table.show(state)?;
//! }
//! table.end().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Kinds of peers
//! Unmodified pymasep interfaces play, and so do peers of protocol 2 such as a [`Player`](crate::Player), at the same
//! table. pymasep's cannot come back after a lost connection but by the same id, and say no turn with their actions: they
//! are asked one question at a time.
//!
//! # The time between calls
//! A call that waits looks after the table itself, and no other task is woken in a turn. When no call waits for some
//! milliseconds, a task of the table does: players join, clocks run and spectators are served while the host thinks.

mod actions;
#[cfg_attr(not(feature = "unstable-bindings"), allow(unreachable_pub))]
pub(crate) mod asking;
mod builder;
mod calls;
mod door;
pub(crate) mod driver;
mod events;
mod forms;
pub(crate) mod joining;
mod looking;
mod ready;
pub(crate) mod seat;
mod turn;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use masep_table::TableError as Error;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

pub use actions::Actions;
pub use builder::TableBuilder;
pub use masep_table::{
    Absence, Cause, Clock, Code, Event, How, Kind, Last, SeatId, SeatState, Settings, TableError,
    TurnTime, View,
};
pub use seat::{Move, Seat};
pub use turn::Turn;

#[cfg(feature = "unstable-transport")]
use crate::transport::Listener;
use crate::{Address, Connection, IntoTarget, Server, ServerBuilder};
use asking::{Host, TurnHost as _, make_views, open_turn};
pub(crate) use calls::host_calls;
use door::Door;
use driver::Driver;
use looking::Shared;
use seat::LateAction;

/// A table, for its host. See the [module](self).
///
/// When it is dropped, all its connections end with a `BYE`.
pub struct Table {
    shared: Arc<Shared>,
    server: Arc<Server>,
    late: Option<LateAction>,
    /// Looks after the table when no call does.
    task: JoinHandle<()>,
}

/// The table, when it is there: its server begins before it.
type TableCell = Arc<OnceLock<Weak<Shared>>>;

impl TableBuilder {
    /// Binds an address, as [`ServerBuilder::bind`](crate::ServerBuilder::bind) does: players and spectators can come from
    /// now on. Must be called in a tokio runtime with time.
    ///
    /// Cancel safe: a call that is dropped has bound nothing.
    ///
    /// # Errors
    /// As [`ServerBuilder::bind`](crate::ServerBuilder::bind); `InvalidInput` also for no seats, or two of one name.
    pub async fn bind(self, address: impl IntoTarget) -> io::Result<Table> {
        let driver = self.driver()?;
        let cell = TableCell::default();
        let server = self.server_builder(&cell).bind(address).await?;
        Ok(self.start(driver, server, &cell))
    }

    fn server_builder(&self, cell: &TableCell) -> ServerBuilder {
        let cell = cell.clone();
        ServerBuilder::with(self.server(move || {
            let table = cell.get().and_then(Weak::upgrade)?;
            Some(table.lock().driver.table().free_seats())
        }))
    }

    fn start(self, driver: Driver<Connection>, server: Server, cell: &TableCell) -> Table {
        let server = Arc::new(server);
        let shared = Shared::new(driver, Door::new(server.clone()));
        let _ = cell.set(Arc::downgrade(&shared));
        let task = tokio::spawn(shared.clone().keep());
        Table {
            shared,
            server,
            late: self.late,
            task,
        }
    }
}

/// Plays over other transports than sockets.
#[cfg(feature = "unstable-transport")]
impl TableBuilder {
    /// As [`bind`](Self::bind), with connections from this listener.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind) that are not about sockets, and that of the listener for its address.
    pub fn serve_over<L: Listener>(self, listener: L) -> io::Result<Table> {
        let driver = self.driver()?;
        let cell = TableCell::default();
        let server = self.server_builder(&cell).serve_over(listener)?;
        Ok(self.start(driver, server, &cell))
    }
}

impl Table {
    /// Configures a table for this game, a dotted name. Peers that name another one are turned away, unless
    /// it is the empty text.
    pub fn builder(game: impl Into<String>) -> TableBuilder {
        TableBuilder::new(game.into())
    }

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
    /// Cancel safe.
    ///
    /// # Errors
    /// [`TableError::Over`] if the table has ended before.
    pub async fn filled(&self) -> Result<(), Error> {
        self.shared.wait(|driver| driver.filled()).await
    }

    /// Asks one seat, and waits for its decision.
    ///
    /// Not cancel safe: the turn stays open when a call is dropped, until it is [closed](Self::close).
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub async fn ask(&self, seat: &str, view: impl Into<View>) -> Result<Move, Error> {
        let view = view.into();
        let mut turn = self.open([seat], |_: &Seat| view.clone())?;
        turn.next().await.unwrap_or(Err(Error::Over))
    }

    /// Asks all seats at the same time, and waits for all decisions, which are in the order of the seats. Seats that are
    /// closed or gone are decided too, without an action or by the one for the late.
    ///
    /// Not cancel safe: as [`ask`](Self::ask).
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub async fn ask_all<V: Into<View>>(
        &self,
        view: impl FnMut(&Seat) -> V,
    ) -> Result<Vec<Move>, Error> {
        self.ask_all_timed(TurnTime::AsSet, view).await
    }

    /// As [`ask_all`](Self::ask_all), with a time of its own.
    ///
    /// Not cancel safe: as [`ask`](Self::ask).
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Turn::next`].
    pub async fn ask_all_timed<V: Into<View>>(
        &self,
        time: TurnTime,
        view: impl FnMut(&Seat) -> V,
    ) -> Result<Vec<Move>, Error> {
        let seats = self.all_seats();
        let mut turn = self.open_seats(&seats, time, view)?;
        let mut moves = Vec::with_capacity(seats.len());
        while let Some(decision) = turn.next().await {
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
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn event(&self) -> Option<Event> {
        self.shared.wait(|driver| driver.next_event()).await
    }

    /// Ends the game: turns that are open are closed, pymasep peers are told `END` and have
    /// [some time](Settings::farewell) to answer, others are told why their connections end. Returns when all have ended,
    /// at the latest two and a half seconds after that time, also where others go on coming.
    ///
    /// Cancel safe: the first poll starts the end, and a call that is dropped only stops waiting.
    pub async fn end(&self) {
        self.shared.call(|driver, now| driver.end_table(now));
        self.server.stop_announcing();
        self.shared
            .wait(|driver| driver.table().is_over().then_some(()))
            .await;
        self.server.stop_accepting();
        let deadline = tokio::time::Instant::now() + Driver::<Connection>::FAREWELL;
        for connection in self.server.registry().connections() {
            let _ = timeout_at(deadline, connection.closed()).await;
        }
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
}

impl Drop for Table {
    fn drop(&mut self) {
        self.task.abort();
        self.server.end_all();
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("server", &self.server)
            .field("seats", &self.seats())
            .finish_non_exhaustive()
    }
}
