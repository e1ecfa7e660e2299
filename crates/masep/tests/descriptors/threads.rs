//! A process that can have no more threads.
//!
//! Each of these tests has a process of its own: where there is room for a stack and for nothing else, the standard library ends
//! the process. Then it is tried again.

use std::env;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use masep::access::{Digest, Grant, Grants, Tokens};
use masep::{
    AccessToken, CloseReason, ConnectPhase, Frame, Limits, Role, SocketOptions, Table, blocking,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::alone;
use crate::shells::directory::Directory;
use crate::shells::{Echo, Options, Peer, SOON, Says, Shell, accept, of_each_shell, until, wait};

of_each_shell! {
    tokens_are_watched_though_the_first_server_had_no_thread_for_that
}

/// The variable that has the name of the case.
const CASE: &str = "MASEP_TEST_CASE";

const CASES: &[(&str, fn())] = &[
    ("handler", handler),
    ("seat", seat),
    ("tokens of async", || tokens(Shell::Async)),
    ("tokens of blocking", || tokens(Shell::Blocking)),
    ("name", name),
    ("burst", burst),
    #[cfg(all(feature = "tls", feature = "unstable-bindings"))]
    ("giving away", giving_away),
];

fn in_its_own_process(case: &str) {
    // Or it would not have a descriptor.
    let _alone = alone();
    for _ in 0..20 {
        let program = env::current_exe().unwrap();
        let arguments = ["--exact", "threads::case", "--ignored", "--nocapture"];
        let mut command = Command::new(program);
        let output = command.args(arguments).env(CASE, case).output().unwrap();
        let [said, errors] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        if output.status.success() {
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        let has_no_room = ["alternative stack", "memory allocation of"]
            .iter()
            .any(|complaint| errors.contains(complaint));
        let is_ended_so = output.status.signal().is_some() && has_no_room;
        assert!(is_ended_so, "{}\n{said}\n{errors}", output.status);
    }
    panic!("there was never room for a thread");
}

#[test]
#[ignore = "the tests of this file run it, in processes of their own"]
fn case() {
    let asked = env::var(CASE).unwrap();
    let (_, run) = CASES.iter().find(|(case, _)| *case == asked).unwrap();
    run();
}

/// There is no memory for the stack of another thread, until this is dropped. (The bound of their number is none for root.)
struct NoThreads {
    parked: Vec<(mpsc::Sender<()>, JoinHandle<()>)>,
    limits: (u64, u64),
}

impl NoThreads {
    fn new() -> Self {
        // The threads of the runtime are there from here on.
        wait(async {});
        // One that can be let go, whatever there was before.
        let parked = vec![park().expect("a thread")];
        let limits = getrlimit(Resource::RLIMIT_AS).unwrap();
        // Less than a stack, and enough for all else.
        let allowed = address_space() + (1 << 20);
        setrlimit(Resource::RLIMIT_AS, allowed.min(limits.1), limits.1).unwrap();
        // The stacks of threads that have ended are used again.
        let mut this = Self { parked, limits };
        this.park_all();
        this
    }

    /// Takes the stacks that threads have left.
    fn park_all(&mut self) {
        self.parked.extend(std::iter::from_fn(park));
    }

    /// Lets there be one more.
    fn allow_one(&mut self) {
        let (end, thread) = self.parked.pop().unwrap();
        drop(end);
        thread.join().unwrap();
    }
}

impl Drop for NoThreads {
    fn drop(&mut self) {
        let (soft, hard) = self.limits;
        let _ = setrlimit(Resource::RLIMIT_AS, soft, hard);
    }
}

/// A thread that does nothing, if there can be one.
fn park() -> Option<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (end, ended) = mpsc::channel();
    let parked = thread::Builder::new().spawn(move || {
        let _ = ended.recv();
    });
    Some((end, parked.ok()?))
}

/// The bytes of address space that the process has.
fn address_space() -> u64 {
    let figures = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = figures.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn without_a_thread_for_its_handler_a_client_is_told_and_who_is_inside_goes_on() {
    in_its_own_process("handler");
}

fn handler() {
    let server = Shell::Blocking.serve(Options::default().handler(Echo));
    let talk = |peer: &mut Peer| {
        peer.say("hi");
        peer.expect("hi");
    };
    let mut early = Peer::join(server.address(), "early");
    talk(&mut early);
    let mut none = NoThreads::new();
    let mut served = Vec::new();
    // A thread that has ended may have left its stack.
    let told = (0..20).find_map(|number| {
        none.park_all();
        let mut late = Peer::join(server.address(), &format!("late-{number}"));
        late.say("hi");
        let told = late.read().filter(|told| told != b"hi");
        served.push(late);
        told
    });
    assert_eq!(told.as_deref(), Some(&b"BYE"[..]));
    talk(&mut early);
    drop(served);
    until(|| server.registry().len() == 1);
    drop(none);
    talk(&mut Peer::join(server.address(), "late"));
    talk(&mut early);
}

#[test]
fn a_seat_is_free_again_whose_player_has_no_thread() {
    in_its_own_process("seat");
}

#[test]
fn frames_one_right_behind_another_arrive_though_there_is_no_thread_that_gathers_them() {
    in_its_own_process("burst");
}

fn burst() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (limits, options) = (Limits::default(), SocketOptions::default());
    let connection = blocking::Connection::over(near, "peer", &limits, &options).unwrap();
    let none = NoThreads::new();
    let mut bytes = [0; 6];
    far.set_read_timeout(Some(SOON)).unwrap();
    for _ in 0..20 {
        for number in 0..200_u32 {
            connection.send(number.to_be_bytes().to_vec()).unwrap();
        }
        for number in 0..200_u32 {
            far.read_exact(&mut bytes).expect("all arrive");
            assert_eq!(bytes[2..], number.to_be_bytes());
        }
    }
    drop(none);
}

/// There is a thread for the seat, and none for the one who is let in.
fn seat() {
    let table = Table::builder("countdown.Countdown").seats(["red", "blue"]);
    let table = table.bind_blocking("127.0.0.1:0").unwrap();
    let target = format!("masep://{}", table.local_address());
    let join = |id| {
        let says = Says {
            role: Some(Role::Actor),
            game: Some("countdown.Countdown"),
            seat: Some("red"),
            ..Says::default()
        };
        Shell::Async.connect(id, target.clone(), Options::default().says(says))
    };
    let mut none = NoThreads::new();
    // Something else may have taken the thread for the seat, or a thread that has ended may have left its stack.
    let ends = std::iter::repeat_with(|| {
        none.park_all();
        none.allow_one();
        let ann = join("ann").ok()?;
        ann.connection().recv_within(SOON / 30)?.err()
    });
    let end = ends.take(20).flatten().next().unwrap();
    let words = end.words().map(|words| words.code.to_string());
    assert_eq!(words.as_deref(), Some("too_many_connections"), "{end:?}");
    drop(none);
    // The table learns of it a moment later.
    until(|| join("ben").is_ok());
}

fn tokens_are_watched_though_the_first_server_had_no_thread_for_that(shell: Shell) {
    in_its_own_process(match shell {
        Shell::Async => "tokens of async",
        Shell::Blocking => "tokens of blocking",
    });
}

fn tokens(shell: Shell) {
    let grants = |grant| {
        let mut grants = Grants::default();
        let digest = Digest::of(&AccessToken::from("secret"));
        grants.add(digest, grant).unwrap();
        grants
    };
    let tokens = Tokens::new(grants(Grant::new("lab")));
    let directory = Directory::new();
    // The threads that each server needs are there.
    let _other = shell.serve(Options::default());
    let bind = || shell.bind(directory.target("x.sock"), Options::from(tokens.clone()));
    let none = NoThreads::new();
    assert!(bind().is_err());
    drop(none);
    let server = bind().unwrap();
    let says = Says::token("secret");
    let target = format!("masep+{}", server.address());
    let client = shell.connect("agent", target, says).unwrap();
    let connection = accept(&*server);
    let soon = SystemTime::now() + Duration::from_millis(100);
    tokens.replace(grants(Grant::new("lab").expires(soon)));
    assert!(matches!(connection.end(), CloseReason::Revoked));
    drop(client);
}

#[test]
fn without_a_thread_a_name_is_not_resolved_and_that_is_an_error() {
    in_its_own_process("name");
}

fn name() {
    let server = Shell::Async.serve(Options::default());
    let port = server.address().tcp().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let connect = || {
        let client = masep::Client::builder("agent");
        runtime.block_on(client.connect(format!("localhost:{port}")))
    };
    let none = NoThreads::new();
    let error = connect().unwrap_err();
    assert_eq!(error.phase, ConnectPhase::Resolve, "{error}");
    drop(none);
    let client = connect().unwrap();
    runtime.block_on(client.connection().send("hi")).unwrap();
    assert_eq!(accept(&*server).recv(), Ok(Frame::new("hi")));
}

/// A relay of TLS is a thread. The peer is not given up before there is one.
#[cfg(all(feature = "tls", feature = "unstable-bindings"))]
#[test]
fn without_a_thread_a_client_in_tls_that_cannot_be_given_away_is_told_that_it_may_return() {
    in_its_own_process("giving away");
}

#[cfg(all(feature = "tls", feature = "unstable-bindings"))]
fn giving_away() {
    use super::scarcity::giving_away::{assert_it_may_return, refusal};
    use masep::blocking::{Client, Server};

    let authority = crate::shells::authority::Authority::new();
    let server = Server::builder("door").ask();
    let server = server.tls(authority.server(&["127.0.0.1"]).tls());
    let client = Client::builder("agent").tls(authority.trusted());
    let server = server.bind("127.0.0.1:0").unwrap();
    let rejected = refusal(&server, client, "masep+tls", NoThreads::new);
    assert_it_may_return(&rejected);
}
