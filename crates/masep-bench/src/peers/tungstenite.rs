//! WebSocket by tokio-tungstenite, without TLS and compression.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

use super::buffer::BATCH;
use super::queues::{AT_ONCE, Queues, answer_alone};
use crate::child;
use crate::job::{Job, Work};
use crate::link::{Link, runtime};

/// To read, its default of 128 KiB is the fastest where something is to be read, and memory where nothing is; to
/// write, as much as goes out in one piece.
fn config(job: &Job) -> WebSocketConfig {
    let config = WebSocketConfig::default().write_buffer_size(BATCH);
    match job.work {
        Work::Idle => config.read_buffer_size(4 * 1024),
        _ => config,
    }
}

/// A WebSocket.
pub(crate) struct Tungstenite(WebSocketStream<TcpStream>);

impl Tungstenite {
    async fn binary(&mut self) -> Result<Bytes> {
        binary(self.0.next().await)
    }
}

fn binary(
    message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
) -> Result<Bytes> {
    match message.context("the peer has closed the WebSocket")?? {
        Message::Binary(body) => Ok(body),
        other => bail!("{other:?} is no binary message"),
    }
}

impl Link for Tungstenite {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        let address = job.address()?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}/");
        let (socket, _) = client_async_with_config(url, stream, Some(config(job))).await?;
        Ok(Self(socket))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.0.send(Message::Binary(body.clone())).await?)
    }

    async fn feed(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.0.feed(Message::Binary(body.clone())).await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush().await?)
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.binary().await?.len())
    }
}

/// A task for each WebSocket, which reads and answers; where messages come from elsewhere, a second one,
/// which writes all that waits before it flushes.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        child::ready(listener.local_addr()?)?;
        let queues = Queues::default();
        let fans_out = job.work.fans_out();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (config, queues) = (config(job), queues.clone());
            // An error is the end of a connection, which is the client's to judge.
            tokio::spawn(async move {
                let socket = accept_async_with_config(stream, Some(config)).await?;
                if fans_out {
                    answer_from_queue(socket, queues).await
                } else {
                    answer(Tungstenite(socket)).await
                }
            });
        }
    })
}

async fn answer(mut socket: Tungstenite) -> Result<()> {
    loop {
        let body = socket.binary().await?;
        if let Some(answer) = answer_alone(body) {
            socket.send(&answer).await?;
        }
    }
}

async fn answer_from_queue(socket: WebSocketStream<TcpStream>, queues: Queues) -> Result<()> {
    let (mut sink, mut stream) = socket.split();
    let (queue, mut waiting) = queues.join();
    tokio::spawn(async move {
        let mut bodies = Vec::new();
        while waiting.recv_many(&mut bodies, AT_ONCE).await > 0 {
            for body in bodies.drain(..) {
                sink.feed(Message::Binary(body)).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    loop {
        let body = binary(stream.next().await)?;
        queues.answer(&queue, body).await?;
    }
}
