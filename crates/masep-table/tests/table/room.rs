//! A table, its peers, and what they were sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::{Action, Element, Message, PeerId, Role, TypeName, Value};
use masep_table::{
    Cause, Clock, Code, Decision, Effect, Event, Hello, How, Kind, Notice, Outgoing, PeerKey,
    ResumeSecret, SeatId, Settings, Table, TurnData, TurnTime, Verdict, View, Welcome,
};

pub(crate) const GAME: &str = "pursuit.PursuitGame";

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A table with the seats red and blue.
pub(crate) fn settings() -> Settings {
    Settings::new("engine", "life-1", ["red", "blue"]).game(GAME)
}

/// A thing that a peer got.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    /// An observation for a peer of protocol 1: the step of its State.
    Step(i64),
    /// One for a peer of protocol 2.
    Turn(TurnData),
    End,
    Notice(Code, Option<u64>),
    Closed(Code),
}

pub(crate) struct Room {
    pub(crate) table: Table,
    pub(crate) now: Instant,
    /// Those that were not taken yet.
    pub(crate) got: BTreeMap<PeerKey, Vec<Got>>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) events: Vec<Event>,
    pub(crate) verdicts: BTreeMap<PeerKey, Verdict>,
    pub(crate) asked_views: Vec<masep_table::ViewRequest>,
    pub(crate) looked_at: Vec<PeerKey>,
    /// The streams of these take nothing.
    pub(crate) stalled: BTreeSet<PeerKey>,
    /// All that was to be done.
    pub(crate) log: Vec<Effect>,
    next: u64,
}

impl Room {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            table: Table::new(settings).expect("sound settings"),
            now: Instant::now(),
            got: BTreeMap::new(),
            decisions: Vec::new(),
            events: Vec::new(),
            verdicts: BTreeMap::new(),
            asked_views: Vec::new(),
            looked_at: Vec::new(),
            stalled: BTreeSet::new(),
            log: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn key(&mut self) -> PeerKey {
        self.next += 1;
        PeerKey(self.next)
    }

    /// Does what the table wants done.
    pub(crate) fn work(&mut self) {
        while let Some(effect) = self.table.poll_effect() {
            self.log.push(effect.clone());
            match effect {
                Effect::Send { to, what } => self.deliver(to, what),
                Effect::Verdict { to, verdict } => {
                    self.verdicts.insert(to, verdict);
                }
                Effect::Close { to, code, .. } => {
                    self.got.entry(to).or_default().push(Got::Closed(code));
                }
                Effect::LookAt { to } => self.looked_at.push(to),
                Effect::AskView(request) => self.asked_views.push(request),
                Effect::Decision(decision) => self.decisions.push(decision),
                Effect::Event(event) => self.events.push(event),
            }
        }
    }

    fn deliver(&mut self, peer: PeerKey, what: Outgoing) {
        let got = match what {
            Outgoing::Observation { message, turn } => {
                if !self.stalled.contains(&peer) {
                    self.table.handle_sent(peer, self.now);
                }
                match turn {
                    Some(turn) => Got::Turn(turn),
                    None => Got::Step(step(&message)),
                }
            }
            Outgoing::End(_) => Got::End,
            Outgoing::Notice(Notice { code, about, .. }) => Got::Notice(code, about),
        };
        self.got.entry(peer).or_default().push(got);
    }

    /// The messages of all observations that were sent.
    pub(crate) fn observations(&self) -> Vec<Arc<Message>> {
        let sent = self.log.iter().filter_map(|effect| match effect {
            Effect::Send {
                what: Outgoing::Observation { message, .. },
                ..
            } => Some(message.clone()),
            _ => None,
        });
        sent.collect()
    }

    /// A peer of pymasep's protocol, as far as its hello.
    pub(crate) fn connect(&mut self, id: &str) -> PeerKey {
        let peer = self.key();
        self.table.handle_connected(peer, id.into(), self.now);
        self.work();
        peer
    }

    pub(crate) fn say(&mut self, peer: PeerKey, message: &Message) {
        self.table.handle_message(peer, message, None, self.now);
        self.work();
    }

    pub(crate) fn register(&mut self, peer: PeerKey, id: &str, role: Role) {
        self.say(peer, &Message::define(id, TypeName::from(GAME)));
        self.say(peer, &Message::register(id, id, 0, role));
    }

    /// A pymasep interface as an actor.
    pub(crate) fn pymasep(&mut self, id: &str) -> PeerKey {
        let peer = self.connect(id);
        self.register(peer, id, Role::Actor);
        peer
    }

    /// A pymasep interface as an observer.
    pub(crate) fn observer(&mut self, id: &str) -> PeerKey {
        let peer = self.connect(id);
        self.register(peer, id, Role::Observer);
        peer
    }

    /// A peer of protocol 2.
    pub(crate) fn hello(&mut self, hello: Hello) -> (PeerKey, Verdict) {
        let peer = self.key();
        let secret = ResumeSecret([u8::try_from(peer.0).expect("few peers"); 16]);
        self.table.handle_hello(peer, hello, secret, self.now);
        self.work();
        (peer, self.verdicts[&peer].clone())
    }

    /// A player of protocol 2, who is taken.
    pub(crate) fn player(&mut self, hello: Hello) -> (PeerKey, Welcome) {
        match self.hello(hello) {
            (peer, Verdict::Admit(welcome) | Verdict::Replace(welcome)) => (peer, welcome),
            (_, rejected) => panic!("{rejected:?}"),
        }
    }

    /// The code of a rejection.
    pub(crate) fn rejected(&mut self, hello: Hello) -> Code {
        match self.hello(hello).1 {
            Verdict::Reject { code, .. } => code,
            taken => panic!("{taken:?}"),
        }
    }

    pub(crate) fn closed(&mut self, peer: PeerKey) {
        self.table.handle_closed(peer, self.now);
        self.work();
    }

    pub(crate) fn quit(&mut self, peer: PeerKey, id: &str) {
        self.say(peer, &Message::quit(id));
    }

    /// An action with the number of a turn.
    pub(crate) fn act(&mut self, peer: PeerKey, id: &str, turn: u64, action: i64) {
        self.act_at(peer, id, turn, action, self.now);
    }

    pub(crate) fn act_at(&mut self, peer: PeerKey, id: &str, turn: u64, action: i64, at: Instant) {
        let message = Message::action(id, Action::new(action));
        self.table.handle_message(peer, &message, Some(turn), at);
        self.work();
    }

    /// An action without one.
    pub(crate) fn answer(&mut self, peer: PeerKey, id: &str, action: i64) {
        self.say(peer, &Message::action(id, Action::new(action)));
    }

    /// Asks these seats.
    pub(crate) fn ask(&mut self, seats: &[&str]) -> u64 {
        let views = self.views(seats);
        let turn = self
            .table
            .open(views, TurnTime::AsSet, self.now)
            .expect("no turn is open");
        self.work();
        turn
    }

    pub(crate) fn finish(&mut self, seats: &[&str]) -> u64 {
        let views = self.views(seats);
        let turn = self
            .table
            .finish_episode(views, self.now)
            .expect("no turn is open");
        self.work();
        turn
    }

    pub(crate) fn show(&mut self) {
        self.table.show(state(0), self.now);
        self.work();
    }

    pub(crate) fn end(&mut self) {
        self.table.end(self.now);
        self.work();
    }

    pub(crate) fn views(&self, seats: &[&str]) -> Vec<(SeatId, View)> {
        seats
            .iter()
            .map(|seat| (self.table.seat(seat).expect("it is there"), state(0)))
            .collect()
    }

    /// Lets time pass, with everything that becomes due in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..10_000 {
            match self.table.deadline().filter(|due| *due <= until) {
                Some(due) => {
                    self.now = self.now.max(due);
                    self.table.handle_timeout(self.now);
                    self.work();
                }
                None => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("time stands still");
    }

    pub(crate) fn take(&mut self, peer: PeerKey) -> Vec<Got> {
        self.got.remove(&peer).unwrap_or_default()
    }

    /// The turns that a peer of protocol 2 was sent: kind and number.
    pub(crate) fn turns(&mut self, peer: PeerKey) -> Vec<(Kind, u64)> {
        let got = self.take(peer).into_iter();
        got.filter_map(|got| match got {
            Got::Turn(turn) => Some((turn.kind, turn.number)),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn decided(&mut self) -> Vec<(String, How, Option<i64>)> {
        std::mem::take(&mut self.decisions)
            .into_iter()
            .map(|it| {
                let action = it.action.as_ref().map(number);
                (self.table.name(it.seat).to_owned(), it.how, action)
            })
            .collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn id_of(&self, seat: &str) -> Option<PeerId> {
        self.table.player(self.table.seat(seat)?).cloned()
    }

    pub(crate) fn state(&self, seat: &str) -> masep_table::SeatState {
        self.table
            .state(self.table.seat(seat).expect("it is there"))
    }
}

/// An actor of protocol 2.
pub(crate) fn actor(id: &str) -> Hello {
    Hello {
        role: Some(Role::Actor),
        ..Hello::new(id)
    }
}

pub(crate) fn state(step: u64) -> View {
    let state = format!("<State name=\"State\" env_step=\"{step}\" />");
    View::new(Element::parse(state).expect("it is there"))
}

/// The number of an action.
pub(crate) fn number(action: &Value) -> i64 {
    let action = Action::try_from(action.as_element().expect("it is there")).expect("it is there");
    action.action_type.as_i64().expect("it is there")
}

fn step(message: &Message) -> i64 {
    let state = message.param("observation").and_then(Value::as_element);
    state.map_or(-1, |state| {
        state
            .attribute("env_step")
            .expect("it is there")
            .parse()
            .expect("it is there")
    })
}

/// A clock with so many milliseconds for each turn, and no bank.
pub(crate) fn clock(millis: u64) -> Clock {
    Clock {
        per_turn: Some(ms(millis)),
        bank: None,
    }
}

/// The decision of each seat since the last look.
pub(crate) fn hows(room: &mut Room) -> Vec<(String, How)> {
    let decided = room.decided().into_iter();
    decided.map(|(seat, how, _)| (seat, how)).collect()
}

/// The decision without an action, and its cause.
pub(crate) fn none(seat: &str, cause: Cause) -> (String, How) {
    (seat.to_owned(), How::None(cause))
}

/// The decision of a seat that has played.
pub(crate) fn played(seat: &str) -> (String, How) {
    (seat.to_owned(), How::Played)
}
