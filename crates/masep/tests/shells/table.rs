//! Tables of both libraries behind one face.

use std::io;
use std::time::Duration;

use masep::access::Subject;
use masep::table::{Event, Move, Seat, TableBuilder, TableError, TurnTime, View};
use masep::{Address, IntoTarget, blocking, table};
use tokio::time::timeout;

use super::{Shell, face, wait};

/// The function of a host that makes the view of a seat.
type Views<'a> = Box<dyn FnMut(&Seat) -> View + 'a>;

type Moved = Option<Result<Move, TableError>>;

impl Shell {
    /// A table on loopback.
    pub fn table(self, builder: TableBuilder) -> Box<dyn Table> {
        self.table_at("127.0.0.1:0", builder).unwrap()
    }

    pub fn table_at(
        self,
        target: impl IntoTarget,
        builder: TableBuilder,
    ) -> io::Result<Box<dyn Table>> {
        Ok(match self {
            Self::Blocking => Box::new(builder.bind_blocking(target)?),
            Self::Async => Box::new(wait(builder.bind(target))?),
        })
    }
}

face! { Table [Send + Sync] for blocking::Table, masep::Table;
    fn seats(&self) -> Vec<Seat>;
    fn spectators(&self) -> usize;
    fn events(&self) -> Vec<Event>;
    async fn event(&self) -> Option<Event>;
    in both {
        fn address(&self) -> Address => { self.local_address() }
        fn pymasep_address(&self) -> Address => { self.server().pymasep_address().unwrap().clone() }
        fn kick(&self, subject: &Subject) -> usize => { self.server().kick(subject) }
        fn close(&self, turn: u64) => { self.close(turn); }
        fn show_view(&self, view: View) -> Result<(), TableError> => { self.show(view) }
        fn finish_with(&self, view: Views<'_>) -> Result<(), TableError> => { self.finish_episode(view) }
        fn<'a> open_with(&'a self, seats: &[&str], time: TurnTime, view: Views<'a>)
            -> Result<Box<dyn Turn + 'a>, TableError> => {
            let seats = seats.iter().copied();
            Ok(Box::new(self.open_timed(seats, time, view)?))
        }
        fn<'a> actions_with(&'a self, view: Views<'a>) -> Box<dyn Moves + 'a> => { Box::new(self.actions(view)) }
    }
    in each {
        fn filled(&self) => { self.filled().unwrap(); }, { wait(self.filled()).unwrap(); }
        fn end(&self) => { self.end(); }, { wait(self.end()); }
        fn filled_within(&self, time: Duration) -> Option<Result<(), TableError>> => {
            self.filled_timeout(time).ok()
        }, {
            wait(async { timeout(time, self.filled()).await.ok() })
        }
        fn event_within(&self, time: Duration) -> Option<Option<Event>> => {
            self.event_timeout(time).ok()
        }, {
            wait(async { timeout(time, self.event()).await.ok() })
        }
        fn ask_with(&self, seat: &str, view: View) -> Result<Move, TableError> => {
            self.ask(seat, view)
        }, {
            wait(self.ask(seat, view))
        }
        fn ask_all_with(&self, time: TurnTime, view: Views<'_>) -> Result<Vec<Move>, TableError> => {
            self.ask_all_timed(time, view)
        }, {
            wait(self.ask_all_timed(time, view))
        }
        /// Asks all seats, of which none decides in this time, and waits no longer: the turn stays open.
        fn give_up_asking(&self, time: Duration, view: Views<'_>) => {
            let seats = self.seats();
            let mut turn = self.open(seats.iter().map(Seat::name), view).unwrap();
            turn.next_timeout(time).unwrap_err();
        }, {
            wait(async { timeout(time, self.ask_all(view)).await }).unwrap_err();
        }
    }
}

/// Calls as inherent ones of the trait's object, with what they take by `Into`.
impl dyn Table + '_ {
    /// Waits for this event.
    pub fn wait_for(&self, wanted: impl Fn(&Event) -> bool) {
        while !wanted(&self.event().unwrap()) {}
    }

    pub fn ask(&self, seat: &str, view: impl Into<View>) -> Result<Move, TableError> {
        self.ask_with(seat, view.into())
    }

    pub fn ask_all<V: Into<View>>(
        &self,
        view: impl FnMut(&Seat) -> V,
    ) -> Result<Vec<Move>, TableError> {
        self.ask_all_timed(TurnTime::AsSet, view)
    }

    pub fn ask_all_timed<V: Into<View>>(
        &self,
        time: TurnTime,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<Vec<Move>, TableError> {
        self.ask_all_with(time, Box::new(move |seat| view(seat).into()))
    }

    pub fn open<'a, V: Into<View>>(
        &'a self,
        seats: &[&str],
        view: impl FnMut(&Seat) -> V + 'a,
    ) -> Result<Box<dyn Turn + 'a>, TableError> {
        self.open_timed(seats, TurnTime::AsSet, view)
    }

    pub fn open_timed<'a, V: Into<View>>(
        &'a self,
        seats: &[&str],
        time: TurnTime,
        mut view: impl FnMut(&Seat) -> V + 'a,
    ) -> Result<Box<dyn Turn + 'a>, TableError> {
        self.open_with(seats, time, Box::new(move |seat| view(seat).into()))
    }

    pub fn actions<'a, V: Into<View>>(
        &'a self,
        mut view: impl FnMut(&Seat) -> V + 'a,
    ) -> Box<dyn Moves + 'a> {
        self.actions_with(Box::new(move |seat| view(seat).into()))
    }

    pub fn show(&self, view: impl Into<View>) -> Result<(), TableError> {
        self.show_view(view.into())
    }

    pub fn finish_episode<V: Into<View>>(
        &self,
        mut view: impl FnMut(&Seat) -> V,
    ) -> Result<(), TableError> {
        self.finish_with(Box::new(move |seat| view(seat).into()))
    }
}

/// The decisions of a turn, or of all seats as they come.
pub trait Moves {
    fn next(&mut self) -> Moved;
    /// The next one, if it comes in this time.
    fn next_within(&mut self, time: Duration) -> Option<Moved>;
}

/// An open turn.
pub trait Turn: Moves {
    fn extend(&self, by: Duration);
    fn close(&self);
}

macro_rules! moves {
    (of $library:ident: $($moves:ident)*; |$its:ident, $time:ident| $next:expr, $next_within:expr) => {
        $(impl Moves for $library::$moves<'_, Views<'_>> {
            fn next(&mut self) -> Moved {
                let $its = self;
                $next
            }
            fn next_within(&mut self, $time: Duration) -> Option<Moved> {
                let $its = self;
                $next_within
            }
        })*
        impl Turn for $library::Turn<'_, Views<'_>> {
            fn extend(&self, by: Duration) {
                self.extend(by);
            }
            fn close(&self) {
                self.close();
            }
        }
    };
}

moves! { of blocking: Turn Actions;
    |its, time| its.next(), its.next_timeout(time).ok()
}
moves! { of table: Turn Actions;
    |its, time| wait(its.next()), wait(async { timeout(time, its.next()).await.ok() })
}
