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
use crate::sync::now;
use crate::table::asking::{Host, TurnHost as _, make_views, open_turn};
#[cfg(feature = "unstable-bindings")]
pub use crate::table::asking::{OpenActions, OpenTurn};
use crate::table::driver::Driver;
use crate::table::seat::LateAction;
use crate::table::{Move, Seat, TableBuilder, host_calls, host_traits};
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
    host_calls!();

    /// [`filled`](Self::filled) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if a seat has had nobody in that time.
    pub fn filled_timeout(&self, time: Duration) -> Result<Result<(), Error>, TimedOut> {
        let until = now().checked_add(time);
        self.shared.wait_until(until, |driver| driver.filled())
    }

    /// [`event`](Self::event) that blocks no longer than `time`.
    ///
    /// # Errors
    /// [`TimedOut`] if nothing happened in that time.
    pub fn event_timeout(&self, time: Duration) -> Result<Option<Event>, TimedOut> {
        let until = now().checked_add(time);
        self.shared.wait_until(until, |driver| driver.next_event())
    }
}

fn closed_by(connection: &Connection, until: Instant) {
    let _ = connection.closed_until(Some(until));
}

host_traits!();

impl Drop for Table {
    fn drop(&mut self) {
        self.shared.stop();
        self.server.end_all();
    }
}
