//! The process of the client whose round trips are timed, one after the other, without a pause.

use std::time::{Duration, Instant};

use masep::{Client, Protocols};
use serde::{Deserialize, Serialize};
use tokio::runtime;

use crate::frames::ping;
use crate::{Outcome, child};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Measure(#[serde(with = "crate::seconds")] Duration),
}

/// The round trips of one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trips {
    pub(crate) count: u64,
    #[serde(with = "crate::seconds")]
    pub(crate) p50: Duration,
    #[serde(with = "crate::seconds")]
    pub(crate) p99: Duration,
    #[serde(with = "crate::seconds")]
    pub(crate) p999: Duration,
    #[serde(with = "crate::seconds")]
    pub(crate) slowest: Duration,
}

/// Distinguishes the pings of the pair from all others.
const NUMBER: u64 = u64::MAX;

pub(crate) fn measure(address: &str) -> Outcome<()> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(obey(address))
}

async fn obey(address: &str) -> Outcome<()> {
    let client = Client::builder("pair").protocols(Protocols::Pymasep);
    let client = client.connect(address).await?;
    let mut commands = child::commands();
    let mut pings = 0;
    while let Some(Command::Measure(window)) = commands.recv().await {
        child::answer(&trips(&client, window, &mut pings).await?)?;
    }
    Ok(())
}

async fn trips(client: &Client, window: Duration, pings: &mut u64) -> Outcome<Trips> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < window {
        let ping = ping(NUMBER, *pings);
        *pings += 1;
        let sent = Instant::now();
        client.connection().send(ping.clone()).await?;
        match client.connection().recv().await {
            Ok(pong) if pong == ping => times.push(sent.elapsed()),
            Ok(_) => return Err("something else came back".into()),
            Err(_) => {
                let reason = client.connection().closed().await;
                return Err(format!("the pair's connection ended: {reason}").into());
            }
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Trips {
        count: times.len() as u64,
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        slowest: at(1.0),
    })
}
