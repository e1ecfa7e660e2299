//! Tables without async, over real sockets, with async players.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod direct;

use std::thread;
use std::time::{Duration, Instant};

use masep::table::{Cause, Clock, Event, How, Move, TableError, TurnTime};
use masep::{Action, Client, Element, Message, Player, Protocols, Role, TypeName, blocking};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

const GAME: &str = "pursuit.PursuitGame";
const BOTH: [Protocols; 2] = [Protocols::Pymasep, Protocols::Masep2];

/// Three of them without a sign of life are the end, and a busy machine may hold a thread up for one.
const HEARTBEAT: Duration = ms(500);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn builder() -> masep::table::TableBuilder {
    masep::Table::builder(GAME).seats(["red", "blue"])
}

fn state(tick: i64) -> Element {
    Element::parse(format!(r#"<State env_step="0" tick="{tick}" />"#)).unwrap()
}

fn player(table: &blocking::Table, id: &str, protocols: Protocols) -> Player {
    let player = Player::builder(id, GAME).protocols(protocols);
    player.join(table.local_address()).unwrap()
}

/// Answers each question with its number; how many there were.
async fn play(mut player: Player) -> usize {
    let mut questions = 0;
    while let Some(turn) = player.next_turn().await {
        if turn.is_question() {
            questions += 1;
            let state = turn.view().as_element().unwrap();
            let tick: i64 = state.attribute("tick").unwrap().parse().unwrap();
            player.act(Action::new(tick)).await.unwrap();
        }
    }
    questions
}

fn number(its: &Move) -> Option<i64> {
    let action = Action::try_from(its.action()?.as_element()?).ok()?;
    action.action_type.as_i64()
}

fn plays(table: &blocking::Table, tick: i64) {
    for its in table.ask_all(|_| state(tick)).unwrap() {
        assert_eq!((its.how(), number(&its)), (How::Played, Some(tick)));
    }
}

fn joined(
    runtime: &Runtime,
    table: &blocking::Table,
    protocols: Protocols,
) -> Vec<JoinHandle<usize>> {
    let join = |id| runtime.spawn(play(player(table, id, protocols)));
    let playing = ["ann", "ben"].map(join).into();
    table.filled().unwrap();
    playing
}

#[test]
fn players_of_both_generations_play_and_spectators_watch() {
    let runtime = runtime();
    for protocols in BOTH {
        let table = builder().bind_blocking("127.0.0.1:0").unwrap();
        let playing = joined(&runtime, &table, protocols);
        let eve = Player::builder("eve", GAME).role(Role::Observer);
        let mut eve = eve
            .protocols(protocols)
            .join(table.local_address())
            .unwrap();
        let watching = runtime.spawn(async move {
            let mut last = None;
            while let Some(turn) = eve.next_turn().await {
                last = turn.view().as_element().unwrap().attribute("tick");
            }
            last.map(|tick| tick.to_string())
        });
        while table.spectators() == 0 {
            table.event();
        }
        for tick in 1..30 {
            plays(&table, tick);
            table.show(state(tick)).unwrap();
        }
        table.finish_episode(|_| state(30)).unwrap();
        table.end();
        for player in playing {
            assert!(runtime.block_on(player).unwrap() >= 29);
        }
        let last = runtime.block_on(watching).unwrap();
        assert_eq!(last.as_deref(), Some("29"));
        let events: Vec<_> = std::iter::from_fn(|| table.event()).collect();
        assert_eq!(events.last(), Some(&Event::Ended));
    }
}

#[test]
fn in_a_free_for_all_each_seat_acts_at_its_own_pace() {
    let runtime = runtime();
    let table = builder().bind_blocking("127.0.0.1:0").unwrap();
    assert!(table.filled_timeout(ms(1)).is_err());
    let ann = runtime.spawn(play(player(&table, "ann", Protocols::Masep2)));
    while table.seats()[0].player().is_none() {
        table.event();
    }
    // Ben is connected, and does not act.
    let mut ben = player(&table, "ben", Protocols::Masep2);
    let mut asked = runtime.spawn(async move { (ben.next_turn().await, ben) });
    table.filled().unwrap();
    assert_eq!(table.filled_timeout(ms(1)), Ok(Ok(())));
    let mut tick = 0;
    let mut actions = table.actions(|_| {
        tick += 1;
        state(tick)
    });
    for _ in 0..20 {
        let its = actions.next().unwrap().unwrap();
        assert_eq!((its.seat(), its.how()), ("red", How::Played));
    }
    let (turn, mut ben) = runtime.block_on(&mut asked).unwrap();
    assert!(turn.unwrap().is_question());
    assert!(runtime.block_on(ben.act(Action::new(-7))).unwrap());
    while actions.next().unwrap().unwrap().seat() == "red" {}
    drop(actions);
    // Its turns are closed: others can be opened.
    plays_alone(&table, "red");
    table.end();
    assert!(table.actions(|_| state(0)).next().is_none());
    assert!(runtime.block_on(ann).unwrap() > 20);
}

fn plays_alone(table: &blocking::Table, seat: &str) {
    assert_eq!(table.ask(seat, state(5)).unwrap().how(), How::Played);
}

#[test]
fn a_view_that_panics_for_a_newcomer_closes_the_turn_and_each_seat_is_decided() {
    let runtime = runtime();
    let strangers = builder().settings(|settings| settings.strangers(true));
    let table = strangers.bind_blocking("127.0.0.1:0").unwrap();
    let playing = joined(&runtime, &table, Protocols::Pymasep);
    plays(&table, 1);
    // Nobody answers: both are away.
    for player in playing {
        player.abort();
    }
    while table
        .seats()
        .iter()
        .any(|seat| seat.state() != masep::table::SeatState::Away)
    {
        table.event();
    }
    let mut calls = 0;
    let mut turn = table
        .open(["red", "blue"], |_| {
            calls += 1;
            assert!(calls < 3, "no view for a newcomer");
            state(2)
        })
        .unwrap();
    let cyd = runtime.spawn(play(player(&table, "cyd", Protocols::Pymasep)));
    let error = turn.next().unwrap().unwrap_err();
    assert!(matches!(error, TableError::Panicked(words) if words == "no view for a newcomer"));
    for _ in 0..2 {
        let its = turn.next().unwrap().unwrap();
        assert_eq!(its.how(), How::None(Cause::Closed));
    }
    assert!(turn.next().is_none());
    drop(turn);
    table.end();
    runtime.block_on(cyd).unwrap();
}

#[test]
fn who_is_late_or_gone_costs_no_more_than_the_rules_say() {
    let runtime = runtime();
    // The other one has to be in time.
    let time = ms(1_000);
    let clock = Clock {
        per_turn: Some(time),
        bank: None,
    };
    let table = builder()
        .clock(clock)
        .late(|_| Action::new(-1))
        .bind_blocking("127.0.0.1:0")
        .unwrap();
    // Ann says nothing.
    let connecting = Client::builder("ann")
        .protocols(Protocols::Pymasep)
        .connect(table.local_address());
    let ann = runtime.block_on(connecting).unwrap();
    runtime.block_on(async {
        let define = Message::define("ann", TypeName::from(GAME));
        let register = Message::register("ann", "ann", 0, Role::Actor);
        for message in [define, register] {
            ann.connection().send_message(&message).await.unwrap();
        }
    });
    while table.seats()[0].player().is_none() {
        table.event();
    }
    let ben = runtime.spawn(play(player(&table, "ben", Protocols::Masep2)));
    table.filled().unwrap();
    let began = Instant::now();
    let moves = table.ask_all(|_| state(1)).unwrap();
    assert!(began.elapsed() >= time);
    assert_eq!(moves[0].how(), How::Default(Cause::Late));
    assert_eq!((number(&moves[0]), number(&moves[1])), (Some(-1), Some(1)));
    // A turn is waited for as long as the host wants to.
    let mut turn = table.open(["red", "blue"], |_| state(2)).unwrap();
    assert_eq!(turn.next().unwrap().unwrap().seat(), "blue");
    assert!(turn.next_timeout(ms(1)).is_err());
    turn.extend(Duration::from_secs(60));
    turn.close();
    let its = turn.next().unwrap().unwrap();
    assert_eq!(its.how(), How::None(Cause::Closed));
    drop(turn);
    runtime.block_on(ann.connection().bye());
    while table.event() != Some(Event::Away(its_seat(&table))) {}
    table.end();
    runtime.block_on(ben).unwrap();
}

fn its_seat(table: &blocking::Table) -> masep::table::SeatId {
    table.seats()[0].id()
}

#[test]
fn clocks_and_the_door_go_on_while_the_host_thinks() {
    let runtime = runtime();
    let clock = Clock {
        per_turn: Some(ms(50)),
        bank: None,
    };
    let table = builder().clock(clock).bind_blocking("127.0.0.1:0").unwrap();
    let playing = joined(&runtime, &table, Protocols::Masep2);
    let turn = table.open(["red", "blue"], |_| state(1)).unwrap();
    // The host is somewhere else, and both have decided: a turn can be opened as soon as that is known.
    let patience = Instant::now() + Duration::from_secs(20);
    while table.open(["red", "blue"], |_| state(2)).map(drop) == Err(TableError::TurnIsOpen(1)) {
        assert!(Instant::now() < patience);
        thread::yield_now();
    }
    drop(turn);
    drop(table);
    for player in playing {
        player.abort();
    }
}

/// While a call asks, it reads the connections itself. An answer to a turn for which the host does not wait yet must be known
/// by its time all the same.
#[test]
fn an_answer_is_in_time_though_the_host_looks_late() {
    let runtime = runtime();
    let table = builder().misses(0).bind_blocking("127.0.0.1:0").unwrap();
    let playing = joined(&runtime, &table, Protocols::Masep2);
    let time = TurnTime::Limited(ms(12));
    // A busy machine may need more than one attempt.
    let is_played = (1..100).any(|tick| {
        plays(&table, tick);
        let view = |_: &_| state(-tick);
        let mut turn = table.open_timed(["red", "blue"], time, view).unwrap();
        // It thinks for longer than the turn takes.
        thread::sleep(ms(25));
        let moves = [turn.next(), turn.next()].map(|its| its.unwrap().unwrap());
        moves.iter().all(|its| its.how() == How::Played)
    });
    assert!(is_played, "each answer was late");
    table.end();
    for player in playing {
        runtime.block_on(player).unwrap();
    }
}

#[test]
fn two_calls_ask_at_the_same_time() {
    let runtime = runtime();
    for protocols in BOTH {
        let table = builder().bind_blocking("127.0.0.1:0").unwrap();
        let playing = joined(&runtime, &table, protocols);
        thread::scope(|scope| {
            for seat in ["red", "blue"] {
                let table = &table;
                scope.spawn(move || {
                    for tick in 1..200 {
                        let its = table.ask(seat, state(tick)).unwrap();
                        assert_eq!((its.seat(), its.how()), (seat, How::Played));
                        assert_eq!(number(&its), Some(tick));
                    }
                });
            }
        });
        table.end();
        for player in playing {
            assert_eq!(runtime.block_on(player).unwrap(), 199);
        }
    }
}

/// Threads that stand aside do not hold up what their connections need: signs of life, and the end.
#[test]
fn connections_that_a_call_reads_keep_their_signs_of_life_and_their_ends() {
    let runtime = runtime();
    let limits = masep::Limits::default().heartbeat(Some(HEARTBEAT));
    let table = builder()
        .limits(limits)
        .grace(ms(50))
        .bind_blocking("127.0.0.1:0")
        .unwrap();
    let mut ann = player(&table, "ann", Protocols::Masep2);
    let mut ben = player(&table, "ben", Protocols::Masep2);
    let ann = runtime.spawn(async move {
        while let Some(turn) = ann.next_turn().await {
            if turn.is_question() {
                ann.act(Action::new(0)).await.unwrap();
            }
        }
        ann
    });
    // Ben answers once, and lets the next question wait for several heartbeats; then he is cut off.
    let ben = runtime.spawn(async move {
        ben.next_turn().await;
        ben.act(Action::new(0)).await.unwrap();
        ben.next_turn().await;
        let thinking = async { while ben.event().await.is_some() {} };
        let _ = tokio::time::timeout(4 * HEARTBEAT, thinking).await;
        ben.act(Action::new(0)).await.unwrap();
        ben.next_turn().await;
    });
    table.filled().unwrap();
    for tick in 1..=2 {
        for its in table.ask_all(|_| state(tick)).unwrap() {
            assert_eq!(its.how(), How::Played, "{its:?}");
        }
    }
    let asking = thread::scope(|scope| {
        let asking = scope.spawn(|| table.ask_all(|_| state(3)).unwrap());
        runtime.block_on(ben).unwrap();
        while !matches!(table.event(), Some(Event::Away(_))) {}
        asking.join().unwrap()
    });
    let hows: Vec<_> = asking.iter().map(Move::how).collect();
    assert!(
        hows.contains(&How::Played) && hows.contains(&How::None(Cause::Gone)),
        "{hows:?}"
    );
    let away: Vec<_> = std::iter::from_fn(|| table.event_timeout(ms(1)).ok()).collect();
    assert!(
        !away
            .iter()
            .any(|event| matches!(event, Some(Event::Away(_)))),
        "{away:?}"
    );
    table.end();
    let mut ann = runtime.block_on(ann).unwrap();
    let lost = |event: &masep::player::Event| matches!(event, masep::player::Event::Lost(_));
    assert!(!ann.events().iter().any(lost));
}

#[test]
fn a_panic_of_the_host_is_an_error() {
    let runtime = runtime();
    let table = builder().bind_blocking("127.0.0.1:0").unwrap();
    let _playing = joined(&runtime, &table, Protocols::Masep2);
    let error = table.ask_all(|_| -> Element { panic!("no view") });
    assert_eq!(error, Err(TableError::Panicked("no view".into())));
    plays(&table, 3);
    table.end();
}

/// Plays without async, and is lost in each tenth turn.
fn play_blocking(mut player: blocking::Player) -> (usize, blocking::Player) {
    let (mut questions, mut lost) = (0, 0);
    while let Some(turn) = player.next_turn() {
        if turn.is_question() {
            questions += 1;
            let state = turn.view().as_element().unwrap();
            let tick: i64 = state.attribute("tick").unwrap().parse().unwrap();
            if tick % 10 == 0 && tick != lost {
                lost = tick;
                // The peer sees the end of the stream, without a BYE.
                let socket = player.connection().unwrap().socket().unwrap();
                let socket = std::net::TcpStream::from(socket);
                socket.shutdown(std::net::Shutdown::Both).unwrap();
            }
            assert!(player.act(Action::new(tick)).unwrap());
        }
    }
    (questions, player)
}

#[test]
fn players_without_async_come_back_and_no_action_is_shifted() {
    for protocols in BOTH {
        let table = builder().bind_blocking("127.0.0.1:0").unwrap();
        let playing = ["ann", "ben"].map(|id| {
            let player = Player::builder(id, GAME).protocols(protocols);
            let player = player.join_blocking(table.local_address()).unwrap();
            thread::spawn(move || play_blocking(player))
        });
        table.filled().unwrap();
        for tick in 1..40 {
            plays(&table, tick);
        }
        table.end();
        for player in playing {
            let (questions, mut player) = player.join().unwrap();
            assert!(questions >= 39);
            assert_eq!(player.end(), Some(&masep::player::End::Finished));
            let losses = player.events();
            let is_loss = |it: &&masep::player::Event| matches!(it, masep::player::Event::Lost(_));
            assert!(losses.iter().filter(is_loss).count() >= 3, "{losses:?}");
        }
    }
}

/// A player that was held up for too many turns, and answers questions alone, plays on.
#[test]
fn a_player_without_async_that_has_slept_is_asked_and_its_answer_wakes_it() {
    let runtime = runtime();
    let clock = Clock {
        per_turn: Some(ms(30)),
        bank: None,
    };
    let table = builder().clock(clock).misses(2);
    let table = table.bind_blocking("127.0.0.1:0").unwrap();
    let address = table.local_address();
    let red = Player::builder("ann", GAME).protocols(Protocols::Masep2);
    let mut red = red.seat("red").join_blocking(address).unwrap();
    let mut asked = thread::spawn(move || (red.next_turn(), red));
    let blue = Player::builder("ben", GAME).protocols(Protocols::Masep2);
    let blue = blue.seat("blue").join(table.local_address()).unwrap();
    let blue = runtime.spawn(play(blue));
    table.filled().unwrap();
    let cause = |tick| table.ask("red", state(tick)).unwrap().how().cause();
    let causes = [1, 2, 3, 4].map(cause);
    let (late, asleep) = (Some(Cause::Late), Some(Cause::Asleep));
    assert_eq!(causes, [late, late, asleep, asleep]);
    let (mut turn, mut red) = asked.join().unwrap();
    while turn.as_ref().unwrap().number() < 4 {
        turn = red.next_turn();
    }
    let turn = turn.unwrap();
    assert!(turn.is_question());
    let slept = How::None(Cause::Asleep);
    assert_eq!(turn.last().map(|it| (it.turn, it.how)), Some((4, slept)));
    assert!(red.act(Action::new(4)).unwrap());
    while !matches!(table.event(), Some(Event::Awake(_))) {}
    asked = thread::spawn(move || {
        let turn = red.next_turn();
        assert!(turn.is_some_and(|turn| turn.is_question()));
        assert!(red.act(Action::new(5)).unwrap());
        (red.next_turn(), red)
    });
    let time = TurnTime::Limited(Duration::from_secs(20));
    for its in table.ask_all_timed(time, |_| state(5)).unwrap() {
        assert_eq!((its.how(), number(&its)), (How::Played, Some(5)));
    }
    table.end();
    let (end, mut red) = asked.join().unwrap();
    assert_eq!(end, None);
    let told = red.events().into_iter().filter_map(|event| match event {
        masep::player::Event::NotCounted { turn, how, .. } => Some((turn, how)),
        _ => None,
    });
    assert!(told.eq([(4, Some(slept))]));
    runtime.block_on(blue).unwrap();
}

#[test]
fn a_player_without_async_is_told_what_happens_while_it_thinks() {
    let table = builder()
        .seats(["red"])
        .bind_blocking("127.0.0.1:0")
        .unwrap();
    let player = Player::builder("ann", GAME).protocols(Protocols::Masep2);
    let mut player = player.join_blocking(table.local_address()).unwrap();
    let joined = player.event();
    assert!(
        matches!(joined, Some(masep::player::Event::Joined { .. })),
        "{joined:?}"
    );
    assert!(player.event_timeout(ms(20)).is_err(), "nothing happens");
    table.filled().unwrap();
    drop(table);
    let lost = player.event();
    assert!(
        matches!(lost, Some(masep::player::Event::Lost(_))),
        "{lost:?}"
    );
}
