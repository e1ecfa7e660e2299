//! Observations for players.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::Message;

use crate::peer::{Answer, Manner, Peer, Wire};
use crate::seat::Unsent;
use crate::view::View;
use crate::{Cause, Effect, Event, Kind, Outgoing, PeerKey, SeatId, Table, TurnData};

/// The last view that was sent in one form, and its message: who is sent one that is written in the same way gets the same
/// message, so that it is made and encoded once for all of them.
#[derive(Debug)]
pub(crate) struct Sent {
    number: u64,
    view: View,
    message: Arc<Message>,
    /// The step that a pymasep peer sees.
    step: Option<i64>,
}

/// The next observation for a seat.
enum Next {
    Final(Unsent),
    /// The question that is open in this turn.
    Ask(u64),
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
            let place = &self.seats[seat.0];
            let Some(peer) = place.peer().filter(|_| place.has_unsent()) else {
                return;
            };
            let is_ready = |known: &&Peer| {
                known.unsent == 0 && known.answer == Answer::Clear && known.end_told.is_none()
            };
            let Some(known) = self.peers.get(&peer).filter(is_ready) else {
                return;
            };
            let (asked, manner) = (known.asked, known.manner);
            let Some(next) = self.take_next(seat, asked, manner) else {
                return;
            };
            self.send_next(seat, peer, manner, next, now);
        }
    }

    /// The next thing for a peer that was asked last in this turn.
    fn take_next(&mut self, seat: SeatId, asked: u64, manner: Manner) -> Option<Next> {
        let place = &mut self.seats[seat.0];
        if let Some(unsent) = place.final_view.take() {
            return Some(Next::Final(unsent));
        }
        if let Some(question) = &place.question
            && question.view.is_some()
            && asked != question.turn
        {
            return Some(Next::Ask(question.turn));
        }
        let missed = place.missed_view.take();
        // A pymasep peer would take it for a question.
        missed
            .filter(|_| manner == Manner::Numbered)
            .map(Next::Missed)
    }

    fn send_next(&mut self, seat: SeatId, peer: PeerKey, manner: Manner, next: Next, now: Instant) {
        let (kind, number, episode, view) = match next {
            Next::Final(it) => (Kind::Final, it.number, it.episode, Some(it.view)),
            Next::Ask(number) => (Kind::Ask, number, self.episode, None),
            Next::Missed(it) => (Kind::Show, it.number, it.episode, Some(it.view)),
        };
        let Some((message, step)) = self.message_of(seat, view.as_ref(), manner, number) else {
            if kind == Kind::Ask {
                self.decide(seat, Err(Cause::Undeliverable), now);
            }
            return;
        };
        if manner == Manner::Pymasep {
            self.note_question(seat, peer, kind, number, step, now);
        }
        let turn = self.turn_data(seat, kind, number, episode, now);
        self.send_observation(peer, message, turn, now);
    }

    /// The message for a view, or for that of the question of a seat, and its step; `None` if it has no form for such a peer.
    fn message_of(
        &mut self,
        seat: SeatId,
        view: Option<&View>,
        manner: Manner,
        number: u64,
    ) -> Option<(Arc<Message>, Option<i64>)> {
        let at = usize::from(manner == Manner::Pymasep);
        let question = self.seats[seat.0].question.as_ref();
        let asked = question.and_then(|question| question.view.as_ref());
        let seen = view.or(asked)?;
        if let Some(sent) = &self.sent[at]
            && sent.number == number
            && sent.view.is_written_as(seen)
        {
            return Some((sent.message.clone(), sent.step));
        }
        let view = seen.clone();
        let (shown, step) = match manner {
            Manner::Numbered => (view.clone(), None),
            Manner::Pymasep => {
                let shown = view
                    .clone()
                    .numbered(number, self.settings.keeps_env_step)?;
                let step = shown.env_step();
                (shown, step)
            }
        };
        let message = self.observation(shown);
        self.sent[at] = Some(Sent {
            number,
            view,
            message: message.clone(),
            step,
        });
        Some((message, step))
    }

    /// A pymasep peer is about to be asked.
    fn note_question(
        &mut self,
        seat: SeatId,
        peer: PeerKey,
        kind: Kind,
        turn: u64,
        step: Option<i64>,
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
        if turn.kind == Kind::Ask {
            known.asked = turn.number;
        }
        let turn = (known.wire == Wire::V2).then_some(turn);
        let what = Outgoing::Observation { message, turn };
        self.effects.push_back(Effect::Send { to: peer, what });
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
