//! Hosts that fail, are interrupted, or let everybody act at any time; players and spectators that are a burden.

use std::time::Duration;

use masep::table::{Cause, Clock, How, Table, TableError};
use masep::{Action, Client, Limits, Message, Player, Protocols, Role};

use crate::agents::{Agent, GAME, builder, number, patiently, state, view};
use crate::players::{play, player, tick};

/// A table at which two play.
async fn playing(table: &Table) {
    for id in ["ann", "ben"] {
        tokio::spawn(play(player(table, id, Protocols::Both)));
    }
    patiently("filling", table.filled()).await.unwrap();
}

async fn plays_on(table: &Table, tick: i64) {
    let asking = table.ask_all(|seat| view(tick, seat));
    for its in patiently("a turn", asking).await.unwrap() {
        assert_eq!((its.how(), number(its.action())), (How::Played, Some(tick)));
    }
}

#[tokio::test]
async fn a_panic_in_a_view_ends_the_call_alone() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    playing(&table).await;
    plays_on(&table, 1).await;
    let asked = table.ask_all(|seat| match seat.name() {
        "blue" => panic!("no view of {}", seat.name()),
        _ => view(2, seat),
    });
    let error = patiently("the call", asked).await.unwrap_err();
    assert_eq!(error, TableError::Panicked("no view of blue".into()));
    plays_on(&table, 3).await;
}

#[tokio::test]
async fn a_panic_in_the_action_for_the_late_ends_the_table_and_no_other() {
    let clock = Clock {
        per_turn: Some(Duration::from_millis(30)),
        bank: None,
    };
    let other = builder().bind("127.0.0.1:0").await.unwrap();
    playing(&other).await;
    let table = builder()
        .clock(clock)
        .late(|_| -> Action { panic!("no idea") })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let silent = Agent::join(&table, "ann", Role::Actor, Protocols::Pymasep).await;
    let ben = tokio::spawn(play(player(&table, "ben", Protocols::Both)));
    patiently("filling", table.filled()).await.unwrap();
    let asking = table.ask_all(|seat| view(1, seat));
    let error = patiently("the turn", asking).await.unwrap_err();
    assert_eq!(error, TableError::Panicked("no idea".into()));
    let error = table.open(["red"], |seat| view(2, seat)).unwrap_err();
    assert_eq!(error, TableError::Over);
    // Its players are told that they may come back, when there is an engine again.
    patiently("the end", silent.client.connection().closed()).await;
    ben.abort();
    plays_on(&other, 1).await;
}

#[tokio::test]
async fn a_call_that_was_dropped_leaves_its_turn_open() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    let ann = Agent::join(&table, "ann", Role::Actor, Protocols::Pymasep).await;
    let ben = Agent::join(&table, "ben", Role::Actor, Protocols::Pymasep).await;
    patiently("filling", table.filled()).await.unwrap();
    let asking = table.ask_all(|seat| view(1, seat));
    let time = Duration::from_millis(20);
    tokio::time::timeout(time, asking).await.unwrap_err();
    let error = table.open(["red"], |seat| view(2, seat)).unwrap_err();
    assert_eq!(error, TableError::TurnIsOpen(1));
    table.close(1);
    let mut turn = table.open(["red", "blue"], |seat| view(2, seat)).unwrap();
    // The answers to the first turn are not those to the second.
    for agent in [&ann, &ben] {
        assert_eq!(agent.seen().await.tick, 1);
        agent.act(1).await;
        assert_eq!(agent.seen().await.tick, 2);
    }
    ann.act(2).await;
    let its = patiently("a move", turn.next()).await.unwrap().unwrap();
    assert_eq!((its.how(), number(its.action())), (How::Played, Some(2)));
    turn.close();
    let its = patiently("a move", turn.next()).await.unwrap().unwrap();
    assert_eq!(its.how(), How::None(Cause::Closed));
    assert!(turn.next().await.is_none());
}

#[tokio::test]
async fn everybody_acts_at_an_own_pace() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    let quick = tokio::spawn(play(player(&table, "ann", Protocols::Both)));
    let mut slow = player(&table, "ben", Protocols::Both);
    let slow = tokio::spawn(async move {
        while let Some(turn) = slow.next_turn().await {
            tokio::time::sleep(Duration::from_millis(30)).await;
            slow.act(Action::new(tick(&turn))).await.unwrap();
        }
    });
    patiently("filling", table.filled()).await.unwrap();
    let mut counts = std::collections::BTreeMap::new();
    let mut step = 0;
    {
        let mut actions = table.actions(|seat| {
            step += 1;
            view(step, seat)
        });
        for _ in 0..200 {
            let its = patiently("an action", actions.next()).await.unwrap();
            let its = its.unwrap();
            assert_eq!(its.how(), How::Played);
            *counts.entry(its.index()).or_insert(0) += 1;
        }
    }
    let (least, most) = (counts.values().min(), counts.values().max());
    assert!(most > least, "{counts:?}");
    // Its turns are closed with it.
    table.finish_episode(|seat| view(1000, seat)).unwrap();
    patiently("the end", table.end()).await;
    quick.await.unwrap();
    slow.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_player_does_not_keep_the_others_from_playing() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    let flood = Agent::join(&table, "ann", Role::Actor, Protocols::Pymasep).await;
    let flooding = tokio::spawn(async move {
        let action = Message::action("ann", Action::new(-7));
        while flood
            .client
            .connection()
            .send_message(&action)
            .await
            .is_ok()
        {
            let _ = flood.client.connection().try_recv();
        }
    });
    let quiet = tokio::spawn(play(player(&table, "ben", Protocols::Both)));
    patiently("filling", table.filled()).await.unwrap();
    for tick in 1..200 {
        let asking = table.ask_all(|seat| view(tick, seat));
        let moves = patiently("a turn", asking).await.unwrap();
        let its = moves.iter().find(|it| number(it.action()) != Some(-7));
        assert_eq!(number(its.unwrap().action()), Some(tick));
    }
    flooding.abort();
    patiently("the end", table.end()).await;
    quiet.await.unwrap();
}

/// Thirty spectators of which three do not read; the views are large, so that their streams fill up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spectators_that_do_not_read_hold_up_nobody_and_get_the_newest_view() {
    let table = builder().bind("127.0.0.1:0").await.unwrap();
    playing(&table).await;
    let mut watching = Vec::new();
    let mut stalled = Vec::new();
    for number in 0..30 {
        let id = format!("eve-{number}");
        if number % 10 == 0 {
            let connecting = Client::builder(&*id)
                .limits(Limits::default().queue_messages(1))
                .protocols(Protocols::Masep2)
                .role(Role::Observer)
                .connect(table.local_address());
            stalled.push(patiently("connecting", connecting).await.unwrap());
            continue;
        }
        let eve = Player::builder(id, GAME).role(Role::Observer);
        let mut eve = eve.join(table.local_address()).unwrap();
        watching.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(turn) = eve.next_turn().await {
                seen.push((tick(&turn), turn.skipped()));
            }
            seen
        }));
    }
    let all_there = async {
        while table.spectators() < 30 {
            table.event().await;
        }
    };
    patiently("joining", all_there).await;
    let large = "x".repeat(200_000);
    for tick in 1..=40 {
        plays_on(&table, tick).await;
        table.show(state(tick).with("large", &*large)).unwrap();
    }
    // One that reads again gets the newest, and is told how many it has missed.
    let back = stalled.pop().unwrap();
    let newest = async {
        let mut skipped = 0;
        loop {
            let frame = back.connection().recv().await.unwrap();
            let (seen, more) = decode(frame);
            skipped += more;
            if seen == 40 {
                return skipped;
            }
        }
    };
    assert!(patiently("the newest view", newest).await > 0);
    table.end().await;
    for watching in watching {
        let seen = patiently("watching", watching).await.unwrap();
        assert_eq!(seen.last().map(|(tick, _)| *tick), Some(40));
        assert!(seen.is_sorted());
    }
}

/// The number of a view, and of those that were skipped.
fn decode(frame: masep::Frame) -> (i64, u64) {
    let body = frame.into_bytes();
    let limits = Limits::default();
    let limits = limits.message_bytes(1 << 20).text_bytes(1 << 20);
    let (message, turn) = masep_proto::cbor::decode_message(&body, &limits).unwrap();
    let turn = turn.unwrap();
    let skipped = turn.get("skipped").and_then(|it| it.as_i64()).unwrap_or(0);
    (
        crate::agents::seen(&message).tick,
        u64::try_from(skipped).unwrap(),
    )
}
