//! A table and its connections: all that the shells share, which is everything but the waiting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Encoding, Frame, PeerId};
use masep_table::{
    Code, Decision, Effect, Event, Hello, Outgoing, PeerKey, ResumeSecret, SeatId, Settings, Table,
    TableError, TurnTime, Verdict, View, ViewRequest, turn_number_of,
};

use super::asking::Found;
use super::events::Events;
use super::forms::Forms;
use super::seat::Seat;
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

    fn carry_out(&mut self, now: Instant) {
        while let Some(effect) = self.table.poll_effect() {
            match effect {
                Effect::Send { to, what } => self.send(to, what, now),
                Effect::Verdict { to, verdict } => {
                    if matches!(verdict, Verdict::Reject { .. }) {
                        self.links.remove(&to);
                    }
                    self.verdicts.push_back((to, verdict));
                }
                Effect::Close {
                    to,
                    code,
                    text,
                    may_return,
                } => self.end(to, code.bye(&text, may_return)),
                Effect::LookAt { to } => self.looks.push_back(to),
                Effect::AskView(request) => {
                    // One for each seat at most: those of players before, and of turns that are over, are moot.
                    self.view_requests.retain(|it| it.seat != request.seat);
                    self.view_requests.push(request);
                    self.has_news = true;
                }
                Effect::Decision(decision) => self.decided(decision),
                Effect::Event(event) => self.happened(event),
            }
        }
    }

    fn send(&mut self, key: PeerKey, what: Outgoing, now: Instant) {
        let Some(linked) = self.links.get_mut(&key) else {
            return;
        };
        let (link, encoding) = match &mut linked.state {
            LinkState::Opening(waiting) => return waiting.push(what),
            LinkState::Open(link, encoding) => (link, encoding),
        };
        let is_observation = matches!(what, Outgoing::Observation { .. });
        let is_left = is_observation && self.is_showing;
        let sent = deliver(link, encoding, &mut self.forms, what, is_left);
        if !is_observation {
            // A peer that does not read has its time to end.
            return;
        }
        linked.last = now;
        match sent {
            Ok(true) if !is_left => self.table.handle_sent(key, now),
            Ok(_) => {
                self.unwritten.insert(key);
                if !is_left {
                    self.waits.push(key);
                }
            }
            // Those who read are told.
            Err(SendError::Closed(_)) => {}
            Err(_) => self.table.handle_undeliverable(key, now),
        }
    }

    fn end(&mut self, key: PeerKey, bye: Bye) {
        self.unwritten.remove(&key);
        if let Some(linked) = self.links.remove(&key) {
            self.ended.push(key);
            match linked.state {
                LinkState::Open(link, _) => link.bye(bye),
                LinkState::Opening(waiting) => {
                    self.unsaid.insert(key, (waiting, bye));
                }
            }
        }
    }

    fn decided(&mut self, decision: Decision) {
        if let Some(turn) = self.turns.get_mut(&decision.turn) {
            turn.push_back(decision);
            self.has_news = true;
        }
    }

    /// A client was rejected before the table was asked.
    pub(crate) fn rejected(&mut self, id: PeerId, code: Code) {
        self.happened(Event::Rejected { id, code });
    }

    fn happened(&mut self, event: Event) {
        self.is_filled |= event == Event::Filled;
        self.events.push(event);
        self.has_news = true;
    }

    // The host.

    /// Opens a turn, whose decisions are kept until [`forget_turn`](Self::forget_turn).
    pub(crate) fn open(
        &mut self,
        views: Vec<(SeatId, View)>,
        time: TurnTime,
        now: Instant,
    ) -> Result<u64, TableError> {
        let decisions = VecDeque::with_capacity(views.len());
        let number = self.table.open(views, time, now)?;
        self.turns.insert(number, decisions);
        self.carry_out(now);
        Ok(number)
    }

    /// The next decision of a turn.
    fn take_decision(&mut self, turn: u64) -> Option<Decision> {
        self.turns.get_mut(&turn)?.pop_front()
    }

    /// The next thing that a turn waits for.
    pub(crate) fn find_in_turn(&mut self, turn: u64) -> Option<Found> {
        if let Some(request) = self.take_view_request(turn) {
            return Some(Found::Request(request, self.seat(request.seat)));
        }
        let decision = self.take_decision(turn)?;
        let name = self.name(decision.seat);
        Some(Found::Decision(Box::new(decision), name))
    }

    /// Nobody will ask for the decisions of this turn.
    pub(crate) fn forget_turn(&mut self, turn: u64) {
        self.turns.remove(&turn);
    }

    /// A view of this turn that is to be made anew.
    fn take_view_request(&mut self, turn: u64) -> Option<ViewRequest> {
        let mut requests = self.view_requests.iter();
        let place = requests.position(|request| request.turn == turn)?;
        Some(self.view_requests.swap_remove(place))
    }

    /// Shows something to the spectators. The connections write it themselves: there may be a thousand.
    pub(crate) fn show(&mut self, view: View, now: Instant) {
        for key in self.unwritten.clone() {
            if !self.look_whether_written(key, now) {
                self.waits.push(key);
            }
        }
        self.is_showing = true;
        self.call(now, |table| table.show(view, now));
        self.is_showing = false;
    }

    pub(crate) fn end_table(&mut self, now: Instant) {
        self.call(now, |table| table.end(now));
    }

    /// A function of the host has failed.
    pub(crate) fn fail(&mut self, now: Instant) {
        self.call(now, |table| table.fail("the engine has failed", now));
        self.has_news = true;
    }

    /// True if the end of the game has begun.
    pub(crate) const fn has_ended(&self) -> bool {
        self.table.has_ended()
    }

    /// `Ok` if each seat has had somebody at the same time, or the last one without somebody was closed; an error if the table is over before; `None` as long as that is
    /// open.
    pub(crate) fn filled(&self) -> Option<Result<(), TableError>> {
        if self.is_filled {
            return Some(Ok(()));
        }
        self.table.is_over().then_some(Err(TableError::Over))
    }

    /// Takes the next event, or `None` within when none comes any more.
    pub(crate) fn next_event(&mut self) -> Option<Option<Event>> {
        match self.events.pop() {
            Some(event) => Some(Some(event)),
            None => self.table.is_over().then_some(None),
        }
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The number of events that were dropped.
    pub(crate) const fn missed_events(&self) -> u64 {
        self.events.missed()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    /// A seat as it is now.
    pub(crate) fn seat(&self, seat: SeatId) -> Seat {
        Seat {
            id: seat,
            name: self.name(seat),
            player: self.table.player(seat).cloned(),
            state: self.table.state(seat),
            has_pymaseps_player: self.table.has_pymaseps_player(seat),
        }
    }

    /// True if the seat has the same player as it had, as far as a view depends on it.
    pub(crate) fn has_player_of(&self, seen: &Seat) -> bool {
        let seat = seen.id();
        self.table.player(seat) == seen.player()
            && self.table.has_pymaseps_player(seat) == seen.has_pymaseps_player()
    }

    fn name(&self, seat: SeatId) -> Arc<str> {
        let name = self.names.get(seat.index());
        name.cloned().unwrap_or_else(|| "".into())
    }

    /// The seats of these names.
    pub(crate) fn find<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<SeatId>, TableError> {
        let find = |name: &str| {
            let seat = self.table.seat(name);
            seat.ok_or_else(|| TableError::UnknownSeat(name.to_owned()))
        };
        names.into_iter().map(find).collect()
    }

    /// The longest that a connection may take to end when the table is over.
    pub(crate) const FAREWELL: Duration = Duration::from_secs(2);
}

/// Queues something on a connection, as [`Link::send`] does.
fn deliver<L: Link>(
    link: &L,
    encoding: &Encoding,
    forms: &mut Forms,
    what: Outgoing,
    is_left: bool,
) -> Result<bool, SendError> {
    let frame = match what {
        Outgoing::Observation { message, turn } => forms.of(&message, turn, encoding)?,
        Outgoing::End(message) => encoding.encode(&message)?,
        Outgoing::Notice(notice) => {
            link.notice((&notice).into());
            return Ok(true);
        }
    };
    link.send(frame, is_left)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use masep_proto::connection::{Config, Connection as Core};
    use masep_proto::{Element, Limits, Message, MessageType, Role};

    use super::*;

    /// Keeps what it was given.
    #[derive(Clone)]
    struct Kept {
        encoding: Encoding,
        given: Arc<Mutex<Vec<String>>>,
    }

    impl Kept {
        fn new() -> Self {
            let config = Arc::new(Config::new("engine", Limits::default()).unwrap());
            Self {
                encoding: Core::established(config, "ann".into(), Instant::now()).encoding(),
                given: Arc::default(),
            }
        }

        fn keep(&self, what: String) {
            self.given.lock().unwrap().push(what);
        }
    }

    impl Link for Kept {
        fn peer(&self) -> &PeerId {
            unreachable!("it has said HELLO")
        }

        fn encoding(&self) -> Encoding {
            self.encoding.clone()
        }

        fn send(&self, frame: Frame, _is_left: bool) -> Result<bool, SendError> {
            let message = self.encoding.decode(frame).unwrap();
            assert_eq!(message.msg_type, MessageType::Observation);
            self.keep(format!("{:?}", message.params));
            Ok(true)
        }

        fn is_written(&self) -> bool {
            true
        }

        fn notice(&self, notice: Notice) {
            self.keep(notice.code.to_string());
        }

        fn bye(&self, bye: Bye) {
            self.keep(bye.code.to_string());
        }
    }

    /// A player is at the table with its verdict, and its connection is open a little later.
    #[test]
    fn what_a_seat_was_sent_before_its_connection_was_open_comes_in_front_of_the_end() {
        let now = Instant::now();
        let settings = Settings::new("engine", "life", ["red"]);
        let mut driver = Driver::<Kept>::new(settings).unwrap();
        let hello = Hello {
            role: Some(Role::Actor),
            ..Hello::new("ann")
        };
        let key = driver.hello(hello, ResumeSecret([0; 16]), now);
        assert!(matches!(
            driver.take_verdict(),
            Some((_, Verdict::Admit(_)))
        ));
        let seat = driver.table().seats().next().unwrap();
        let last = Element::parse(r#"<State name="the last" />"#).unwrap();
        let finals = vec![(seat, View::from(last))];
        driver.call(now, |table| table.finish(finals, now)).unwrap();
        driver.end_table(now);
        let link = Kept::new();
        assert!(!driver.opened(key, link.clone(), now));
        let given = link.given.lock().unwrap();
        assert_eq!(given.len(), 2, "{given:?}");
        assert!(
            given[0].contains("the last") && given[1] == "over",
            "{given:?}"
        );
    }

    #[test]
    fn views_that_nobody_has_made_are_not_asked_for_without_end() {
        let now = Instant::now();
        let settings = Settings::new("engine", "life", ["red"]).strangers(true);
        let mut driver = Driver::<Kept>::new(settings).unwrap();
        let seat = driver.table().seats().next().unwrap();
        let come = |driver: &mut Driver<Kept>, number: u64| {
            let id = number.to_string();
            let register = Message::register(id.clone(), id.clone(), 0, Role::Actor);
            driver.call(now, |table| {
                table.handle_connected(PeerKey(number), id.into(), now);
                table.handle_message(PeerKey(number), &register, None, now);
            });
        };
        come(&mut driver, 0);
        for number in 0..10 {
            let state = Element::parse("<State />").unwrap();
            let views = vec![(seat, View::from(state))];
            let turn = driver.open(views, TurnTime::AsSet, now).unwrap();
            driver.call(now, |table| table.handle_closed(PeerKey(number), now));
            come(&mut driver, number + 1);
            let found = driver.view_requests.iter();
            assert!(found.map(|request| request.turn).eq([turn]));
            driver.call(now, |table| table.close(turn, now));
            driver.forget_turn(turn);
        }
    }
}
