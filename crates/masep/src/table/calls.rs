//! The calls of a host: the same in every shell.

/// These calls, for a table with a `shared` part. `Error`, `Turn`, `Seat` and the like are those of the shell, and `closed_by`
/// waits for the end of a connection; the one in which calls wait gives `async` and `await`.
macro_rules! host_calls {
    ($($async:ident $await:ident)?) => {
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

        /// Waits until no seat is open, for the first time: each has somebody, or the host has closed it. A game may begin without
        /// that.
        $(#[doc = crate::shells::of_async!($async "Cancel safe.")])?
        ///
        /// # Errors
        /// [`TableError::Over`](Error::Over) if the table has ended before.
        pub $($async)? fn filled(&self) -> Result<(), Error> {
            self.shared.wait(|driver| driver.filled())$(.$await)?
        }

        /// Asks one seat, and waits for its decision.
        $(#[doc = crate::shells::of_async!($async
            "Not cancel safe: the turn stays open when a call is dropped, until it is [closed](Self::close).")])?
        ///
        /// # Errors
        /// As [`open`](Self::open) and [`Turn::next`].
        pub $($async)? fn ask(&self, seat: &str, view: impl Into<View>) -> Result<Move, Error> {
            let view = view.into();
            let _asking = self.shared.ask();
            let mut turn = self.open([seat], |_: &Seat| view.clone())?;
            turn.next()$(.$await)?.unwrap_or(Err(Error::Over))
        }

        /// Asks all seats at the same time, and waits for all decisions, which are in the order of the seats. Seats that are
        /// closed or gone are decided too, without an action or by the one for the late.
        $(#[doc = crate::shells::of_async!($async "Not cancel safe: as [`ask`](Self::ask).")])?
        ///
        /// # Errors
        /// As [`open`](Self::open) and [`Turn::next`].
        pub $($async)? fn ask_all<V: Into<View>>(
            &self,
            view: impl FnMut(&Seat) -> V,
        ) -> Result<Vec<Move>, Error> {
            self.ask_all_timed(TurnTime::AsSet, view)$(.$await)?
        }

        /// As [`ask_all`](Self::ask_all), with a time of its own.
        $(#[doc = crate::shells::of_async!($async "Not cancel safe: as [`ask`](Self::ask).")])?
        ///
        /// # Errors
        /// As [`open`](Self::open) and [`Turn::next`].
        pub $($async)? fn ask_all_timed<V: Into<View>>(
            &self,
            time: TurnTime,
            view: impl FnMut(&Seat) -> V,
        ) -> Result<Vec<Move>, Error> {
            let seats = self.all_seats();
            let _asking = self.shared.ask();
            let mut turn = self.open_seats(&seats, time, view)?;
            let mut moves = Vec::with_capacity(seats.len());
            while let Some(decision) = turn.next()$(.$await)? {
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

        pub(crate) fn all_seats(&self) -> Vec<SeatId> {
            self.shared.lock().driver.table().seats().collect()
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
            let turn = open_turn(self, seats, time, &mut view)?;
            Ok(Turn {
                table: self,
                turn,
                view,
            })
        }

        /// Closes an open turn, by its number: its seats that are undecided are decided without an action.
        pub fn close(&self, turn: u64) {
            self.close_turn(turn);
        }

        /// Shows this to the spectators: each gets the newest view that there is when it has read the one before. Does not wait.
        ///
        /// # Errors
        /// [`TableError::Over`](masep_table::TableError::Over) when the table has ended.
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

        /// Ends the episode for one seat, as for a dead agent: its player is shown its last view of it, and
        /// [`finish_episode`](Self::finish_episode) shows it no other one. Does not wait.
        ///
        /// # Errors
        /// No seat has this name, it is in an open turn, or the table has ended.
        pub fn finish_seat(&self, name: &str, view: impl Into<View>) -> Result<(), Error> {
            let view = view.into();
            self.shared.call(|driver, now| {
                let seats = driver.find([name])?;
                let views: Vec<_> = seats.into_iter().map(|seat| (seat, view.clone())).collect();
                let finished = driver.call(now, |table| table.finish(views, now));
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
        $(#[doc = crate::shells::of_async!($async "Cancel safe: a call that is dropped has taken nothing.")])?
        pub $($async)? fn event(&self) -> Option<Event> {
            self.shared.wait(|driver| driver.next_event())$(.$await)?
        }

        /// The things that have happened and were not taken, in order. Does not wait.
        pub fn events(&self) -> Vec<Event> {
            self.shared
                .call(|driver, _| std::iter::from_fn(|| driver.take_event()).collect())
        }

        /// The number of events that were dropped because nobody took them.
        pub fn missed_events(&self) -> u64 {
            self.shared.lock().driver.missed_events()
        }

        /// Ends the game: turns that are open are closed, pymasep peers are told `END` and have
        /// [some time](crate::table::Settings::farewell) to answer, others are told why their connections end. Returns when all
        /// have ended, at the latest two and a half seconds after that time, also where others go on coming.
        $(#[doc = crate::shells::of_async!($async
            "Cancel safe: the first poll starts the end, and a call that is dropped only stops waiting.")])?
        pub $($async)? fn end(&self) {
            self.shared.end_table();
            self.server.stop_announcing();
            let is_over = |driver: &mut Driver<Connection>| driver.table().is_over().then_some(());
            self.shared.wait(is_over)$(.$await)?;
            self.server.stop_accepting();
            let until = now() + Driver::<Connection>::FAREWELL;
            for connection in self.server.registry().connections() {
                closed_by(&connection, until)$(.$await)?;
            }
        }
    };
}

pub(crate) use host_calls;

/// The traits of a shell's table.
macro_rules! host_traits {
    () => {
        impl Host for Table {
            type Link = Connection;

            fn late(&self) -> Option<&LateAction> {
                self.late.as_ref()
            }

            fn call<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
                self.shared.call(call)
            }

            fn open<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
                self.shared.open(call)
            }

            fn look<R>(&self, look: impl FnOnce(&mut Driver<Connection>) -> R) -> R {
                look(&mut self.shared.lock().driver)
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
    };
}

pub(crate) use host_traits;
