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
mod builder;
mod door;
mod driver;
mod events;
mod forms;
mod looking;
mod ready;
mod seat;
mod turn;

use std::fmt;
use std::io;
use std::sync::Arc;

use masep_table::{SeatId, TableError as Error};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use actions::Actions;
pub use builder::TableBuilder;
pub use masep_table::{
    Absence, Cause, Clock, Code, Event, How, Kind, Last, SeatState, Settings, TableError, TurnTime,
    View,
};
pub use seat::{Move, Seat};
pub use turn::Turn;

use crate::{Address, Connection, IntoTarget, Server};
use door::Door;
use driver::Driver;
use looking::Shared;
use seat::{LateAction, guarded};
use turn::make_views;

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
        let server = Server::builder(self.id.clone())
            .limits(self.limits)
            .server_limits(self.server_limits)
            .socket_options(self.socket_options)
            .protocols(self.protocols)
            .announce(self.announce)
            .duplicates(self.duplicates)
            .ask()
            .bind(address)
            .await?;
        let server = Arc::new(server);
        let shared = Shared::new(driver, Door::new(server.clone()));
        let task = tokio::spawn(shared.clone().keep());
        Ok(Table {
            shared,
            server,
            late: self.late,
            task,
        })
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

    /// The server below. Its connections are the table's: ends and refusals belong to that.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The seats as they are now, in order.
    pub fn seats(&self) -> Vec<Seat> {
        let inner = self.shared.lock();
        let seats = inner.driver.table().seats();
        seats.map(|seat| inner.driver.seat(seat)).collect()
    }

    /// The name of a seat, for those in events.
    pub fn name(&self, seat: SeatId) -> Arc<str> {
        self.shared.lock().driver.seat(seat).shared_name()
    }

    /// The number of spectators.
    pub fn spectators(&self) -> usize {
        self.shared.lock().driver.table().spectators()
    }

    /// The episode, from 0.
    pub fn episode(&self) -> u64 {
        self.shared.lock().driver.table().episode()
    }

    /// Waits until each seat has had somebody at the same time. A game may begin without that.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`TableError::Over`] if the table has ended before.
    pub async fn filled(&self) -> Result<(), Error> {
        self.shared
            .wait(|driver| {
                let is_over = driver.table().is_over();
                if driver.is_filled() {
                    Some(Ok(()))
                } else {
                    is_over.then_some(Err(Error::Over))
                }
            })
            .await
    }

    /// Opens a turn for these seats, each of which is shown its view and asked once. A seat whose player was replaced by
    /// another one meanwhile has its view made again. Does not wait.
    ///
    /// # Errors
    /// A seat is in an open turn, named twice or not there; the table has ended; `view` panicked. Nothing was opened then.
    pub fn open<'a, F, V>(
        &self,
        seats: impl IntoIterator<Item = &'a str>,
        view: F,
    ) -> Result<Turn<'_, F>, Error>
    where
        F: FnMut(&Seat) -> V,
        V: Into<View>,
    {
        self.open_timed(seats, TurnTime::AsSet, view)
    }

    /// As [`open`](Self::open), with a time of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_timed<'a, F, V>(
        &self,
        seats: impl IntoIterator<Item = &'a str>,
        time: TurnTime,
        view: F,
    ) -> Result<Turn<'_, F>, Error>
    where
        F: FnMut(&Seat) -> V,
        V: Into<View>,
    {
        let seats = self.shared.lock().driver.find(seats)?;
        self.open_seats(&seats, time, view)
    }

    fn open_seats<F, V>(
        &self,
        seats: &[SeatId],
        time: TurnTime,
        mut view: F,
    ) -> Result<Turn<'_, F>, Error>
    where
        F: FnMut(&Seat) -> V,
        V: Into<View>,
    {
        let look = |driver: &Driver<Connection>| -> Vec<Seat> {
            seats.iter().map(|seat| driver.seat(*seat)).collect()
        };
        let mut seen = look(&self.shared.lock().driver);
        let mut views = make_views(&seen, &mut view)?;
        // Somebody may come to a seat while its view is made, but not again and again.
        for _ in 0..seats.len() {
            let now = look(&self.shared.lock().driver);
            let changed = |at: &usize| !now[*at].has_player_of(&seen[*at]);
            let Some(at) = (0..now.len()).find(changed) else {
                break;
            };
            views[at].1 = guarded(|| view(&now[at]).into())?;
            seen[at] = now[at].clone();
        }
        let left = views.len();
        let opened = |driver: &mut Driver<Connection>, now| driver.open(views, time, now);
        Ok(Turn {
            table: self,
            number: self.shared.call(opened)?,
            left,
            view,
        })
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
        let seats = self
            .shared
            .lock()
            .driver
            .table()
            .seats()
            .collect::<Vec<_>>();
        let mut turn = self.open_seats(&seats, time, view)?;
        let mut moves = Vec::with_capacity(turn.left);
        while let Some(decision) = turn.next().await {
            moves.push(decision?);
        }
        moves.sort_by_key(Move::index);
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

    /// Closes an open turn, by its number: its seats that are undecided are decided without an action.
    pub fn close(&self, turn: u64) {
        self.shared.call(|driver, now| {
            driver.call(now, |table| table.close(turn, now));
        });
    }

    /// Shows this to the spectators: each gets the newest view that there is when it has read the one before. Does not wait.
    ///
    /// # Errors
    /// [`TableError::Over`] when the table has ended.
    pub fn show(&self, view: impl Into<View>) -> Result<(), Error> {
        let view = view.into();
        self.shared.call(|driver, now| {
            if driver.has_ended() {
                return Err(Error::Over);
            }
            driver.show(view, now);
            Ok(())
        })
    }

    /// Ends the episode: each player is shown its last view of it. Does not wait.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where any turn is open.
    pub fn finish_episode<V: Into<View>>(
        &self,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<(), Error> {
        let views = make_views(&self.seats(), &mut view)?;
        self.shared.call(|driver, now| {
            let finished = driver.call(now, |table| table.finish_episode(views, now));
            finished.map(drop)
        })
    }

    /// Stops the clocks. Actions still count.
    pub fn pause(&self) {
        self.shared
            .call(|driver, now| driver.call(now, |table| table.pause(now)));
    }

    /// Lets the clocks run again, with what was left.
    pub fn resume(&self) {
        self.shared
            .call(|driver, now| driver.call(now, |table| table.resume(now)));
    }

    /// Closes a seat, as for a dead agent: each turn is decided at once without an action. Its player stays connected.
    ///
    /// # Errors
    /// No seat has this name.
    pub fn close_seat(&self, name: &str) -> Result<(), Error> {
        self.shared.call(|driver, now| {
            let seat = driver.find([name])?;
            driver.call(now, |table| {
                seat.into_iter().for_each(|it| table.close_seat(it, now));
            });
            Ok(())
        })
    }

    /// Opens a seat that is closed or whose player is gone. A player that is connected plays on.
    ///
    /// # Errors
    /// No seat has this name.
    pub fn open_seat(&self, name: &str) -> Result<(), Error> {
        self.shared.call(|driver, now| {
            let seat = driver.find([name])?;
            driver.call(now, |table| {
                seat.into_iter().for_each(|it| table.open_seat(it, now));
            });
            Ok(())
        })
    }

    /// The next thing that has happened, in order; `None` when the table has ended and all was told. The latest 4,096 that
    /// nobody took are kept, see [`missed_events`](Self::missed_events).
    ///
    /// Cancel safe: a call that is dropped has taken nothing.
    pub async fn event(&self) -> Option<Event> {
        self.shared
            .wait(|driver| match driver.events().pop() {
                Some(event) => Some(Some(event)),
                None => driver.table().is_over().then_some(None),
            })
            .await
    }

    /// The things that have happened and were not taken, in order. Does not wait.
    pub fn events(&self) -> Vec<Event> {
        self.shared
            .call(|driver, _| std::iter::from_fn(|| driver.events().pop()).collect())
    }

    /// The number of events that were dropped because nobody took them.
    pub fn missed_events(&self) -> u64 {
        self.shared.lock().driver.events().missed()
    }

    /// Ends the game: turns that are open are closed, pymasep peers are told `END` and have
    /// [some time](Settings::farewell) to answer, others are told why their connections end. Returns when all have ended,
    /// at the latest two seconds after that time.
    ///
    /// Cancel safe: the first poll starts the end, and a call that is dropped only stops waiting.
    pub async fn end(&self) {
        self.shared.call(|driver, now| driver.end_table(now));
        self.server.stop_announcing();
        self.shared
            .wait(|driver| driver.table().is_over().then_some(()))
            .await;
        self.server.stop_accepting();
        let deadline = Instant::now() + Driver::<Connection>::FAREWELL;
        for connection in self.server.registry().connections() {
            let _ = timeout_at(deadline, connection.closed()).await;
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.task.abort();
        self.server.stop_accepting();
        for connection in self.server.registry().connections() {
            connection.end(crate::CloseReason::Shutdown);
        }
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
