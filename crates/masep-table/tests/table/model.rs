//! The promises of every table, whatever happens: each seat of a turn is decided once, by an action that was
//! meant for that turn, and nobody is waited for beyond the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use masep_proto::Value;
use masep_table::{
    Absence, Cause, Clock, Decision, How, Last, PeerKey, SeatId, SeatState, Table, TurnTime,
};

/// The rules by which a table is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) clock: Clock,
    pub(crate) absence: Absence,
}

/// An action that somebody has sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meant {
    pub(crate) by: PeerKey,
    pub(crate) turn: u64,
}

#[derive(Debug, Default)]
struct Player {
    peer: Option<PeerKey>,
    bank: Option<Duration>,
    last: Option<Last>,
    /// The time that turns have waited for it in this absence.
    waited: Duration,
    open: Option<Open>,
}

/// A question to a seat.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    time: TurnTime,
    extension: Duration,
    elapsed: Duration,
}

#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    players: Vec<Player>,
    number: u64,
    /// By how much clocks of the table may differ, because it was told late of what had arrived before.
    slack: Duration,
    /// All actions, by a number of their own.
    meant: BTreeMap<i64, Meant>,
    counted: BTreeSet<i64>,
}

impl Model {
    pub(crate) fn new(rules: Rules, seats: usize) -> Self {
        let player = || Player {
            bank: rules.clock.bank,
            ..Player::default()
        };
        Self {
            rules,
            players: (0..seats).map(|_| player()).collect(),
            number: 0,
            slack: Duration::ZERO,
            meant: BTreeMap::new(),
            counted: BTreeSet::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.players.iter().any(|player| player.open.is_some())
    }

    pub(crate) fn asked(&self, seat: SeatId) -> Option<u64> {
        self.players[seat.index()].open.map(|open| open.number)
    }

    pub(crate) fn open(&mut self, number: u64, seats: &[SeatId], time: TurnTime) {
        assert!(number > self.number, "numbers rise");
        self.number = number;
        for seat in seats {
            let open = Open {
                number,
                time,
                extension: Duration::ZERO,
                elapsed: Duration::ZERO,
            };
            let before = self.players[seat.index()].open.replace(open);
            assert!(before.is_none(), "two questions");
        }
    }

    pub(crate) fn finish(&mut self, number: u64) {
        assert!(number > self.number, "numbers rise");
        self.number = number;
    }

    pub(crate) fn extend(&mut self, number: u64, by: Duration) {
        let open = self.players.iter_mut().filter_map(|it| it.open.as_mut());
        for open in open.filter(|open| open.number == number) {
            open.extension += by;
        }
    }

    pub(crate) fn delayed(&mut self, by: Duration) {
        self.slack += by;
    }

    /// A new action, and its number.
    pub(crate) fn mean(&mut self, by: PeerKey, turn: u64) -> i64 {
        let tag = i64::try_from(self.meant.len()).expect("few actions");
        self.meant.insert(tag, Meant { by, turn });
        tag
    }

    /// A connection has got a seat.
    pub(crate) fn seated(&mut self, seat: SeatId, peer: PeerKey, is_same: bool) {
        let player = &mut self.players[seat.index()];
        player.peer = Some(peer);
        player.waited = Duration::ZERO;
        if !is_same {
            player.last = None;
        }
    }

    pub(crate) fn last(&self, seat: SeatId) -> Option<Last> {
        self.players[seat.index()].last
    }

    pub(crate) fn peer(&self, seat: SeatId) -> Option<PeerKey> {
        self.players[seat.index()].peer
    }

    fn free(&self, open: Open) -> Option<Duration> {
        let per_turn = match open.time {
            TurnTime::Unlimited => return None,
            TurnTime::Limited(time) => Some(time),
            TurnTime::AsSet => self.rules.clock.per_turn,
        };
        let bank = self.rules.clock.bank.map(|_| Duration::ZERO);
        Some(per_turn.or(bank)? + open.extension)
    }

    fn limit(&self, seat: SeatId, open: Open) -> Option<Duration> {
        let bank = self.players[seat.index()].bank;
        Some(self.free(open)? + bank.unwrap_or_default())
    }

    /// A decision of the table, which `acting` has brought about if it was an action.
    pub(crate) fn decided(&mut self, decision: &Decision, acting: Option<PeerKey>) {
        let seat = decision.seat;
        let open = self.players[seat.index()].open.take();
        let open = open.expect("it is asked, and decided once");
        assert_eq!(decision.turn, open.number, "{decision:?}");
        if decision.how == How::Played {
            let tag = decision
                .action
                .as_ref()
                .map(tag_of)
                .expect("it has an action");
            let meant = self.meant[&tag];
            assert_eq!(meant.turn, decision.turn, "shifted: {decision:?}");
            assert_eq!(Some(meant.by), acting, "{decision:?}");
            assert_eq!(self.peer(seat), acting, "for somebody else: {decision:?}");
            assert!(self.counted.insert(tag), "counted twice: {decision:?}");
        }
        let over = open.elapsed + self.slack;
        if let (Some(limit), How::Played) = (self.limit(seat, open), decision.how) {
            assert!(open.elapsed < limit + self.slack, "too late: {decision:?}");
        }
        // By a message it may be late before: by the third without an action.
        let is_late = decision.how.cause() == Some(Cause::Late) && acting.is_none();
        if is_late {
            assert!(
                self.limit(seat, open).is_some_and(|limit| over >= limit),
                "too early: {decision:?}"
            );
        }
        if decision.how.cause() == Some(Cause::Away) && self.rules.absence != Absence::Proceed {
            assert!(
                self.limit(seat, open).is_some_and(|limit| over >= limit),
                "{decision:?}"
            );
        }
        if let (Some(free), Some(bank)) = (self.free(open), self.players[seat.index()].bank) {
            let used = open.elapsed.saturating_sub(free);
            self.players[seat.index()].bank = Some(bank.saturating_sub(used));
        }
        let player = &mut self.players[seat.index()];
        let before = player.last.and_then(|last| last.played);
        let is_played = decision.how == How::Played;
        player.last = Some(Last {
            turn: decision.turn,
            how: decision.how,
            after: None,
            played: is_played.then_some(decision.turn).or(before),
        });
    }

    /// Time has passed, and the table was told.
    pub(crate) fn pass(&mut self, table: &Table, time: Duration, is_paused: bool) {
        if is_paused || table.is_holding() {
            return;
        }
        for (player, seat) in self.players.iter_mut().zip(table.seats()) {
            if let Some(open) = &mut player.open {
                open.elapsed += time;
                if table.state(seat) == SeatState::Away {
                    player.waited += time;
                }
            }
        }
    }

    /// Checks a table at which nothing is due.
    pub(crate) fn check(&self, table: &Table, is_paused: bool) {
        assert_eq!(table.is_turn_open(), self.is_open());
        let states: Vec<_> = table.seats().map(|seat| table.state(seat)).collect();
        let nobody = !states.contains(&SeatState::Present);
        let may_return = states.contains(&SeatState::Away) || states.contains(&SeatState::Asleep);
        assert_eq!(table.is_holding(), self.is_open() && nobody && may_return);
        for seat in table.seats() {
            assert_eq!(table.asked(seat), self.asked(seat));
            let Some(open) = self.players[seat.index()].open else {
                continue;
            };
            let state = states[seat.index()];
            let decides_at_once = match state {
                SeatState::Open | SeatState::Gone | SeatState::Closed => true,
                SeatState::Asleep => !table.is_holding(),
                SeatState::Away => !table.is_holding() && self.rules.absence == Absence::Proceed,
                SeatState::Present => false,
            };
            assert!(!decides_at_once, "waits for a seat that is {state:?}");
            if table.is_holding() || is_paused {
                continue;
            }
            let limit = self.limit(seat, open);
            assert!(
                limit.is_none_or(|limit| open.elapsed < limit + self.slack),
                "waits beyond the time"
            );
            if let (Absence::Wait(grace), SeatState::Away) = (self.rules.absence, state) {
                let waited = self.players[seat.index()].waited;
                assert!(waited < grace, "waits beyond the grace");
            }
        }
    }
}

/// The number of an action.
pub(crate) fn tag_of(action: &Value) -> i64 {
    let element = action.as_element().expect("actions are elements");
    let action = masep_proto::Action::try_from(element).expect("they are actions");
    action
        .action_type
        .as_i64()
        .expect("they have small numbers")
}
