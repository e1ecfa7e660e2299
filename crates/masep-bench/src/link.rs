//! A client's connection to a server, whoever provides it, and the work that is measured on it.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::job::{ACTION, Job, Request, Work};
use crate::stats::quantile;

/// The measured figures, by name; the names are those of [`crate::experiment::Metric`].
pub(crate) type Outcome = BTreeMap<String, f64>;

/// A client's end of one connection. Static dispatch throughout: nothing is added to what a peer does.
pub(crate) trait Link: Sized + Send + 'static {
    /// The runtime that the client runs in.
    fn runtime(job: &Job) -> io::Result<Runtime> {
        runtime(job.threads)
    }

    /// Connects; `number` tells the links of one client apart.
    fn connect(job: &Job, number: usize) -> impl Future<Output = Result<Self>> + Send;

    /// Sends a message at once. A peer that has to own its bytes takes a clone.
    fn send(&mut self, body: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Sends a message, which may wait for others to be sent with; [`Link::flush`] ends the wait.
    fn feed(&mut self, body: &Bytes) -> impl Future<Output = Result<()>> + Send {
        self.send(body)
    }

    /// Sends all that was fed.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Does something beside the rest of the client. A peer whose calls block has a thread for it.
    fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(work)
    }

    /// Receives a message, whole and in memory; its size.
    fn receive(&mut self) -> impl Future<Output = Result<usize>> + Send;

    /// Ends the connection in order. By default that is what a drop does.
    fn end(self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Receives this many messages on each of the links. A peer whose calls block the thread has a
    /// way of its own.
    fn receive_on_all(links: Vec<Self>, each: usize) -> impl Future<Output = Result<Vec<Self>>> {
        async move {
            let tasks = links.into_iter().map(|mut link| {
                tokio::spawn(async move {
                    for _ in 0..each {
                        link.receive().await?;
                    }
                    Ok::<_, anyhow::Error>(link)
                })
            });
            let mut links = Vec::new();
            for task in tasks.collect::<Vec<_>>() {
                links.push(task.await??);
            }
            Ok(links)
        }
    }
}

/// A runtime with this many threads; with one, it runs in the thread that blocks on it.
pub(crate) fn runtime(threads: usize) -> io::Result<Runtime> {
    if threads <= 1 {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
    }
}

/// Does a client's part of a job.
pub(crate) fn drive<L: Link>(job: &Job) -> Result<Outcome> {
    L::runtime(job)?.block_on(async {
        match job.work {
            Work::RoundTrip => round_trips::<L>(job, Request::Echo, job.size).await,
            Work::WholeTurn => round_trips::<L>(job, Request::Observation, ACTION.len()).await,
            Work::OneWay => one_way::<L>(job).await,
            Work::FanOut => fan_out::<L>(job).await,
            Work::Handshakes => handshakes::<L>(job).await,
            Work::Idle => idle::<L>(job).await,
            Work::Spectators => spectators::<L>(job).await,
            Work::Turns => turns::<L>(job).await,
        }
    })
}

async fn round_trips<L: Link>(job: &Job, request: Request, answer: usize) -> Result<Outcome> {
    let mut link = L::connect(job, 0).await?;
    let body = job.body(request);
    times(job, async || {
        link.send(&body).await?;
        let size = link.receive().await?;
        ensure!(size == answer, "{answer} bytes are right, {size} came back");
        Ok(())
    })
    .await
}

/// Does something again and again. Gives the time it took, in microseconds.
pub(crate) async fn times(job: &Job, mut turn: impl AsyncFnMut() -> Result<()>) -> Result<Outcome> {
    let warm_up = Duration::from_secs_f64(job.seconds / 10.0);
    let mut times = Vec::with_capacity(1 << 20);
    for length in [warm_up, Duration::from_secs_f64(job.seconds)] {
        times.clear();
        let start = Instant::now();
        let mut before = start;
        while before - start < length || times.len() < 3 {
            turn().await?;
            let now = Instant::now();
            times.push((now - before).as_secs_f64() * 1e6);
            before = now;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Outcome::from([
        ("p50".to_owned(), quantile(&times, 0.5)),
        ("p99".to_owned(), quantile(&times, 0.99)),
    ]))
}

/// Messages the other way, before what is measured through a relay.
const MESSAGES_BEFORE: u32 = 100_000;

/// Doubles the number of messages until they take as long as was asked for; the last try counts.
async fn one_way<L: Link>(job: &Job) -> Result<Outcome> {
    let mut link = L::connect(job, 0).await?;
    if job.relay.is_some() {
        // The client gets to know the server by what comes from it.
        let (count, size) = (MESSAGES_BEFORE, job.size as u32);
        link.send(&Request::Broadcast { count, size }.body(0))
            .await?;
        for _ in 0..count {
            link.receive().await?;
        }
    }
    let (take, last) = (job.body(Request::Take), job.body(Request::Acknowledge));
    let mut count = 16;
    loop {
        let start = Instant::now();
        for _ in 1..count {
            link.feed(&take).await?;
        }
        link.feed(&last).await?;
        link.flush().await?;
        link.receive().await?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(more) = more(count, seconds, job.seconds) {
            count = more;
            continue;
        }
        return Ok(rates(count as f64, (count * job.size) as f64, seconds));
    }
}

async fn fan_out<L: Link>(job: &Job) -> Result<Outcome> {
    let mut links = connect_all::<L>(job, 0..job.links).await?;
    let mut count = 4;
    loop {
        let request = Request::Broadcast {
            count: count as u32,
            size: job.size as u32,
        };
        let start = Instant::now();
        links[0].send(&request.body(0)).await?;
        links = L::receive_on_all(links, count).await?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(more) = more(count, seconds, job.seconds) {
            count = more;
            continue;
        }
        let deliveries = count * job.links;
        return Ok(rates(
            deliveries as f64,
            (deliveries * job.size) as f64,
            seconds,
        ));
    }
}

/// The number of messages to try next, after `count` have taken `seconds`; none if that was long enough.
fn more(count: usize, seconds: f64, wanted: f64) -> Option<usize> {
    if seconds >= wanted {
        return None;
    }
    let needed = count as f64 * wanted * 1.1 / seconds.max(1e-6);
    Some((needed as usize).clamp(count + 1, count * 8))
}

fn rates(messages: f64, bytes: f64, seconds: f64) -> Outcome {
    Outcome::from([
        ("messages".to_owned(), messages / seconds / 1e6),
        ("bytes".to_owned(), bytes / seconds / 1e9),
        ("each".to_owned(), seconds / messages * 1e6),
    ])
}

/// Connections that a client opens at the same time: enough for both sides to be busy.
const HANDSHAKES_AT_ONCE: usize = 4;

/// One connection after the other, some at a time, each with a round trip if messages have a size, and with an end in order
/// if it is to have one. Those that are there before the time is over count.
async fn handshakes<L: Link>(job: &Job) -> Result<Outcome> {
    let start = Instant::now() + Duration::from_secs_f64(job.seconds / 10.0);
    let end = start + Duration::from_secs_f64(job.seconds);
    let tasks = (0..HANDSHAKES_AT_ONCE).map(|task| {
        let job = job.clone();
        let connect = async move {
            let mut count = 0_u64;
            for number in (task..).step_by(HANDSHAKES_AT_ONCE) {
                let mut link = L::connect(&job, number).await?;
                if job.size > 0 {
                    link.send(&job.body(Request::Echo)).await?;
                    link.receive().await?;
                }
                let now = Instant::now();
                if job.ends {
                    link.end().await?;
                } else {
                    drop(link);
                }
                if now >= end {
                    break;
                }
                count += u64::from(now >= start);
            }
            Ok::<_, anyhow::Error>(count)
        };
        L::spawn(connect)
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await??;
    }
    let per_second = count as f64 / job.seconds;
    Ok(Outcome::from([("handshakes".to_owned(), per_second)]))
}

/// Connections that come before the first reading of the server's memory: what a server allocates
/// once, for the first of them, is none's share.
const FIRST: usize = 64;

/// Opens connections and holds them, in two steps; after each it says so and waits for a line.
async fn idle<L: Link>(job: &Job) -> Result<Outcome> {
    let mut links = connect_all::<L>(job, 0..FIRST).await?;
    held()?;
    links.extend(connect_all::<L>(job, FIRST..FIRST + job.links).await?);
    held()?;
    drop(links);
    Ok(Outcome::new())
}

/// The line by which a client says that its connections are there.
pub(crate) const HELD: &str = "held";

/// Blocks the thread, and so the runtime: nobody sends anything meanwhile.
fn held() -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{HELD}")?;
    stdout.flush()?;
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// Seconds that a turn may take for each actor that waits beside it: a measurement is long enough for some
/// turns of everybody.
const SECONDS_PER_LINK: f64 = 0.0002;

/// On every link one action after the other, each sent when the answer to the last has come. Turns that end while
/// it is measured count.
async fn turns<L: Link>(job: &Job) -> Result<Outcome> {
    let links = connect_all::<L>(job, 0..job.links).await?;
    let body = Request::Turn {
        size: job.size as u32,
    }
    .body(ACTION_BYTES);
    let seconds = job.seconds.max(job.links as f64 * SECONDS_PER_LINK);
    let start = Instant::now() + Duration::from_secs_f64(seconds / 5.0);
    let end = start + Duration::from_secs_f64(seconds);
    let mut tasks = Vec::new();
    for mut link in links {
        let body = body.clone();
        tasks.push(tokio::spawn(async move {
            let mut turns = 0_u64;
            loop {
                link.send(&body).await?;
                black_box(link.receive().await?);
                let now = Instant::now();
                if now >= end {
                    return Ok::<_, anyhow::Error>((link, turns));
                }
                turns += u64::from(now >= start);
            }
        }));
    }
    tokio::time::sleep_until(start.into()).await;
    let before = job.server.map(cpu_seconds).transpose()?;
    tokio::time::sleep_until(end.into()).await;
    let after = job.server.map(cpu_seconds).transpose()?;
    let (mut turns, mut links) = (0, Vec::new());
    for task in tasks {
        let (link, of_link) = task.await??;
        links.push(link);
        turns += of_link;
    }
    let turns = turns as f64;
    let mut outcome = Outcome::from([
        ("turns".to_owned(), turns / seconds / 1e3),
        ("each".to_owned(), seconds / turns * 1e6),
    ]);
    if let (Some(before), Some(after)) = (before, after) {
        outcome.insert("server".to_owned(), (after - before) / turns * 1e6);
    }
    Ok(outcome)
}

/// One actor among links that only watch: they get each observation too.
async fn spectators<L: Link>(job: &Job) -> Result<Outcome> {
    let mut watching = connect_all::<L>(job, 1..job.links).await?;
    let mut actor = connect_all::<L>(job, 0..1).await?.remove(0);
    for mut link in watching.drain(..) {
        tokio::spawn(async move { while link.receive().await.is_ok() {} });
    }
    let body = Request::Broadcast {
        count: 1,
        size: job.size as u32,
    }
    .body(ACTION_BYTES);
    let mut times = Vec::new();
    for part in [0.2, 1.0] {
        times.clear();
        let (start, length) = (Instant::now(), Duration::from_secs_f64(job.seconds * part));
        while start.elapsed() < length {
            let before = Instant::now();
            actor.send(&body).await?;
            black_box(actor.receive().await?);
            times.push(before.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Outcome::from([
        ("p50".to_owned(), quantile(&times, 0.5)),
        ("p99".to_owned(), quantile(&times, 0.99)),
    ]))
}

/// Bytes of an action, as pymasep's examples send them.
const ACTION_BYTES: usize = 150;

/// Connects one after the other; each proves itself by a round trip, after which the server knows it.
async fn connect_all<L: Link>(job: &Job, numbers: std::ops::Range<usize>) -> Result<Vec<L>> {
    let hello = Request::Echo.body(64);
    let mut links = Vec::with_capacity(numbers.len());
    for number in numbers {
        let mut link = L::connect(job, number).await?;
        link.send(&hello).await?;
        let size = link.receive().await?;
        ensure!(
            size == hello.len(),
            "{} bytes were sent, {size} came back",
            hello.len()
        );
        links.push(link);
    }
    Ok(links)
}

/// The computing time of a process so far, in user and kernel mode, all threads together.
fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("a process without a name")?;
    let ticks = |index| -> Result<f64> {
        Ok(fields
            .split(' ')
            .nth(index)
            .context("a process without times")?
            .parse()?)
    };
    // Linux counts them in hundredths of a second for every program (USER_HZ).
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_try_is_larger_and_ends_near_what_is_wanted() {
        assert_eq!(more(16, 2.0, 1.0), None);
        assert_eq!(more(16, 0.0, 1.0), Some(128));
        assert_eq!(more(1000, 0.5, 1.0), Some(2200));
        assert_eq!(more(1, 0.999, 1.0), Some(2));
    }

    #[test]
    fn the_own_computing_time_grows() {
        let process = std::process::id();
        let before = cpu_seconds(process).unwrap();
        while cpu_seconds(process).unwrap() <= before {}
    }
}
