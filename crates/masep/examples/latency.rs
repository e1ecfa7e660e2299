//! Measures round trips to an echo server, pymasep's or masep's:
//! `cargo run --release --example latency -- 127.0.0.1:60000 [ROUND_TRIPS] [BYTES]`.

use std::error::Error;
use std::time::{Duration, Instant};

use masep::{Client, Connection, Frame};

/// The median, the smallest and the largest of some times.
fn summary(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[0], times[times.len() - 1])
}

async fn measure(connection: &Connection, round_trips: usize, size: usize) -> Vec<Duration> {
    let frame = Frame::new(vec![b'x'; size]);
    let mut times = Vec::with_capacity(round_trips);
    for _ in 0..round_trips {
        let start = Instant::now();
        if connection.send(frame.clone()).await.is_err() {
            break;
        }
        match connection.recv().await {
            Ok(echo) if echo == frame => times.push(start.elapsed()),
            _ => break,
        }
    }
    times
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:60000".to_owned());
    let round_trips: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let size: usize = arguments.next().map_or(Ok(300), |text| text.parse())?;

    let client = Client::builder("latency").connect(address).await?;
    let times = measure(client.connection(), round_trips, size).await;
    let ended = client.connection().bye().await;
    if times.len() < round_trips {
        return Err(format!(
            "{} of {round_trips} round trips, then: {ended}",
            times.len()
        )
        .into());
    }
    let (median, min, max) = summary(times);
    println!(
        r#"{{"round_trips":{round_trips},"bytes":{size},"median_us":{:.1},"min_us":{:.1},"max_us":{:.1}}}"#,
        median.as_secs_f64() * 1e6,
        min.as_secs_f64() * 1e6,
        max.as_secs_f64() * 1e6,
    );
    Ok(())
}
