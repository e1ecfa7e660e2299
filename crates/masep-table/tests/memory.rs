//! A table takes no more memory the longer it is played at, whatever its peers do.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use masep_proto::{Action, Element, Message, Role};
use masep_table::{Clock, Hello, PeerKey, ResumeSecret, Settings, Table, TurnTime, View};

/// A view of some 2 kB.
fn view() -> View {
    let text = "x".repeat(2_000);
    let state = format!("<State env_step=\"0\">{text}</State>");
    View::new(Element::parse(state).expect("it is well-formed"))
}

struct Game {
    table: Table,
    now: Instant,
    next: u64,
}

impl Game {
    fn new() -> Self {
        let clock = Clock {
            per_turn: Some(Duration::from_millis(100)),
            bank: None,
        };
        let settings = Settings::new("engine", "life", ["red", "blue"]).clock(clock);
        let table = Table::new(settings.strangers(true)).expect("sound settings");
        let now = Instant::now();
        let next = 0;
        let mut game = Self { table, now, next };
        game.join("flood", Role::Actor);
        let first = game.stranger();
        game.table.handle_closed(first, now);
        // It reads nothing.
        game.join("stalled", Role::Observer);
        game
    }

    fn key(&mut self) -> PeerKey {
        self.next += 1;
        PeerKey(self.next)
    }

    fn join(&mut self, id: &str, role: Role) {
        let hello = Hello {
            role: Some(role),
            ..Hello::new(id)
        };
        let key = self.key();
        self.table
            .handle_hello(key, hello, ResumeSecret([0; 16]), self.now);
        self.drain();
    }

    /// A pymasep interface that nobody has seen before.
    fn stranger(&mut self) -> PeerKey {
        let key = self.key();
        let id = key.0.to_string();
        self.table
            .handle_connected(key, id.as_str().into(), self.now);
        let register = Message::register(id.clone(), id, 0, Role::Actor);
        self.table.handle_message(key, &register, None, self.now);
        self.drain();
        key
    }

    fn drain(&mut self) {
        while self.table.poll_effect().is_some() {}
    }

    /// A turn in which one player sends anything, and another comes, does not answer and is lost.
    fn turn(&mut self, view: &View) {
        let views: Vec<_> = self
            .table
            .seats()
            .map(|seat| (seat, view.clone()))
            .collect();
        let opened = self.table.open(views, TurnTime::AsSet, self.now);
        let turn = opened.expect("no turn is open");
        self.table.show(view.clone(), self.now);
        self.drain();
        let stranger = self.stranger();
        assert_eq!(self.table.peers(), 3, "it has the seat that is away");
        for guess in [0, turn, turn, turn - 1, turn] {
            let action = Message::action("flood", Action::new(1));
            self.table
                .handle_message(PeerKey(1), &action, Some(guess), self.now);
            self.table
                .handle_message(PeerKey(3), &action, Some(guess), self.now);
            self.drain();
        }
        self.table.handle_closed(stranger, self.now);
        self.drain();
        self.now += Duration::from_millis(100);
        for _ in 0..2 {
            self.table.handle_timeout(self.now);
            self.drain();
        }
        assert!(!self.table.is_turn_open());
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_turns() {
    let mut game = Game::new();
    let view = view();
    (0..100).for_each(|_| game.turn(&view));
    let more = measure(|| (0..2_000).for_each(|_| game.turn(&view)));
    assert!(more.count_total > 2_000, "it was measured");
    // At most some views more than there were, at any time.
    assert!(more.bytes_max < 64 * 1024, "{more:?}");
    assert!(more.bytes_current < 4 * 1024, "{more:?}");
}
