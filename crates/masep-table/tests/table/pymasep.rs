//! A pymasep interface with its default configuration, as it was measured: it skips, answers only steps that rise,
//! answers finals too, and takes no notice of an observation with something else behind it. Thousands of turns, and
//! each action is for the turn that it counts for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use masep_proto::{Action, Message, MessageType, Role, TypeName, Value};
use masep_table::{
    Clock, Effect, Event, How, Outgoing, PeerKey, SeatId, Settings, Table, TurnTime, View,
};

use crate::play::Choose;
use crate::properties::numbers;
use crate::room::{GAME, ms};

const TURN: Duration = ms(100);

struct Interface {
    key: PeerKey,
    id: &'static str,
    /// Messages that it has not looked at.
    inbox: VecDeque<Message>,
    /// The step that it thinks about, and until when.
    thinks: Option<(i64, Instant)>,
    answered: i64,
    said_bye: bool,
    has_left: bool,
}

impl Interface {
    const fn new(key: u64, id: &'static str) -> Self {
        Self {
            key: PeerKey(key),
            id,
            inbox: VecDeque::new(),
            thinks: None,
            answered: -1,
            said_bye: false,
            has_left: false,
        }
    }

    /// Looks at what has arrived: at the newest alone.
    fn look(&mut self, now: Instant, choose: &mut Choose<'_>) {
        let Some(newest) = self.inbox.drain(..).next_back() else {
            return;
        };
        match newest.msg_type {
            MessageType::Observation => {
                let state = newest.param("observation").and_then(Value::as_element);
                let step = state.and_then(|state| state.attribute("env_step")?.parse().ok());
                let step = step.expect("a State has a step");
                if step > self.answered {
                    let time = match choose(100) {
                        0 => ms(250),
                        1 => TURN,
                        fast => Duration::from_micros(fast as u64 * 100),
                    };
                    self.thinks = Some((step, now + time));
                }
            }
            MessageType::End => self.said_bye = true,
            other => panic!("not for an interface: {other}"),
        }
    }

    /// The answer, if it is ready by now.
    fn answer(&mut self, now: Instant) -> Option<Message> {
        let (step, until) = self.thinks?;
        if now < until {
            return None;
        }
        self.thinks = None;
        self.answered = step;
        Some(Message::action(self.id, Action::new(step)))
    }
}

struct Game {
    table: Table,
    interfaces: Vec<Interface>,
    now: Instant,
    played: usize,
    missed: usize,
    is_over: bool,
}

impl Game {
    fn new(settings: Settings) -> Self {
        let table = Table::new(settings).expect("sound settings");
        let interfaces = vec![Interface::new(1, "a"), Interface::new(2, "b")];
        let now = Instant::now();
        let mut game = Self {
            table,
            interfaces,
            now,
            played: 0,
            missed: 0,
            is_over: false,
        };
        for at in 0..2 {
            let Interface { key, id, .. } = game.interfaces[at];
            game.table.handle_connected(key, id.into(), now);
            for message in [
                Message::define(id, TypeName::from(GAME)),
                Message::register(id, id, 0, Role::Actor),
            ] {
                game.table.handle_message(key, &message, None, now);
            }
        }
        game.work();
        game
    }

    fn work(&mut self) {
        while let Some(effect) = self.table.poll_effect() {
            match effect {
                Effect::Send { to, what } => {
                    let message = match what {
                        Outgoing::Observation { message, turn } => {
                            assert_eq!(turn, None);
                            self.table.handle_sent(to, self.now);
                            Message::clone(&message)
                        }
                        Outgoing::End(message) => message,
                        Outgoing::Notice(notice) => panic!("it cannot read {notice:?}"),
                    };
                    let mut receivers = self.interfaces.iter_mut();
                    let receiver = receivers.find(|it| it.key == to).expect("it is there");
                    receiver.inbox.push_back(message);
                }
                Effect::Decision(decision) => match (decision.how, decision.action) {
                    (How::Played, Some(action)) => {
                        let meant = crate::model::tag_of(&action);
                        assert_eq!(u64::try_from(meant), Ok(decision.turn), "shifted");
                        self.played += 1;
                    }
                    _ => self.missed += 1,
                },
                Effect::Event(Event::Ended) => self.is_over = true,
                _ => {}
            }
        }
    }

    /// A tenth of a millisecond passes.
    fn tick(&mut self, choose: &mut Choose<'_>) {
        self.now += Duration::from_micros(100);
        for at in 0..self.interfaces.len() {
            let interface = &mut self.interfaces[at];
            if let Some(message) = interface.answer(self.now) {
                let key = interface.key;
                self.table.handle_message(key, &message, None, self.now);
                self.work();
            } else if interface.thinks.is_none() {
                interface.look(self.now, choose);
                if std::mem::take(&mut interface.said_bye) {
                    interface.has_left = true;
                    let (key, quit) = (interface.key, Message::quit(interface.id));
                    self.table.handle_message(key, &quit, None, self.now);
                    self.table.handle_closed(key, self.now);
                    self.work();
                }
            }
        }
        for _ in 0..2 {
            if self.table.deadline().is_some_and(|due| due <= self.now) {
                self.table.handle_timeout(self.now);
                self.work();
            }
        }
    }

    /// The same view for all, whose step begins anew in each episode.
    fn views(&self, step: u64) -> Vec<(SeatId, View)> {
        let seats = self.table.seats();
        seats.map(|seat| (seat, crate::room::state(step))).collect()
    }
}

/// Plays ten steps in each episode. The numbers of actions that counted and of those that did not.
fn play(settings: Settings, episodes: u64, seed: u64) -> (usize, usize) {
    let choose: &mut Choose<'_> = &mut numbers(seed);
    let clock = Clock {
        per_turn: Some(TURN),
        bank: None,
    };
    let mut game = Game::new(settings.clock(clock).game(GAME).misses(0));
    for _ in 0..episodes {
        for step in 0..10 {
            let views = game.views(step);
            game.table
                .open(views, TurnTime::AsSet, game.now)
                .expect("none is open");
            game.work();
            while game.table.is_turn_open() {
                game.tick(choose);
            }
        }
        game.table
            .finish_episode(game.views(10), game.now)
            .expect("none is open");
        game.work();
        // The host thinks.
        (0..choose(20)).for_each(|_| game.tick(choose));
    }
    game.table.end(game.now);
    game.work();
    while !game.is_over {
        game.tick(choose);
    }
    assert!(
        game.interfaces.iter().all(|it| it.has_left),
        "END was swallowed"
    );
    (game.played, game.missed)
}

fn settings() -> Settings {
    Settings::new("engine", "life", ["red", "blue"])
}

#[test]
fn in_thousands_of_turns_no_action_of_a_pymasep_interface_is_shifted() {
    for seed in 0..4 {
        let (played, missed) = play(settings(), 100, seed);
        assert_eq!(played + missed, 2_000);
        // Two of a hundred answers are slow, and cost a turn or the rest of one.
        assert!(missed < 200, "{missed} of 2000 were not played");
    }
}

#[test]
fn a_table_that_forgot_what_is_owed_would_shift_actions() {
    // That finals are unanswered is not true of this interface: the test finds such a fault.
    let wrong = settings().finals_unanswered("red");
    let shifted = std::panic::catch_unwind(|| play(wrong, 100, 1));
    let message = *shifted
        .expect_err("it went well")
        .downcast::<String>()
        .expect("a text");
    assert!(message.contains("shifted"), "{message}");
}
