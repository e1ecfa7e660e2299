//! The refusal of a peer, and of single messages.

use std::borrow::Cow;
use std::time::Instant;

use crate::peer::Wire;
use crate::{Code, Effect, Event, Notice, Outgoing, PeerKey, Table};

impl Table {
    /// Says why, ends a connection, and forgets it. The state of its seat is the caller's.
    pub(crate) fn dismiss(&mut self, peer: PeerKey, code: Code, may_return: bool) {
        self.close_with(peer, code, Cow::Borrowed(code.text()), may_return);
    }

    pub(crate) fn close_with(
        &mut self,
        peer: PeerKey,
        code: Code,
        text: Cow<'static, str>,
        may_return: bool,
    ) {
        if self.peers.remove(&peer).is_some() {
            self.effects.push_back(Effect::Close {
                to: peer,
                code,
                text,
                may_return,
            });
            self.forget_spectator(peer);
        }
    }

    /// As [`dismiss`](Self::dismiss), of which the host is told. A player is away then.
    pub(crate) fn turn_out(&mut self, peer: PeerKey, code: Code, may_return: bool, now: Instant) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let (id, seat) = (known.id.clone(), known.seat());
        self.tell(Event::Rejected { id, code });
        self.dismiss(peer, code, may_return);
        if let Some(seat) = seat {
            self.lose(seat, now);
        }
    }

    /// Says that something of a peer is not taken.
    pub(crate) fn ignore(&mut self, peer: PeerKey, code: Code, about: Option<u64>) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.end_told.is_some() || !known.may_tell() {
            return;
        }
        let seat = known.seat();
        self.tell(Event::Ignored { seat, code });
        self.notify(peer, code, about);
    }

    /// Sends a notice, if the peer can read one.
    pub(crate) fn notify(&mut self, peer: PeerKey, code: Code, about: Option<u64>) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        if known.wire == Wire::V2 {
            let text = Cow::Borrowed(code.text());
            let what = Outgoing::Notice(Notice { code, text, about });
            self.effects.push_back(Effect::Send { to: peer, what });
        }
    }
}
