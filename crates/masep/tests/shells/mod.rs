//! Both shells behind one face, so that a scenario is written once and run against each.
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test file uses its own part, and a panic is its report"
)]

mod agent;
#[cfg(feature = "tls")]
pub mod authority;
#[path = "../directory/mod.rs"]
pub mod directory;
#[cfg(feature = "tls")]
pub mod foreign;
mod handler;
pub mod masep2;
mod network;
mod options;
mod peer;
mod player;
mod table;

use std::future::Future;
use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use masep::access::{Grant, Subject};
use masep::{
    AcceptError, AcceptTimeoutError, Address, Bye, CloseReason, ConnectError, ConnectionId,
    DecodeError, Frame, Hello, IntoTarget, Limits, Message, Notice, PeerLimits, Protocol,
    RecvMessageError, RecvTimeoutError, Request, SendError, ShutdownReport, TryRecvError, Welcome,
    WhenFull, blocking,
};
use tokio::runtime::Runtime;

pub use agent::Agent;
pub use handler::{Act, Echo, Event, Events, Handler, next, next_rejected};
#[cfg(feature = "tls")]
pub use network::authority as network_authority;
pub use network::{Network, Serving, Side, is_free};
pub use options::{Options, Says};
pub use peer::{Peer, frame, listen, nobody};
pub use player::Player;
pub use table::{Moves, Table, Turn};

/// Ends a test that waits for something that does not come. Never the expected way out.
pub const SOON: Duration = Duration::from_secs(30);

/// One of the two libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Blocking,
    Async,
}

pub const SHELLS: [Shell; 2] = [Shell::Blocking, Shell::Async];

/// Each scenario as a test of each shell, which is the name of the module.
macro_rules! of_each_shell {
    ($($(#[$attribute:meta])* $scenario:ident)*) => {
        mod with_async {
            $($(#[$attribute])* #[test] fn $scenario() {
                super::$scenario(crate::shells::Shell::Async);
            })*
        }
        mod with_blocking {
            $($(#[$attribute])* #[test] fn $scenario() {
                super::$scenario(crate::shells::Shell::Blocking);
            })*
        }
    };
}

/// Each scenario with each shell as server, and each as client.
macro_rules! of_each_pair {
    ($($scenario:ident)*) => {
        crate::shells::of_each_pair! {
            async_server_async_client: Async Async, [$($scenario)*]
            async_server_blocking_client: Async Blocking, [$($scenario)*]
            blocking_server_async_client: Blocking Async, [$($scenario)*]
            blocking_server_blocking_client: Blocking Blocking, [$($scenario)*]
        }
    };
    ($($module:ident: $server:ident $client:ident, [$($scenario:ident)*])*) => {
        $(mod $module {
            $(#[test] fn $scenario() {
                use crate::shells::Shell;
                super::$scenario(Shell::$server, Shell::$client);
            })*
        })*
    };
}

/// The same over TCP and in TLS, of scenarios that take a [`Side`] for each.
macro_rules! of_each_pair_and_network {
    ($($scenario:ident)*) => {
        crate::shells::of_each_pair_and_network! { over_tcp: Tcp, [$($scenario)*] }
        #[cfg(feature = "tls")]
        crate::shells::of_each_pair_and_network! { over_tls: Tls, [$($scenario)*] }
    };
    ($module:ident: $network:ident, [$($scenario:ident)*]) => {
        mod $module {
            use crate::shells::{Network, Shell};
            crate::shells::of_each_pair! { $($scenario)* }
            $(fn $scenario(server: Shell, client: Shell) {
                super::$scenario(server.over(Network::$network), client.over(Network::$network));
            })*
        }
    };
}

/// Each scenario as a test of each shell over each network: those whose peers are other libraries, or say whole frames.
/// Those behind `with resets` have resets, or peers that write what nobody takes any more: Unix sockets have neither.
macro_rules! of_each_network {
    ($($scenario:ident)* $(; with resets: $($reset:ident)*)?) => {
        crate::shells::of_each_network! {
            async_over_tcp: Async Tcp, [$($scenario)* $($($reset)*)?]
            async_over_unix: Async Unix, [$($scenario)*]
            blocking_over_tcp: Blocking Tcp, [$($scenario)* $($($reset)*)?]
            blocking_over_unix: Blocking Unix, [$($scenario)*]
        }
        #[cfg(feature = "tls")]
        crate::shells::of_each_network! {
            async_over_tls: Async Tls, [$($scenario)* $($($reset)*)?]
            blocking_over_tls: Blocking Tls, [$($scenario)* $($($reset)*)?]
        }
    };
    ($($module:ident: $shell:ident $network:ident, [$($scenario:ident)*])*) => {
        $(mod $module {
            $(#[test] fn $scenario() {
                use crate::shells::{Network, Shell};
                super::$scenario(Shell::$shell.over(Network::$network));
            })*
        })*
    };
}

pub(crate) use {of_each_network, of_each_pair, of_each_pair_and_network, of_each_shell};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
});

/// The result of a call of async.
pub fn wait<T>(call: impl Future<Output = T>) -> T {
    let call = async { tokio::time::timeout(SOON, call).await };
    RUNTIME.block_on(call).expect("it returns in time")
}

/// Has the runtime of all tests do this.
pub fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    RUNTIME.spawn(work)
}

/// Waits for what another thread or task does at once.
pub fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "it did not happen in {SOON:?}");
        std::thread::yield_now();
    }
}

impl Shell {
    /// A server on loopback.
    pub fn serve(self, options: impl Into<Options>) -> Box<dyn Server> {
        self.bind("127.0.0.1:0", options).unwrap()
    }

    /// A client on loopback.
    pub fn join(self, id: &str, server: &dyn Server) -> Box<dyn Client> {
        let connected = self.connect(id, server.address(), Options::default());
        connected.unwrap()
    }

    /// A server, its connection, and the bare socket that is its peer.
    pub fn connected(self, options: impl Into<Options>) -> (Box<dyn Server>, Handle, Peer) {
        let server = self.serve(options);
        let peer = Peer::join(server.address(), "agent");
        let connection = accept(&*server);
        (server, connection, peer)
    }

    /// A server, its connection, and a client of the same shell.
    pub fn pair(self, options: impl Into<Options>) -> (Box<dyn Server>, Handle, Box<dyn Client>) {
        let options = options.into();
        let server = self.serve(options.clone());
        let client = self.connect("agent", server.address(), options).unwrap();
        let connection = accept(&*server);
        (server, connection, client)
    }
}

pub fn accept(server: &dyn Server) -> Handle {
    server.accept().expect("the server accepts")
}

/// Sends without a wait, to a peer that does not read, until its and the own buffers are full: the number of frames of
/// 60,000 bytes.
pub fn fill(connection: &dyn Connection) -> usize {
    let taken = (0..).take_while(|_| connection.try_send(vec![7; 60_000]).is_ok());
    taken.count()
}

pub type Handle = Box<dyn Connection>;

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.handle()
    }
}

/// Calls as inherent ones of the trait's object, with what they take by `Into`.
impl dyn Connection + '_ {
    pub fn send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.send_frame(frame.into())
    }

    pub fn try_send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.try_send_frame(frame.into())
    }

    /// The reason, if the end is the next thing that is received.
    pub fn end(&self) -> CloseReason {
        self.recv().expect_err("the end")
    }
}

/// A trait whose calls go on to both libraries. Calls of async that wait do so in the runtime of all tests. `in both` has
/// those that are one expression in both, `in each` those that are another with async, which stands behind that of blocking.
macro_rules! face {
    ($face:ident [$($bounds:tt)*] for $blocking:ty, $async:ty;
        $(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $returned:ty;)*
        $(async fn $waits:ident(&self $(, $awaited:ident: $kind:ty)*) -> $result:ty;)*
        in both { $(
            $(#[$attribute:meta])*
            fn $(<$lifetime:lifetime>)? $both:ident $of_both:tt $(-> $both_gives:ty)? => $do_both:block
        )* }
        in each { $(
            $(#[$document:meta])*
            fn $each:ident $of_each:tt $(-> $each_gives:ty)? => $do_blocking:block, $do_async:block
        )* }
    ) => {
        pub trait $face: $($bounds)* {
            $(fn $name(&self $(, $argument: $type)*) -> $returned;)*
            $(fn $waits(&self $(, $awaited: $kind)*) -> $result;)*
            $($(#[$attribute])* fn $both $(<$lifetime>)? $of_both $(-> $both_gives)?;)*
            $($(#[$document])* fn $each $of_each $(-> $each_gives)?;)*
        }
        impl $face for $blocking {
            $(fn $name(&self $(, $argument: $type)*) -> $returned { self.$name($($argument),*) })*
            $(fn $waits(&self $(, $awaited: $kind)*) -> $result { self.$waits($($awaited),*) })*
            $($(#[$attribute])* fn $both $(<$lifetime>)? $of_both $(-> $both_gives)? $do_both)*
            $(fn $each $of_each $(-> $each_gives)? $do_blocking)*
        }
        impl $face for $async {
            $(fn $name(&self $(, $argument: $type)*) -> $returned { self.$name($($argument),*) })*
            $(fn $waits(&self $(, $awaited: $kind)*) -> $result { wait(self.$waits($($awaited),*)) })*
            $($(#[$attribute])* fn $both $(<$lifetime>)? $of_both $(-> $both_gives)? $do_both)*
            $(fn $each $of_each $(-> $each_gives)? $do_async)*
        }
    };
}

pub(crate) use face;

face! { Connection [Send + Sync] for blocking::Connection, masep::Connection;
    fn id(&self) -> ConnectionId;
    fn address(&self) -> Address;
    fn protocol(&self) -> Protocol;
    fn peer_limits(&self) -> PeerLimits;
    fn welcome(&self) -> Option<Welcome>;
    fn hello(&self) -> Option<Hello>;
    fn rtt(&self) -> Option<Duration>;
    fn ping(&self) -> bool;
    fn notice(&self, notice: Notice) -> Result<(), SendError>;
    fn try_notice(&self) -> Option<Notice>;
    fn try_recv(&self) -> Result<Frame, TryRecvError>;
    fn decode(&self, frame: Frame) -> Result<Message, DecodeError>;
    async fn send_or(&self, frame: Frame, when_full: WhenFull) -> Result<(), SendError>;
    async fn send_message(&self, message: &Message) -> Result<(), SendError>;
    async fn recv_message(&self) -> Result<Message, RecvMessageError>;
    async fn bye(&self) -> CloseReason;
    async fn bye_with(&self, bye: Bye) -> CloseReason;
    async fn closed(&self) -> CloseReason;
    in both {
        fn handle(&self) -> Handle => { Box::new(self.clone()) }
        fn peer(&self) -> String => { self.peer().to_string() }
        fn close_reason(&self) -> Option<CloseReason> => { self.close_reason().cloned() }
        fn try_send_frame(&self, frame: Frame) -> Result<(), SendError> => { self.try_send(frame) }
        fn grant(&self) -> Option<Grant> => { self.grant().cloned() }
    }
    in each {
        fn send_frame(&self, frame: Frame) -> Result<(), SendError> => {
            self.send(frame)
        }, {
            wait(async { self.send(frame).await })
        }
        fn recv(&self) -> Result<Frame, CloseReason> => {
            in_time(self.recv_timeout(SOON))
        }, {
            wait(self.recv())
        }
        fn recv_within(&self, time: Duration) -> Option<Result<Frame, CloseReason>> => {
            match self.recv_timeout(time) {
                Ok(frame) => Some(Ok(frame)),
                Err(RecvTimeoutError::Closed(reason)) => Some(Err(reason)),
                Err(RecvTimeoutError::TimedOut) => None,
            }
        }, {
            wait(async { tokio::time::timeout(time, self.recv()).await.ok() })
        }
        fn recv_newest(&self, keep: &dyn Fn(&Frame) -> bool) -> Result<Frame, CloseReason> => {
            in_time(self.recv_newest_timeout(SOON, keep))
        }, {
            wait(self.recv_newest(keep))
        }
    }
}

face! { Registry [Send + Sync] for blocking::Registry, masep::Registry;
    fn is_connection_registered(&self, id: &str) -> bool;
    fn len(&self) -> usize;
    async fn send_frame_to(&self, id: &str, frame: Frame) -> Result<(), SendError>;
    async fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError>;
    async fn broadcast(&self, frame: &Frame, when_full: WhenFull) -> Result<usize, SendError>;
    async fn broadcast_message(&self, message: &Message, when_full: WhenFull) -> Result<usize, SendError>;
    in both {
        fn get_connection(&self, id: &str) -> Option<Handle> => {
            Some(Box::new(self.get_connection(id)?))
        }
        /// The peers that had no room.
        fn try_broadcast(&self, frame: &Frame) -> Result<Vec<String>, SendError> => {
            let without_room = self.try_broadcast(frame)?;
            Ok(without_room.iter().map(|it| it.peer().to_string()).collect())
        }
    }
    in each {}
}

face! { Server [Send + Sync] for blocking::Server, masep::Server;
    fn kick(&self, subject: &Subject) -> usize;
    fn ban(&self, subject: Subject) -> usize;
    fn unban(&self, subject: Subject) -> bool;
    fn bans(&self) -> Vec<Subject>;
    fn is_exposed(&self) -> bool;
    in both {
        fn address(&self) -> Address => { self.local_address() }
        fn registry(&self) -> &dyn Registry => { self.registry() }
        fn stop_accepting(&self) => { self.stop_accepting(); }
        fn pymasep_address(&self) -> Option<Address> => { self.pymasep_address().cloned() }
        #[cfg(feature = "tls")]
        fn certificate(&self) -> Option<masep::tls::CertificateState> => { self.certificate() }
    }
    in each {
        fn accept(&self) -> Result<Handle, AcceptError> => {
            match self.accept_timeout(SOON) {
                Ok(accepted) => Ok(Box::new(accepted)),
                Err(AcceptTimeoutError::TimedOut) => panic!("no connection in time"),
                Err(error) => Err(error.into()),
            }
        }, {
            Ok(Box::new(wait(self.accept())?))
        }
        /// Within a time that is long for what has happened already.
        fn next_request(&self) -> Result<Request, AcceptError> => {
            Ok(self.next_request_timeout(SOON)?)
        }, {
            wait(self.next_request())
        }
        fn announce(&self) -> io::Result<()> => {
            self.announce()
        }, {
            let _context = RUNTIME.enter();
            self.announce()
        }
        fn shutdown(self: Box<Self>, deadline: Duration) -> ShutdownReport => {
            Self::shutdown(*self, deadline)
        }, {
            wait(Self::shutdown(*self, deadline))
        }
    }
}

face! { Client [Send + Sync] for blocking::Client, masep::Client;
    in both {
        fn id(&self) -> String => { self.id().to_string() }
        fn server_id(&self) -> String => { self.server_id().to_string() }
        fn connection(&self) -> &dyn Connection => { self.connection() }
        fn registry(&self) -> &dyn Registry => { self.registry() }
    }
    in each {}
}

face! { Queue [Send + Sync] for blocking::SocketHandlerQueue, masep::SocketHandlerQueue;
    in both {
        fn len(&self) -> usize => { self.len() }
        fn close(&self) => { self.close(); }
        fn try_next(&self) -> Option<(Handle, Frame)> => {
            let received = self.try_next()?;
            Some((Box::new(received.connection), received.frame))
        }
    }
    in each {
        fn next(&self) -> Option<(Handle, Frame)> => {
            let received = self.next_timeout(SOON).expect("it comes in time")?;
            Some((Box::new(received.connection), received.frame))
        }, {
            let received = wait(self.next())?;
            Some((Box::new(received.connection), received.frame))
        }
    }
}

impl Shell {
    /// A server whose connections share one queue, with these limits.
    pub fn serve_queue(
        self,
        limits: Limits,
        when_full: WhenFull,
    ) -> (Box<dyn Server>, Box<dyn Queue>) {
        match self {
            Self::Blocking => {
                let queue = blocking::SocketHandlerQueue::new(&limits, when_full);
                let server = blocking::Server::builder("engine").limits(limits);
                let server = server.handler(queue.clone()).bind("127.0.0.1:0");
                (Box::new(server.unwrap()), Box::new(queue))
            }
            Self::Async => {
                let queue = masep::SocketHandlerQueue::new(&limits, when_full);
                let server = masep::Server::builder("engine").limits(limits);
                let server = wait(server.handler(queue.clone()).bind("127.0.0.1:0"));
                (Box::new(server.unwrap()), Box::new(queue))
            }
        }
    }
}

fn in_time(received: Result<Frame, RecvTimeoutError>) -> Result<Frame, CloseReason> {
    received.map_err(|error| match error {
        RecvTimeoutError::Closed(reason) => reason,
        RecvTimeoutError::TimedOut => panic!("neither a frame nor the end in time"),
    })
}
