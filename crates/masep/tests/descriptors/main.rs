//! A process without a free descriptor, the descriptors of one with many connections, and its memory. One test at a time:
//! numbers and limits are those of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

#[cfg(feature = "tls")]
mod half_open;
mod scarcity;
#[path = "../shells/mod.rs"]
mod shells;
#[cfg(target_env = "gnu")]
mod threads;

use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::time::{Duration, Instant};

use masep::Frame;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::{Domain, Socket, Type};
use tracing_subscriber::filter::LevelFilter;

use masep_proto::protocol2::{Header, kind};
use shells::directory::Directory;
use shells::{
    Agent, Echo, Options, Peer, SOON, Shell, accept, frame, masep2, of_each_shell, until,
};

of_each_shell! {
    without_a_free_descriptor_nothing_spins_and_who_is_inside_goes_on
    the_last_free_descriptor_is_enough_for_a_client
    without_a_free_descriptor_a_client_says_bye
    none_is_left_of_connections_that_have_ended_nor_of_those_that_a_peer_has_passed
    strangers_with_large_frames_share_one_memory
}

/// The limit of those tests that have no free descriptor.
const FEW: u64 = 64;

/// Waits until no other test runs, and the hundreds of connections that one may have had have ended: a test that lets one
/// descriptor go has to have some.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    until(|| (descriptors() as u64) < FEW - 16);
    alone
}

static TOLD: Mutex<Option<mpsc::Sender<Instant>>> = Mutex::new(None);

/// Tells of each warning.
struct Warnings;

impl Write for Warnings {
    fn write(&mut self, warning: &[u8]) -> io::Result<usize> {
        if let Some(told) = &*TOLD.lock().unwrap() {
            let _ = told.send(Instant::now());
        }
        Ok(warning.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_warnings() {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN);
        let log = log.with_writer(|| Warnings).finish();
        tracing::subscriber::set_global_default(log).unwrap();
    });
}

fn without_a_free_descriptor_nothing_spins_and_who_is_inside_goes_on(shell: Shell) {
    let _alone = alone();
    log_warnings();
    let (sender, warnings) = mpsc::channel();
    *TOLD.lock().unwrap() = Some(sender);
    let server = shell.serve(Options::default());
    let mut early = Peer::join(server.address(), "early");
    let to_early = accept(&*server);
    let mut late = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, FEW.min(hard), hard).unwrap();
    let mut files = Vec::new();
    let address = server.address().tcp().unwrap();
    // Connections of tests before this one may still end, and give a descriptor back that the server then takes. Those that
    // it has taken are kept, so that they give none back.
    let mut taken = Vec::new();
    // The log tells of few in a minute.
    let mut warned = Vec::new();
    for _ in 0..20 {
        files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        // The kernel takes the connection; the server cannot.
        late.connect(&address.into()).unwrap();
        let missing = warned.len()..4;
        warned.extend(missing.map_while(|_| warnings.recv_timeout(SOON / 30).ok()));
        if warned.len() == 4 {
            break;
        }
        files.pop();
        let next = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        taken.push(std::mem::replace(&mut late, next));
    }
    assert_eq!(warned.len(), 4, "it does not go on trying");
    let time = warned[3] - warned[0];
    assert!(time >= Duration::from_millis(200), "it spins: {time:?}");

    // Those who are inside go on talking.
    to_early.send("still here").unwrap();
    early.expect(b"still here");
    early.write(&frame(b"so am I"));
    assert_eq!(to_early.recv(), Ok(Frame::new("so am I")));

    drop(files);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let mut late = Peer::of(late.into());
    late.write(&frame(b"late"));
    late.expect(b"engine");
    accept(&*server).send("hi").unwrap();
    late.expect(b"hi");
}

/// The descriptors of the process, all of which are taken until this is dropped.
struct Exhausted {
    files: Vec<File>,
    limits: (u64, u64),
}

impl Exhausted {
    fn new() -> Self {
        let limits = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, FEW.min(limits.1), limits.1).unwrap();
        let files = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Self { files, limits }
    }

    /// Leaves one to the others until this holds.
    fn give_one_back_until(&mut self, holds: impl Fn() -> bool) {
        self.files.pop().unwrap();
        let open = || File::open("/dev/null").ok();
        until(|| {
            // Connections of tests before this one may still end, and give some back.
            let left = open();
            self.files.extend(open());
            drop(left);
            holds()
        });
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let (soft, hard) = self.limits;
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
}

fn the_last_free_descriptor_is_enough_for_a_client(shell: Shell) {
    let _alone = alone();
    let server = shell.serve(Options::default());
    let address = server.address().tcp().unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let sockets = File::open("/proc/net/tcp").unwrap();
    let mut exhausted = Exhausted::new();
    client.connect(&address.into()).unwrap();
    let mut client = Peer::of(client.into());
    let hello = frame(b"agent");
    // The server has to wait for the rest.
    client.write(&hello[..3]);
    let port = client.stream.local_addr().unwrap().port();
    exhausted.give_one_back_until(|| has_read(&sockets, address.port(), port));
    client.write(&hello[3..]);
    client.expect(b"engine");
    accept(&*server).send("hi").unwrap();
    client.expect(b"hi");
}

/// True if all that has come from one port of this machine to another was read.
fn has_read(mut sockets: &File, port: u16, from: u16) -> bool {
    sockets.rewind().unwrap();
    let sockets = io::read_to_string(sockets).unwrap();
    let (here, there) = (format!(":{port:04X}"), format!(":{from:04X}"));
    sockets.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields[1].ends_with(&here) && fields[2].ends_with(&there);
        is_it && fields[4].ends_with(":00000000")
    })
}

fn without_a_free_descriptor_a_client_says_bye(shell: Shell) {
    let _alone = alone();
    let (client, mut engine) = shell.client_of_peer(Options::default(), b"");
    let exhausted = Exhausted::new();
    client.connection().send("last").unwrap();
    client.connection().bye();
    engine.expect(b"last");
    engine.expect_bye();
    drop(exhausted);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn none_is_left_of_connections_that_have_ended_nor_of_those_that_a_peer_has_passed(shell: Shell) {
    let _alone = alone();
    let directory = Directory::new();
    let target = directory.target("x.sock");
    // The descriptors that the runtime and the threads keep are there from here on.
    let server = shell.bind(&*target, Options::default()).unwrap();
    for _ in 0..2 {
        let client = shell.join("agent", &*server);
        let engine = accept(&*server);
        client.connection().bye();
        assert!(engine.recv().is_err());
    }
    let before = descriptors();
    for round in 0..50_u8 {
        let client = shell.join("agent", &*server);
        let engine = accept(&*server);
        client.connection().send(vec![round]).unwrap();
        assert_eq!(engine.recv(), Ok(Frame::new(vec![round])));
        client.connection().bye();
        assert!(engine.recv().is_err());
    }
    let mut peer = UnixStream::connect(directory.path("x.sock")).unwrap();
    let passed = [0, 1, 2];
    let write = |bytes: &[u8]| {
        let rights = [ControlMessage::ScmRights(&passed)];
        let slices = [IoSlice::new(bytes)];
        let sent = sendmsg::<()>(peer.as_raw_fd(), &slices, &rights, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(bytes.len()));
    };
    write(b"\x04\0peer");
    let engine = accept(&*server);
    for byte in b"\x05\0hello\x05\0again" {
        write(&[*byte]);
    }
    until(|| descriptors() <= before + 2);
    peer.read_exact(&mut [0; 8]).unwrap();
    // With async, what stands behind a passed descriptor may be read at the end only.
    drop(peer);
    assert_eq!(engine.recv(), Ok(Frame::new("hello")));
    assert_eq!(engine.recv(), Ok(Frame::new("again")));
    assert!(engine.recv().is_err());
    drop(engine);
    until(|| descriptors() <= before);
    server.shutdown(SOON);
}

/// The bytes of memory that the process has.
fn memory() -> usize {
    let figures = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = figures.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Each claims a megabyte, and sends most of it: together they want a gigabyte.
fn strangers_with_large_frames_share_one_memory(shell: Shell) {
    const STRANGERS: usize = 1_000;
    let _alone = alone();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= 4_096, "too few descriptors are allowed here");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let server = shell.serve(Options::default().handler(Echo));
    let address = format!("masep://{}", server.address());
    let before = memory();
    let mut strangers: Vec<_> = (0..STRANGERS)
        .map(|n| Agent::join2(&server.address(), &masep2::first_bytes(&n.to_string())))
        .collect();
    let part = [
        &Header::new(kind::BYTES, 1 << 20).to_bytes()[..],
        &[7; 900_000],
    ]
    .concat();
    let mut sent = vec![0; STRANGERS];
    let mut most = 0;
    // Until they have sent that much, and none has taken anything for a while.
    let end = Instant::now() + SOON;
    let mut idle = Instant::now();
    while Instant::now() < end
        && (sent.iter().sum::<usize>() <= 64 << 20 || idle.elapsed() < Duration::from_millis(500))
    {
        for (peer, sent) in strangers.iter_mut().zip(&mut sent) {
            peer.stream.socket().set_nonblocking(true).unwrap();
            if let Ok(written @ 1..) = peer.stream.write(&part[*sent..]) {
                *sent += written;
                idle = Instant::now();
            }
        }
        most = most.max(memory().saturating_sub(before));
    }
    // The default of `incoming_bytes`; of each connection a sixteenth of its frame, which is not counted yet; and what a
    // connection takes itself, without async with its thread.
    let allowed = (64 << 20) + STRANGERS * ((64 << 10) + (96 << 10));
    assert!(most < allowed, "{most} bytes, allowed {allowed}");
    assert!(
        sent.iter().sum::<usize>() > 64 << 20,
        "they sent too little"
    );
    // One that comes now is served.
    let good = shell.connect("good", address, Options::default()).unwrap();
    good.connection().send("hi").unwrap();
    assert_eq!(good.connection().recv(), Ok(Frame::new("hi")));
    drop(strangers);
    drop(server);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}
