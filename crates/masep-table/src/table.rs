//! The table, and what its host calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use masep_proto::{Message, PeerId};

use crate::peer::Peer;
use crate::seat::{Presence, Question, Seat, Unsent};
use crate::spectators::Shown;
use crate::turn::Turn;
use crate::view::View;
use crate::{
    Cause, Decision, Effect, Event, PeerKey, SeatId, SeatState, Settings, TableError, TurnTime,
    ViewRequest,
};

/// How far the game is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A player that leaves frees its seat.
    Gathering,
    Playing,
    /// Since then the end is told.
    Ending(Instant),
    Over,
}

/// A table. See the [crate].
pub struct Table {
    pub(crate) settings: Settings,
    pub(crate) seats: Vec<Seat>,
    pub(crate) peers: BTreeMap<PeerKey, Peer>,
    pub(crate) spectators: BTreeSet<PeerKey>,
    /// `END`, and the engine's id in the form of a message.
    pub(crate) end: Message,
    pub(crate) phase: Phase,
    /// The latest time that it was told.
    pub(crate) clock: Option<Instant>,
    /// The number of the last turn, final or not.
    pub(crate) number: u64,
    pub(crate) episode: u64,
    pub(crate) turn: Option<Turn>,
    /// Those of the last turn.
    pub(crate) decisions: Vec<Decision>,
    pub(crate) shown: Option<Shown>,
    pub(crate) is_paused: bool,
    /// Nobody can decide, and somebody may come back: clocks stand still.
    pub(crate) is_holding: bool,
    /// The number of seats that can decide.
    pub(crate) present: usize,
    /// A seat has changed its state since that was looked at.
    pub(crate) has_changed: bool,
    /// Not later than the first deadline.
    pub(crate) wake: Option<Instant>,
    pub(crate) is_stale: bool,
    pub(crate) effects: VecDeque<Effect>,
}

impl Table {
    /// A table at which nobody sits.
    ///
    /// # Errors
    /// No seats, two of one name, or a name in the settings that no seat has.
    pub fn new(settings: Settings) -> Result<Self, TableError> {
        settings.check()?;
        let bank = settings.clock.bank;
        let names = settings.seats.iter().cloned();
        Ok(Self {
            seats: names.map(|name| Seat::new(name, bank)).collect(),
            peers: BTreeMap::new(),
            spectators: BTreeSet::new(),
            end: Message::end(settings.engine.as_str()),
            phase: Phase::Gathering,
            clock: None,
            number: 0,
            episode: 0,
            turn: None,
            decisions: Vec::new(),
            shown: None,
            is_paused: false,
            is_holding: false,
            present: 0,
            has_changed: false,
            wake: None,
            is_stale: false,
            effects: VecDeque::new(),
            settings,
        })
    }

    /// Opens a turn, in which each of these seats is asked once. Its number is returned; those of finals and of
    /// turns rise together. The turn is over when each seat is decided.
    ///
    /// # Errors
    /// A turn is open, a seat is not there or named twice, or the table has ended.
    pub fn open(
        &mut self,
        views: impl IntoIterator<Item = (SeatId, View)>,
        time: TurnTime,
        now: Instant,
    ) -> Result<u64, TableError> {
        let now = self.tick(now);
        let views: Vec<_> = views.into_iter().collect();
        self.check(&views)?;
        self.begin_playing();
        self.number += 1;
        self.decisions.clear();
        let seats: Vec<_> = views.iter().map(|(seat, _)| *seat).collect();
        if !seats.is_empty() {
            let clock = self.settings.clock;
            self.turn = Some(Turn::new(seats.clone(), time, clock, now));
        }
        for (seat, view) in views {
            let place = &mut self.seats[seat.0];
            place.missed_view = None;
            place.question = Some(Question {
                view: Some(view),
                empty: 0,
                was_looked_at: false,
            });
            place.wait(true, Duration::ZERO);
        }
        self.has_changed = true;
        self.conclude(now);
        for seat in seats {
            self.pump(seat, now);
        }
        self.conclude(now);
        Ok(self.number)
    }

    /// Adds to the time of the open turn, for all seats that are undecided.
    pub fn extend(&mut self, by: Duration, now: Instant) {
        let now = self.tick(now);
        if let Some(turn) = &mut self.turn {
            turn.extend(by);
            for seat in &turn.seats {
                if let Some(question) = &mut self.seats[seat.0].question {
                    question.was_looked_at = false;
                }
            }
            self.is_stale = true;
        }
        self.conclude(now);
    }

    /// Closes the open turn, if there is one: seats that are undecided are [`Cause::Closed`].
    pub fn close(&mut self, now: Instant) {
        let now = self.tick(now);
        for seat in self
            .turn
            .as_ref()
            .map(|turn| turn.seats.clone())
            .unwrap_or_default()
        {
            self.decide(seat, Err(Cause::Closed), now);
        }
        self.conclude(now);
    }

    /// Ends the episode: each of these seats is shown the last view of it. Nothing is waited for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn finish_episode(
        &mut self,
        views: impl IntoIterator<Item = (SeatId, View)>,
        now: Instant,
    ) -> Result<u64, TableError> {
        let now = self.tick(now);
        let views: Vec<_> = views.into_iter().collect();
        self.check(&views)?;
        self.begin_playing();
        self.number += 1;
        for (seat, view) in views {
            let place = &mut self.seats[seat.0];
            place.missed_view = None;
            if !matches!(place.presence, Presence::Vacant | Presence::Gone) {
                place.final_view = Some(Unsent {
                    number: self.number,
                    episode: self.episode,
                    view,
                });
            }
            self.pump(seat, now);
        }
        self.episode += 1;
        self.conclude(now);
        Ok(self.number)
    }

    /// Gives the view of a seat that was [asked for anew](Effect::AskView). Too late, it changes nothing.
    pub fn set_view(&mut self, request: ViewRequest, view: View, now: Instant) {
        let now = self.tick(now);
        let ViewRequest { seat, turn, epoch } = request;
        if let Some(place) = self.seats.get_mut(seat.0)
            && (place.epoch, self.number) == (epoch, turn)
            && let Some(question) = &mut place.question
        {
            question.view.get_or_insert(view);
            self.pump(seat, now);
        }
        self.conclude(now);
    }

    /// Stops the clocks. Actions still count.
    pub fn pause(&mut self, now: Instant) {
        let now = self.tick(now);
        self.is_paused = true;
        self.has_changed = true;
        self.conclude(now);
    }

    /// Lets the clocks run again, with what was left.
    pub fn resume(&mut self, now: Instant) {
        let now = self.tick(now);
        self.is_paused = false;
        self.has_changed = true;
        self.conclude(now);
    }

    /// Closes a seat, as for a dead agent: each turn is decided at once without an action. Its player stays
    /// connected, and is shown the end of the episode.
    pub fn close_seat(&mut self, seat: SeatId, now: Instant) {
        let now = self.tick(now);
        self.set_closed(seat, true, now);
    }

    /// Opens a seat that is closed or whose player is gone. A player that is connected plays on.
    pub fn open_seat(&mut self, seat: SeatId, now: Instant) {
        let now = self.tick(now);
        if let Some(place) = self.seats.get_mut(seat.0)
            && place.presence == Presence::Gone
        {
            place.presence = Presence::Vacant;
            place.clear();
        }
        self.set_closed(seat, false, now);
    }

    fn set_closed(&mut self, seat: SeatId, is_closed: bool, now: Instant) {
        if let Some(place) = self.seats.get_mut(seat.0) {
            place.is_closed = is_closed;
            self.has_changed = true;
        }
        self.fill();
        self.conclude(now);
    }

    /// The time does not go back, also where a message is told later than something that came after it.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let now = self.clock.map_or(now, |clock| clock.max(now));
        self.clock = Some(now);
        now
    }

    fn check(&self, views: &[(SeatId, View)]) -> Result<(), TableError> {
        if self.is_ending() {
            return Err(TableError::Over);
        }
        if self.turn.is_some() {
            return Err(TableError::TurnIsOpen(self.number));
        }
        let mut named = BTreeSet::new();
        for (seat, _) in views {
            let place = self.seats.get(seat.0);
            let place = place.ok_or_else(|| TableError::UnknownSeat(seat.0.to_string()))?;
            if !named.insert(*seat) {
                return Err(TableError::SeatTwice(place.name.clone()));
            }
        }
        Ok(())
    }

    fn begin_playing(&mut self) {
        if self.phase == Phase::Gathering {
            self.phase = Phase::Playing;
        }
    }

    /// The game begins when each seat has somebody.
    pub(crate) fn fill(&mut self) {
        let mut open = self.seats.iter();
        if self.phase == Phase::Gathering && !open.any(|seat| seat.state() == SeatState::Open) {
            self.begin_playing();
            self.tell(Event::Filled);
        }
    }

    /// Settles what a call has brought about.
    pub(crate) fn conclude(&mut self, now: Instant) {
        while std::mem::take(&mut self.has_changed) {
            self.count_present(now);
            self.decide_unreachable(now);
        }
        if std::mem::take(&mut self.is_stale) {
            self.wake = self.first_deadline();
        }
    }

    /// Counts the seats that can decide, and lets the clocks run or stand still.
    fn count_present(&mut self, now: Instant) {
        let states = || self.seats.iter().map(Seat::state);
        let present = states()
            .filter(|state| *state == SeatState::Present)
            .count();
        let may_return = states().any(|it| matches!(it, SeatState::Away | SeatState::Asleep));
        let was_present = std::mem::replace(&mut self.present, present);
        self.is_holding = self.turn.is_some() && present == 0 && may_return;
        if was_present > 0 && present == 0 && self.phase == Phase::Playing {
            self.tell(Event::Emptied);
        }
        let runs = !self.is_paused && !self.is_holding;
        if let Some(turn) = &mut self.turn {
            turn.watch.run(runs, now);
        }
        self.is_stale = true;
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Event(event));
    }

    /// The next thing that is to be done. It is to be asked for after each other call, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something else happens before that
    /// changes it. It may be earlier than anything is due.
    pub const fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    /// The seat of this name.
    pub fn seat(&self, name: &str) -> Option<SeatId> {
        self.seats
            .iter()
            .position(|seat| seat.name == name)
            .map(SeatId)
    }

    /// All seats, in order.
    pub fn seats(&self) -> impl ExactSizeIterator<Item = SeatId> + use<> {
        (0..self.seats.len()).map(SeatId)
    }

    /// The name of a seat.
    pub fn name(&self, seat: SeatId) -> &str {
        self.seats.get(seat.0).map_or("", |seat| &seat.name)
    }

    /// The state of a seat.
    pub fn state(&self, seat: SeatId) -> SeatState {
        self.seats
            .get(seat.0)
            .map_or(SeatState::Closed, Seat::state)
    }

    /// The id of the player of a seat, who may be away or gone.
    pub fn player(&self, seat: SeatId) -> Option<&PeerId> {
        let player = self.seats.get(seat.0)?.player.as_ref();
        player.map(|player| &player.id)
    }

    /// The number of the last turn or final; 0 before the first.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The episode, from 0.
    pub const fn episode(&self) -> u64 {
        self.episode
    }

    /// Whether a turn is open: a seat in it is undecided.
    pub const fn is_turn_open(&self) -> bool {
        self.turn.is_some()
    }

    /// The decisions of the last turn so far, in the order in which they came about.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Whether nobody is left to decide the open turn, so that its clocks stand still until somebody is back.
    pub const fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// The number of spectators.
    pub fn spectators(&self) -> usize {
        self.spectators.len()
    }

    /// The number of connections that the table knows.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Whether the table has ended, and all connections.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_) | Phase::Over)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("settings", &self.settings)
            .field("phase", &self.phase)
            .field("number", &self.number)
            .field("peers", &self.peers.len())
            .field("spectators", &self.spectators.len())
            .finish_non_exhaustive()
    }
}
