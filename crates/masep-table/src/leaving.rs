//! The loss of a connection, and the end of a game.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::peer::{Answer, Manner, Registration};
use crate::seat::{Away, Presence};
use crate::table::Phase;
use crate::{Code, Effect, Event, Outgoing, PeerKey, SeatId, Table};

/// The time that a pymasep peer has for an observation before `END`, which would swallow it.
const LAST_VIEW_TIME: Duration = Duration::from_millis(250);

impl Table {
    /// A connection has ended, with a `BYE` or without. Messages that arrived before were told before.
    pub fn handle_closed(&mut self, peer: PeerKey, now: Instant) {
        let now = self.tick(now);
        if let Some(known) = self.peers.remove(&peer) {
            match known.registration {
                Registration::Seat(seat) => self.lose(seat, now),
                Registration::Spectator => self.forget_spectator(peer),
                Registration::None => {}
            }
        }
        self.conclude(now);
    }

    pub(crate) fn handle_quit(&mut self, peer: PeerKey, now: Instant) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        if self.is_ending() {
            // It answers `END`, and says `BYE` next.
            return;
        }
        let seat = known.seat();
        self.dismiss(peer, Code::Left, false);
        if let Some(seat) = seat {
            if self.phase == Phase::Gathering {
                self.lose(seat, now);
            } else {
                self.give_up(seat);
            }
        }
    }

    /// The connection of a seat is lost.
    pub(crate) fn lose(&mut self, seat: SeatId, now: Instant) {
        let place = &mut self.seats[seat.0];
        if matches!(self.phase, Phase::Ending(_) | Phase::Over) {
            place.presence = Presence::Gone;
            return;
        }
        if self.phase == Phase::Gathering {
            place.presence = Presence::Vacant;
            place.clear();
            self.tell(Event::Vacant(seat));
        } else {
            place.presence = Presence::Away(Away {
                since: now,
                waited: Duration::ZERO,
                waits_from: None,
            });
            place.missed_view = None;
            if let Some(reading) = place.question.as_ref().map(|it| it.watch.at(now)) {
                place.wait(true, reading);
            }
            self.tell(Event::Away(seat));
        }
        self.has_changed = true;
    }

    /// The player of a seat does not come back.
    pub(crate) fn give_up(&mut self, seat: SeatId) {
        let place = &mut self.seats[seat.0];
        place.presence = Presence::Gone;
        place.final_view = None;
        place.missed_view = None;
        self.tell(Event::Gone(seat));
        self.has_changed = true;
    }

    /// Ends the game. Turns that are open are closed. pymasep peers are sent `END` when they have answered their
    /// last observation, or 250 ms after it; they have [some time](crate::Settings::farewell) to answer. Others are
    /// told why their connections end.
    pub fn end(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.is_ending() {
            return;
        }
        self.close_all(now);
        self.phase = Phase::Ending(now);
        for peer in self.keys() {
            let Some(known) = self.peers.get(&peer) else {
                continue;
            };
            let (seat, manner) = (known.seat(), known.manner);
            match (known.registration, manner) {
                (Registration::None, _) => self.dismiss(peer, Code::Over, false),
                (_, Manner::Numbered) => {
                    self.send_rest(peer, seat, now);
                    self.dismiss(peer, Code::Over, false);
                }
                (_, Manner::Pymasep) => self.bid_farewell(peer, now),
            }
        }
        self.leave_seats();
        self.is_stale = true;
        self.conclude(now);
    }

    /// Ends the table because the host has failed: connections are ended at once.
    pub fn fail(&mut self, text: impl Into<String>, now: Instant) {
        let now = self.tick(now);
        if self.is_over() {
            return;
        }
        self.close_all(now);
        self.phase = Phase::Ending(now);
        let text = text.into();
        for peer in self.keys() {
            self.close_with(peer, Code::Failed, Cow::Owned(text.clone()), true);
        }
        self.leave_seats();
        self.conclude(now);
    }

    /// Frees the seats of players that are not connected any more: they do not come back.
    fn leave_seats(&mut self) {
        for seat in &mut self.seats {
            if seat
                .peer()
                .is_none_or(|peer| !self.peers.contains_key(&peer))
            {
                seat.presence = Presence::Gone;
            }
        }
    }

    fn keys(&self) -> Vec<PeerKey> {
        self.peers.keys().copied().collect()
    }

    /// When a pymasep peer is to be told the end.
    fn end_due(&self, peer: PeerKey, ended: Instant) -> Option<Instant> {
        let known = self.peers.get(&peer)?;
        let has_final = known
            .seat()
            .is_some_and(|seat| self.seats[seat.0].final_view.is_some());
        let last = match known.unanswered {
            None if !has_final && known.answer == Answer::Clear => return Some(ended),
            None => ended,
            Some(last) => last.max(ended),
        };
        last.checked_add(LAST_VIEW_TIME)
    }

    /// Tells a pymasep peer the end, if it is time.
    pub(crate) fn bid_farewell(&mut self, peer: PeerKey, now: Instant) {
        let Phase::Ending(ended) = self.phase else {
            return;
        };
        let due = self.end_due(peer, ended);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        self.is_stale = true;
        if known.end_told.is_none() && due.is_some_and(|due| due <= now) {
            known.end_told = Some(now);
            let what = Outgoing::End(self.end.clone());
            self.effects.push_back(Effect::Send { to: peer, what });
        }
    }

    /// When something is to be done about a peer while the table ends.
    pub(crate) fn farewell_deadline(&self, peer: PeerKey) -> Option<Instant> {
        let Phase::Ending(ended) = self.phase else {
            return None;
        };
        match self.peers.get(&peer)?.end_told {
            Some(told) => told.checked_add(self.settings.farewell),
            None => self.end_due(peer, ended),
        }
    }

    /// Tells the end to those for whom it is time, and ends the connections of those that have had their time.
    pub(crate) fn end_farewells(&mut self, now: Instant) {
        for peer in self.keys() {
            let is_due = self.farewell_deadline(peer).is_some_and(|due| due <= now);
            let Some(known) = self.peers.get(&peer).filter(|_| is_due) else {
                continue;
            };
            if known.end_told.is_some() {
                self.dismiss(peer, Code::Over, false);
            } else {
                self.bid_farewell(peer, now);
            }
        }
    }

    /// Ends the table when nobody is left who is told the end.
    pub(crate) fn end_if_empty(&mut self) {
        if matches!(self.phase, Phase::Ending(_)) && self.peers.is_empty() {
            self.phase = Phase::Over;
            self.is_stale = true;
            self.tell(Event::Ended);
        }
    }
}
