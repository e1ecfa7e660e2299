//! Connections that the call of the host reads itself: without async, while their threads stand aside.

use std::io::Write as _;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use masep::access::Subject;
use masep::table::{Cause, Event, How, Move, TableError, TurnTime};
use masep::{Frame, Message};

use crate::agents::{Agent, seated};
use crate::shells::{Shell, Table, frame, of_each_shell};
use crate::{builder, made, ms, plays, state};

of_each_shell! {
    a_player_that_is_lost_while_the_call_reads_it_is_known_at_once
    an_answer_in_front_of_the_end_counts
    a_player_that_is_sent_away_while_the_call_reads_it_is_known
    a_table_that_ends_while_the_call_reads_decides_all
    the_end_of_a_connection_is_told_while_the_host_asks_nothing
    a_frame_that_comes_in_pieces_is_whole
    a_deadline_passes_while_the_call_reads
    events_are_told_to_one_thread_while_another_asks
}

/// Two turns of all seats, by the end of which the threads of both connections stand aside.
pub(crate) fn stand_aside(table: &dyn Table, agents: [&Agent; 2]) {
    thread::scope(|scope| {
        for agent in agents {
            scope.spawn(move || agent.answer(2));
        }
        plays(table, -1);
        plays(table, -2);
    });
}

/// For a call that reads red alone, and for one that waits for both. Grace is not what is waited for.
fn alone_and_with_blue(shell: Shell, scenario: impl Fn(&dyn Table, Agent, Option<&Agent>)) {
    for both in [false, true] {
        let (table, ann, ben) = seated(shell, builder().grace(ms(1)));
        stand_aside(&*table, [&ann, &ben]);
        scenario(&*table, ann, both.then_some(&ben));
    }
}

/// The decisions of a turn of red alone, or of both, red's first.
fn ask(table: &dyn Table, tick: i64, blue: Option<&Agent>) -> Vec<Move> {
    match blue {
        None => vec![table.ask("red", state(tick)).unwrap()],
        Some(_) => table.ask_all(|_| state(tick)).unwrap(),
    }
}

/// Red's decision in such a turn, which blue answers.
fn red_is(table: &dyn Table, tick: i64, blue: Option<&Agent>) -> (How, Option<i64>) {
    let moves = thread::scope(|scope| {
        if let Some(blue) = blue {
            scope.spawn(|| blue.answer(1));
        }
        ask(table, tick, blue)
    });
    for its in &moves[1..] {
        assert_eq!(made(its), (How::Played, Some(tick)));
    }
    made(&moves[0])
}

fn a_player_that_is_lost_while_the_call_reads_it_is_known_at_once(shell: Shell) {
    alone_and_with_blue(shell, |table, ann, blue| {
        let cutting = thread::spawn(move || {
            let tick = ann.asked();
            ann.cut();
            tick
        });
        assert_eq!(red_is(table, 3, blue), (How::None(Cause::Gone), None));
        assert_eq!(cutting.join().unwrap(), 3);
    });
}

/// An answer counts that came with the end of the stream, in one read or in the next.
fn an_answer_in_front_of_the_end_counts(shell: Shell) {
    alone_and_with_blue(shell, |table, ann, blue| {
        let answering = thread::spawn(move || {
            ann.answer(1);
            ann.cut();
        });
        assert_eq!(red_is(table, 3, blue), (How::Played, Some(3)));
        answering.join().unwrap();
        table.wait_for(|event| matches!(event, Event::Away(_)));
    });
}

/// A connection that another call ends is not heard of by its stream alone.
fn a_player_that_is_sent_away_while_the_call_reads_it_is_known(shell: Shell) {
    alone_and_with_blue(shell, |table, ann, blue| {
        thread::scope(|scope| {
            let asking = scope.spawn(|| ask(table, 3, blue));
            assert_eq!(ann.asked(), 3);
            assert_eq!(table.kick(&Subject::Id("ann".into())), 1);
            if let Some(blue) = blue {
                blue.answer(1);
            }
            assert_eq!(asking.join().unwrap()[0].how(), How::None(Cause::Gone));
        });
    });
}

fn a_table_that_ends_while_the_call_reads_decides_all(shell: Shell) {
    alone_and_with_blue(shell, |table, ann, blue| {
        thread::scope(|scope| {
            let asking = scope.spawn(|| ask(table, 3, blue));
            assert_eq!(ann.asked(), 3);
            scope.spawn(|| table.end());
            for its in asking.join().unwrap() {
                assert_eq!(its.how(), How::None(Cause::Closed));
            }
            // Neither answers the end: both are cut off.
            ann.cut();
            if let Some(blue) = blue {
                blue.cut();
            }
        });
        assert_eq!(table.ask("red", state(4)), Err(TableError::Over));
    });
}

/// Between two turns nobody reads directly for long: what happens then is told.
fn the_end_of_a_connection_is_told_while_the_host_asks_nothing(shell: Shell) {
    let (table, ann, ben) = seated(shell, builder());
    stand_aside(&*table, [&ann, &ben]);
    let [red, blue] = [0, 1].map(|place| table.seats()[place].id());
    ben.cut();
    table.wait_for(|event| *event == Event::Away(blue));
    ann.say(&Message::quit("ann"));
    table.wait_for(|event| *event == Event::Gone(red));
}

fn a_frame_that_comes_in_pieces_is_whole(shell: Shell) {
    alone_and_with_blue(shell, |table, ann, blue| {
        let slowly = thread::spawn(move || {
            let mut socket = ann.socket();
            socket.set_nodelay(true).unwrap();
            for _ in 0..5 {
                let action = ann.action(ann.asked());
                let action: Frame = ann.client.connection().encode(&action).unwrap();
                for byte in frame(action.bytes()) {
                    socket.write_all(&[byte]).unwrap();
                    thread::yield_now();
                }
            }
            ann
        });
        for tick in 1..=5 {
            assert_eq!(red_is(table, tick, blue), (How::Played, Some(tick)));
        }
        slowly.join().unwrap();
    });
}

/// A time that is over while a call reads is over for the seat, and the next turn is a new one.
fn a_deadline_passes_while_the_call_reads(shell: Shell) {
    for names in [&["red"][..], &["red", "blue"]] {
        let table = shell.table(builder().seats(names.iter().copied()));
        let ann = Agent::sit_down(&*table, "ann");
        let ben = (names.len() > 1).then(|| Agent::sit_down(&*table, "ben"));
        table.filled();
        let ask = |millis, tick| -> Vec<_> {
            let time = TurnTime::Limited(ms(millis));
            let moves = table.ask_all_timed(time, |_| state(tick)).unwrap();
            moves.iter().map(made).collect()
        };
        let played = |tick| vec![(How::Played, Some(tick)); names.len()];
        thread::scope(|scope| {
            let (late, is_late) = channel();
            let (next, is_next) = channel();
            scope.spawn(move || {
                ann.answer(2);
                let tick = ann.asked();
                is_late.recv().unwrap();
                ann.act(tick);
                is_next.recv().unwrap();
                ann.answer(1);
                ann
            });
            if let Some(ben) = &ben {
                scope.spawn(|| ben.answer(4));
            }
            for tick in 1..=2 {
                assert_eq!(ask(20_000, tick), played(tick));
            }
            let began = Instant::now();
            // The other one has to be in time.
            let moves = ask(1_000, 3);
            assert!(began.elapsed() >= ms(1_000));
            assert_eq!(moves[0], (How::None(Cause::Late), None));
            assert_eq!(moves[1..], played(3)[1..]);
            late.send(()).unwrap();
            // A late answer is no answer to the next question.
            table.wait_for(|event| matches!(event, Event::Ignored { .. }));
            next.send(()).unwrap();
            assert_eq!(ask(20_000, 4), played(4));
        });
    }
}

/// A thread that is told of all that happens does not read, and is told all the same.
fn events_are_told_to_one_thread_while_another_asks(shell: Shell) {
    let (table, ann, ben) = seated(shell, builder().grace(ms(1)));
    let blue = table.seats()[1].id();
    thread::scope(|scope| {
        for (agent, questions) in [(ann, 300), (ben, 200)] {
            scope.spawn(move || {
                agent.answer(questions);
                agent.cut();
            });
        }
        let telling = scope.spawn(|| {
            let mut told = std::iter::from_fn(|| table.event());
            told.find(|event| matches!(event, Event::Gone(_)))
        });
        for tick in 1..=300 {
            let moves = table.ask_all(|_| state(tick)).unwrap();
            assert_eq!(made(&moves[0]), (How::Played, Some(tick)));
            assert_eq!(made(&moves[1]).1, (tick <= 200).then_some(tick));
        }
        assert_eq!(telling.join().unwrap(), Some(Event::Gone(blue)));
    });
}
