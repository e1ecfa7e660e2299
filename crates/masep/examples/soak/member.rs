//! One of the many: a client that exchanges a frame now and then, and does what it is ordered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep::{Client, CloseReason, Connection, Limits, Protocols, SocketOptions, WhenFull};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::clients::Field;
use crate::frames::{Said, feed, ping, stop, understand};
use crate::{Error, Outcome};

/// The time that a frame, or an end, may be on its way before it counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Frames that wait for a member that does not read; the others wait at the server.
const QUEUE: usize = 16;

/// Members of all kinds are at the one server.
const fn spoken(number: u64) -> Protocols {
    match number % 3 {
        0 => Protocols::Pymasep,
        1 => Protocols::Masep2,
        _ => Protocols::Both,
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Ask to be fed, and read nothing from then on.
    Stall { when_full: WhenFull, patience: u32 },
    /// Read what has come, to the total or, if the server should have had enough, to the end of the
    /// connection; then connect again.
    Resume { when_full: WhenFull, ended: bool },
    /// Leave, and come back as somebody else.
    Replace,
    /// Exchange nothing more.
    Rest,
    /// Wait until the server ends the connection.
    Part,
}

#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) act: Act,
    /// Told when it is done.
    pub(crate) done: oneshot::Sender<()>,
}

/// The counts of all members together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    received: AtomicU64,
    items: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
    told: Mutex<Vec<String>>,
    ends: Mutex<BTreeMap<String, u64>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tallied {
    /// Pings that were sent, and those that came back as they were.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Items that stalled readers got after all, and those that newer ones took the place of.
    pub(crate) items: u64,
    pub(crate) dropped: u64,
    pub(crate) errors: u64,
    /// The first of the errors.
    pub(crate) told: Vec<String>,
    /// The ends of connections, as the clients see them.
    pub(crate) ends: BTreeMap<String, u64>,
}

/// Errors that are told, the others are only counted.
const TOLD: usize = 10;

impl Tally {
    pub(crate) fn get(&self) -> Tallied {
        Tallied {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            items: self.items.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            told: lock(&self.told).clone(),
            ends: lock(&self.ends).clone(),
        }
    }

    fn end(&self, reason: &CloseReason) {
        let reason = reason.as_str().to_owned();
        *lock(&self.ends).entry(reason).or_default() += 1;
    }

    fn error(&self, text: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut told = lock(&self.told);
        if told.len() < TOLD {
            told.push(text);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Member {
    number: u64,
    address: SocketAddr,
    limits: Limits,
    socket_options: SocketOptions,
    every: Duration,
    /// When in that time its turn is.
    turn: Duration,
    tally: Arc<Tally>,
    /// Connections that it has had.
    lives: u64,
    pings: u64,
    client: Option<Client>,
}

impl Member {
    pub(crate) fn new(number: u64, field: &Field) -> Self {
        Self {
            number,
            address: field.address,
            limits: Limits::default()
                .queue_messages(QUEUE)
                .hello_time(field.hello_time),
            socket_options: SocketOptions::default().connect_time(field.hello_time),
            every: field.every,
            turn: field.turn(number),
            tally: field.tally.clone(),
            lives: 0,
            pings: 0,
            client: None,
        }
    }

    /// Connects, tells how long that took, and then exchanges and obeys until no order can come.
    pub(crate) async fn live(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        joined: mpsc::UnboundedSender<Duration>,
    ) {
        let start = Instant::now();
        match self.connect().await {
            // Nobody counts any more if this fails.
            Ok(()) => drop(joined.send(start.elapsed())),
            Err(error) => self.report(&error),
        }
        drop(joined);
        let mut turns = interval_at((Instant::now() + self.turn).into(), self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut resting = false;
        loop {
            tokio::select! {
                _ = turns.tick(), if !resting => {
                    if let Err(error) = self.exchange().await {
                        self.report(&error);
                    }
                }
                order = orders.recv() => {
                    let Some(Order { act, done }) = order else { return };
                    resting = !matches!(act, Act::Resume { .. } | Act::Replace);
                    if let Err(error) = self.obey(act).await {
                        self.report(&error);
                    }
                    let _ = done.send(());
                }
            }
        }
    }

    fn report(&self, error: &Error) {
        self.tally.error(format!("member {}: {error}", self.number));
    }

    async fn obey(&mut self, act: Act) -> Outcome<()> {
        match act {
            Act::Stall {
                when_full,
                patience,
            } => Ok(self.connection()?.send(feed(when_full, patience)).await?),
            Act::Resume { when_full, ended } => self.catch_up(when_full, ended).await,
            Act::Replace => {
                let reason = self.connection()?.bye().await;
                self.tally.end(&reason);
                self.connect().await
            }
            Act::Rest => Ok(()),
            Act::Part => {
                let reason = timeout(LOST_AFTER, self.connection()?.closed()).await?;
                self.tally.end(&reason);
                Ok(())
            }
        }
    }

    fn connection(&self) -> Outcome<Connection> {
        let client = self.client.as_ref().ok_or("is not connected")?;
        Ok(client.connection().clone())
    }

    async fn connect(&mut self) -> Outcome<()> {
        let id = format!("member-{}-{}", self.number, self.lives);
        self.lives += 1;
        self.client = None;
        let client = Client::builder(id)
            .protocols(Protocols::Pymasep)
            .limits(self.limits.clone())
            .socket_options(self.socket_options.clone())
            .protocols(spoken(self.number))
            .connect(self.address)
            .await?;
        self.client = Some(client);
        Ok(())
    }

    /// A frame there and back.
    async fn exchange(&mut self) -> Outcome<()> {
        let connection = self.connection()?;
        let ping = ping(self.number, self.pings);
        self.pings += 1;
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        connection.send(ping.clone()).await?;
        match timeout(LOST_AFTER, connection.recv()).await {
            Ok(Ok(pong)) if pong == ping => {
                self.tally.received.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(Ok(other)) => Err(format!("got {} other bytes back", other.size()).into()),
            Ok(Err(reason)) => Err(format!("the connection ended: {reason}").into()),
            Err(_elapsed) => Err(format!("nothing came back within {LOST_AFTER:?}").into()),
        }
    }

    /// Reads what has come while it did not read: whole items, in order; all of them unless the
    /// newest wins; the last one also then.
    async fn catch_up(&mut self, when_full: WhenFull, ended: bool) -> Outcome<()> {
        let connection = self.connection()?;
        if !ended {
            connection.send(stop()).await?;
        }
        let mut next = 0;
        loop {
            let frame = timeout(LOST_AFTER, connection.recv()).await?;
            match frame.as_ref().map(understand) {
                Ok(Some(Said::Item(number))) => {
                    let may_skip = when_full == WhenFull::NewestWins;
                    if number < next || (number > next && !may_skip) {
                        return Err(format!("item {number} came instead of {next}").into());
                    }
                    self.tally
                        .dropped
                        .fetch_add(number - next, Ordering::Relaxed);
                    self.tally.items.fetch_add(1, Ordering::Relaxed);
                    next = number + 1;
                }
                Ok(Some(Said::Total(total))) if total == next && !ended => return Ok(()),
                Ok(Some(Said::Total(total))) => {
                    return Err(format!("{next} items came of {total}").into());
                }
                Ok(_) => return Err("a frame came that nobody sent".into()),
                Err(_) => break,
            }
        }
        let reason = connection.closed().await;
        if !ended {
            return Err(format!("the connection ended while it was stalled: {reason}").into());
        }
        self.tally.end(&reason);
        self.connect().await
    }
}
