//! The latency of a well-behaved client while others misbehave:
//! `cargo run --release --example under_fire -- [SECONDS]`.
//!
//! An echo server in a process of its own; 200 connections that stay silent, a port scan, clients
//! that send garbage without pause, one that squats the good client's id, one that never reads.
//! Prints the good client's median round trip in peace and under fire, and the server's memory.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use masep::{Client, Connection, Frame, Server, SocketHandler};

struct Echo;

impl SocketHandler for Echo {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        // Fails only when the connection has ended; then nobody waits for the echo.
        let _ = connection.send(frame).await;
    }
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match std::env::args().nth(1).as_deref() {
        Some("serve") => runtime.block_on(serve()),
        argument => {
            let seconds = argument.map_or(Ok(5), str::parse)?;
            attack(&runtime, Duration::from_secs(seconds))
        }
    }
}

async fn serve() -> Outcome<()> {
    let server = Server::builder("engine")
        .handler(Echo)
        .bind("127.0.0.1:0")
        .await?;
    println!("{}", server.local_address());
    // Until the parent closes our standard input.
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

fn attack(runtime: &tokio::runtime::Runtime, time: Duration) -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;

    let client = runtime.block_on(Client::builder("good").connect(address))?;
    let (quiet, quiet_trips) = runtime.block_on(round_trips(client.connection(), time))?;
    let memory_before = resident_kib(&child)?;

    let fire = Fire::open(address)?;
    let (fired, fire_trips) = runtime.block_on(round_trips(client.connection(), time))?;
    let newcomer = Instant::now();
    let second = runtime.block_on(Client::builder("newcomer").connect(address))?;
    let joined = newcomer.elapsed();
    let memory = resident_kib(&child)?;
    let attacks = fire.cease();

    println!("in peace:   median {quiet:?} of {quiet_trips} round trips, all answered");
    println!("under fire: median {fired:?} of {fire_trips} round trips, all answered");
    println!(
        "ratio:      {:.2}",
        fired.as_secs_f64() / quiet.as_secs_f64()
    );
    println!("newcomer:   connected in {joined:?}");
    println!("attacks:    {attacks} connections made and dropped, beside 200 silent ones");
    println!("memory:     {memory_before} KiB in peace, {memory} KiB under fire");
    drop(second);
    drop(client);
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

async fn round_trips(connection: &Connection, time: Duration) -> Outcome<(Duration, usize)> {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let frame = Frame::new(format!("{:0>64}", times.len()));
        let sent = Instant::now();
        connection.send(frame.clone()).await?;
        if connection.recv().await != Ok(frame) {
            return Err(format!("an answer is lost after {} round trips", times.len()).into());
        }
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok((times[times.len() / 2], times.len()))
}

fn resident_kib(child: &Child) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}

/// All the bad peers at once.
struct Fire {
    over: Arc<AtomicBool>,
    attacks: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
    silent: Vec<TcpStream>,
}

impl Fire {
    fn open(address: SocketAddr) -> Outcome<Self> {
        let silent = (0..200)
            .map(|_| TcpStream::connect(address))
            .collect::<Result<_, _>>()?;
        let mut fire = Self {
            over: Arc::default(),
            attacks: Arc::default(),
            threads: Vec::new(),
            silent,
        };
        fire.repeat(move || drop(TcpStream::connect(address)));
        fire.repeat(move || send(address, b"\xff\xff\xff\xff not a hello"));
        fire.repeat(move || send(address, b"\x04\0good"));
        for id in 0..2u8 {
            fire.repeat(move || flood(address, &[1, 0, id]));
        }
        Ok(fire)
    }

    fn repeat(&mut self, attack: impl Fn() + Send + 'static) {
        let (over, attacks) = (self.over.clone(), self.attacks.clone());
        self.threads.push(std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                attack();
                attacks.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }

    fn cease(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A thread of ours that panicked has only lost its count.
            let _ = thread.join();
        }
        drop(self.silent);
        self.attacks.load(Ordering::Relaxed)
    }
}

fn send(address: SocketAddr, bytes: &[u8]) {
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(bytes);
    }
}

/// Says hello, sends garbage without a pause and never reads the echo.
fn flood(address: SocketAddr, hello: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return;
    };
    let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
    let garbage: Vec<u8> = (0..60_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    if stream.write_all(hello).is_ok() {
        while stream.write_all(&garbage).is_ok() {}
    }
}
