//! tokio's sockets, written by hand for each work: what an async runtime allows.

use anyhow::Result;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::buffer::{BATCH, Buffer, HEADER, WIDE, header, is_wide, put_frame};
use super::queues::{AT_ONCE, Queues};
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, filler};
use crate::link::{self, Link, Outcome, runtime};

/// A connection that sends and receives frames.
struct Tokio<const H: usize> {
    reading: Reading<H>,
    writing: OwnedWriteHalf,
    output: Vec<u8>,
}

struct Reading<const H: usize> {
    half: OwnedReadHalf,
    buffer: Buffer<H>,
}

impl<const H: usize> Reading<H> {
    /// The body of the next frame.
    async fn frame(&mut self) -> Result<&[u8]> {
        while !self.buffer.has_frame() {
            let count = self.half.read(self.buffer.space()).await?;
            self.buffer.received(count)?;
        }
        Ok(self.buffer.frame().unwrap_or_default())
    }
}

impl<const H: usize> Tokio<H> {
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

impl<const H: usize> Link for Tokio<H> {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        Self::new(TcpStream::connect(job.address()?).await?)
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        if is_written_alone::<H>(body) {
            return write_alone::<H>(&mut self.writing, body).await;
        }
        put_frame::<H>(&mut self.output, body);
        self.write_output().await
    }

    async fn feed(&mut self, body: &Bytes) -> Result<()> {
        if is_written_alone::<H>(body) {
            return write_alone::<H>(&mut self.writing, body).await;
        }
        if self.output.len() + H + body.len() > BATCH {
            self.write_output().await?;
        }
        put_frame::<H>(&mut self.output, body);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.write_output().await
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.reading.frame().await?.len())
    }
}

/// Arrays, nearly each of which fills a write, are written from their place. Nothing waits before them.
fn is_written_alone<const H: usize>(body: &[u8]) -> bool {
    H == WIDE && body.len() >= BATCH / 4
}

async fn write_alone<const H: usize>(half: &mut OwnedWriteHalf, body: &[u8]) -> Result<()> {
    let header = header::<H>(body);
    let mut frame = Buf::chain(&header[..], body);
    Ok(half.write_all_buf(&mut frame).await?)
}

/// Does the client's part of a job.
pub(crate) fn drive(job: &Job) -> Result<Outcome> {
    match is_wide(job) {
        true => link::drive::<Tokio<WIDE>>(job),
        false => link::drive::<Tokio<HEADER>>(job),
    }
}

/// Does the server's part of a job.
pub(crate) fn serve(job: &Job) -> Result<()> {
    match is_wide(job) {
        true => serve_with::<WIDE>(job),
        false => serve_with::<HEADER>(job),
    }
}

/// A task for each connection, which reads and answers; where messages come from elsewhere, a second
/// one, which writes what waits.
fn serve_with<const H: usize>(job: &Job) -> Result<()> {
    runtime(job.threads)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        child::ready(listener.local_addr()?)?;
        let queues = Queues::default();
        let fans_out = job.work.fans_out();
        loop {
            let (stream, _) = listener.accept().await?;
            let connection = Tokio::<H>::new(stream)?;
            // An error is the end of a connection, which is the client's to judge.
            if fans_out {
                tokio::spawn(answer_from_queue(connection, queues.clone()));
            } else {
                tokio::spawn(answer(connection));
            }
        }
    })
}

async fn answer<const H: usize>(mut connection: Tokio<H>) -> Result<()> {
    let Tokio {
        reading,
        writing,
        output,
    } = &mut connection;
    loop {
        let body = reading.frame().await?;
        match Request::read(body) {
            Request::Take | Request::Broadcast { .. } => continue,
            Request::Echo if is_written_alone::<H>(body) => {
                write_alone::<H>(writing, body).await?;
                continue;
            }
            Request::Echo => put_frame::<H>(output, body),
            Request::Observation => put_frame::<H>(output, &ACTION),
            Request::Acknowledge => put_frame::<H>(output, &ACKNOWLEDGEMENT),
            Request::Turn { size } => put_frame::<H>(output, &filler(size as usize)),
        }
        writing.write_all(output).await?;
        output.clear();
    }
}

async fn answer_from_queue<const H: usize>(connection: Tokio<H>, queues: Queues) -> Result<()> {
    let (queue, waiting) = queues.join();
    let Tokio {
        mut reading,
        writing,
        ..
    } = connection;
    tokio::spawn(write_waiting::<H>(writing, waiting));
    loop {
        let body = Bytes::copy_from_slice(reading.frame().await?);
        queues.answer(&queue, body).await?;
    }
}

async fn write_waiting<const H: usize>(
    mut half: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Bytes>,
) -> Result<()> {
    let (mut bodies, mut output) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut bodies, AT_ONCE).await > 0 {
        for body in bodies.drain(..) {
            put_frame::<H>(&mut output, &body);
        }
        half.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}
