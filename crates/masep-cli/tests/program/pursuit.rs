//! The examples `engine` and `agent` play with each other, and the engine with players who do not
//! play as they should.

#[path = "../../examples/pursuit/agent.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod agent;
#[path = "../../examples/pursuit/main.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod program;

use std::net::SocketAddr;
use std::time::Duration;

use agent::Played;
use masep::{
    Action, Client, CloseReason, Element, Frame, Message, MessageType, Protocol, Protocols,
    RecvMessageError, Role, TypeName, Value,
};
use program::engine::{Engine, Report, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any test: where a turn may take this long, nothing waits for its end.
const NEVER: Duration = Duration::from_secs(3_600);

/// The time of a turn where somebody misses one, and the others must not: long for a busy machine.
const AWAKE: Duration = Duration::from_secs(2);

/// A game of two actors that nobody watches.
const SETTINGS: Settings = Settings {
    actors: 2,
    observers: 0,
    episodes: 3,
    seed: 1,
    turn_time: NEVER,
    slow_steps: 0,
    slow_step_time: Duration::ZERO,
};

/// The same with one actor.
const ALONE: Settings = Settings {
    actors: 1,
    ..SETTINGS
};

/// The same where a turn ends.
const TIMED: Settings = Settings {
    turn_time: AWAKE,
    ..SETTINGS
};

/// Ends a test that waits for something that does not come. Never the expected way out.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("it did not happen in 60 s")
}

/// Starts an engine that plays to the end.
async fn start(settings: Settings) -> (SocketAddr, JoinHandle<Report>) {
    let engine = Engine::bind("127.0.0.1:0", settings).await.unwrap();
    let address = engine.server().local_address().tcp().unwrap();
    let run = engine.run(std::future::pending(), |_, _| {});
    let game = tokio::spawn(async { soon(run).await.unwrap() });
    (address, game)
}

/// Starts an agent that plays to the end.
fn join(address: SocketAddr, id: &'static str, role: Role) -> JoinHandle<Played> {
    tokio::spawn(async move {
        let client = Client::builder(id).connect(address).await.unwrap();
        soon(agent::play(&client, role)).await.unwrap()
    })
}

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned)
}

#[test]
fn both_programs_take_the_address_first_and_nothing_in_another_place() {
    let given = |line| agent::Arguments::parse(words(line)).unwrap();
    let all = given("[::1]:60000 observer me");
    assert_eq!(all.address.as_deref(), Some("[::1]:60000"));
    assert_eq!((all.role, all.id.as_str()), (Role::Observer, "me"));
    assert_eq!(given("127.0.0.1:1").role, Role::Actor);
    for (line, id) in [("lan actor me", "me"), ("", "")] {
        let searched = given(line);
        assert_eq!(searched.address, None);
        assert!(searched.id.starts_with(id));
    }
    for line in [
        "actor",
        "actor 127.0.0.1:60000",
        "actor me 127.0.0.1:60000",
        "127.0.0.1:60000 me",
        "127.0.0.1:60000 actor me more",
    ] {
        let refused = agent::Arguments::parse(words(line)).unwrap_err();
        assert!(refused.contains("usage: "), "{line}");
    }

    let given = |line| program::arguments(words(line));
    assert_eq!(given(""), Ok(("127.0.0.1:60000".to_owned(), 1)));
    assert_eq!(given("[::]:0 3"), Ok(("[::]:0".to_owned(), 3)));
    for line in [
        "2",
        "2 127.0.0.1:1",
        "127.0.0.1:1 actor",
        "127.0.0.1:1 0",
        "127.0.0.1:1 2 3",
    ] {
        assert!(given(line).unwrap_err().contains("usage: "), "{line}");
    }
}

/// A player who does what the test says.
struct Player {
    id: &'static str,
    client: Client,
}

impl Player {
    async fn connect(address: SocketAddr, id: &'static str) -> Self {
        // No name of protocol 2 has control characters.
        let protocols = if id.contains(char::is_control) {
            Protocols::Pymasep
        } else {
            Protocols::Both
        };
        let client = Client::builder(id).protocols(protocols);
        let client = client.connect(address).await.unwrap();
        Self { id, client }
    }

    async fn join(address: SocketAddr, id: &'static str, role: Role) -> Self {
        let player = Self::connect(address, id).await;
        player
            .say(&Message::define(id, TypeName::from("pursuit.PursuitGame")))
            .await;
        player.say(&Message::register(id, id, 0, role)).await;
        player
    }

    async fn say(&self, message: &Message) {
        self.client
            .connection()
            .send_message(message)
            .await
            .unwrap();
    }

    async fn act(&self, action: impl Into<Value>) {
        self.say(&Message::action(self.id, action)).await;
    }

    /// The next observation; `None` at the end of the game.
    async fn observe(&self) -> Option<Message> {
        let message = match soon(self.client.connection().recv_message()).await {
            Ok(message) => message,
            Err(RecvMessageError::Closed(_)) => return None,
            Err(error) => panic!("{error}"),
        };
        (message.msg_type == MessageType::Observation).then_some(message)
    }

    /// That the engine says BYE. Right behind its hello that is a rejection.
    async fn expect_bye(&self) {
        let connection = self.client.connection();
        let reason = soon(connection.recv()).await.unwrap_err();
        let said = matches!(reason, CloseReason::PeerByeWith(_) | CloseReason::Rejected);
        assert!(said, "{reason}");
    }
}

fn state(observation: &Message) -> &Element {
    observation
        .param("observation")
        .unwrap()
        .as_element()
        .unwrap()
}

/// True for the last observation of an episode: in the next one everybody is somewhere else.
fn is_final(observation: &Message) -> bool {
    state(observation).attribute("is_final").as_deref() == Some("True")
}

fn turn(observation: &Message) -> i64 {
    let more = observation.param("additional_information").unwrap();
    more.get("turn").unwrap().as_i64().unwrap()
}

/// The state of the predator of this actor, as XML.
fn place(observation: &Message, id: &str) -> String {
    let controlled = |it: &Element| it.attribute("control").as_deref() == Some(id);
    let agent = state(observation).children().find(controlled).unwrap();
    agent.child("ObjectState").unwrap().to_string()
}

/// Plays to the end as a player who answers each observation by `answer` and must not be moved by
/// it.
async fn stand_still(player: Player, answer: impl AsyncFn(&Player, &Message)) {
    let mut last: Option<Message> = None;
    while let Some(observation) = player.observe().await {
        if let Some(last) = last.filter(|last| !is_final(last)) {
            assert_eq!(place(&observation, player.id), place(&last, player.id));
        }
        answer(&player, &observation).await;
        last = Some(observation);
    }
}

#[tokio::test]
async fn actors_see_every_step_and_all_the_same_score() {
    let settings = Settings {
        actors: 3,
        observers: 2,
        ..SETTINGS
    };
    let (address, game) = start(settings).await;
    let observers = ["o1", "o2"].map(|id| join(address, id, Role::Observer));
    let actors = ["a1", "a2", "a3"].map(|id| join(address, id, Role::Actor));
    let report = game.await.unwrap();
    assert_eq!(report.episodes, 3);
    // In each episode one observation more than steps: the first.
    let observations = (report.steps + report.episodes) as i64;
    let mut played = Vec::new();
    for observer in observers {
        let its = observer.await.unwrap();
        // The newest view each, to the last one.
        assert_eq!(its.observations + its.missed, observations);
        played.push(its);
    }
    for (actor, score) in actors.into_iter().zip(&report.scores) {
        let its = actor.await.unwrap();
        assert_eq!((its.observations, its.missed), (observations, 0));
        assert_eq!(its.reward, score.reward);
        // An action for each observation, DEFINE, REGISTER and QUIT; and END.
        let (sent, received) = (its.sent.frames, its.received.frames);
        assert_eq!(
            (sent, received),
            (observations as u64 + 3, observations as u64 + 1)
        );
        played.push(its);
    }
    assert_eq!(played.len(), 5);
    let ids: Vec<&str> = report.scores.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a1", "a2", "a3"]);
    assert!(report.scores.iter().any(|score| score.caught > 0));
    assert_eq!(report.round_trips.len() as u64, report.steps * 3);
}

#[tokio::test]
async fn those_of_pymaseps_protocol_play_with_those_of_masep() {
    let settings = Settings {
        observers: 1,
        ..SETTINGS
    };
    let (address, game) = start(settings).await;
    let parts = [
        ("pymasep's", Role::Actor, Protocols::Pymasep),
        ("masep's", Role::Actor, Protocols::Both),
        ("observer", Role::Observer, Protocols::Pymasep),
    ];
    let agents = parts.map(|(id, role, protocols)| {
        tokio::spawn(async move {
            let client = Client::builder(id).protocols(protocols);
            let client = client.connect(address).await.unwrap();
            let protocol = client.connection().protocol();
            (protocol, soon(agent::play(&client, role)).await.unwrap())
        })
    });
    let report = game.await.unwrap();
    assert_eq!(report.episodes, 3);
    assert_eq!(report.round_trips.len() as u64, report.steps * 2);
    let mut spoken = Vec::new();
    for agent in agents {
        let (protocol, played) = agent.await.unwrap();
        spoken.push(protocol);
        let views = (played.observations + played.missed) as u64;
        assert_eq!(views, report.steps + report.episodes);
    }
    let expected = [Protocol::Pymasep, Protocol::Masep2, Protocol::Pymasep];
    assert_eq!(spoken, expected);
}

#[tokio::test]
async fn the_game_depends_on_the_seed_and_not_on_who_comes_first() {
    let mut games = Vec::new();
    for (seed, ids) in [(5, ["a", "b"]), (5, ["b", "a"]), (6, ["a", "b"])] {
        let (address, game) = start(Settings { seed, ..SETTINGS }).await;
        let first = Player::join(address, ids[0], Role::Actor).await;
        let second = join(address, ids[1], Role::Actor);
        // Plays the agent by hand: the order of the two is known only after its REGISTER.
        let first = tokio::spawn(async move { agent::play(&first.client, Role::Actor).await });
        let report = game.await.unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap();
        let scores: Vec<(String, i64)> = report
            .scores
            .iter()
            .map(|it| (it.id.to_string(), it.reward))
            .collect();
        games.push((report.steps, scores));
    }
    assert_eq!(games[0], games[1]);
    assert_ne!(games[0], games[2]);
}

#[tokio::test]
async fn an_actor_that_leaves_is_played_as_standing_still() {
    let settings = Settings {
        observers: 1,
        ..SETTINGS
    };
    let (address, game) = start(settings).await;
    let observer = join(address, "observer", Role::Observer);
    let stays = join(address, "stays", Role::Actor);
    let leaves = Player::join(address, "leaves", Role::Actor).await;
    for _ in 0..3 {
        leaves.observe().await.unwrap();
        leaves.act(Action::new(0)).await;
    }
    // A peer that says so is not waited for. The time of a turn is longer than this test.
    leaves.say(&Message::quit("leaves")).await;
    leaves.client.connection().bye().await;
    let report = game.await.unwrap();
    assert_eq!(report.episodes, 3);
    assert_eq!(stays.await.unwrap().missed, 0);
    let observer = observer.await.unwrap();
    let views = observer.observations + observer.missed;
    assert_eq!(views as u64, report.steps + 3);
    assert!(
        report.round_trips.len() as u64 > report.steps,
        "both had played"
    );
}

#[tokio::test]
async fn an_actor_that_is_killed_costs_the_others_one_turn_at_most() {
    let (address, game) = start(TIMED).await;
    let stays = join(address, "stays", Role::Actor);
    let killed = Player::join(address, "killed", Role::Actor).await;
    for _ in 0..3 {
        killed.observe().await.unwrap();
        killed.act(Action::new(0)).await;
    }
    drop(killed);
    let report = game.await.unwrap();
    assert_eq!(report.episodes, 3);
    // It is waited for, since it may come back. Then the others play on, at full speed.
    assert!(
        report.time > AWAKE / 2 && report.time < AWAKE * 5,
        "{report:?}"
    );
    assert_eq!(stays.await.unwrap().missed, 0);
}

#[tokio::test]
async fn an_actor_that_comes_back_gets_its_predator() {
    let (address, game) = start(SETTINGS).await;
    let other = Player::join(address, "other", Role::Actor).await;
    let player = Player::join(address, "player", Role::Actor).await;
    let before = player.observe().await.unwrap();
    player.client.connection().bye().await;
    // The game goes no further before the other one acts, so that the same step is seen again.
    let player = Player::join(address, "player", Role::Actor).await;
    let after = player.observe().await.unwrap();
    assert_eq!(turn(&after), turn(&before));
    assert_eq!(place(&after, "player"), place(&before, "player"));
    for actor in [&other, &player] {
        actor.act(Action::new(2)).await;
    }
    let moved = player.observe().await.unwrap();
    assert_ne!(place(&moved, "player"), place(&before, "player"));
    drop((other, player));
    assert_eq!(game.await.unwrap().steps, 1);
}

#[tokio::test]
async fn an_actor_that_falls_asleep_holds_up_one_turn() {
    let (address, game) = start(TIMED).await;
    let _asleep = Player::join(address, "asleep", Role::Actor).await;
    let awake = join(address, "awake", Role::Actor);
    let report = game.await.unwrap();
    assert_eq!(report.episodes, 3);
    assert_eq!(report.round_trips.len() as u64, report.steps);
    // Nowhere near the time of as many turns as there were.
    assert!(report.steps > 10 && report.time < AWAKE * 5, "{report:?}");
    assert_eq!(awake.await.unwrap().missed, 0);
}

#[tokio::test]
async fn an_actor_that_wakes_up_is_waited_for_again() {
    let long = Settings {
        episodes: 1_000,
        ..TIMED
    };
    let (address, game) = start(long).await;
    let (passed, turn_passed) = oneshot::channel();
    let other = Player::join(address, "other", Role::Actor).await;
    let player = Player::join(address, "player", Role::Actor).await;
    let other = tokio::spawn(async move {
        let mut passed = Some(passed);
        for observations in 1.. {
            let Some(observation) = other.observe().await else {
                break;
            };
            if observations == 2 {
                passed.take().unwrap().send(()).unwrap();
            }
            // Nobody listens any more at the end of the game.
            let action = Action::new(0).with("turn", turn(&observation));
            let message = Message::action(other.id, action);
            let _ = other.client.connection().send_message(&message).await;
        }
    });
    // It answers when the turn has passed, and the other one is in another one.
    let missed = player.observe().await.unwrap();
    soon(turn_passed).await.unwrap();
    let late = Action::new(2).with("turn", turn(&missed));
    player.act(late).await;
    let mut before = player.observe().await.unwrap();
    assert!(turn(&before) > turn(&missed));
    for round in 0..40 {
        let action = Action::new(2).with("turn", turn(&before));
        player.act(action).await;
        let after = player.observe().await.unwrap();
        if !is_final(&before) {
            assert_ne!(place(&after, "player"), place(&before, "player"));
        }
        assert!(
            round == 0 || turn(&after) == turn(&before) + 1,
            "it was not waited for"
        );
        before = after;
    }
    drop(player);
    other.abort();
    assert!(other.await.unwrap_err().is_cancelled());
    game.await.unwrap();
}

#[tokio::test]
async fn the_game_is_over_when_nobody_is_left_to_play() {
    let (address, game) = start(SETTINGS).await;
    let observer = join(address, "observer", Role::Observer);
    let one = Player::join(address, "one", Role::Actor).await;
    let two = Player::join(address, "two", Role::Actor).await;
    one.observe().await.unwrap();
    drop((one, two));
    assert_eq!(game.await.unwrap().episodes, 0);
    observer.await.unwrap();
}

#[tokio::test]
async fn a_wrong_action_is_played_as_standing_still() {
    let (address, game) = start(ALONE).await;
    let wrong: [Message; 6] = [
        Message::action("player", Action::new(5)),
        Message::action("player", Action::new(-1)),
        Message::action("player", Action::new(u64::MAX)),
        Message::action("player", "north"),
        Message::action(
            "player",
            "<Action type='north' />".parse::<Element>().unwrap(),
        ),
        Message::new(MessageType::Action, Value::None, "player"),
    ];
    let player = Player::join(address, "player", Role::Actor).await;
    stand_still(player, async |player, observation| {
        let at = usize::try_from(turn(observation)).unwrap() % wrong.len();
        player.say(&wrong[at]).await;
        // The last of them is no action, and is waited for one. To the others this one comes too late.
        let turn = turn(observation);
        player.act(Action::new(0).with("turn", turn)).await;
    })
    .await;
    assert_eq!(game.await.unwrap().episodes, 3);
}

#[tokio::test]
async fn an_action_that_comes_too_late_or_too_often_does_not_count() {
    let (address, game) = start(SETTINGS).await;
    let answer = async |player: &Player, observation: &Message| {
        let turn = turn(observation);
        player.act(Action::new(2).with("turn", turn - 1)).await;
        player.act(Action::new(0).with("turn", turn)).await;
        player.act(Action::new(2).with("turn", turn)).await;
    };
    let one = Player::join(address, "one", Role::Actor).await;
    let two = Player::join(address, "two", Role::Actor).await;
    tokio::join!(stand_still(one, answer), stand_still(two, answer));
    assert_eq!(game.await.unwrap().episodes, 3);
}

#[tokio::test]
async fn an_action_counts_for_the_connection_that_it_came_on() {
    let observed = Settings {
        observers: 1,
        ..ALONE
    };
    let (address, game) = start(observed).await;
    let forger = Player::join(address, "forger", Role::Observer).await;
    let player = Player::join(address, "player", Role::Actor).await;
    stand_still(player, async |player, observation| {
        forger.say(&Message::action("player", Action::new(2))).await;
        // It sees final observations too.
        while turn(&forger.observe().await.unwrap()) < turn(observation) {}
        player.act(Action::new(0)).await;
    })
    .await;
    let report = game.await.unwrap();
    assert_eq!(report.round_trips.len() as u64, report.steps);
}

#[tokio::test]
async fn who_has_no_part_in_the_game_is_turned_away() {
    let (address, game) = start(ALONE).await;
    let lost = Player::connect(address, "lost").await;
    lost.say(&Message::define("lost", TypeName::from("chess.Chess")))
        .await;
    lost.expect_bye().await;
    let player = Player::join(address, "player", Role::Actor).await;
    player.observe().await.unwrap();
    let surplus = Player::join(address, "surplus", Role::Actor).await;
    surplus.expect_bye().await;
    drop(player);
    game.await.unwrap();
}

#[tokio::test]
async fn an_id_that_no_state_can_hold_spoils_only_its_own_game() {
    let (address, game) = start(TIMED).await;
    let unspeakable = Player::join(address, "un\u{1}speakable", Role::Actor).await;
    let other = join(address, "other", Role::Actor);
    let seen = unspeakable.observe().await.unwrap();
    let controls = state(&seen)
        .children()
        .filter_map(|it| it.attribute("control").map(String::from));
    let controls: Vec<String> = controls.collect();
    assert_eq!(controls, ["other", "un\u{fffd}speakable"]);
    assert_eq!(game.await.unwrap().episodes, 3);
    assert_eq!(other.await.unwrap().missed, 0);
}

#[tokio::test]
async fn a_flood_of_nonsense_does_not_stop_the_clock() {
    let turn_time = Duration::from_millis(50);
    let (address, game) = start(Settings { turn_time, ..ALONE }).await;
    let flood = Player::connect(address, "flood").await;
    let flood = tokio::spawn(async move {
        let nonsense = Frame::new("nonsense");
        while flood
            .client
            .connection()
            .send(nonsense.clone())
            .await
            .is_ok()
        {}
    });
    let player = Player::join(address, "asleep", Role::Actor).await;
    player.observe().await.unwrap();
    let report = game.await.unwrap();
    assert_eq!(report.steps, 0, "nobody acted");
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn an_agent_survives_an_engine_that_makes_no_sense() {
    let server = masep::Server::builder("engine")
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let agent = |nature: &str, position: &str| {
        format!(
            "<Agent name='p' nature='{nature}' control='agent'><ObjectState>\
             <Characteristic name='Pos'>{position}</Characteristic></ObjectState></Agent>"
        )
    };
    let cell = |x: &str, y: &str| {
        format!("<tuple><item><int>{x}</int></item><item><int>{y}</int></item></tuple>")
    };
    let board = |size: &str| {
        format!(
            "<Object nature='board'><ObjectState><Characteristic name='Size'>{size}\
             </Characteristic></ObjectState></Object>"
        )
    };
    let states = [
        String::new(),
        agent("predator", ""),
        agent("predator", "<int>1</int>"),
        agent("predator", &cell("1", "9223372036854775807")),
        board(&cell("0", "-9"))
            + &agent("predator", &cell("1", "2"))
            + &agent("prey", &cell("3", "4")),
        agent("predator", &cell("-9223372036854775808", "0"))
            + &agent("prey", &cell("9223372036854775807", "0")),
        board(&cell("2147483647", "1"))
            + &agent("predator", &cell("-2147483648", "-2147483648"))
            + &agent("prey", &cell("2147483647", "2147483647")),
    ];
    for state in states {
        let client = Client::builder("agent")
            .connect(server.local_address())
            .await
            .unwrap();
        let engine = server.accept().await.unwrap();
        let more = masep::Dict::new()
            .with("turn", i32::MAX)
            .with("reward", masep::Dict::from([("State.p", i32::MIN)]));
        let state = format!("<State is_final='False'>{state}</State>");
        let state = state.parse::<Element>().unwrap();
        engine
            .send_message(&Message::observation("engine", state.into(), more))
            .await
            .unwrap();
        engine.send_message(&Message::end("engine")).await.unwrap();
        // An error or not, but no panic.
        drop(soon(agent::play(&client, Role::Actor)).await);
        drop(client);
        soon(engine.closed()).await;
    }
}
