//! The process of the clients: all the connections' other ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep::WhenFull;
use serde::{Deserialize, Serialize};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::member::{Act, Member, Order, Tally};
use crate::plan::{POLICIES, Plan};
use crate::{Outcome, child, system};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// All connect, at once.
    Connect,
    /// Every hundredth reads nothing from now on.
    Stall {
        /// They are exceeded one after the other within this time, those whose queue disconnects.
        #[serde(with = "crate::seconds")]
        cut_within: Duration,
        /// All wait until the server has had enough.
        overdue: bool,
    },
    /// Those read again.
    Resume,
    /// Every hundredth leaves, and somebody else comes instead.
    Replace,
    /// Nobody sends anything more.
    Rest,
    /// The server ends all connections now: wait for that.
    Part,
}

/// The outcome of connecting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) connected: usize,
    #[serde(with = "crate::seconds")]
    pub(crate) time: Duration,
    #[serde(with = "crate::seconds")]
    pub(crate) median: Duration,
    #[serde(with = "crate::seconds")]
    pub(crate) slowest: Duration,
    /// The number of those that took a second or more: the listener had no room for their first packet, which
    /// was repeated.
    pub(crate) repeated: usize,
}

/// The facts that all members know.
pub(crate) struct Field {
    pub(crate) address: SocketAddr,
    pub(crate) every: Duration,
    pub(crate) hello_time: Duration,
    pub(crate) tally: Arc<Tally>,
    connections: usize,
}

impl Field {
    /// When a member's turn is, within the time in which each has one.
    pub(crate) fn turn(&self, number: u64) -> Duration {
        self.every.mul_f64(number as f64 / self.connections as f64)
    }
}

pub(crate) fn hold(plan: &Plan, address: &str) -> Outcome<()> {
    system::raise_descriptor_limit()?;
    let field = Field {
        address: address.parse()?,
        every: plan.every,
        hello_time: plan.hello_time,
        tally: Arc::default(),
        connections: plan.connections,
    };
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(Crowd::new(plan, field).obey())
}

struct Crowd {
    field: Field,
    stalled: usize,
    /// To each member.
    orders: Vec<mpsc::Sender<Order>>,
    /// The stalled members, each with its policy, and whether the connection ends for it.
    resumptions: Vec<(usize, Act)>,
    /// The index of the next ones to be replaced.
    replaced: usize,
}

impl Crowd {
    fn new(plan: &Plan, field: Field) -> Self {
        Self {
            field,
            stalled: plan.stalled(),
            orders: Vec::new(),
            resumptions: Vec::new(),
            replaced: 0,
        }
    }

    async fn obey(mut self) -> Outcome<()> {
        let mut commands = child::commands();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Connect => {
                    child::answer(&self.connect().await)?;
                    continue;
                }
                Command::Stall {
                    cut_within,
                    overdue,
                } => self.stall(cut_within, overdue).await?,
                Command::Resume => {
                    let resumptions = std::mem::take(&mut self.resumptions);
                    self.order(resumptions).await?;
                }
                Command::Replace => {
                    self.replaced += 1;
                    let acts = self
                        .some(self.replaced)
                        .map(|number| (number, Act::Replace));
                    self.order(acts.collect()).await?;
                }
                Command::Rest => self.order(self.all(&Act::Rest)).await?,
                Command::Part => self.order(self.all(&Act::Part)).await?,
            }
            child::answer(&self.field.tally.get())?;
        }
        Ok(())
    }

    async fn connect(&mut self) -> Joined {
        let start = Instant::now();
        let (joined, mut joining) = mpsc::unbounded_channel();
        for number in 0..self.field.connections {
            let (sender, orders) = mpsc::channel(1);
            self.orders.push(sender);
            let member = Member::new(number as u64, &self.field);
            tokio::spawn(member.live(orders, joined.clone()));
        }
        drop(joined);
        let mut times = Vec::with_capacity(self.orders.len());
        while let Some(time) = joining.recv().await {
            times.push(time);
        }
        times.sort_unstable();
        Joined {
            connected: times.len(),
            time: start.elapsed(),
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            slowest: times.last().copied().unwrap_or_default(),
            repeated: times.iter().filter(|time| time.as_secs() >= 1).count(),
        }
    }

    /// One member in a hundred, from the one with this number on.
    fn some(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        let (stalled, connections) = (self.stalled, self.orders.len());
        (0..stalled).map(move |n| (first + n * connections / stalled) % connections)
    }

    fn all(&self, act: &Act) -> Vec<(usize, Act)> {
        (0..self.orders.len())
            .map(|number| (number, act.clone()))
            .collect()
    }

    async fn stall(&mut self, cut_within: Duration, overdue: bool) -> Outcome<()> {
        let mut acts = Vec::new();
        let policies = if overdue {
            &POLICIES[..2]
        } else {
            &POLICIES[..]
        };
        for (n, number) in self.some(0).enumerate() {
            let when_full = policies[n % policies.len()];
            let patience = cut_within.mul_f64(n as f64 / self.stalled as f64);
            let patience = u32::try_from(patience.as_millis())?;
            let ended = overdue || when_full == WhenFull::Disconnect;
            acts.push((
                number,
                Act::Stall {
                    when_full,
                    patience,
                },
            ));
            self.resumptions
                .push((number, Act::Resume { when_full, ended }));
        }
        self.order(acts).await
    }

    /// Gives orders, and waits until they are obeyed.
    async fn order(&self, acts: Vec<(usize, Act)>) -> Outcome<()> {
        let mut all_done = Vec::with_capacity(acts.len());
        for (number, act) in acts {
            let (done, is_done) = oneshot::channel();
            self.orders[number].send(Order { act, done }).await?;
            all_done.push(is_done);
        }
        for is_done in all_done {
            is_done.await?;
        }
        Ok(())
    }
}
