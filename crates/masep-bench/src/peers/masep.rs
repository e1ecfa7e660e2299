//! masep, through its public API and with its defaults, but for the protocol, which is pymasep's unless the job says otherwise.

use std::sync::{Arc, OnceLock};

use anyhow::{Result, bail};
use bytes::Bytes;
use masep::{Client, Connection, Frame, Registry, Server, ServerLimits, SocketHandler, WhenFull};

use super::busy_poll::socket_options;
use super::masep_tls::{certified, trusting};
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, filler};
use crate::link::{Link, runtime};

/// A client of masep.
pub(crate) struct Masep(Client);

impl Link for Masep {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let client = Client::builder(format!("client-{number}"))
            .protocols(job.protocols())
            .socket_options(socket_options(job));
        let client = match &job.tls {
            Some(certificates) => client.tls(trusting(certificates)),
            None => client,
        };
        Ok(Self(client.connect(&*job.url()?).await?))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.0.connection().send(body.clone()).await?)
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.0.connection().recv().await?.size())
    }
}

/// Answers where the frame was read.
#[derive(Clone, Default)]
struct Answering {
    registry: Arc<OnceLock<Registry>>,
}

impl SocketHandler for Answering {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        // Fails when the connection has ended, which is the client's to judge.
        let _ = match Request::read(frame.as_ref()) {
            Request::Take => Ok(()),
            Request::Echo => connection.send(frame).await,
            Request::Observation => connection.send(ACTION).await,
            Request::Acknowledge => connection.send(ACKNOWLEDGEMENT).await,
            Request::Turn { size } => connection.send(filler(size as usize)).await,
            Request::Broadcast { count, size } => {
                if let Some(registry) = self.registry.get() {
                    let registry = registry.clone();
                    tokio::spawn(broadcast(
                        registry,
                        count,
                        Frame::new(filler(size as usize)),
                    ));
                }
                Ok(())
            }
        };
    }
}

async fn broadcast(registry: Registry, count: u32, frame: Frame) {
    for _ in 0..count {
        if registry.broadcast(&frame, WhenFull::Wait).await.is_err() {
            return;
        }
    }
}

/// One server for all connections.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let handler = Answering::default();
        let server = Server::builder("server")
            .server_limits(ServerLimits::default().connections(job.links + 1_000))
            .socket_options(socket_options(job))
            .handler(handler.clone());
        let server = match &job.tls {
            Some(certificates) => server.tls(certified(certificates)),
            None => server,
        };
        let server = server.bind(job.listen_at()).await?;
        if handler.registry.set(server.registry().clone()).is_err() {
            bail!("a registry is set once");
        }
        child::ready(server.local_address())?;
        std::future::pending().await
    })
}
