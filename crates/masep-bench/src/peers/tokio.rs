//! tokio's sockets, written by hand for each work: what an async runtime allows.

use anyhow::Result;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::buffer::{BATCH, Buffer, HEADER, put_frame};
use super::queues::{AT_ONCE, Queues};
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, filler};
use crate::link::{Link, runtime};

/// A connection that sends and receives frames.
pub(crate) struct Tokio {
    reading: Reading,
    writing: OwnedWriteHalf,
    output: Vec<u8>,
}

struct Reading {
    half: OwnedReadHalf,
    buffer: Buffer,
}

impl Reading {
    /// The body of the next frame.
    async fn frame(&mut self) -> Result<&[u8]> {
        while !self.buffer.has_frame() {
            let count = self.half.read(self.buffer.space()).await?;
            self.buffer.received(count)?;
        }
        Ok(self.buffer.frame().unwrap_or_default())
    }
}

impl Tokio {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let (half, writing) = stream.into_split();
        let reading = Reading {
            half,
            buffer: Buffer::new(),
        };
        Ok(Self {
            reading,
            writing,
            output: Vec::new(),
        })
    }

    async fn write_output(&mut self) -> Result<()> {
        self.writing.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }
}

impl Link for Tokio {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        Self::new(TcpStream::connect(job.address()?).await?)
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        put_frame(&mut self.output, body);
        self.write_output().await
    }

    async fn feed(&mut self, body: &Bytes) -> Result<()> {
        if self.output.len() + HEADER + body.len() > BATCH {
            self.write_output().await?;
        }
        put_frame(&mut self.output, body);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.write_output().await
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.reading.frame().await?.len())
    }
}

/// A task for each connection, which reads and answers; where messages come from elsewhere, a second
/// one, which writes what waits.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        child::ready(listener.local_addr()?)?;
        let queues = Queues::default();
        let fans_out = job.work.fans_out();
        loop {
            let (stream, _) = listener.accept().await?;
            let connection = Tokio::new(stream)?;
            // An error is the end of a connection, which is the client's to judge.
            if fans_out {
                tokio::spawn(answer_from_queue(connection, queues.clone()));
            } else {
                tokio::spawn(answer(connection));
            }
        }
    })
}

async fn answer(mut connection: Tokio) -> Result<()> {
    let Tokio {
        reading,
        writing,
        output,
    } = &mut connection;
    loop {
        let body = reading.frame().await?;
        match Request::read(body) {
            Request::Take | Request::Broadcast { .. } => continue,
            Request::Echo => put_frame(output, body),
            Request::Observation => put_frame(output, &ACTION),
            Request::Acknowledge => put_frame(output, &ACKNOWLEDGEMENT),
            Request::Turn { size } => put_frame(output, &filler(size as usize)),
        }
        writing.write_all(output).await?;
        output.clear();
    }
}

async fn answer_from_queue(connection: Tokio, queues: Queues) -> Result<()> {
    let (queue, waiting) = queues.join();
    let Tokio {
        mut reading,
        writing,
        ..
    } = connection;
    tokio::spawn(write_waiting(writing, waiting));
    loop {
        let body = Bytes::copy_from_slice(reading.frame().await?);
        queues.answer(&queue, body).await?;
    }
}

async fn write_waiting(mut half: OwnedWriteHalf, mut waiting: mpsc::Receiver<Bytes>) -> Result<()> {
    let (mut bodies, mut output) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut bodies, AT_ONCE).await > 0 {
        for body in bodies.drain(..) {
            put_frame(&mut output, &body);
        }
        half.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}
