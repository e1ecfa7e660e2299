//! The calls of a host that do not wait: the same in every shell.

/// These calls, for a table with a `shared` part. `Error`, `Turn`, `Seat` and the like are those of the shell.
macro_rules! host_calls {
    () => {
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

        /// The things that have happened and were not taken, in order. Does not wait.
        pub fn events(&self) -> Vec<Event> {
            self.shared
                .call(|driver, _| std::iter::from_fn(|| driver.take_event()).collect())
        }

        /// The number of events that were dropped because nobody took them.
        pub fn missed_events(&self) -> u64 {
            self.shared.lock().driver.missed_events()
        }
    };
}

pub(crate) use host_calls;
