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

use crate::connection::now;
#[cfg(feature = "unstable-transport")]
use crate::transport::Listener;
use crate::{Address, Connection, IntoTarget, Server, ServerBuilder};
use asking::{Host, TurnHost as _, make_views, open_turn};
pub(crate) use calls::{host_calls, host_traits};
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

    host_calls!(async await);
}

async fn closed_by(connection: &Connection, until: Instant) {
    let _ = timeout_at(until.into(), connection.closed()).await;
}

host_traits!();

impl Drop for Table {
    fn drop(&mut self) {
        self.task.abort();
        self.server.end_all();
    }
}
