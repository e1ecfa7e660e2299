//! The programs that run on the hosts: a server and clients that talk, broadcast, close and come back.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use masep::{
    AcceptError, Client, ClientBuilder, CloseReason, ConnectError, Connection, Frame, Protocol,
    Registry, SendError, Server, SocketHandler, SocketHandlerQueue, WhenFull,
};
use rand::RngExt;
use rand_xorshift::XorShiftRng;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::network::SERVER;
use crate::plan::{Plan, Taking, rng};
use crate::record::{Key, Side, in_an_array, side_of};
use crate::transport::{connect, link_of, listen, name};
use crate::world::Ground;

/// The things that all programs of one simulation share.
pub(crate) struct Stage {
    pub(crate) ground: Ground,
    pub(crate) plan: Plan,
}

impl Deref for Stage {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Stage {
    fn rng(&self, key: Key, what: u64) -> XorShiftRng {
        rng(
            self.seed,
            0x1_0000 + key.0 as u64 * 16 + key.1 as u64 * 8 + what,
        )
    }

    fn size(&self, rng: &mut XorShiftRng, protocol: Protocol) -> usize {
        // Most are small.
        let most = match protocol {
            _ if rng.random_bool(0.7) => 64,
            Protocol::Masep2 => self.plan.largest_of_masep,
            _ => self.plan.largest,
        };
        rng.random_range(0..=most)
    }
}

async fn pause(rng: &mut XorShiftRng, most: u64) {
    if most > 0 {
        sleep(Duration::from_millis(rng.random_range(0..=most))).await;
    }
}

/// The callbacks of either side, and the tasks beside them.
#[derive(Clone)]
struct Hooks {
    stage: Arc<Stage>,
    host: usize,
    /// Of a client; a server's connections tell it by their addresses.
    link: Arc<Mutex<Option<usize>>>,
    queue: Option<SocketHandlerQueue>,
}

impl Hooks {
    fn key(&self, connection: &Connection) -> Key {
        let own = *self.link.lock().expect("nobody panics");
        let link = own.unwrap_or_else(|| link_of(&connection.address()));
        (link, side_of(self.host))
    }

    /// A connection is there: somebody talks on it, and somebody waits for its end.
    fn begin(&self, connection: &Connection, taking: Taking) {
        let key = self.key(connection);
        let plan = &self.stage.plan;
        let skims = taking == Taking::Newest || plan.when_full == WhenFull::NewestWins;
        let has_handler = matches!(taking, Taking::Handler | Taking::Queue);
        let side = Side {
            host: self.host,
            of_masep: connection.protocol() == Protocol::Masep2,
            skims,
            has_handler,
            ..Side::default()
        };
        self.stage.record.started(key, side);
        tokio::spawn(talk(self.stage.clone(), key, connection.clone()));
        let (stage, watched) = (self.stage.clone(), connection.clone());
        tokio::spawn(async move {
            let record = &stage.record;
            let reason = watched.closed().await;
            if watched.close_reason() != Some(&reason) {
                record.violation(format!("{key:?} has two reasons"));
            }
            record.closed(key, reason);
        });
        if !has_handler {
            tokio::spawn(read(self.stage.clone(), key, connection.clone(), taking));
        }
    }
}

impl SocketHandler for Hooks {
    async fn on_connect(&self, connection: &Connection) {
        let taking = if self.queue.is_some() {
            Taking::Queue
        } else {
            Taking::Handler
        };
        self.begin(connection, taking);
    }

    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        if let Some(queue) = &self.queue {
            return queue.on_receive(connection, frame).await;
        }
        let key = self.key(connection);
        self.stage.record.received(connection, key, frame);
        let delay = self.stage.plan.delay;
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
    }

    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        let key = self.key(connection);
        self.stage.record.event(format_args!("{key:?} on_close"));
        self.stage
            .record
            .change(key, |side| side.on_close.push(reason.clone()));
    }
}

/// Reads to the end, and gives up waiting now and then.
async fn read(stage: Arc<Stage>, key: Key, connection: Connection, taking: Taking) {
    let rng = &mut stage.rng(key, 1);
    loop {
        let frame = match rng.random_range(0..10) {
            _ if taking == Taking::Newest => connection.recv_newest(|_| false).await,
            0 => {
                let time = Duration::from_millis(rng.random_range(0..20));
                match timeout(time, connection.recv()).await {
                    Ok(frame) => frame,
                    Err(_elapsed) => continue,
                }
            }
            1 => match connection.try_recv() {
                Ok(frame) => Ok(frame),
                Err(_) => connection.recv().await,
            },
            _ => connection.recv().await,
        };
        let Ok(frame) = frame else {
            return;
        };
        stage.record.received(&connection, key, frame);
        pause(rng, stage.plan.delay).await;
    }
}

/// Sends frames in all ways there are, and perhaps says BYE.
async fn talk(stage: Arc<Stage>, key: Key, connection: Connection) {
    let rng = &mut stage.rng(key, 2);
    let record = &stage.record;
    for _ in 0..rng.random_range(0..=stage.plan.frames) {
        pause(rng, stage.plan.pause).await;
        let size = stage.size(rng, connection.protocol());
        let frame = record.next_frame(key, size, rng);
        let is_array = connection.protocol() == Protocol::Masep2 && rng.random_bool(0.3);
        let sent = match rng.random_range(0..10) {
            0 => connection.try_send(frame),
            1 => {
                let time = Duration::from_millis(rng.random_range(0..50));
                match timeout(time, connection.send(frame)).await {
                    Ok(sent) => sent,
                    Err(_elapsed) => continue,
                }
            }
            2 => {
                if stage.plan.send_full == WhenFull::NewestWins {
                    record.change(key, |side| side.may_skip = true);
                }
                connection.send_or(frame, stage.plan.send_full).await
            }
            _ if is_array => connection.send_message(&in_an_array(&frame)).await,
            _ => connection.send(frame).await,
        };
        match sent {
            Ok(()) => record.sent(key),
            Err(SendError::Full(_)) => {}
            Err(SendError::Closed(_)) => return,
            Err(error) => return record.violation(format!("{key:?} cannot send: {error}")),
        }
    }
    if rng.random_bool(0.3) {
        record.ending(key);
        connection.bye().await;
    }
}

/// A server from its start to its end.
pub(crate) async fn server(stage: Arc<Stage>, active: Duration, life: u64) {
    let stop = Instant::now() + active;
    let plan = &stage.plan;
    let queue = (plan.server == Taking::Queue)
        .then(|| SocketHandlerQueue::new(&plan.limits, plan.when_full));
    let hooks = Hooks {
        stage: stage.clone(),
        host: SERVER,
        link: Arc::default(),
        queue: queue.clone(),
    };
    let builder = Server::builder("engine")
        .limits(plan.limits.clone())
        .socket_options(plan.socket_options.clone())
        .protocols(plan.server_speaks)
        .duplicates(plan.duplicates);
    let listener = listen(&stage.network);
    let served = if matches!(plan.server, Taking::Handler | Taking::Queue) {
        builder.handler(hooks.clone()).serve_over(listener)
    } else {
        builder.when_full(plan.when_full).serve_over(listener)
    };
    let server = served.expect("its id is short");
    let registry = server.registry().clone();
    tokio::spawn(broadcast(stage.clone(), registry.clone(), life));
    if let Some(queue) = queue.clone() {
        let hooks = hooks.clone();
        tokio::spawn(async move {
            let rng = &mut rng(hooks.stage.seed, 100 + life);
            while let Some(received) = queue.next().await {
                let key = hooks.key(&received.connection);
                let (record, connection) = (&hooks.stage.record, &received.connection);
                record.received(connection, key, received.frame);
                pause(rng, hooks.stage.plan.delay).await;
            }
        });
    }
    loop {
        match timeout_at(stop, server.accept()).await {
            Ok(Ok(connection)) => hooks.begin(&connection, plan.server),
            Ok(Err(AcceptError::Handled)) if queue.is_some() || plan.server == Taking::Handler => {
                sleep_until(stop).await;
                break;
            }
            Ok(Err(_)) => break stage.record.violation("accept ended before the server"),
            Err(_elapsed) => break,
        }
    }
    end(&hooks, server).await;
    for connection in registry.connections() {
        connection.closed().await;
    }
    if !registry.is_empty() {
        stage
            .record
            .violation("a server's registry is not empty after its end");
    }
    queue.iter().for_each(SocketHandlerQueue::close);
}

async fn end(hooks: &Hooks, server: Server) {
    let record = &hooks.stage.record;
    let live = server.registry().connections();
    for connection in &live {
        record.ending(hooks.key(connection));
    }
    let Some(deadline) = hooks.stage.plan.shutdown else {
        record.event(format_args!("the server is dropped"));
        return drop(server);
    };
    record.event(format_args!("the server is shut down within {deadline:?}"));
    let report = server.shutdown(deadline).await;
    for connection in live {
        if report.cut.contains(connection.peer()) {
            record.change(hooks.key(&connection), |side| side.cut = true);
        }
    }
}

async fn broadcast(stage: Arc<Stage>, registry: Registry, life: u64) {
    let rng = &mut rng(stage.seed, 200 + life);
    for _ in 0..stage.plan.broadcasts {
        pause(rng, 300).await;
        let protocol = if rng.random_bool(0.8) {
            Protocol::Pymasep
        } else {
            Protocol::Masep2
        };
        let size = stage.size(rng, protocol);
        let frame = stage.record.next_broadcast(size, rng);
        for connection in registry.connections() {
            if stage.plan.send_full == WhenFull::NewestWins {
                // The frames that one drops may be those of the talker.
                let key = (link_of(&connection.address()), 1);
                stage.record.change(key, |side| side.may_skip = true);
            }
        }
        match registry.broadcast(&frame, stage.plan.send_full).await {
            Ok(_) => {}
            // Peers of pymasep's protocol have no room for it, and are named.
            Err(error) if is_known(&error) => {}
            Err(SendError::Undelivered(undelivered))
                if undelivered.peers.iter().all(|(_, error)| is_known(error)) => {}
            Err(error) => stage.record.violation(format!("cannot broadcast: {error}")),
        }
    }
}

/// True of a frame that pymasep's protocol has no room for, and no other.
fn is_known(error: &SendError) -> bool {
    let allowed = Frame::MAX_BYTES;
    matches!(error, SendError::TooLarge(large)
        if large.protocol() == Protocol::Pymasep && large.actual > allowed && large.allowed == allowed)
}

/// A client on a host: comes, talks, goes and comes again.
pub(crate) async fn client(stage: Arc<Stage>, host: usize, active: Duration, life: u64) {
    let stop = Instant::now() + active;
    let rng = &mut rng(stage.seed, 0x100 * host as u64 + life);
    pause(rng, 200).await;
    while Instant::now() < stop {
        let hooks = Hooks {
            stage: stage.clone(),
            host,
            link: Arc::default(),
            queue: None,
        };
        let client = match arrive(&hooks).await {
            Ok(client) => client,
            Err(error) => {
                stage
                    .record
                    .event(format_args!("host {host} is not connected: {error}"));
                pause(rng, 300).await;
                continue;
            }
        };
        let connection = client.connection().clone();
        let left = stop.saturating_duration_since(Instant::now());
        let stay = left.mul_f64(rng.random_range(0.1..1.5)).min(left);
        if timeout(stay, connection.closed()).await.is_err() {
            stage.record.ending(hooks.key(&connection));
        }
        let registry = client.registry().clone();
        if rng.random_bool(0.5) {
            // Others of this program still have handles, and the connection lives as long as they do.
            drop(client);
            connection.bye().await;
            connection.closed().await;
        } else {
            connection.bye().await;
        }
        if !registry.is_empty() {
            stage
                .record
                .violation("a client's registry is not empty after its end");
        }
        pause(rng, 300).await;
    }
}

async fn arrive(hooks: &Hooks) -> Result<Client, ConnectError> {
    let plan = &hooks.stage.plan;
    // Two hosts may think that they are the same agent.
    let number = if plan.shared_id {
        hooks.host / 2
    } else {
        hooks.host
    };
    let builder = Client::builder(format!("agent-{number}"))
        .limits(plan.limits.clone())
        .protocols(plan.clients_speak[hooks.host - 1])
        .socket_options(plan.socket_options.clone());
    if plan.client == Taking::Handler {
        return arrive_with(builder.handler(hooks.clone()), hooks).await;
    }
    let client = arrive_with(builder.when_full(plan.when_full), hooks).await?;
    hooks.begin(client.connection(), plan.client);
    Ok(client)
}

async fn arrive_with<H: SocketHandler>(
    builder: ClientBuilder<H>,
    hooks: &Hooks,
) -> Result<Client, ConnectError> {
    let go = |_address| async {
        let transport = connect(hooks.stage.network.clone(), hooks.host).await?;
        // One that falls back connects again.
        *hooks.link.lock().expect("nobody panics") = Some(transport.link());
        Ok(transport)
    };
    builder.connect_with(name(), go).await
}
