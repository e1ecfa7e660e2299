//! The table, and what its host calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Instant;

use masep_proto::{Message, PeerId};

use crate::peer::{Manner, Peer};
use crate::seat::{Presence, Seat};
use crate::sending::Sent;
use crate::spectators::Shown;
use crate::{Absence, Effect, Event, Last, PeerKey, SeatId, SeatState, Settings, TableError};

/// The phase of the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A player that leaves frees its seat.
    Gathering,
    Playing,
    /// The end is being told, since then.
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
    /// The number of seats that are asked and undecided.
    pub(crate) open: usize,
    pub(crate) shown: Option<Shown>,
    /// The observations sent to players that say the numbers of turns, and to pymasep peers.
    pub(crate) sent: [Option<Sent>; 2],
    pub(crate) is_paused: bool,
    /// Nobody can decide, and somebody may come back: clocks stand still.
    pub(crate) is_holding: bool,
    /// The number of seats that can decide.
    pub(crate) present: usize,
    /// A seat has changed its state since that was looked at.
    pub(crate) has_changed: bool,
    /// The time of the next wake-up, not later than the first deadline.
    pub(crate) wake: Option<Instant>,
    pub(crate) is_stale: bool,
    pub(crate) effects: VecDeque<Effect>,
}

impl Table {
    /// A table at which nobody sits.
    ///
    /// # Errors
    /// No seats, two of one name, a name in the settings that no seat has, or one that cannot be said.
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
            open: 0,
            shown: None,
            sent: [None, None],
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

    pub(crate) fn begin_playing(&mut self) {
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
        self.end_if_empty();
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
        self.is_holding = self.open > 0 && present == 0 && may_return;
        if was_present > 0 && present == 0 && self.phase == Phase::Playing {
            self.tell(Event::Emptied);
        }
        let runs = !self.is_paused && !self.is_holding;
        let questions = self
            .seats
            .iter_mut()
            .filter_map(|seat| seat.question.as_mut());
        questions.for_each(|question| question.watch.run(runs, now));
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

    /// The number of seats that somebody new can have; 0 once the table has ended.
    pub fn free_seats(&self) -> usize {
        if self.is_ending() {
            return 0;
        }
        let states = self.seats.iter().map(Seat::state);
        states.filter(|state| *state == SeatState::Open).count()
    }

    /// The id of the player of a seat, who may be away or gone.
    pub fn player(&self, seat: SeatId) -> Option<&PeerId> {
        let player = self.seats.get(seat.0)?.player.as_ref();
        player.map(|player| &player.id)
    }

    /// True if the player of a seat follows the customs of pymasep, so that its view is a State.
    pub fn has_pymaseps_player(&self, seat: SeatId) -> bool {
        let player = self.seats.get(seat.0).and_then(|seat| seat.player.as_ref());
        player.is_some_and(|player| player.manner == Manner::Pymasep)
    }

    /// The number of the last turn or final; 0 before the first.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The episode, from 0.
    pub const fn episode(&self) -> u64 {
        self.episode
    }

    /// True if a seat is asked and undecided.
    pub const fn is_turn_open(&self) -> bool {
        self.open > 0
    }

    /// The connection of the player who is asked, if there is just one of whom a decision is awaited.
    pub fn only_asked(&self) -> Option<PeerKey> {
        let mut asked = self.seats.iter().filter(|seat| seat.question.is_some());
        let only = asked.next().filter(|_| self.open == 1)?;
        only.peer()
    }

    /// The number of the open turn in which a seat is asked, until it is decided.
    pub fn asked(&self, seat: SeatId) -> Option<u64> {
        Some(self.seats.get(seat.0)?.question.as_ref()?.turn)
    }

    /// The last decision of a seat, as its player is told of it.
    pub fn last(&self, seat: SeatId) -> Option<Last> {
        self.seats.get(seat.0)?.last
    }

    /// True if nobody is left to decide an open turn, so that clocks stand still until somebody is back.
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

    /// True if the table has ended, and all connections.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// True if the table has ended, or its peers are being told the end: no turn can be opened.
    pub const fn has_ended(&self) -> bool {
        self.is_ending()
    }

    /// The rule for lost connections.
    pub const fn absence(&self) -> Absence {
        self.settings.absence
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
