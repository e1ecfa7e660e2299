//! Games that are played to their end.

use masep::table::{Event, How};
use masep::{Protocols, Role};

use crate::agents::{Agent, builder, number, patiently, state, view};

#[tokio::test]
async fn players_and_spectators_of_both_generations_play_two_episodes() {
    for [red, blue] in [
        [Protocols::Pymasep, Protocols::Pymasep],
        [Protocols::Pymasep, Protocols::Masep2],
        [Protocols::Masep2, Protocols::Masep2],
    ] {
        let table = builder().bind("127.0.0.1:0").await.unwrap();
        let players = [("ann", red), ("ben", blue)];
        let mut playing = Vec::new();
        for (id, protocols) in players {
            let agent = Agent::join(&table, id, Role::Actor, protocols).await;
            playing.push(tokio::spawn(agent.play()));
        }
        let spectator = Agent::join(&table, "eve", Role::Observer, red).await;
        patiently("filling", table.filled()).await.unwrap();
        let mut tick = 0;
        for _ in 0..2 {
            for _ in 0..20 {
                tick += 1;
                let asking = table.ask_all(|seat| view(tick, seat));
                let moves = patiently("a turn", asking).await.unwrap();
                let names: Vec<_> = moves.iter().map(|it| it.seat()).collect();
                assert_eq!(names, ["red", "blue"]);
                for its in &moves {
                    assert_eq!((its.how(), number(its.action())), (How::Played, Some(tick)));
                }
                table.show(state(tick)).unwrap();
            }
            tick += 1;
            table.finish_episode(|seat| view(tick, seat)).unwrap();
        }
        let watching = async {
            while spectator.seen().await.tick < tick - 1 {}
            spectator
        };
        let spectator = patiently("watching", watching).await;
        let watching = tokio::spawn(spectator.play());
        patiently("the end", table.end()).await;
        for player in playing {
            // Twenty questions and a final in each episode.
            assert_eq!(player.await.unwrap(), 42);
        }
        watching.await.unwrap();
        let events = table.events();
        assert!(events.contains(&Event::Filled) && events.contains(&Event::Ended));
        assert!(!events.iter().any(|event| matches!(event, Event::Away(_))));
    }
}
