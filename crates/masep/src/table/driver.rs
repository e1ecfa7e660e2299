//! A table and its connections: all that the shells share, which is everything but the waiting.

mod effects;
mod host;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Encoding, Frame, PeerId};
use masep_table::{
    Decision, Hello, Outgoing, PeerKey, ResumeSecret, Settings, Table, TableError, Verdict,
    ViewRequest, turn_number_of,
};

use self::effects::deliver;
use super::events::Events;
use super::forms::Forms;
use crate::SendError;

/// A connection, as far as a table uses it. No call waits.
pub(crate) trait Link {
    /// The peer's id.
    fn peer(&self) -> &PeerId;

    /// The form of messages.
    fn encoding(&self) -> Encoding;

    /// Queues a frame. It is written at once if it can be, or left to the connection if that is wanted. True if nothing that
    /// was queued is unwritten.
    fn send(&self, frame: Frame, is_left: bool) -> Result<bool, SendError>;

    /// True if nothing that was queued is unwritten.
    fn is_written(&self) -> bool;

    /// Tells the peer of something that was not accepted.
    fn notice(&self, notice: Notice);

    /// Ends the connection behind what was queued.
    fn bye(&self, bye: Bye);
}

/// One connection.
struct Linked<L> {
    state: LinkState<L>,
    /// When it was sent something, or something was taken from it.
    last: Instant,
}

enum LinkState<L> {
    /// The table has its verdict, which the peer does not know yet. All that it is to be sent waits.
    Opening(Vec<Outgoing>),
    Open(L, Encoding),
}

/// See the [module](self). After each call the shell looks what is to be done by it: [`take_verdict`](Self::take_verdict),
/// [`take_look`](Self::take_look), [`take_unwritten`](Self::take_unwritten), [`take_ended`](Self::take_ended).
pub(crate) struct Driver<L> {
    table: Table,
    names: Arc<[Arc<str>]>,
    links: BTreeMap<PeerKey, Linked<L>>,
    next_key: u64,
    forms: Forms,
    /// Those to whom an observation was sent that is not known to be written.
    unwritten: BTreeSet<PeerKey>,
    /// Spectators are being shown something.
    is_showing: bool,
    /// The decisions of turns that have a handle.
    turns: BTreeMap<u64, VecDeque<Decision>>,
    view_requests: Vec<ViewRequest>,
    events: Events,
    is_filled: bool,
    verdicts: VecDeque<(PeerKey, Verdict)>,
    looks: VecDeque<PeerKey>,
    waits: Vec<PeerKey>,
    ended: Vec<PeerKey>,
    /// The last words to those that were not open when the table ended them, behind what they were to be sent.
    unsaid: BTreeMap<PeerKey, (Vec<Outgoing>, Bye)>,
    has_news: bool,
}

impl<L: Link> Driver<L> {
    pub(crate) fn new(settings: Settings) -> Result<Self, TableError> {
        let table = Table::new(settings)?;
        Ok(Self {
            names: table.seats().map(|seat| table.name(seat).into()).collect(),
            table,
            links: BTreeMap::new(),
            next_key: 1,
            forms: Forms::default(),
            unwritten: BTreeSet::new(),
            is_showing: false,
            turns: BTreeMap::new(),
            view_requests: Vec::new(),
            events: Events::default(),
            is_filled: false,
            verdicts: VecDeque::new(),
            looks: VecDeque::new(),
            waits: Vec::new(),
            ended: Vec::new(),
            unsaid: BTreeMap::new(),
            has_news: false,
        })
    }

    pub(crate) const fn table(&self) -> &Table {
        &self.table
    }

    /// A call of the table that has effects.
    pub(crate) fn call<R>(&mut self, now: Instant, call: impl FnOnce(&mut Table) -> R) -> R {
        let result = call(&mut self.table);
        self.carry_out(now);
        result
    }

    // The connections.

    fn next_key(&mut self, state: LinkState<L>, now: Instant) -> PeerKey {
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        self.links.insert(key, Linked { state, last: now });
        key
    }

    /// A connection is open: of the peer that the table knows by this key, or of pymasep's protocol. Its key, unless the table
    /// has ended it meanwhile.
    pub(crate) fn arrived(
        &mut self,
        known: Option<PeerKey>,
        link: L,
        now: Instant,
    ) -> Option<PeerKey> {
        match known {
            None => Some(self.connected(link, now)),
            Some(key) => self.opened(key, link, now).then_some(key),
        }
    }

    /// A connection of pymasep's protocol is open.
    fn connected(&mut self, link: L, now: Instant) -> PeerKey {
        let (encoding, id) = (link.encoding(), link.peer().clone());
        let key = self.next_key(LinkState::Open(link, encoding), now);
        self.call(now, |table| table.handle_connected(key, id, now));
        key
    }

    /// A peer of protocol 2 has said `HELLO`. The verdict is among those to be taken when this returns.
    pub(crate) fn hello(&mut self, hello: Hello, secret: ResumeSecret, now: Instant) -> PeerKey {
        let key = self.next_key(LinkState::Opening(Vec::new()), now);
        self.call(now, |table| table.handle_hello(key, hello, secret, now));
        key
    }

    /// A peer knows the verdict: its connection is open. False if the table has ended it meanwhile.
    fn opened(&mut self, key: PeerKey, link: L, now: Instant) -> bool {
        let Some(linked) = self.links.get_mut(&key) else {
            let unsaid = self.unsaid.remove(&key);
            let (waiting, bye) = unsaid.unwrap_or_else(|| (Vec::new(), Bye::new("over", "")));
            let encoding = link.encoding();
            for what in waiting {
                // One that is gone or takes nothing is told no more.
                let _ = deliver(&link, &encoding, &mut self.forms, what, false);
            }
            link.bye(bye);
            return false;
        };
        let encoding = link.encoding();
        let waiting = std::mem::replace(&mut linked.state, LinkState::Open(link, encoding));
        if let LinkState::Opening(waiting) = waiting {
            for what in waiting {
                self.send(key, what, now);
            }
        }
        self.carry_out(now);
        true
    }

    /// A frame has arrived, at this time as far as the shell knows.
    pub(crate) fn received(&mut self, key: PeerKey, frame: Frame, at: Instant, now: Instant) {
        let Some(linked) = self.links.get_mut(&key) else {
            return;
        };
        let LinkState::Open(_, encoding) = &linked.state else {
            return;
        };
        // An answer is not older than its question, nor than what came before it.
        let at = at.max(linked.last).min(now);
        linked.last = at;
        if let Ok((message, turn)) = encoding.decode_in_turn(frame) {
            let turn = turn.as_deref().and_then(turn_number_of);
            self.table.handle_message(key, &message, turn, at);
            self.carry_out(now);
        }
    }

    /// The connection of this key, if it is open.
    pub(crate) fn link(&self, key: PeerKey) -> Option<&L> {
        match &self.links.get(&key)?.state {
            LinkState::Open(link, _) => Some(link),
            LinkState::Opening(_) => None,
        }
    }

    /// All that was queued on a connection may be written. False if it is not.
    pub(crate) fn look_whether_written(&mut self, key: PeerKey, now: Instant) -> bool {
        let is_written = self.is_written(key);
        if is_written && self.unwritten.remove(&key) {
            self.call(now, |table| table.handle_sent(key, now));
        }
        is_written
    }

    fn is_written(&self, key: PeerKey) -> bool {
        self.link(key).is_none_or(L::is_written)
    }

    /// A connection has ended, or will never be open.
    pub(crate) fn closed(&mut self, key: PeerKey, now: Instant) {
        self.unsaid.remove(&key);
        self.unwritten.remove(&key);
        if self.links.remove(&key).is_some() {
            self.call(now, |table| table.handle_closed(key, now));
        }
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, now: Instant) {
        self.call(now, |table| table.handle_timeout(now));
    }

    // The shell's work.

    /// A verdict that the door is to be told.
    pub(crate) fn take_verdict(&mut self) -> Option<(PeerKey, Verdict)> {
        self.verdicts.pop_front()
    }

    /// A connection that is to be read now. When there is no more, [`timeout`](Self::timeout) is to be called again.
    pub(crate) fn take_look(&mut self) -> Option<PeerKey> {
        self.looks.pop_front()
    }

    /// A connection of which it is to be told when all was written.
    pub(crate) fn take_unwritten(&mut self) -> Option<PeerKey> {
        self.waits.pop()
    }

    /// A connection that the table has ended.
    pub(crate) fn take_ended(&mut self) -> Option<PeerKey> {
        self.ended.pop()
    }

    /// True if something has happened for those who wait.
    pub(crate) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.has_news, false)
    }

    /// True if the next [`take_news`](Self::take_news) gives true.
    pub(crate) const fn has_news(&self) -> bool {
        self.has_news
    }
}

#[cfg(test)]
mod tests;
