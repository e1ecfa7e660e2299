//! masep's messages over masep's connections: an engine and an agent, as somebody would write them.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use masep::{
    Action, Client, Connection, Frame, Message, MessageType, Server, SocketHandler, Value,
};

use crate::child;
use crate::job::{ACTION, Job, Request};
use crate::link::{Outcome, runtime, times};

/// The engine's part: an observation out, an action back, which is decoded.
pub(crate) fn drive(job: &Job) -> Result<Outcome> {
    runtime(job.threads)?.block_on(async {
        let client = Client::builder("engine").connect(job.address()?).await?;
        let connection = client.connection();
        let observation = Message::from_bytes(job.body(Request::Observation))?;
        times(job, async || {
            connection.send_message(&observation).await?;
            let frame = connection
                .recv()
                .await
                .context("the connection has ended")?;
            ensure!(frame.size() == ACTION.len(), "another action came back");
            black_box(action(&Message::from_bytes(frame.into_bytes())?)?);
            Ok(())
        })
        .await
    })
}

fn action(message: &Message) -> Result<Action> {
    let element = message.param("action").and_then(Value::as_element);
    Ok(Action::try_from(
        element.context("no action in the message")?,
    )?)
}

/// Decodes what it gets, and answers each observation with an action that it makes anew.
struct Agent {
    /// What says from whom it comes.
    sample: Message,
    action: Action,
}

impl SocketHandler for Agent {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        // What is wrong here is an end without an answer, which is the client's to judge.
        let Ok(message) = Message::from_bytes(frame.into_bytes()) else {
            return;
        };
        if message.msg_type == MessageType::Observation && message.param("observation").is_some() {
            let answer = Message::action(self.sample.src_sub_app.clone(), &self.action);
            let _ = connection.send_message(&answer).await;
        }
    }
}

/// The agent's part. It listens, as the engine does elsewhere: who has called makes no difference.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let sample = Message::from_bytes(ACTION)?;
    let action = action(&sample)?;
    runtime(job.threads)?.block_on(async {
        let server = Server::builder("agent")
            .handler(Agent { sample, action })
            .bind("127.0.0.1:0")
            .await?;
        child::ready(server.local_address())?;
        std::future::pending().await
    })
}
