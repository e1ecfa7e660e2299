use std::time::Duration;

use masep::{Connection, Dict, Message, MessageType, Node, Server, Value};
use tokio::time::timeout;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The time that an agent has for an answer.
const TURN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Outcome<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:60000".into());
    let server = Server::builder("engine").bind(address).await?;
    println!("listening on {}", server.local_address());
    while let Ok(agent) = server.accept().await {
        // An agent that crashes, sends nonsense or falls asleep ends its own game, and no other.
        tokio::spawn(async move {
            match play(&agent).await {
                Ok(()) => println!("{:?} has played", agent.peer()),
                Err(error) => println!("{:?} is out: {error}", agent.peer()),
            }
            agent.bye().await;
        });
    }
    Ok(())
}

async fn play(agent: &Connection) -> Outcome<()> {
    next(agent, MessageType::Register).await?;
    for step in 0..3 {
        let observation = Message::observation("engine", state(step, false)?, Dict::new());
        agent.send_message(&observation).await?;
        let action = next(agent, MessageType::Action).await?;
        println!("step {step}: {:?} does {:?}", agent.peer(), action.param("action"));
    }
    let last = Message::observation("engine", state(3, true)?, Dict::new());
    agent.send_message(&last).await?;
    agent.send_message(&Message::end("engine")).await?;
    // It answers by leaving.
    timeout(TURN, agent.closed()).await?;
    Ok(())
}

/// The state that the agent sees: the element by which pymasep describes a state of a game.
fn state(step: u32, is_final: bool) -> Outcome<Value> {
    let state = Node::new("State")
        .with_attribute("name", "State")
        .with_attribute("state", "run")
        .with_attribute("is_final", if is_final { "True" } else { "False" })
        .with_attribute("env_step", step.to_string());
    Ok(Value::Element(state.to_element()?))
}

/// The next message of this type, if it comes in time; others are skipped.
async fn next(agent: &Connection, awaited: MessageType) -> Outcome<Message> {
    let answer = async {
        loop {
            let message = agent.recv_message().await?;
            if message.msg_type == awaited {
                return Ok(message);
            }
        }
    };
    timeout(TURN, answer).await.map_err(|_| "no answer in time")?
}
