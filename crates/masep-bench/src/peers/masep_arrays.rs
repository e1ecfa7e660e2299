//! masep's messages with an array, which is encoded where it is sent and decoded where it is received.

use anyhow::{Context, Result};
use bytes::Bytes;
use masep::{
    Array, DType, DecodeError, Dict, Frame, Message, ServerLimits, SocketHandler, Value, blocking,
};

use super::busy_poll::socket_options;
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, Job, Request};
use crate::link::{Link, runtime};

const OBSERVATION: &str = "observation";

/// A message whose array has these bytes.
fn message(bytes: Bytes) -> Result<Message> {
    let array = Array::new(DType::UInt8, [bytes.len()], bytes)?;
    Ok(observation(Value::from(array)))
}

fn observation(value: Value) -> Message {
    Message::observation("engine", value, Dict::new())
}

fn array(message: &Message) -> Result<&Array> {
    let array = message.param(OBSERVATION).and_then(Value::as_array);
    array.context("no array in the message")
}

/// The answer to a message, if there is one. A wrong message is an end without an answer, which the client judges.
fn answer(asked: Result<Message, DecodeError>) -> Option<Message> {
    let asked = asked.ok()?;
    let array = array(&asked).ok()?;
    match Request::read(array.bytes()) {
        Request::Echo => Some(observation(Value::from(array.clone()))),
        Request::Acknowledge => message(ACKNOWLEDGEMENT).ok(),
        _ => None,
    }
}

/// A client of masep.
pub(crate) struct Arrays(masep::Client);

impl Link for Arrays {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let client = masep::Client::builder(format!("client-{number}"))
            .protocols(job.protocols())
            .socket_options(socket_options(job));
        Ok(Self(client.connect(job.target()?).await?))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        let message = message(body.clone())?;
        Ok(self.0.connection().send_message(&message).await?)
    }

    async fn receive(&mut self) -> Result<usize> {
        let message = self.0.connection().recv_message().await?;
        Ok(array(&message)?.len())
    }
}

/// A client of `masep::blocking`.
pub(crate) struct BlockingArrays(blocking::Client);

impl Link for BlockingArrays {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let client = blocking::Client::builder(format!("client-{number}"))
            .protocols(job.protocols())
            .socket_options(socket_options(job));
        Ok(Self(client.connect(job.target()?)?))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        let message = message(body.clone())?;
        Ok(self.0.connection().send_message(&message)?)
    }

    async fn receive(&mut self) -> Result<usize> {
        let message = self.0.connection().recv_message()?;
        Ok(array(&message)?.len())
    }
}

struct Answering;

impl SocketHandler for Answering {
    async fn on_receive(&self, connection: &masep::Connection, frame: Frame) {
        if let Some(answer) = answer(connection.decode(frame)) {
            let _ = connection.send_message(&answer).await;
        }
    }
}

impl blocking::SocketHandler for Answering {
    fn on_receive(&self, connection: &blocking::Connection, frame: Frame) {
        if let Some(answer) = answer(connection.decode(frame)) {
            let _ = connection.send_message(&answer);
        }
    }
}

/// One server for all connections.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let server = masep::Server::builder("server")
            .server_limits(ServerLimits::default().connections(job.links + 1_000))
            .socket_options(socket_options(job))
            .handler(Answering)
            .bind(job.listen_at())
            .await?;
        child::ready(server.local_address())?;
        std::future::pending().await
    })
}

/// The same without async, a thread for each connection.
pub(crate) fn serve_blocking(job: &Job) -> Result<()> {
    let server = blocking::Server::builder("server")
        .server_limits(ServerLimits::default().connections(job.links + 1_000))
        .socket_options(socket_options(job))
        .handler(Answering)
        .bind(job.listen_at())?;
    child::ready(server.local_address())?;
    loop {
        std::thread::park();
    }
}
