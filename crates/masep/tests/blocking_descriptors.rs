//! A process without a free descriptor. Alone in its file: the limit is that of the whole process.

mod blocking_peer;

use std::fs::File;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use blocking_peer::{Peer, accept, frame, recv, server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

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

#[test]
fn without_a_free_descriptor_nothing_spins_and_who_is_inside_goes_on() {
    let (sender, warnings) = mpsc::channel();
    tracing::subscriber::set_global_default(Warnings(sender)).unwrap();
    let server = server();
    let mut early = Peer::join(server.local_address(), "early");
    let to_early = accept(&server);
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
    let first = warnings.recv_timeout(blocking_peer::SOON).unwrap();
    let mut last = first;
    for _ in 0..3 {
        last = warnings.recv_timeout(blocking_peer::SOON).unwrap();
    }
    assert!(last - first >= Duration::from_millis(200), "it spins");

    // Those who are inside go on talking.
    to_early.send("still here").unwrap();
    assert_eq!(early.read().as_deref(), Some(&b"still here"[..]));
    early.write(&frame(b"so am I"));
    assert_eq!(recv(&to_early).unwrap().bytes(), "so am I");

    drop(files);
    let mut late = Peer::of(late.into());
    late.write(&frame(b"late"));
    assert_eq!(late.read().as_deref(), Some(&b"engine"[..]));
    accept(&server).send("hi").unwrap();
    assert_eq!(late.read().as_deref(), Some(&b"hi"[..]));
}
