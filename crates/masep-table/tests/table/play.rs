//! Any sequence of events and calls of the host, with all kinds of peers, honest in what they mean and otherwise
//! not: the [model](crate::model) holds. The fuzz target `table` plays it too.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use masep_proto::{Action, Element, Message, Role, TypeName, Value};
use masep_table::{
    Absence, Clock, Effect, Event, Hello, Kind, Last, Late, Outgoing, PeerKey, ResumeSecret,
    SeatId, Settings, Table, TurnData, TurnTime, Verdict, View, Welcome,
};

use super::model::{Model, Rules};

/// Gives a number below a bound, each time another.
pub(crate) type Choose<'a> = dyn FnMut(usize) -> usize + 'a;

const GAME: &str = "pursuit.PursuitGame";
const NAMES: [&str; 3] = ["red", "blue", "green"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Numbered,
    Pymasep,
    /// As pymasep, and says the turn.
    Echo,
    /// As pymasep, over protocol 2.
    Roleless,
}

/// A message on its way.
struct Flying {
    message: Message,
    turn: Option<u64>,
    at: Instant,
}

struct Peer {
    id: String,
    manner: Manner,
    /// Questions that it has not answered.
    questions: VecDeque<u64>,
    way: VecDeque<Flying>,
    /// The number of the last observation.
    seen: u64,
    /// Observations that its stream has not taken.
    unsent: usize,
    is_spectator: bool,
    has_end: bool,
}

pub(crate) struct Play {
    table: Table,
    rules: Rules,
    model: Model,
    finals_unanswered: bool,
    now: Instant,
    is_paused: bool,
    peers: BTreeMap<PeerKey, Peer>,
    /// The peer whose event is being told.
    acting: Option<PeerKey>,
    seats: Vec<SeatId>,
    finals: Vec<u64>,
    resumes: Vec<String>,
    verdict: Option<Verdict>,
    requests: Vec<masep_table::ViewRequest>,
    next: u64,
    is_ending: bool,
    /// Messages may be told later than they arrive.
    delays: bool,
    pub(crate) log: Vec<Effect>,
}

fn settings(choose: &mut Choose<'_>) -> (Settings, Rules, bool) {
    let millis = |millis| Some(Duration::from_millis(millis));
    let clock = Clock {
        per_turn: [None, millis(100), millis(1)][choose(3)],
        bank: [None, millis(150)][choose(2)],
    };
    let absence = match choose(3) {
        0 => Absence::Proceed,
        1 => Absence::Wait(Duration::ZERO),
        _ => Absence::Wait(Duration::from_millis(120)),
    };
    let late = match choose(3) {
        0 => Late::Nothing,
        1 => Late::Action(Action::new(-1).into()),
        _ => Late::Host,
    };
    let finals_unanswered = choose(4) == 0;
    let seats = 1 + choose(3);
    let mut settings = Settings::new("engine", "life", NAMES[..seats].to_vec())
        .game(GAME)
        .clock(clock)
        .late(late)
        .absence(absence)
        .misses(u32::try_from(choose(3)).unwrap_or(0))
        .forget_time(Duration::from_millis(2_000))
        .strangers(choose(2) == 0)
        .replaces_same_id(choose(2) == 0)
        .rejoins_by_id(choose(2) == 0)
        .peers(8)
        .spectators(3);
    if finals_unanswered {
        for seat in &NAMES[..seats] {
            settings = settings.finals_unanswered(*seat);
        }
    }
    (settings, Rules { clock, absence }, finals_unanswered)
}

impl Play {
    fn new(choose: &mut Choose<'_>) -> Self {
        let (settings, rules, finals_unanswered) = settings(choose);
        let table = Table::new(settings).expect("sound settings");
        let seats: Vec<_> = table.seats().collect();
        Self {
            model: Model::new(rules, seats.len()),
            table,
            rules,
            finals_unanswered,
            now: Instant::now(),
            is_paused: false,
            peers: BTreeMap::new(),
            acting: None,
            seats,
            finals: Vec::new(),
            resumes: Vec::new(),
            verdict: None,
            requests: Vec::new(),
            next: 0,
            is_ending: false,
            delays: choose(2) == 0,
            log: Vec::new(),
        }
    }

    fn step(&mut self, choose: &mut Choose<'_>) {
        self.pass(Duration::from_micros(1), choose);
        match choose(24) {
            0 | 1 => self.arrive(choose),
            2..8 => self.answer(choose),
            8 => self.misbehave(choose),
            9 => self.leave(choose),
            10..13 => self.open(choose),
            13 => self.close_or_extend(choose),
            14 => self.finish(choose),
            15 => self.show(),
            16..18 => self.deliver(choose),
            18 => self.change_seats(choose),
            19 => self.take_observation(choose),
            20 => self.give_view(choose),
            _ => {
                let time = [1, 30, 60, 130, 2_500][choose(5)];
                self.pass(Duration::from_millis(time), choose);
            }
        }
        self.work();
        self.pass(Duration::ZERO, choose);
        self.model.check(&self.table, self.is_paused);
        assert!(self.table.peers() <= 8 && self.table.spectators() <= 3);
    }

    fn view(&self, seat: Option<SeatId>) -> View {
        let seat = seat.map_or("all", |seat| self.table.name(seat));
        let state = format!("<State of=\"{seat}\" env_step=\"0\" />");
        View::new(Element::parse(state).expect("it is well-formed"))
    }

    /// One of the peers, if there are any.
    fn any(&self, choose: &mut Choose<'_>) -> Option<PeerKey> {
        let keys: Vec<_> = self.peers.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[choose(keys.len())])
    }

    // Peers.

    fn arrive(&mut self, choose: &mut Choose<'_>) {
        self.next += 1;
        let key = PeerKey(self.next);
        let id = ["a", "b", "c", "d"][choose(4)].to_owned();
        let kinds = [
            Manner::Numbered,
            Manner::Pymasep,
            Manner::Echo,
            Manner::Roleless,
        ];
        let manner = kinds[choose(4)];
        let is_spectator = choose(6) == 0;
        let role = if is_spectator {
            Role::Observer
        } else {
            Role::Actor
        };
        let peer = Peer {
            id: id.clone(),
            manner,
            questions: VecDeque::new(),
            way: VecDeque::new(),
            seen: 0,
            unsent: 0,
            is_spectator,
            has_end: false,
        };
        self.peers.insert(key, peer);
        self.acting = Some(key);
        let is_numbered = manner == Manner::Numbered;
        match manner {
            Manner::Pymasep | Manner::Echo => {
                self.table
                    .handle_connected(key, id.as_str().into(), self.now);
            }
            Manner::Numbered | Manner::Roleless => {
                let known = self.resumes.len();
                let resumes = is_numbered && known > 0 && choose(2) == 0;
                let hello = Hello {
                    role: is_numbered.then_some(role),
                    resume: resumes.then(|| self.resumes[choose(known)].clone()),
                    seat: (choose(6) == 0).then(|| NAMES[choose(3)].to_owned()),
                    ..Hello::new(id.as_str())
                };
                self.hello(key, hello);
            }
        }
        self.work();
        // Some register later, or never.
        if !is_numbered && choose(5) > 0 {
            if choose(3) > 0 {
                self.say(key, Message::define(id.clone(), TypeName::from(GAME)));
            }
            self.say(key, Message::register(id.clone(), id, 0, role));
        }
    }

    fn hello(&mut self, key: PeerKey, hello: Hello) {
        let bytes = u128::from(key.0).to_be_bytes();
        self.table
            .handle_hello(key, hello, ResumeSecret(bytes), self.now);
        self.work();
        match self.verdict.take().expect("each HELLO has a verdict") {
            Verdict::Admit(welcome) | Verdict::Replace(welcome) => self.welcome(welcome),
            Verdict::Reject { .. } => {
                self.peers.remove(&key);
            }
        }
    }

    fn welcome(&mut self, welcome: Welcome) {
        if let Some(resume) = welcome.resume
            && !self.resumes.contains(&resume)
        {
            self.resumes.push(resume);
        }
    }

    fn say(&mut self, key: PeerKey, message: Message) {
        self.send(key, message, None);
        self.flush(key);
    }

    fn send(&mut self, key: PeerKey, message: Message, turn: Option<u64>) {
        let at = self.now;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.way.push_back(Flying { message, turn, at });
        }
    }

    /// All that is on its way from a peer arrives.
    fn flush(&mut self, key: PeerKey) {
        while let Some(flying) = self.peers.get_mut(&key).and_then(|it| it.way.pop_front()) {
            self.acting = Some(key);
            self.model.delayed(self.now - flying.at);
            let Flying { message, turn, at } = flying;
            self.table.handle_message(key, &message, turn, at);
            self.work();
        }
    }

    /// A peer answers its first question, and maybe repeats that.
    fn answer(&mut self, choose: &mut Choose<'_>) {
        let Some(key) = self.any(choose) else { return };
        let peer = self.peers.get_mut(&key).expect("it is one of them");
        let Some(turn) = peer.questions.pop_front() else {
            return;
        };
        let times = 1 + choose(8) / 6;
        for _ in 0..times {
            self.act(key, turn);
        }
        if !self.delays || choose(3) > 0 {
            self.flush(key);
        }
    }

    /// An action that is meant for a turn.
    fn act(&mut self, key: PeerKey, turn: u64) {
        let tag = self.model.mean(key, turn);
        let peer = &self.peers[&key];
        let action = Action::new(tag);
        let (action, number) = match peer.manner {
            Manner::Numbered => (action, Some(turn)),
            Manner::Pymasep | Manner::Roleless => (action, None),
            Manner::Echo => (action.with("turn", turn), None),
        };
        let message = Message::action(peer.id.clone(), action);
        self.send(key, message, number);
    }

    fn misbehave(&mut self, choose: &mut Choose<'_>) {
        let Some(key) = self.any(choose) else { return };
        let peer = &self.peers[&key];
        let (id, manner) = (peer.id.clone(), peer.manner);
        let turn = self.table.number();
        let number = (manner == Manner::Numbered).then_some(turn);
        match choose(6) {
            0 => self.send(key, Message::action("nobody", Action::new(0)), number),
            1 => self.send(key, Message::action(id, Value::None), number),
            2 => {
                let is_seated = self
                    .seats
                    .iter()
                    .any(|it| self.model.peer(*it) == Some(key));
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.is_spectator |= !is_seated;
                }
                let register = Message::register(id.clone(), id, 0, Role::Observer);
                self.send(key, register, None);
            }
            3 => self.send(key, Message::new("noise", Value::None, id), None),
            // For any turn: only those who say it can mean one that they were not asked.
            _ if matches!(manner, Manner::Numbered | Manner::Echo) => {
                let turn = (turn + 2).saturating_sub(u64::try_from(choose(5)).unwrap_or(0));
                let peer = self.peers.get_mut(&key).expect("it is one of them");
                peer.questions.retain(|asked| *asked != turn);
                self.act(key, turn);
            }
            _ => {}
        }
        if !self.delays || choose(2) == 0 {
            self.flush(key);
        }
    }

    fn leave(&mut self, choose: &mut Choose<'_>) {
        let Some(key) = self.any(choose) else { return };
        match choose(4) {
            0 => {
                let id = self.peers[&key].id.clone();
                self.say(key, Message::quit(id));
            }
            _ => self.lose(key),
        }
    }

    fn lose(&mut self, key: PeerKey) {
        self.flush(key);
        self.acting = None;
        self.table.handle_closed(key, self.now);
        self.peers.remove(&key);
        self.work();
    }

    fn deliver(&mut self, choose: &mut Choose<'_>) {
        if let Some(key) = self.any(choose) {
            self.flush(key);
        }
    }

    /// The stream of a peer takes what it was sent, or the shell cannot write it.
    fn take_observation(&mut self, choose: &mut Choose<'_>) {
        let Some(key) = self.any(choose) else { return };
        let peer = self.peers.get_mut(&key).expect("it is one of them");
        if peer.unsent == 0 {
            return;
        }
        peer.unsent -= 1;
        self.acting = None;
        if choose(8) == 0 && peer.questions.len() <= 1 && peer.way.is_empty() {
            // Nobody answers what was not sent.
            peer.questions.clear();
            self.table.handle_undeliverable(key, self.now);
        } else {
            self.table.handle_sent(key, self.now);
        }
        self.work();
    }

    // The host.

    fn some_seats(&self, choose: &mut Choose<'_>) -> Vec<(SeatId, View)> {
        let all = choose(3) > 0;
        let seats = self.seats.iter().copied();
        let seats: Vec<_> = seats.filter(|_| all || choose(2) == 0).collect();
        seats
            .into_iter()
            .map(|seat| (seat, self.view(Some(seat))))
            .collect()
    }

    fn open(&mut self, choose: &mut Choose<'_>) {
        let views = self.some_seats(choose);
        let seats: Vec<_> = views.iter().map(|(seat, _)| *seat).collect();
        let time = match choose(8) {
            0 => TurnTime::Unlimited,
            1 => TurnTime::Limited(Duration::from_millis(20)),
            _ => TurnTime::AsSet,
        };
        self.acting = None;
        let before = self.table.number();
        match self.table.open(views, time, self.now) {
            Ok(number) => {
                self.model.open(number, &seats, time);
                self.work();
            }
            Err(_) => {
                let is_asked = seats.iter().any(|seat| self.model.asked(*seat).is_some());
                assert!(is_asked || self.is_ending);
                assert_eq!(self.table.number(), before);
            }
        }
    }

    fn close_or_extend(&mut self, choose: &mut Choose<'_>) {
        self.acting = None;
        let turn = self
            .table
            .number()
            .saturating_sub(u64::from(choose(2) == 0));
        match choose(4) {
            0 => self.table.close(turn, self.now),
            1 => {
                let by = Duration::from_millis(40);
                self.table.extend(turn, by, self.now);
                self.model.extend(turn, by);
            }
            2 => {
                self.is_paused = true;
                self.table.pause(self.now);
            }
            _ => {
                self.is_paused = false;
                self.table.resume(self.now);
            }
        }
    }

    fn finish(&mut self, choose: &mut Choose<'_>) {
        let views = self.some_seats(choose);
        match self.table.finish_episode(views, self.now) {
            Ok(number) => {
                assert!(!self.model.is_open());
                self.model.finish(number);
                self.finals.push(number);
            }
            Err(_) => assert!(self.model.is_open()),
        }
    }

    fn show(&mut self) {
        let view = self.view(None);
        self.table.show(view, self.now);
    }

    fn change_seats(&mut self, choose: &mut Choose<'_>) {
        let seat = self.seats[choose(self.seats.len())];
        self.acting = None;
        if choose(3) == 0 {
            self.table.close_seat(seat, self.now);
        } else {
            self.table.open_seat(seat, self.now);
        }
    }

    fn give_view(&mut self, choose: &mut Choose<'_>) {
        if !self.requests.is_empty() {
            let request = self.requests.remove(choose(self.requests.len()));
            let view = self.view(Some(request.seat));
            self.table.set_view(request, view, self.now);
        }
    }

    /// Time passes, and what becomes due in it is told at the right time.
    fn pass(&mut self, time: Duration, choose: &mut Choose<'_>) {
        let until = self.now + time;
        for _ in 0..1_000 {
            let due = self.table.deadline().filter(|due| *due <= until);
            let next = due.map_or(until, |due| due.max(self.now));
            self.model
                .pass(&self.table, next - self.now, self.is_paused);
            self.now = next;
            if due.is_none() {
                return;
            }
            if choose(2) == 0 {
                self.deliver(choose);
            }
            self.acting = None;
            self.table.handle_timeout(self.now);
            self.work();
        }
        panic!("time stands still");
    }

    // The table.

    fn work(&mut self) {
        let (mut count, mut looked_at) = (0, Vec::new());
        while let Some(effect) = self.table.poll_effect() {
            count += 1;
            assert!(count < 200, "more than one event can bring about");
            self.log.push(effect.clone());
            match effect {
                Effect::Send { to, what } => self.receive(to, what),
                Effect::Verdict { to, verdict } => {
                    assert_eq!(Some(to), self.acting);
                    assert!(self.verdict.replace(verdict).is_none(), "two verdicts");
                }
                Effect::Close { to, .. } => {
                    let known = self.peers.remove(&to);
                    assert!(known.is_some(), "closed twice");
                }
                Effect::LookAt { to } => {
                    assert!(self.peers.contains_key(&to));
                    looked_at.push(to);
                }
                Effect::AskView(request) => self.requests.push(request),
                Effect::Decision(decision) => self.model.decided(&decision, self.acting),
                Effect::Event(event) => self.note(&event),
            }
        }
        // Nobody keeps more requests than there are seats.
        let excess = self.requests.len().saturating_sub(8);
        self.requests.drain(..excess);
        looked_at.into_iter().for_each(|peer| self.flush(peer));
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Seated { seat, .. } | Event::Back { seat, .. } => {
                let is_same = matches!(event, Event::Back { .. });
                let peer = self.acting.expect("somebody has come");
                self.model.seated(*seat, peer, is_same);
            }
            Event::Ended => assert!(self.peers.is_empty()),
            _ => {}
        }
    }

    fn receive(&mut self, to: PeerKey, what: Outgoing) {
        let seat = self
            .seats
            .iter()
            .copied()
            .find(|it| self.model.peer(*it) == Some(to));
        let last = seat.and_then(|seat| self.model.last(seat));
        let is_final = |number| self.finals.contains(&number);
        let peer = self
            .peers
            .get_mut(&to)
            .expect("nobody else is sent anything");
        assert!(!peer.has_end, "behind END");
        let (message, turn) = match what {
            Outgoing::Observation { message, turn } => (message, turn),
            Outgoing::End(_) => {
                assert_ne!(peer.manner, Manner::Numbered);
                peer.has_end = true;
                return;
            }
            Outgoing::Notice(_) => {
                assert!(matches!(peer.manner, Manner::Numbered | Manner::Roleless));
                return;
            }
        };
        assert!(
            peer.unsent == 0 || self.is_ending,
            "two observations on their way"
        );
        peer.unsent += 1;
        if peer.is_spectator {
            return;
        }
        let number = match turn {
            Some(TurnData { number, .. }) => number,
            None => step(&message),
        };
        if let Some(data) = turn {
            let known = |last: Option<Last>| last.map(|it| (it.turn, it.how, it.played));
            assert_eq!(known(data.last), known(last));
            assert_eq!(data.kind == Kind::Final, is_final(number));
        }
        if peer.manner == Manner::Numbered {
            // Shown what it has missed, it may have been asked that.
            let is_shown = turn.is_some_and(|data| data.kind == Kind::Show);
            assert!(
                number > peer.seen || is_shown && number == peer.seen,
                "an older turn"
            );
        } else {
            assert!(number > peer.seen, "a step that does not rise");
            assert_eq!(step(&message), number);
            assert!(peer.questions.is_empty(), "two questions at a time");
        }
        peer.seen = number;
        let asks = match turn {
            Some(data) if peer.manner == Manner::Numbered => data.kind == Kind::Ask,
            _ => !(is_final(number) && self.finals_unanswered),
        };
        if asks {
            peer.questions.push_back(number);
        }
    }

    fn end(&mut self, choose: &mut Choose<'_>) {
        self.acting = None;
        self.is_ending = true;
        if choose(4) == 0 {
            self.table.fail("the host has failed", self.now);
        } else {
            self.table.end(self.now);
        }
        self.work();
        for _ in 0..choose(20) {
            match choose(3) {
                0 => self.answer(choose),
                1 => self.leave(choose),
                _ => self.arrive(choose),
            }
            self.work();
        }
        // Nobody needs to do anything more.
        self.pass(Duration::from_millis(2_000), choose);
        assert!(self.table.is_over(), "{:?} {:?}", self.table, self.rules);
        assert_eq!((self.table.deadline(), self.table.peers()), (None, 0));
        assert!(!self.model.is_open(), "a turn was not decided");
    }
}

fn step(message: &Message) -> u64 {
    let state = message.param("observation").and_then(Value::as_element);
    let step = state.and_then(|state| state.attribute("env_step"));
    step.and_then(|step| step.parse().ok())
        .expect("a State has a step")
}

/// Plays for at most this many steps; what was to be done.
pub(crate) fn play(steps: usize, choose: &mut Choose<'_>) -> Vec<Effect> {
    let mut play = Play::new(choose);
    for _ in 0..choose(steps) {
        play.step(choose);
    }
    play.end(choose);
    play.log
}
