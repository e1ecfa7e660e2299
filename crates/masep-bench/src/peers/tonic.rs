//! gRPC by tonic: one bidirectional stream for each connection, without TLS and compression.
//!
//! The service is written by hand, and its messages are bytes that no serializer touches: what is
//! measured is tonic and HTTP/2, without what Protocol Buffers would add.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{self, Poll};

use anyhow::{Context, Result};
use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;

use super::queues::{Queues, answer_alone};
use crate::child;
use crate::job::{Job, Work};
use crate::link::{Link, runtime};

/// Messages that may wait in a client before it waits.
const QUEUE: usize = 1024;
/// Bytes under way on a stream, and in one HTTP/2 frame: with the defaults large messages wait for
/// updates of the window.
const WINDOW: u32 = 8 * 1024 * 1024;
const FRAME: u32 = 128 * 1024;

/// Messages as they are.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(8 * 1024, 64 * 1024)
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        Encoder::buffer_settings(self)
    }
}

/// A stream in each direction, on a connection of its own.
pub(crate) struct Tonic {
    sending: mpsc::Sender<Bytes>,
    receiving: Streaming<Bytes>,
}

impl Link for Tonic {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{}", job.address()?))?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
        client.ready().await?;
        let (sending, waiting) = mpsc::channel(QUEUE);
        let path = PathAndQuery::from_static("/bench.Bench/Talk");
        let response = client.streaming(Request::new(items(waiting)), path, Plain);
        Ok(Self {
            sending,
            receiving: response.await?.into_inner(),
        })
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.sending.send(body.clone()).await?)
    }

    async fn receive(&mut self) -> Result<usize> {
        let message = self.receiving.message().await?;
        Ok(message.context("the stream has ended")?.len())
    }
}

fn items(mut waiting: mpsc::Receiver<Bytes>) -> impl stream::Stream<Item = Bytes> {
    stream::poll_fn(move |context| waiting.poll_recv(context))
}

/// The service, and the method of it.
#[derive(Clone)]
struct Answering {
    queues: Option<Queues>,
}

impl NamedService for Answering {
    const NAME: &'static str = "bench.Bench";
}

impl Service<http::Request<Body>> for Answering {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Talk(self.queues.clone());
        let mut server = tonic::server::Grpc::new(Plain);
        Box::pin(async move { Ok(server.streaming(method, request).await) })
    }
}

struct Talk(Option<Queues>);

impl Service<Request<Streaming<Bytes>>> for Talk {
    type Response = Response<BoxStream<'static, Result<Bytes, Status>>>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let messages = request.into_inner();
        let answers = match &self.0 {
            None => messages
                .try_filter_map(|body| ready(Ok(answer_alone(body))))
                .boxed(),
            Some(queues) => {
                let (queue, waiting) = queues.join();
                tokio::spawn(answer_from_queue(messages, queue, queues.clone()));
                items(waiting).map(Ok).boxed()
            }
        };
        ready(Ok(Response::new(answers)))
    }
}

async fn answer_from_queue(
    mut messages: Streaming<Bytes>,
    queue: mpsc::Sender<Bytes>,
    queues: Queues,
) -> Result<()> {
    while let Some(body) = messages.message().await? {
        queues.answer(&queue, body).await?;
    }
    Ok(())
}

/// One server for all connections.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
        let mut server = Server::builder();
        if job.work != Work::Idle {
            server = server
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_frame_size(FRAME);
        }
        let queues = job.work.fans_out().then(Queues::default);
        let router = server.add_service(Answering { queues });
        child::ready(incoming.local_addr()?)?;
        Ok(router.serve_with_incoming(incoming).await?)
    })
}
