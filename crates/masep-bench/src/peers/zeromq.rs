//! ZeroMQ by libzmq, with the kinds of sockets that its guide names for each work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use zmq::{Context, DONTWAIT, Message, POLLIN, SNDMORE, Socket, SocketType};

use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, Work, filler};
use crate::link::Link;

/// Messages that may wait at each end, above its default of 1,000.
const HIGH_WATER_MARK: i32 = 100_000;
/// libzmq opens 1,023 sockets in a context unless it is told otherwise, which the crate cannot.
const SOCKETS_IN_CONTEXT: usize = 500;

/// The beginning of each message of [`Request::Broadcast`], and of each that is sent back.
const TOPIC: &[u8] = b"t";
const ECHO: &[u8] = b"e";
/// The byte that makes a message of an XSUB socket a subscription, and that for the end of one.
const SUBSCRIBE: u8 = 1;
const UNSUBSCRIBE: u8 = 0;

/// The sockets at server and client.
fn sockets(work: Work) -> (SocketType, SocketType) {
    match work {
        // Without an address in front of each message: there is one client.
        Work::RoundTrip | Work::WholeTurn | Work::OneWay => (zmq::DEALER, zmq::DEALER),
        Work::FanOut | Work::Spectators => (zmq::XPUB, zmq::XSUB),
        Work::Idle | Work::Turns | Work::Handshakes => (zmq::ROUTER, zmq::DEALER),
    }
}

fn socket(context: &Context, kind: SocketType) -> Result<Socket> {
    let socket = context.socket(kind)?;
    // A publisher throws away what is above its mark; without one nothing is lost.
    let mark = if kind == zmq::XPUB {
        0
    } else {
        HIGH_WATER_MARK
    };
    socket.set_sndhwm(mark)?;
    socket.set_rcvhwm(HIGH_WATER_MARK)?;
    socket.set_linger(0)?;
    Ok(socket)
}

/// A socket of a client. Its calls block the thread.
pub(crate) struct ZeroMq {
    socket: Socket,
    message: Message,
    /// True if it subscribes to messages that are sent back, as a subscriber does until one came for the first
    /// time.
    greeting: bool,
}

impl ZeroMq {
    fn receive_now(&mut self, flags: i32) -> zmq::Result<usize> {
        loop {
            self.socket.recv(&mut self.message, flags)?;
            if self.socket.get_socket_type()? != zmq::XSUB || !self.message.starts_with(ECHO) {
                break;
            }
            // Messages meant for others come as well until the end of the subscription has arrived.
            if std::mem::take(&mut self.greeting) {
                self.socket.send(subscription(UNSUBSCRIBE, ECHO), 0)?;
                break;
            }
        }
        Ok(self.message.len())
    }
}

fn subscription(what: u8, topic: &[u8]) -> Vec<u8> {
    [&[what], topic].concat()
}

/// The context for the link of this number.
fn context(number: usize) -> Context {
    static CONTEXTS: Mutex<BTreeMap<usize, Context>> = Mutex::new(BTreeMap::new());
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = number / SOCKETS_IN_CONTEXT;
    contexts.entry(index).or_default().clone()
}

impl Link for ZeroMq {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let (_, kind) = sockets(job.work);
        let socket = socket(&context(number), kind)?;
        socket.connect(&format!("tcp://{}", job.address()?))?;
        let greeting = kind == zmq::XSUB;
        if greeting {
            socket.send(subscription(SUBSCRIBE, TOPIC), 0)?;
            socket.send(subscription(SUBSCRIBE, ECHO), 0)?;
        }
        let message = Message::new();
        Ok(Self {
            socket,
            message,
            greeting,
        })
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        Ok(self.socket.send(&**body, 0)?)
    }

    async fn receive(&mut self) -> Result<usize> {
        Ok(self.receive_now(0)?)
    }

    /// In one thread, from whichever socket has something.
    async fn receive_on_all(mut links: Vec<Self>, each: usize) -> Result<Vec<Self>> {
        let mut missing = vec![each; links.len()];
        let mut unfinished = links.len();
        while unfinished > 0 {
            let items = links.iter().map(|link| link.socket.as_poll_item(POLLIN));
            let mut items: Vec<_> = items.collect();
            zmq::poll(&mut items, -1)?;
            let ready: Vec<_> = items.iter().map(zmq::PollItem::is_readable).collect();
            for index in (0..links.len()).filter(|&index| ready[index]) {
                loop {
                    match links[index].receive_now(DONTWAIT) {
                        Err(zmq::Error::EAGAIN) => break,
                        received => received?,
                    };
                    ensure!(missing[index] > 0, "more messages than were asked for");
                    missing[index] -= 1;
                    unfinished -= usize::from(missing[index] == 0);
                }
            }
        }
        Ok(links)
    }
}

/// One socket for all connections; libzmq's own thread reads and writes.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let (kind, _) = sockets(job.work);
    let server = socket(&Context::new(), kind)?;
    server.bind("tcp://127.0.0.1:*")?;
    child::ready(address(&server)?)?;
    let (mut sender, mut message) = (Message::new(), Message::new());
    loop {
        if kind == zmq::ROUTER {
            server.recv(&mut sender, 0)?;
        }
        server.recv(&mut message, 0)?;
        let to = (kind == zmq::ROUTER).then_some(&*sender);
        match Request::read(&message) {
            Request::Take => {}
            Request::Echo => answer(&server, to, std::mem::replace(&mut message, Message::new()))?,
            Request::Observation => answer(&server, to, ACTION.to_vec())?,
            Request::Acknowledge => answer(&server, to, ACKNOWLEDGEMENT.to_vec())?,
            Request::Turn { size } => answer(&server, to, filler(size as usize).to_vec())?,
            Request::Broadcast { count, size } => {
                let body = filler(size as usize);
                for _ in 0..count {
                    server.send(&*body, 0)?;
                }
            }
        }
    }
}

fn answer(server: &Socket, to: Option<&[u8]>, body: impl Into<Message>) -> Result<()> {
    if let Some(to) = to {
        server.send(to, SNDMORE)?;
    }
    Ok(server.send(body, 0)?)
}

fn address(socket: &Socket) -> Result<SocketAddr> {
    let endpoint = socket.get_last_endpoint()?.ok();
    let endpoint = endpoint.context("libzmq has named no endpoint")?;
    let address = endpoint.strip_prefix("tcp://").context("no TCP endpoint")?;
    Ok(address.parse()?)
}
