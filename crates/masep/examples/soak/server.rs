//! The process of the server: one [`Server`], that sends back what it is sent, and feeds those who
//! ask for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep::{
    CloseReason, Connection, ConnectionId, Frame, Limits, RejectReason, Server, ServerLimits,
    SocketHandler,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Handle};
use tokio::sync::Notify;

use crate::frames::{Said, understand};
use crate::plan::Plan;
use crate::{Outcome, child, feeder, system};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Tells the number of connections at the moment.
    Count,
    /// Ends all connections.
    ShutDown,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Tasks of the runtime.
    pub(crate) tasks: usize,
    pub(crate) connections: usize,
    /// Pings that arrived, and those that were sent back.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Items that went into queues.
    pub(crate) items: u64,
    /// Connections that are being fed, and those of them that take nothing.
    pub(crate) fed: usize,
    pub(crate) stalled: usize,
    /// Connections that ended, by reason.
    pub(crate) ends: BTreeMap<String, u64>,
    /// Connections that were not taken, by reason.
    pub(crate) rejections: BTreeMap<String, u64>,
    /// Frames that nobody should have sent.
    pub(crate) not_understood: u64,
}

/// The outcome of a shut-down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShutDown {
    pub(crate) ended: usize,
    pub(crate) cut: usize,
    #[serde(with = "crate::seconds")]
    pub(crate) time: Duration,
}

/// The time that a shut-down may take.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn serve(plan: &Plan) -> Outcome<()> {
    system::raise_descriptor_limit()?;
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(obey(plan))
}

async fn obey(plan: &Plan) -> Outcome<()> {
    let limits = Limits::default()
        .hello_time(plan.hello_time)
        .write_time(plan.write_time);
    let engine = Arc::new(Engine::default());
    let server = Server::builder("engine")
        .limits(limits)
        .server_limits(ServerLimits::default().connections(plan.connections + 1_000))
        .handler(engine.clone())
        .bind("127.0.0.1:0")
        .await?;
    let mut commands = child::commands();
    child::answer(&server.local_address().tcp())?;
    let registry = server.registry().clone();
    let mut server = Some(server);
    while let Some(command) = commands.recv().await {
        match command {
            Command::Count => child::answer(&engine.counts(registry.len()))?,
            Command::ShutDown => {
                let server = server.take().ok_or("is shut down already")?;
                let start = Instant::now();
                let report = server.shutdown(DEADLINE).await;
                child::answer(&ShutDown {
                    ended: report.ended.len(),
                    cut: report.cut.len(),
                    time: start.elapsed(),
                })?;
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Engine {
    received: AtomicU64,
    sent: AtomicU64,
    feeding: Arc<Feeding>,
    stops: Mutex<HashMap<ConnectionId, Arc<Notify>>>,
    ends: Mutex<BTreeMap<String, u64>>,
    rejections: Mutex<BTreeMap<String, u64>>,
    not_understood: AtomicU64,
}

/// The counts of the tasks that feed connections.
#[derive(Default)]
pub(crate) struct Feeding {
    pub(crate) items: AtomicU64,
    pub(crate) fed: AtomicUsize,
    pub(crate) stalled: AtomicUsize,
}

impl Engine {
    fn counts(&self, connections: usize) -> Counts {
        Counts {
            tasks: Handle::current().metrics().num_alive_tasks(),
            connections,
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            items: self.feeding.items.load(Ordering::Relaxed),
            fed: self.feeding.fed.load(Ordering::Relaxed),
            stalled: self.feeding.stalled.load(Ordering::Relaxed),
            ends: lock(&self.ends).clone(),
            rejections: lock(&self.rejections).clone(),
            not_understood: self.not_understood.load(Ordering::Relaxed),
        }
    }
}

impl SocketHandler for Engine {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        match understand(&frame) {
            Some(Said::Ping) => {
                self.received.fetch_add(1, Ordering::Relaxed);
                if connection.send(frame).await.is_ok() {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(Said::Feed {
                when_full,
                patience,
            }) => {
                let stop = Arc::new(Notify::new());
                lock(&self.stops).insert(connection.id(), stop.clone());
                let patience = Duration::from_millis(patience.into());
                let (connection, feeding) = (connection.clone(), self.feeding.clone());
                tokio::spawn(async move {
                    feeder::feed(&connection, when_full, patience, &stop, &feeding).await;
                });
            }
            Some(Said::Stop) => {
                if let Some(stop) = lock(&self.stops).remove(&connection.id()) {
                    stop.notify_one();
                }
            }
            _ => {
                self.not_understood.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        if let Some(stop) = lock(&self.stops).remove(&connection.id()) {
            stop.notify_one();
        }
        *lock(&self.ends)
            .entry(reason.as_str().to_owned())
            .or_default() += 1;
    }

    async fn on_reject(&self, _address: masep::Address, reason: &RejectReason) {
        *lock(&self.rejections)
            .entry(reason.as_str().to_owned())
            .or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
