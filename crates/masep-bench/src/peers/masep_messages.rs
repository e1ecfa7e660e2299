//! masep's messages over masep's connections: an engine and an agent, as somebody would write them.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use masep::{Action, DecodeError, Frame, Message, MessageType, SocketHandler, Value, blocking};

use super::busy_poll::socket_options;
use crate::child;
use crate::job::{ACTION, Job, Request};
use crate::link::{Outcome, runtime, times};

/// The engine's part: an observation out, an action back, which is decoded.
pub(crate) fn drive(job: &Job) -> Result<Outcome> {
    runtime(job.threads)?.block_on(async {
        let client = masep::Client::builder("engine")
            .protocols(job.protocols())
            .socket_options(socket_options(job))
            .connect(job.address()?)
            .await?;
        let connection = client.connection();
        let observation = observation(job)?;
        times(job, async || {
            connection.send_message(&observation).await?;
            take_action(&connection.recv_message().await?)
        })
        .await
    })
}

/// The same without async.
pub(crate) fn drive_blocking(job: &Job) -> Result<Outcome> {
    let client = blocking::Client::builder("engine")
        .protocols(job.protocols())
        .socket_options(socket_options(job))
        .connect(job.address()?)?;
    let connection = client.connection();
    let observation = observation(job)?;
    runtime(job.threads)?.block_on(times(job, async || {
        connection.send_message(&observation)?;
        take_action(&connection.recv_message()?)
    }))
}

fn observation(job: &Job) -> Result<Message> {
    Ok(Message::from_bytes(job.body(Request::Observation))?)
}

/// Reads what came back.
fn take_action(message: &Message) -> Result<()> {
    ensure!(
        message.msg_type == MessageType::Action,
        "no action came back"
    );
    black_box(action(message)?);
    Ok(())
}

fn action(message: &Message) -> Result<Action> {
    let element = message.param("action").and_then(Value::as_element);
    Ok(Action::try_from(
        element.context("no action in the message")?,
    )?)
}

/// Decodes what it gets, and answers each observation with an action that it makes anew.
struct Agent {
    /// The message that names the sender.
    sample: Message,
    action: Action,
}

impl Agent {
    fn new() -> Result<Self> {
        let sample = Message::from_bytes(ACTION)?;
        let action = action(&sample)?;
        Ok(Self { sample, action })
    }

    /// The answer to an observation. A wrong message is an end without an answer, which the client judges.
    fn answer(&self, message: Result<Message, DecodeError>) -> Option<Message> {
        let message = message.ok()?;
        let is_observation = message.msg_type == MessageType::Observation;
        message.param("observation").filter(|_| is_observation)?;
        Some(Message::action(
            self.sample.src_sub_app.clone(),
            &self.action,
        ))
    }
}

impl SocketHandler for Agent {
    async fn on_receive(&self, connection: &masep::Connection, frame: Frame) {
        if let Some(answer) = self.answer(connection.decode(frame)) {
            let _ = connection.send_message(&answer).await;
        }
    }
}

impl blocking::SocketHandler for Agent {
    fn on_receive(&self, connection: &blocking::Connection, frame: Frame) {
        if let Some(answer) = self.answer(connection.decode(frame)) {
            let _ = connection.send_message(&answer);
        }
    }
}

/// The agent's part. It listens, as the engine does elsewhere: who has called makes no difference.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let server = masep::Server::builder("agent")
            .socket_options(socket_options(job))
            .handler(Agent::new()?)
            .bind("127.0.0.1:0")
            .await?;
        child::ready(server.local_address())?;
        std::future::pending().await
    })
}

/// The same without async.
pub(crate) fn serve_blocking(job: &Job) -> Result<()> {
    let server = blocking::Server::builder("agent")
        .socket_options(socket_options(job))
        .handler(Agent::new()?)
        .bind("127.0.0.1:0")?;
    child::ready(server.local_address())?;
    loop {
        std::thread::park();
    }
}
