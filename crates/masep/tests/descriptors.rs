//! A process without a free descriptor, async. Alone in its file: the limit is that of the whole process.

mod peer;

use std::fs::File;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use peer::{Peer, frame, server, soon};
use socket2::{Domain, Socket, Type};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const SOON: Duration = Duration::from_secs(20);

/// Tells of each warning.
struct Warnings(mpsc::Sender<Instant>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        let _ = self.0.send(Instant::now());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_free_descriptor_nothing_spins_and_who_is_inside_goes_on() {
    let (sender, warnings) = mpsc::channel();
    tracing::subscriber::set_global_default(Warnings(sender)).unwrap();
    let server = server().await;
    let mut early = Peer::join(server.local_address(), "early").await;
    let to_early = soon(server.accept()).await.unwrap();
    let late = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();

    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64.min(hard), hard).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    // The kernel takes the connection; the server cannot.
    late.connect(&server.local_address().tcp().unwrap().into())
        .unwrap();
    let first = warnings.recv_timeout(SOON).unwrap();
    let mut last = first;
    for _ in 0..3 {
        last = warnings.recv_timeout(SOON).unwrap();
    }
    assert!(last - first >= Duration::from_millis(200), "it spins");

    // Those who are inside go on talking.
    to_early.send("still here").await.unwrap();
    assert_eq!(early.read().await.as_deref(), Some(&b"still here"[..]));
    early.write(&frame(b"so am I")).await;
    assert_eq!(soon(to_early.recv()).await.unwrap().bytes(), "so am I");

    drop(files);
    late.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(late.into()).unwrap();
    let mut late = Peer { stream };
    late.write(&frame(b"late")).await;
    assert_eq!(late.read().await.as_deref(), Some(&b"engine"[..]));
    let to_late = soon(server.accept()).await.unwrap();
    to_late.send("hi").await.unwrap();
    assert_eq!(late.read().await.as_deref(), Some(&b"hi"[..]));
}
