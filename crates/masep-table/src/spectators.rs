//! Spectators: the newest view each. They hold up nobody.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::Message;

use crate::peer::Registration;
use crate::view::View;
use crate::{Event, Kind, PeerKey, Table, TurnData};

/// The view of the spectators.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    message: Arc<Message>,
    turn: TurnData,
}

impl Table {
    /// Shows this to the spectators. One that has not been sent the view before when this is called does not get
    /// that any more, and is told how many it has missed. Somebody who comes later sees the last view first.
    pub fn show(&mut self, view: View, now: Instant) {
        let now = self.tick(now);
        if self.is_ending() {
            return;
        }
        self.shown = Some(Shown {
            message: self.observation(view),
            turn: TurnData {
                number: self.number,
                episode: self.episode,
                kind: Kind::Show,
                left: None,
                bank: None,
                last: None,
                skipped: 0,
            },
        });
        for peer in self.spectators.iter().copied().collect::<Vec<_>>() {
            if let Some(known) = self.peers.get_mut(&peer) {
                known.skipped += u64::from(known.lacks_view);
                known.lacks_view = true;
                self.pump_spectator(peer, now);
            }
        }
        self.conclude(now);
    }

    pub(crate) fn add_spectator(&mut self, peer: PeerKey, now: Instant) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.registration = Registration::Spectator;
            known.lacks_view = self.shown.is_some();
            self.spectators.insert(peer);
            self.tell(Event::Spectators(self.spectators.len()));
            self.pump_spectator(peer, now);
        }
    }

    pub(crate) fn forget_spectator(&mut self, peer: PeerKey) {
        if self.spectators.remove(&peer) {
            self.tell(Event::Spectators(self.spectators.len()));
        }
    }

    /// Sends the newest view to a spectator, if it is not sent one already.
    pub(crate) fn pump_spectator(&mut self, peer: PeerKey, now: Instant) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.unsent > 0 || known.end_told.is_some() || !std::mem::take(&mut known.lacks_view) {
            return;
        }
        let skipped = std::mem::take(&mut known.skipped);
        if let Some(Shown { message, turn }) = self.shown.clone() {
            let turn = TurnData { skipped, ..turn };
            self.send_observation(peer, message, turn, now);
        }
    }
}
