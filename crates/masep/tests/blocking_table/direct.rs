//! Connections that the call of the host reads, while their threads stand aside.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use masep::access::Subject;
use masep::{Frame, MessageType};

use super::*;

/// Nothing takes as long as this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent of pymasep's protocol that does what it is told to.
struct Agent {
    client: blocking::Client,
    id: &'static str,
}

impl Agent {
    /// Takes a seat.
    fn sit_down(table: &blocking::Table, id: &'static str) -> Self {
        let client = blocking::Client::builder(id).protocols(Protocols::Pymasep);
        let client = client.connect(table.local_address()).unwrap();
        let define = Message::define(id, TypeName::from(GAME));
        let register = Message::register(id, id, 0, Role::Actor);
        for message in [define, register] {
            client.connection().send_message(&message).unwrap();
        }
        while !matches!(table.event(), Some(Event::Seated { .. })) {}
        Self { client, id }
    }

    /// The number of the next question.
    fn asked(&self) -> i64 {
        loop {
            let frame = self.client.connection().recv_timeout(PATIENCE).unwrap();
            let message = self.client.connection().decode(frame).unwrap();
            if message.msg_type == MessageType::Observation {
                let state = message.param("observation").unwrap();
                let tick = state.as_element().unwrap().attribute("tick").unwrap();
                return tick.parse().unwrap();
            }
        }
    }

    fn act(&self, tick: i64) {
        let action = Message::action(self.id, Action::new(tick));
        self.client.connection().send_message(&action).unwrap();
    }

    /// Answers so many questions with their numbers.
    fn answer(&self, questions: usize) {
        for _ in 0..questions {
            self.act(self.asked());
        }
    }

    fn socket(&self) -> TcpStream {
        self.client.connection().socket().unwrap().into()
    }

    /// Ends the stream without a `BYE`.
    fn cut(&self) {
        self.socket().shutdown(Shutdown::Both).unwrap();
    }
}

/// A table with the seats red and blue, and an agent on each.
fn seated(builder: masep::table::TableBuilder) -> (blocking::Table, Agent, Agent) {
    let table = builder.bind_blocking("127.0.0.1:0").unwrap();
    let ann = Agent::sit_down(&table, "ann");
    let ben = Agent::sit_down(&table, "ben");
    table.filled().unwrap();
    (table, ann, ben)
}

/// Two turns of all seats, by the end of which the threads of both connections stand aside.
fn stand_aside(table: &blocking::Table, agents: [&Agent; 2]) {
    thread::scope(|scope| {
        for agent in agents {
            scope.spawn(move || agent.answer(2));
        }
        plays(table, -1);
        plays(table, -2);
    });
}

fn ask(table: &blocking::Table, seat: &str, tick: i64) -> (How, Option<i64>) {
    let its = table.ask(seat, state(tick)).unwrap();
    (its.how(), number(&its))
}

/// More connections than a wait tells of at once.
#[test]
fn three_hundred_seats_are_asked_at_the_same_time() {
    const SEATS: usize = 300;
    let runtime = runtime();
    for protocols in BOTH {
        let table = masep::Table::builder(GAME)
            .seats((0..SEATS).map(|seat| format!("s{seat}")))
            .bind_blocking("127.0.0.1:0")
            .unwrap();
        let players = (0..SEATS).map(|number| {
            let player = player(&table, &format!("a{number}"), protocols);
            runtime.spawn(play(player))
        });
        let players: Vec<_> = players.collect();
        table.filled().unwrap();
        for tick in 1..=6 {
            let moves = table.ask_all(|_| state(tick)).unwrap();
            assert_eq!(moves.len(), SEATS);
            for its in moves {
                assert_eq!((its.how(), number(&its)), (How::Played, Some(tick)));
            }
        }
        table.end();
        for player in players {
            assert_eq!(runtime.block_on(player).unwrap(), 6);
        }
    }
}

#[test]
fn a_player_that_is_lost_while_the_call_reads_it_is_known_at_once() {
    // By a call that reads it alone, and by one that waits for both. Grace is not what is waited for.
    for both in [false, true] {
        let (table, ann, ben) = seated(builder().grace(ms(1)));
        stand_aside(&table, [&ann, &ben]);
        let cutting = thread::spawn(move || {
            let tick = ann.asked();
            ann.cut();
            tick
        });
        if both {
            let blue = thread::spawn(move || {
                ben.answer(1);
                ben
            });
            let moves = table.ask_all(|_| state(3)).unwrap();
            let hows: Vec<_> = moves.iter().map(Move::how).collect();
            assert_eq!(hows, [How::None(Cause::Gone), How::Played]);
            drop(blue.join().unwrap());
        } else {
            assert_eq!(ask(&table, "red", 3), (How::None(Cause::Gone), None));
        }
        assert_eq!(cutting.join().unwrap(), 3);
    }
}

/// An answer counts that came with the end of the stream, in one read or in the next.
#[test]
fn an_answer_in_front_of_the_end_counts() {
    for both in [false, true] {
        let (table, ann, ben) = seated(builder().grace(ms(1)));
        stand_aside(&table, [&ann, &ben]);
        let answering = thread::spawn(move || {
            ann.answer(1);
            ann.cut();
        });
        if both {
            let blue = thread::spawn(move || {
                ben.answer(1);
                ben
            });
            plays(&table, 3);
            drop(blue.join().unwrap());
        } else {
            assert_eq!(ask(&table, "red", 3), (How::Played, Some(3)));
        }
        answering.join().unwrap();
        while !matches!(table.event(), Some(Event::Away(_))) {}
    }
}

/// A connection that another call ends is not heard of by its stream alone.
#[test]
fn a_player_that_is_sent_away_while_the_call_reads_it_is_known() {
    for both in [false, true] {
        let (table, ann, ben) = seated(builder().grace(ms(1)));
        stand_aside(&table, [&ann, &ben]);
        thread::scope(|scope| {
            let asking = scope.spawn(|| match both {
                false => table.ask("red", state(3)).unwrap().how(),
                true => table.ask_all(|_| state(3)).unwrap()[0].how(),
            });
            assert_eq!(ann.asked(), 3);
            assert_eq!(table.server().kick(&Subject::Id("ann".into())), 1);
            if both {
                ben.answer(1);
            }
            assert_eq!(asking.join().unwrap(), How::None(Cause::Gone));
        });
    }
}

#[test]
fn a_table_that_ends_while_the_call_reads_decides_all() {
    for both in [false, true] {
        let (table, ann, ben) = seated(builder());
        stand_aside(&table, [&ann, &ben]);
        thread::scope(|scope| {
            let asking = scope.spawn(|| match both {
                false => vec![table.ask("red", state(3)).unwrap()],
                true => table.ask_all(|_| state(3)).unwrap(),
            });
            assert_eq!(ann.asked(), 3);
            let ending = scope.spawn(|| table.end());
            for its in asking.join().unwrap() {
                assert_eq!(its.how(), How::None(Cause::Closed));
            }
            // Neither answers the end: both are cut off.
            drop((ann, ben));
            ending.join().unwrap();
        });
        assert_eq!(table.ask("red", state(4)), Err(TableError::Over));
    }
}

/// Between two turns nobody reads directly for long: what happens then is told.
#[test]
fn the_end_of_a_connection_is_told_while_the_host_asks_nothing() {
    let (table, ann, ben) = seated(builder());
    stand_aside(&table, [&ann, &ben]);
    ben.cut();
    while table.event() != Some(Event::Away(table.seats()[1].id())) {}
    ann.client
        .connection()
        .send_message(&Message::quit("ann"))
        .unwrap();
    while table.event() != Some(Event::Gone(table.seats()[0].id())) {}
}

/// The bytes of a frame of pymasep's protocol.
fn bytes(frame: &Frame) -> Vec<u8> {
    let size = u16::try_from(frame.size()).unwrap();
    let mut bytes = size.to_le_bytes().to_vec();
    bytes.extend_from_slice(frame.bytes());
    bytes
}

#[test]
fn a_frame_that_comes_in_pieces_is_whole() {
    for both in [false, true] {
        let (table, ann, ben) = seated(builder());
        stand_aside(&table, [&ann, &ben]);
        let slowly = thread::spawn(move || {
            let mut socket = ann.socket();
            socket.set_nodelay(true).unwrap();
            for _ in 0..5 {
                let action = Message::action("ann", Action::new(ann.asked()));
                let action = ann.client.connection().encode(&action).unwrap();
                for byte in bytes(&action) {
                    socket.write_all(&[byte]).unwrap();
                    thread::yield_now();
                }
            }
            ann
        });
        let quickly = thread::spawn(move || {
            ben.answer(if both { 5 } else { 0 });
            ben
        });
        for tick in 1..=5 {
            if both {
                plays(&table, tick);
            } else {
                assert_eq!(ask(&table, "red", tick), (How::Played, Some(tick)));
            }
        }
        drop((slowly.join().unwrap(), quickly.join().unwrap()));
    }
}

/// A time that is over while a call reads is over for the seat, and the next turn is a new one.
#[test]
fn a_deadline_passes_while_the_call_reads() {
    for both in [false, true] {
        let names: &[&str] = if both { &["red", "blue"] } else { &["red"] };
        let table = builder().seats(names.iter().copied());
        let table = table.bind_blocking("127.0.0.1:0").unwrap();
        let ann = Agent::sit_down(&table, "ann");
        let ben = both.then(|| Agent::sit_down(&table, "ben"));
        table.filled().unwrap();
        let (late, is_late) = channel();
        let (next, is_next) = channel();
        let red = thread::spawn(move || {
            ann.answer(2);
            let tick = ann.asked();
            is_late.recv().unwrap();
            ann.act(tick);
            is_next.recv().unwrap();
            ann.answer(1);
            ann
        });
        let blue = ben.map(|ben| {
            thread::spawn(move || {
                ben.answer(4);
                ben
            })
        });
        let ask = |millis, tick| {
            let time = TurnTime::Limited(ms(millis));
            let moves = table.ask_all_timed(time, |_| state(tick)).unwrap();
            moves.iter().map(|its| (its.how(), number(its))).collect()
        };
        let played = |tick| vec![(How::Played, Some(tick)); names.len()];
        for tick in 1..=2 {
            let moves: Vec<_> = ask(20_000, tick);
            assert_eq!(moves, played(tick));
        }
        let began = Instant::now();
        // The other one has to be in time.
        let moves = ask(1_000, 3);
        assert!(began.elapsed() >= ms(1_000));
        assert_eq!(moves[0], (How::None(Cause::Late), None));
        assert_eq!(moves[1..], played(3)[1..]);
        late.send(()).unwrap();
        // A late answer is no answer to the next question.
        while !matches!(table.event(), Some(Event::Ignored { .. })) {}
        next.send(()).unwrap();
        assert_eq!(ask(20_000, 4), played(4));
        drop((red.join().unwrap(), blue.map(|blue| blue.join().unwrap())));
    }
}

/// A call that waits long for one seat does not hold up one that asks another.
#[test]
fn a_call_that_waits_for_one_seat_holds_up_no_other_call() {
    let (table, ann, ben) = seated(builder());
    stand_aside(&table, [&ann, &ben]);
    let (go_on, goes_on) = channel();
    let red = thread::spawn(move || {
        let tick = ann.asked();
        goes_on.recv().unwrap();
        ann.act(tick);
        ann
    });
    let blue = thread::spawn(move || {
        ben.answer(50);
        ben
    });
    thread::scope(|scope| {
        let slow = scope.spawn(|| ask(&table, "red", 1));
        for tick in 1..=50 {
            assert_eq!(ask(&table, "blue", tick), (How::Played, Some(tick)));
        }
        go_on.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), (How::Played, Some(1)));
    });
    drop((red.join().unwrap(), blue.join().unwrap()));
}

/// A thread that is told of all that happens does not read, and is told all the same.
#[test]
fn events_are_told_to_one_thread_while_another_asks() {
    let (table, ann, ben) = seated(builder().grace(ms(1)));
    let agents: Vec<JoinHandle<()>> = [(ann, 300), (ben, 200)]
        .map(|(agent, questions)| {
            thread::spawn(move || {
                agent.answer(questions);
                agent.cut();
            })
        })
        .into();
    thread::scope(|scope| {
        let telling = scope.spawn(|| {
            let told = std::iter::from_fn(|| table.event());
            let gone = told.filter(|event| matches!(event, Event::Gone(_)));
            gone.take(1).collect::<Vec<_>>()
        });
        for tick in 1..=300 {
            let moves = table.ask_all(|_| state(tick)).unwrap();
            assert_eq!(number(&moves[0]), Some(tick));
            assert_eq!(number(&moves[1]), (tick <= 200).then_some(tick));
        }
        let blue = table.seats()[1].id();
        assert_eq!(telling.join().unwrap(), [Event::Gone(blue)]);
    });
    for agent in agents {
        agent.join().unwrap();
    }
}

/// A player that thinks for longer than several heartbeats, and shows signs of life meanwhile.
#[test]
fn signs_of_life_come_while_one_seat_alone_is_waited_for() {
    const THOUGHTS: [u32; 4] = [0, 0, 4, 0];
    let limits = masep::Limits::default().heartbeat(Some(HEARTBEAT));
    let table = masep::Table::builder(GAME).seats(["red"]).limits(limits);
    let table = table.bind_blocking("127.0.0.1:0").unwrap();
    let runtime = runtime();
    let mut ann = player(&table, "ann", Protocols::Masep2);
    let ann = runtime.spawn(async move {
        for heartbeats in THOUGHTS {
            assert!(ann.next_turn().await.unwrap().is_question());
            let thinking = async { while ann.event().await.is_some() {} };
            let _ = tokio::time::timeout(heartbeats * HEARTBEAT, thinking).await;
            ann.act(Action::new(i64::from(heartbeats))).await.unwrap();
        }
        ann.next_turn().await;
        ann.events()
    });
    table.filled().unwrap();
    for heartbeats in THOUGHTS {
        let played = (How::Played, Some(i64::from(heartbeats)));
        assert_eq!(ask(&table, "red", 1), played);
    }
    let events: Vec<_> = std::iter::from_fn(|| table.event_timeout(ms(1)).ok()).collect();
    let is_away = |event: &Option<Event>| matches!(event, Some(Event::Away(_)));
    assert!(!events.iter().any(is_away), "{events:?}");
    table.end();
    let lost = |event: &masep::player::Event| matches!(event, masep::player::Event::Lost(_));
    assert!(!runtime.block_on(ann).unwrap().iter().any(lost));
}

/// A player that shows none is lost, also if it is the only one that is read.
#[test]
fn a_player_without_signs_of_life_is_lost_while_one_seat_alone_is_waited_for() {
    let limits = masep::Limits::default().heartbeat(Some(ms(50)));
    let table = builder().limits(limits).grace(ms(1));
    let table = table.bind_blocking("127.0.0.1:0").unwrap();
    // Nothing runs in it but what is waited for.
    let asleep = Builder::new_current_thread().enable_all().build().unwrap();
    let awake = runtime();
    let seat = |id, seat| {
        let player = Player::builder(id, GAME).protocols(Protocols::Masep2);
        player.seat(seat)
    };
    let _blue = {
        let blue = seat("ben", "blue");
        let _inside = awake.enter();
        awake.spawn(play(blue.join(table.local_address()).unwrap()))
    };
    thread::scope(|scope| {
        let (rest, may_rest) = channel();
        let table = &table;
        scope.spawn(move || {
            let mut red =
                asleep.block_on(async { seat("ann", "red").join(table.local_address()).unwrap() });
            for _ in 0..2 {
                asleep.block_on(async {
                    red.next_turn().await.unwrap();
                    red.act(Action::new(7)).await.unwrap();
                });
            }
            // It is connected, and does nothing any more.
            may_rest.recv().unwrap();
        });
        table.filled().unwrap();
        assert_eq!(ask(table, "red", 1), (How::Played, Some(7)));
        assert_eq!(ask(table, "red", 2), (How::Played, Some(7)));
        assert_eq!(ask(table, "red", 3), (How::None(Cause::Gone), None));
        rest.send(()).unwrap();
    });
}
