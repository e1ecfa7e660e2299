//! `std::net`, as somebody writes it who wants nothing but speed: what the machine's sockets allow.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};
use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::buffer::{BATCH, Buffer, HEADER, WIDE, header, is_wide, put_frame, size};
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, Work, filler};
use crate::link::{self, Link, Outcome};

/// A body from here on is written and read where it is, not gathered in a buffer.
const LARGE: usize = 16 * 1024;

/// The way in which messages are put into writes: the table shows these beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The best for each work: 64 kB batches of small messages; `writev` of large ones, which are
    /// read with `read_exact` into the place where they stay.
    Best,
    /// Each message by a write of its own.
    WriteEach,
    /// 64 kB batches, whatever the size.
    Batches,
}

impl Style {
    fn of(job: &Job) -> Self {
        match job.peer.as_str() {
            super::RAW_WRITES => Self::WriteEach,
            super::RAW_BATCHES => Self::Batches,
            _ => Self::Best,
        }
    }
}

/// A connection that sends and receives frames.
struct Raw<const H: usize> {
    reading: Reading<H>,
    writing: Writing<H>,
}

struct Reading<const H: usize> {
    stream: Arc<TcpStream>,
    spin: bool,
    /// True if frames are large ones, each read into its place.
    large: bool,
    buffer: Buffer<H>,
    place: Vec<u8>,
}

struct Writing<const H: usize> {
    stream: Arc<TcpStream>,
    spin: bool,
    style: Style,
    output: Vec<u8>,
}

impl<const H: usize> Raw<H> {
    fn new(stream: TcpStream, job: &Job, style: Style) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(job.spin)?;
        let (stream, spin) = (Arc::new(stream), job.spin);
        let reading = Reading {
            stream: Arc::clone(&stream),
            spin,
            large: false,
            buffer: Buffer::new(),
            place: Vec::new(),
        };
        Ok(Self {
            reading,
            writing: Writing {
                stream,
                spin,
                style,
                output: Vec::new(),
            },
        })
    }
}

impl<const H: usize> Reading<H> {
    /// The body of the next frame.
    fn frame(&mut self) -> Result<&[u8]> {
        if self.large {
            return self.large_frame();
        }
        while !self.buffer.has_frame() {
            self.fill()?;
        }
        Ok(self.buffer.frame().unwrap_or_default())
    }

    fn fill(&mut self) -> Result<()> {
        let count = loop {
            match (&*self.stream).read(self.buffer.space()) {
                Err(error) if self.spin && error.kind() == ErrorKind::WouldBlock => {
                    std::hint::spin_loop();
                }
                read => break read?,
            }
        };
        self.buffer.received(count)
    }

    /// Reads the body into its place at once: no byte is copied a second time.
    fn large_frame(&mut self) -> Result<&[u8]> {
        let mut header = [0; H];
        (&*self.stream).read_exact(&mut header)?;
        let size = size(&header);
        if self.place.len() < size {
            self.place.resize(size, 0);
        }
        (&*self.stream).read_exact(&mut self.place[..size])?;
        Ok(&self.place[..size])
    }
}

impl<const H: usize> Writing<H> {
    /// Sends a message by itself.
    fn write(&mut self, body: &[u8]) -> Result<()> {
        if body.len() >= LARGE && self.style == Style::Best {
            return self.write_large(body);
        }
        put_frame::<H>(&mut self.output, body);
        self.write_output()
    }

    fn write_large(&self, body: &[u8]) -> Result<()> {
        let header = header::<H>(body);
        let mut written = 0;
        while written < H + body.len() {
            let parts = [
                IoSlice::new(&header[written.min(H)..]),
                IoSlice::new(&body[written.saturating_sub(H)..]),
            ];
            match (&*self.stream).write_vectored(&parts) {
                Ok(count) => written += count,
                Err(error) if self.spin && error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_output(&mut self) -> Result<()> {
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            match (&*self.stream).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if self.spin && error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        Ok(())
    }
}

impl<const H: usize> Link for Raw<H> {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        Self::new(TcpStream::connect(job.address()?)?, job, Style::of(job))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        self.writing.write(body)
    }

    async fn feed(&mut self, body: &Bytes) -> Result<()> {
        let Writing { style, output, .. } = &mut self.writing;
        if *style == Style::WriteEach || (*style == Style::Best && body.len() >= LARGE) {
            return self.writing.write(body);
        }
        if output.len() + H + body.len() > BATCH {
            self.writing.write_output()?;
        }
        put_frame::<H>(&mut self.writing.output, body);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.writing.write_output()
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.reading.frame()?.len())
    }

    /// In one thread, from whichever socket has something.
    async fn receive_on_all(mut links: Vec<Self>, each: usize) -> Result<Vec<Self>> {
        let mut missing = vec![each; links.len()];
        let mut unfinished = links.len();
        while unfinished > 0 {
            for index in readable(&links)? {
                let reading = &mut links[index].reading;
                reading.fill()?;
                while reading.buffer.frame().is_some() {
                    ensure!(missing[index] > 0, "more messages than were asked for");
                    missing[index] -= 1;
                    unfinished -= usize::from(missing[index] == 0);
                }
            }
        }
        Ok(links)
    }
}

/// The links of which a read would bring something.
fn readable<const H: usize>(links: &[Raw<H>]) -> Result<Vec<usize>> {
    let mut waiting: Vec<_> = links
        .iter()
        .map(|link| PollFd::new(link.writing.stream.as_fd(), PollFlags::POLLIN))
        .collect();
    poll(&mut waiting, PollTimeout::NONE)?;
    let ready = waiting
        .iter()
        .enumerate()
        .filter(|(_, fd)| fd.any().unwrap_or(true));
    Ok(ready.map(|(index, _)| index).collect())
}

/// Does the client's part of a job.
pub(crate) fn drive(job: &Job) -> Result<Outcome> {
    match is_wide(job) {
        true => link::drive::<Raw<WIDE>>(job),
        false => link::drive::<Raw<HEADER>>(job),
    }
}

/// Does the server's part of a job.
pub(crate) fn serve(job: &Job) -> Result<()> {
    match is_wide(job) {
        true => serve_with::<WIDE>(job),
        false => serve_with::<HEADER>(job),
    }
}

/// A thread for each connection.
fn serve_with<const H: usize>(job: &Job) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    child::ready(listener.local_addr()?)?;
    let everybody = Arc::new(Mutex::new(Vec::new()));
    for stream in listener.incoming() {
        let stream = stream?;
        if job.work.fans_out() {
            everybody
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stream.try_clone()?);
        }
        let style = Style::of(job);
        let mut connection = Raw::<H>::new(stream, job, style)?;
        connection.reading.large =
            job.work == Work::OneWay && job.size >= LARGE && style == Style::Best;
        let everybody = Arc::clone(&everybody);
        // An error is the end of the connection, which is the client's to judge.
        thread::spawn(move || answer(connection, &everybody));
    }
    Ok(())
}

fn answer<const H: usize>(mut connection: Raw<H>, everybody: &Mutex<Vec<TcpStream>>) -> Result<()> {
    let Raw { reading, writing } = &mut connection;
    loop {
        let body = reading.frame()?;
        match Request::read(body) {
            Request::Take => {}
            Request::Echo => writing.write(body)?,
            Request::Observation => writing.write(&ACTION)?,
            Request::Acknowledge => writing.write(&ACKNOWLEDGEMENT)?,
            Request::Turn { size } => writing.write(&filler(size as usize))?,
            Request::Broadcast { count, size } => {
                let mut streams = everybody.lock().unwrap_or_else(PoisonError::into_inner);
                broadcast::<H>(&mut streams, count as usize, &filler(size as usize))?;
            }
        }
    }
}

/// Sends batches: as many messages to one connection in one write as go out in one piece.
fn broadcast<const H: usize>(
    streams: &mut [TcpStream],
    mut count: usize,
    body: &[u8],
) -> Result<()> {
    let in_batch = (BATCH / (H + body.len())).max(1);
    let mut batch = Vec::new();
    for _ in 0..in_batch {
        put_frame::<H>(&mut batch, body);
    }
    while count > 0 {
        let now = count.min(in_batch);
        for stream in &mut *streams {
            stream.write_all(&batch[..now * (H + body.len())])?;
        }
        count -= now;
    }
    Ok(())
}
