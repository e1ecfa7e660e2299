//! Observations for players.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::Message;

use crate::peer::{Answer, Manner, Peer, Wire};
use crate::seat::Unsent;
use crate::view::View;
use crate::{Attachment, Cause, Effect, Event, Kind, Outgoing, PeerKey, SeatId, Table, TurnData};

/// The next observation for a seat.
enum Next {
    Final(Unsent),
    Ask(u64, View),
    Missed(Unsent),
}

impl Table {
    /// The stream of a peer has taken the observation that it was sent.
    pub fn handle_sent(&mut self, peer: PeerKey, now: Instant) {
        let now = self.tick(now);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.unsent = known.unsent.saturating_sub(1);
            match known.seat() {
                Some(seat) => self.pump(seat, now),
                None => self.pump_spectator(peer, now),
            }
        }
        self.conclude(now);
    }

    /// The last observation for a peer cannot be written in a form that it can read: it is too large, or holds an
    /// array and the peer is one of pymasep's protocol. If its seat is asked, it is decided without an action.
    pub fn handle_undeliverable(&mut self, peer: PeerKey, now: Instant) {
        let now = self.tick(now);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.unsent = known.unsent.saturating_sub(1);
            known.answer = Answer::Clear;
            known.unanswered = None;
            let (seat, asked) = (known.seat(), known.asked);
            match seat {
                Some(seat) => {
                    if self.asked(seat) == Some(asked) {
                        self.decide(seat, Err(Cause::Undeliverable), now);
                    }
                    self.pump(seat, now);
                    self.bid_farewell(peer, now);
                }
                None => self.pump_spectator(peer, now),
            }
        }
        self.conclude(now);
    }

    /// Sends to the player of a seat what it may be sent now: one observation at a time, and to a pymasep peer none
    /// that asks while it owes an answer.
    pub(crate) fn pump(&mut self, seat: SeatId, now: Instant) {
        // A final that cannot be sent makes room for what follows it.
        for _ in 0..2 {
            let Some(peer) = self.seats[seat.0].peer() else {
                return;
            };
            let is_ready = |known: &Peer| {
                known.unsent == 0 && known.answer == Answer::Clear && known.end_told.is_none()
            };
            if !self.peers.get(&peer).is_some_and(is_ready) {
                return;
            }
            let Some(next) = self.take_next(seat, peer) else {
                return;
            };
            self.send_next(seat, peer, next, now);
        }
    }

    fn take_next(&mut self, seat: SeatId, peer: PeerKey) -> Option<Next> {
        let known = self.peers.get(&peer)?;
        let place = &mut self.seats[seat.0];
        if let Some(unsent) = place.final_view.take() {
            return Some(Next::Final(unsent));
        }
        if let Some(question) = &place.question
            && let Some(view) = &question.view
            && known.asked != question.turn
        {
            return Some(Next::Ask(question.turn, view.clone()));
        }
        let missed = place.missed_view.take();
        // A pymasep peer would take it for a question.
        missed
            .filter(|_| known.manner == Manner::Numbered)
            .map(Next::Missed)
    }

    fn send_next(&mut self, seat: SeatId, peer: PeerKey, next: Next, now: Instant) {
        let (kind, number, episode, view) = match next {
            Next::Final(it) => (Kind::Final, it.number, it.episode, it.view),
            Next::Ask(number, view) => (Kind::Ask, number, self.episode, view),
            Next::Missed(it) => (Kind::Show, it.number, it.episode, it.view),
        };
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let is_pymaseps = known.manner == Manner::Pymasep;
        let view = if is_pymaseps {
            view.numbered(number, self.settings.keeps_env_step)
        } else {
            Some(view)
        };
        if kind == Kind::Ask {
            known.asked = number;
        }
        let Some(view) = view else {
            if kind == Kind::Ask {
                self.decide(seat, Err(Cause::Undeliverable), now);
            }
            return;
        };
        if is_pymaseps {
            self.note_question(seat, peer, kind, number, &view, now);
        }
        let turn = self.turn_data(seat, kind, number, episode, now);
        self.send_observation(peer, self.observation(view), turn, now);
    }

    /// A pymasep peer is about to be asked.
    fn note_question(
        &mut self,
        seat: SeatId,
        peer: PeerKey,
        kind: Kind,
        turn: u64,
        view: &View,
        now: Instant,
    ) {
        let is_answered = kind == Kind::Ask
            || !self
                .settings
                .finals_unanswered
                .contains(&self.seats[seat.0].name);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.answer = match kind {
            Kind::Ask => Answer::Asked { turn, since: now },
            _ if is_answered => Answer::Owing { turn, since: now },
            _ => Answer::Clear,
        };
        let step = view.env_step();
        let before = known.step;
        known.step = step.max(before);
        if is_answered && before.is_some() && step <= before {
            self.tell(Event::StepNotRising(seat));
        }
    }

    fn turn_data(
        &self,
        seat: SeatId,
        kind: Kind,
        number: u64,
        episode: u64,
        now: Instant,
    ) -> TurnData {
        let place = &self.seats[seat.0];
        let (left, bank) = match &place.question {
            Some(question) if kind == Kind::Ask => question.left(place.bank, now),
            _ => (None, place.bank),
        };
        TurnData {
            number,
            episode,
            kind,
            left,
            bank,
            last: place.last,
            skipped: 0,
        }
    }

    /// The message for a view.
    pub(crate) fn observation(&self, view: View) -> Arc<Message> {
        let engine = self.end.src_sub_app.clone();
        Arc::new(Message::observation(
            engine,
            view.observation,
            view.information,
        ))
    }

    pub(crate) fn send_observation(
        &mut self,
        peer: PeerKey,
        message: Arc<Message>,
        turn: TurnData,
        now: Instant,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.observed(now);
        let to = Attachment {
            peer,
            epoch: known.epoch,
        };
        let turn = (known.wire == Wire::V2).then_some(turn);
        let what = Outgoing::Observation { message, turn };
        self.effects.push_back(Effect::Send { to, what });
    }

    /// Sends what is left for a peer before its connection ends.
    pub(crate) fn send_rest(&mut self, peer: PeerKey, seat: Option<SeatId>, now: Instant) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.unsent = 0;
        }
        match seat {
            Some(seat) if self.seats[seat.0].final_view.is_some() => self.pump(seat, now),
            Some(_) => {}
            None => self.pump_spectator(peer, now),
        }
    }
}
