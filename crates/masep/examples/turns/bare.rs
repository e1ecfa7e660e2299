//! Turns over bare connections.

use std::hint::black_box;

use masep::{
    Action, Client, Connection, Dict, Element, Message, MessageType, Protocols, Server, Value,
    blocking,
};

use crate::{Outcome, PARTING, Times, state, turns};

/// The observation of a turn, which says its number. An engine that plays with pymasep's peers writes it into each State too:
/// they answer a step only if it has risen.
fn observation(state: &Element, turn: i64, protocols: Protocols) -> Outcome<Message> {
    let state = match protocols {
        Protocols::Masep2 => state.clone(),
        _ => state
            .clone()
            .with_attribute("env_step", &turn.to_string())?,
    };
    let information = Dict::from([("turn", turn)]);
    Ok(Message::observation("engine", state.into(), information))
}

/// The number of the turn of an observation, and what is seen in it.
fn seen(message: &Message) -> Option<(i64, Value)> {
    let view = message.param("observation")?.clone();
    let Value::Dict(information) = message.param("additional_information")? else {
        return None;
    };
    Some((number(information.get("turn"))?, view))
}

fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Int(int) => i64::try_from(int.as_i128()?).ok(),
        _ => None,
    }
}

/// The answer of an agent. pymasep's protocol has no place for the number of the turn in it.
fn answer(id: &str, message: &Message, protocols: Protocols) -> Option<Message> {
    if message.msg_type != MessageType::Observation {
        return None;
    }
    let (turn, view) = seen(message)?;
    black_box(view);
    let mut answer = Message::action(id, Action::new(2));
    if protocols == Protocols::Masep2
        && let Value::Dict(params) = &mut answer.params
    {
        params.insert("turn", turn);
    }
    Some(answer)
}

/// The action in a message, if it is one for this turn.
fn action(message: &Message, turn: i64, protocols: Protocols) -> Option<Value> {
    let is_its = protocols != Protocols::Masep2 || number(message.param("turn")) == Some(turn);
    let action = message.param("action")?;
    (message.msg_type == MessageType::Action && is_its).then(|| action.clone())
}

/// An agent, with tokio.
async fn agent(id: String, client: Client, protocols: Protocols) {
    let connection = client.connection();
    while let Ok(message) = connection.recv_message().await {
        if let Some(answer) = answer(&id, &message, protocols)
            && connection.send_message(&answer).await.is_err()
        {
            return;
        }
    }
}

/// An engine with connections and nothing else: each turn it sends each an observation, and awaits each action.
pub(crate) async fn play(actors: usize, protocols: Protocols) -> Outcome<Times> {
    let server = Server::builder("engine").bind("127.0.0.1:0").await?;
    let address = server.local_address();
    let mut connections: Vec<Connection> = Vec::new();
    let mut agents = Vec::new();
    for number in 0..actors {
        let id = format!("a{number}");
        let client = Client::builder(&*id).protocols(protocols);
        let client = client.connect(address.clone()).await?;
        agents.push(tokio::spawn(agent(id, client, protocols)));
        connections.push(server.accept().await?);
    }
    let (state, mut turn) = (state(), 0);
    let times = Times::of(turns(actors), async || {
        turn += 1;
        let message = observation(&state, turn, protocols)?;
        for connection in &connections {
            connection.send_message(&message).await?;
        }
        let mut moves = Vec::with_capacity(actors);
        for connection in &connections {
            let its = loop {
                let message = connection.recv_message().await?;
                if let Some(action) = action(&message, turn, protocols) {
                    break action;
                }
            };
            moves.push(its);
        }
        black_box(moves);
        Ok(())
    })
    .await;
    // Nothing of this goes on while others are measured.
    server.shutdown(PARTING).await;
    for agent in agents {
        agent.await?;
    }
    times
}

/// The same without async: the engine in this thread, each agent in one of its own.
pub(crate) async fn play_blocking(actors: usize, protocols: Protocols) -> Outcome<Times> {
    let server = blocking::Server::builder("engine").bind("127.0.0.1:0")?;
    let address = server.local_address();
    let mut connections: Vec<blocking::Connection> = Vec::new();
    let mut agents = Vec::new();
    for number in 0..actors {
        let id = format!("a{number}");
        let client = blocking::Client::builder(&*id).protocols(protocols);
        let address = address.clone();
        let agent = std::thread::spawn(move || {
            let Ok(client) = client.connect(address) else {
                return;
            };
            let connection = client.connection();
            while let Ok(message) = connection.recv_message() {
                if let Some(answer) = answer(&id, &message, protocols)
                    && connection.send_message(&answer).is_err()
                {
                    return;
                }
            }
        });
        agents.push(agent);
        connections.push(server.accept()?);
    }
    let (state, mut turn) = (state(), 0);
    let times = Times::of(turns(actors), async || {
        turn += 1;
        let message = observation(&state, turn, protocols)?;
        for connection in &connections {
            connection.send_message(&message)?;
        }
        let mut moves = Vec::with_capacity(actors);
        for connection in &connections {
            let its = loop {
                let message = connection.recv_message()?;
                if let Some(action) = action(&message, turn, protocols) {
                    break action;
                }
            };
            moves.push(its);
        }
        black_box(moves);
        Ok(())
    })
    .await;
    server.shutdown(PARTING);
    for agent in agents {
        agent.join().map_err(|_| "an agent panicked")?;
    }
    times
}
