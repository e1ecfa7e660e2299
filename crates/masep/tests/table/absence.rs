//! Players that are lost, late, replaced or gone, and those that play on with them.

use std::time::{Duration, Instant};

use masep::player::{End, Event as Told};
use masep::table::{Cause, Clock, Event, How, Move, SeatState, Table, TurnTime};
use masep::{Action, Player, Protocols, Role};

use crate::agents::{Agent, GAME, builder, number, patiently, state, view};
use crate::players::{play, player, tick};
use crate::relay::Relay;

const BOTH: [Protocols; 2] = [Protocols::Pymasep, Protocols::Masep2];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn ask_all(table: &Table, tick: i64) -> Vec<Move> {
    let asking = table.ask_all(|seat| view(tick, seat));
    patiently("a turn", asking).await.unwrap()
}

/// Waits for this event.
async fn event(table: &Table, wanted: impl Fn(&Event) -> bool) {
    let waiting = async { while !wanted(&table.event().await.unwrap()) {} };
    patiently("an event", waiting).await;
}

#[tokio::test]
async fn a_player_that_is_killed_comes_back_to_the_same_question() {
    for protocols in BOTH {
        let table = builder().bind("127.0.0.1:0").await.unwrap();
        let blue = tokio::spawn(play(player(&table, "ben", protocols)));
        let mut red = player(&table, "ann", protocols);
        let (turn, _) = patiently("joining", async {
            tokio::join!(red.next_turn(), async {
                table.filled().await.unwrap();
                let mut turn = table.open(["red", "blue"], |seat| view(1, seat)).unwrap();
                // Whichever seat blue has, it answers.
                turn.next().await.unwrap().unwrap()
            })
        })
        .await;
        assert_eq!(tick(&turn.unwrap()), 1);
        // It dies in mid-turn, and another process has its resume text.
        let resume = red.resume().map(str::to_owned);
        drop(red);
        event(&table, |event| matches!(event, Event::Away(_))).await;
        let mut again = Player::builder("ann", GAME).protocols(protocols);
        if let Some(resume) = resume {
            again = again.resume(resume);
        }
        let again = tokio::spawn(play(again.join(table.local_address()).unwrap()));
        event(&table, |event| matches!(event, Event::Back(_))).await;
        // That turn was dropped by the host, and goes on until it is closed.
        table.close(1);
        for tick in 2..20 {
            for its in ask_all(&table, tick).await {
                assert_eq!((its.how(), number(its.action())), (How::Played, Some(tick)));
            }
        }
        patiently("the end", table.end()).await;
        let (numbers, mut again) = again.await.unwrap();
        assert!(numbers.is_sorted());
        let joined = |event: &Told| matches!(event, Told::Joined { epoch, .. } if *epoch == 2);
        let has_epoch = again.events().iter().any(joined);
        assert_eq!(has_epoch, protocols == Protocols::Masep2);
        blue.await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_and_no_action_is_shifted() {
    for protocols in BOTH {
        let table = builder().bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(&table).await;
        let red = Player::builder("ann", GAME).protocols(protocols);
        let red = tokio::spawn(play(red.join(relay.address).unwrap()));
        let blue = tokio::spawn(play(player(&table, "ben", protocols)));
        patiently("filling", table.filled()).await.unwrap();
        for tick in 1..60 {
            if tick % 10 == 0 {
                relay.cut();
            }
            for its in ask_all(&table, tick).await {
                assert_eq!((its.how(), number(its.action())), (How::Played, Some(tick)));
            }
        }
        patiently("the end", table.end()).await;
        let (_, mut red) = red.await.unwrap();
        let events = red.events();
        let losses = events.iter().filter(|it| matches!(it, Told::Lost(_)));
        assert!(losses.count() >= 5, "{events:?}");
        assert_eq!(red.end(), Some(&End::Finished));
        blue.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_comes_a_turn_too_late_is_never_the_next_one() {
    for protocols in BOTH {
        let clock = Clock {
            per_turn: Some(ms(60)),
            bank: None,
        };
        let table = Table::builder(GAME)
            .seats(["red", "blue"])
            .clock(clock)
            .misses(0)
            .late(|_| Action::new(-1))
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let mut slow = Player::builder("ann", GAME)
            .protocols(protocols)
            .join(table.local_address())
            .unwrap();
        let slow = tokio::spawn(async move {
            let mut turns = 0;
            while let Some(turn) = patiently("a turn", slow.next_turn()).await {
                turns += 1;
                if turns % 3 == 0 {
                    // Behind the deadline. The next question is there by then, or waits for this answer.
                    tokio::time::sleep(ms(90)).await;
                }
                slow.act(Action::new(tick(&turn))).await.unwrap();
            }
            slow
        });
        let quick = tokio::spawn(play(player(&table, "ben", protocols)));
        patiently("filling", table.filled()).await.unwrap();
        let (mut played, mut late) = (0, 0);
        for tick in 1..=20 {
            for its in ask_all(&table, tick).await {
                match its.how() {
                    How::Played => {
                        played += 1;
                        assert_eq!(number(its.action()), Some(tick));
                    }
                    How::Default(cause) => {
                        late += 1;
                        assert_eq!((cause, number(its.action())), (Cause::Late, Some(-1)));
                    }
                    How::None(cause) => panic!("{cause:?}"),
                }
            }
        }
        assert!(played >= 25 && late >= 2, "{played} played, {late} late");
        patiently("the end", table.end()).await;
        let mut slow = slow.await.unwrap();
        let told = |event: &Told| matches!(event, Told::NotCounted { .. });
        let is_told = slow.events().iter().any(told);
        assert_eq!(is_told, protocols == Protocols::Masep2);
        quick.await.unwrap();
    }
}

/// A player that was held up for too many turns, and answers questions alone, plays on.
#[tokio::test]
async fn a_player_that_has_slept_is_asked_and_its_answer_wakes_it() {
    let clock = Clock {
        per_turn: Some(ms(30)),
        bank: None,
    };
    let table = builder().clock(clock).misses(2);
    let table = table.bind("127.0.0.1:0").await.unwrap();
    let mut red = Player::builder("ann", GAME).protocols(Protocols::Masep2);
    red = red.seat("red");
    let mut red = red.join(table.local_address()).unwrap();
    let blue = Player::builder("ben", GAME).protocols(Protocols::Masep2);
    let blue = blue.seat("blue").join(table.local_address()).unwrap();
    let blue = tokio::spawn(play(blue));
    let asking = async {
        table.filled().await.unwrap();
        let mut causes = Vec::new();
        for tick in 1..=4 {
            let its = table.ask("red", state(tick)).await.unwrap();
            causes.push(its.how().cause().unwrap());
        }
        causes
    };
    let asked = async { tokio::join!(red.next_turn(), asking) };
    let (first, causes) = patiently("the turns", asked).await;
    assert_eq!(tick(&first.unwrap()), 1);
    let (late, asleep) = (Cause::Late, Cause::Asleep);
    assert_eq!(causes, [late, late, asleep, asleep]);
    let turn = loop {
        let turn = patiently("a turn", red.next_turn()).await.unwrap();
        if tick(&turn) == 4 {
            break turn;
        }
    };
    assert!(turn.is_question());
    let slept = How::None(asleep);
    assert_eq!(
        turn.last().map(|it| (it.turn, it.how)),
        Some((turn.number(), slept))
    );
    assert!(red.act(Action::new(4)).await.unwrap());
    event(&table, |event| matches!(event, Event::Awake(_))).await;
    // It is told once, and the truth.
    let time = TurnTime::Limited(ms(20_000));
    let moves = async {
        let asking = table.ask_all_timed(time, |seat| view(5, seat));
        let playing = async {
            let turn = red.next_turn().await.unwrap();
            assert!(red.act(Action::new(tick(&turn))).await.unwrap());
        };
        tokio::join!(asking, playing).0.unwrap()
    };
    for its in patiently("a turn", moves).await {
        assert_eq!((its.how(), number(its.action())), (How::Played, Some(5)));
    }
    let told = red.events().into_iter().filter_map(|event| match event {
        Told::NotCounted { turn, how, .. } => Some((turn, how)),
        _ => None,
    });
    assert!(told.eq([(turn.number(), Some(slept))]));
    patiently("the end", table.end()).await;
    blue.await.unwrap();
}

#[tokio::test]
async fn a_newer_connection_with_the_resume_text_replaces_the_older() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    let mut old = player(&table, "ann", Protocols::Masep2);
    let blue = tokio::spawn(play(player(&table, "ben", Protocols::Masep2)));
    let asked = patiently("joining", async {
        tokio::join!(old.next_turn(), async {
            table.filled().await.unwrap();
            drop(table.open(["red", "blue"], |seat| view(1, seat)).unwrap());
        })
    })
    .await;
    assert!(asked.0.is_some());
    let resume = old.resume().unwrap().to_owned();
    let new = Player::builder("ann", GAME).protocols(Protocols::Masep2);
    let new = new.resume(resume).join(table.local_address()).unwrap();
    let new = tokio::spawn(play(new));
    // The older one is told, and does not come back.
    assert_eq!(patiently("the end", old.next_turn()).await, None);
    match old.end() {
        Some(End::Ended(bye)) => assert_eq!(&*bye.code, "replaced"),
        other => panic!("{other:?}"),
    }
    table.close(1);
    for tick in 2..10 {
        for its in ask_all(&table, tick).await {
            assert_eq!((its.how(), number(its.action())), (How::Played, Some(tick)));
        }
    }
    patiently("the end", table.end()).await;
    assert!(new.await.unwrap().0.len() >= 8);
    blue.await.unwrap();
}

#[tokio::test]
async fn one_absence_costs_the_others_no_more_than_the_grace() {
    for protocols in BOTH {
        let table = builder().grace(ms(200)).bind("127.0.0.1:0").await.unwrap();
        let red = Agent::join(&table, "ann", Role::Actor, Protocols::Pymasep).await;
        let blue = tokio::spawn(play(player(&table, "ben", protocols)));
        patiently("filling", table.filled()).await.unwrap();
        // Blue plays, red says nothing and is gone.
        let seats = table.seats();
        let lost = seats
            .iter()
            .find(|it| it.player().unwrap().as_str() == "ann");
        let lost = lost.unwrap().index();
        red.client.connection().bye().await;
        event(&table, |event| matches!(event, Event::Away(_))).await;
        let began = Instant::now();
        let moves = ask_all(&table, 1).await;
        let waited = began.elapsed();
        assert_eq!(moves[lost].how(), How::None(Cause::Gone));
        assert_eq!(number(moves[1 - lost].action()), Some(1));
        assert!(waited >= ms(200), "{waited:?}");
        assert_eq!(table.seats()[lost].state(), SeatState::Gone);
        for tick in 2..5 {
            let moves = ask_all(&table, tick).await;
            assert_eq!(moves[lost].how(), How::None(Cause::Gone));
            assert_eq!(number(moves[1 - lost].action()), Some(tick));
        }
        patiently("the end", table.end()).await;
        blue.await.unwrap();
    }
}

/// Both players are lost in mid-turn, so that nobody can decide: no clock runs, others come and watch, and the turn goes on
/// when one of them is back.
#[tokio::test]
async fn a_table_that_holds_lets_others_come_and_goes_on_when_a_player_is_back() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    let [mut ann, mut ben] = ["ann", "ben"].map(|id| player(&table, id, Protocols::Masep2));
    let (mut turn, _, _) = patiently("joining", async {
        let opened = async {
            table.filled().await.unwrap();
            table.open(["red", "blue"], |seat| view(1, seat)).unwrap()
        };
        tokio::join!(opened, ann.next_turn(), ben.next_turn())
    })
    .await;
    let resume = ann.resume().unwrap().to_owned();
    drop((ann, ben));
    event(&table, |event| *event == Event::Emptied).await;
    let waiting = tokio::time::timeout(ms(100), turn.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    table.show(state(9)).unwrap();
    let eve = Agent::join(&table, "eve", Role::Observer, Protocols::Pymasep).await;
    assert_eq!(eve.seen().await.tick, 9);
    let stranger = Player::builder("stranger", GAME).protocols(Protocols::Masep2);
    let mut stranger = stranger.join(table.local_address()).unwrap();
    assert_eq!(patiently("a refusal", stranger.next_turn()).await, None);
    assert!(
        matches!(stranger.end(), Some(End::Rejected(_))),
        "{stranger:?}"
    );
    let back = Player::builder("ann", GAME).protocols(Protocols::Masep2);
    let back = back.resume(resume).join(table.local_address()).unwrap();
    let back = tokio::spawn(play(back));
    let its = patiently("a decision", turn.next()).await.unwrap().unwrap();
    assert_eq!((its.how(), number(its.action())), (How::Played, Some(1)));
    turn.close();
    drop(turn);
    patiently("the end", table.end()).await;
    back.await.unwrap();
}
