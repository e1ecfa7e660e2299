//! masep without async, driven by the threads that use it.

use anyhow::Result;
use bytes::Bytes;
use masep::blocking::{Client, Connection, Server, SocketHandler};
use masep::{Frame, ServerLimits};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::busy_poll::socket_options;
use super::masep_tls::{certified, trusting};
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, filler};
use crate::link::Link;

/// A client of `masep::blocking`.
pub(crate) struct Blocking(Client);

impl Link for Blocking {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let client = Client::builder(format!("client-{number}"))
            .protocols(job.protocols())
            .socket_options(socket_options(job));
        let client = match &job.tls {
            Some(certificates) => client.tls(trusting(certificates)),
            None => client,
        };
        Ok(Self(client.connect(&*job.url()?)?))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.0.connection().send(body.clone())?)
    }

    fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::task::spawn_blocking(|| Handle::current().block_on(work))
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.0.connection().recv()?.size())
    }
}

/// Answers in the thread that reads.
struct Answering;

impl SocketHandler for Answering {
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        // Fails when the connection has ended, which is the client's to judge.
        let _ = match Request::read(frame.as_ref()) {
            Request::Take | Request::Broadcast { .. } => Ok(()),
            Request::Echo => connection.send(frame),
            Request::Observation => connection.send(ACTION),
            Request::Acknowledge => connection.send(ACKNOWLEDGEMENT),
            Request::Turn { size } => connection.send(filler(size as usize)),
        };
    }
}

/// One server for all connections, a thread for each.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let server = Server::builder("server")
        .server_limits(ServerLimits::default().connections(job.links + 1_000))
        .socket_options(socket_options(job))
        .handler(Answering);
    let server = match &job.tls {
        Some(certificates) => server.tls(certified(certificates)),
        None => server,
    };
    let server = server.bind(job.listen_at())?;
    child::ready(server.local_address())?;
    loop {
        std::thread::park();
    }
}
