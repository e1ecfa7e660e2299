//! Any sequence of calls on both ends of a connection: what was accepted arrives once, in order and
//! whole, all of it before an orderly end; each end has one reason; nothing is left behind.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use masep::transport::memory;
use masep::{Client, CloseReason, Limits, Protocols, Server, WhenFull};
use masep_fuzz::{Act, Recorder, Side};
use tokio::runtime::{Builder, Handle};

/// Calls on one connection: further ones hardly reach anything new.
const MOST_ACTS: usize = 100;
/// In which everything has to have ended, of a clock that goes as fast as things happen: the time
/// for a peer that takes no bytes, and that for handlers which are slow.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Arbitrary, Debug)]
struct Setting {
    /// Bytes that may be on their way in one direction.
    pipe: u16,
    queue_messages: u8,
    queue_bytes: u16,
    frame_bytes: u16,
    /// Milliseconds of silence after which a connection ends; none if 0.
    idle: u8,
    engine: End,
    agent: End,
    engine_says_bye: bool,
}

#[derive(Arbitrary, Debug)]
struct End {
    /// The handler, if there is one: the milliseconds that it takes for a frame.
    handler: Option<u8>,
    full: Full,
}

/// The policy of the queue of what has arrived.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Full {
    Wait,
    NewestWins,
    Disconnect,
}

impl Setting {
    fn limits(&self) -> Limits {
        let idle = u64::from(self.idle);
        Limits::default()
            .frame_bytes(usize::from(self.frame_bytes).max(8))
            .queue_messages(usize::from(self.queue_messages).max(1))
            .queue_bytes(usize::from(self.queue_bytes).max(1))
            .idle_time((idle > 0).then(|| Duration::from_millis(idle)))
    }
}

impl End {
    fn recorder(&self) -> Option<Recorder> {
        let pause = self.handler?;
        Some(Recorder::new(Duration::from_millis(pause.into())))
    }

    const fn when_full(&self) -> WhenFull {
        match self.full {
            Full::Wait => WhenFull::Wait,
            Full::NewestWins => WhenFull::NewestWins,
            Full::Disconnect => WhenFull::Disconnect,
        }
    }

    const fn drops(&self) -> bool {
        self.handler.is_none() && !matches!(self.full, Full::Wait)
    }
}

/// Both ends, connected, with their owners.
async fn connect(setting: &Setting) -> (Server, Side, Client, Side) {
    let limits = setting.limits();
    let (listener, connector) = memory::listen(1);
    let (engine_recorder, agent_recorder) = (setting.engine.recorder(), setting.agent.recorder());
    // A handler gets the connections itself, so the server's end is taken from the registry then.
    let server = Server::builder("engine").limits(limits.clone());
    let server = match engine_recorder.clone() {
        Some(recorder) => server.handler(recorder).serve_over(listener),
        None => server
            .when_full(setting.engine.when_full())
            .serve_over(listener),
    };
    let server = server.expect("pipes need nothing of the system");
    let capacity = usize::from(setting.pipe);
    let connect = |_address| connector.connect(capacity);
    let client = Client::builder("agent")
        .protocols(Protocols::Pymasep)
        .limits(limits.clone());
    let client = match agent_recorder.clone() {
        Some(recorder) => {
            client
                .handler(recorder)
                .connect_with(connector.address(), connect)
                .await
        }
        None => {
            let client = client.when_full(setting.agent.when_full());
            client.connect_with(connector.address(), connect).await
        }
    };
    let client = client.expect("both say hello in time");
    let of_server = loop {
        match server.registry().get_connection("agent") {
            Some(connection) => break connection,
            None => tokio::task::yield_now().await,
        }
    };
    let of_client = client.connection().clone();
    let (engine, agent) = (&setting.engine, &setting.agent);
    let engine = Side::new(
        of_server,
        engine_recorder,
        limits.frame_bytes,
        engine.drops(),
    );
    let agent = Side::new(of_client, agent_recorder, limits.frame_bytes, agent.drops());
    (server, engine, client, agent)
}

/// True if a connection may end for this reason in this setting.
fn is_expected(reason: &CloseReason, setting: &Setting) -> bool {
    use CloseReason::{EndOfStream, IdleTimeout, LocalBye, PeerBye, QueueFull, Rejected, Reset};
    match reason {
        // A client that has got nothing before the BYE was rejected, as far as it can know.
        LocalBye | PeerBye | QueueFull(_) | Rejected => true,
        IdleTimeout => setting.idle > 0,
        // Of a side that left without reading all.
        Reset | EndOfStream { mid_frame: _ } => true,
        _ => false,
    }
}

async fn converse(setting: &Setting, acts: &mut Unstructured<'_>) {
    let (server, mut engine, client, mut agent) = connect(setting).await;
    for _ in 0..MOST_ACTS {
        let Ok((of_engine, act)) = acts.arbitrary::<(bool, Act)>() else {
            break;
        };
        if acts.is_empty() {
            break;
        }
        let side = if of_engine { &mut engine } else { &mut agent };
        side.act(act).await;
    }
    let finish = async {
        let bye = setting.engine_says_bye;
        tokio::join!(engine.finish(bye), agent.finish(!bye))
    };
    let finished = tokio::time::timeout(PATIENCE, finish).await;
    assert!(finished.is_ok(), "it does not end");
    engine.check(&agent);
    agent.check(&engine);
    for side in [&engine, &agent] {
        let reason = side.reason();
        assert!(is_expected(&reason, setting), "{reason}");
    }
    assert_ne!(engine.reason(), CloseReason::Rejected);
    assert!(server.registry().is_empty() && client.registry().is_empty());
    drop(client);
    let report = server.shutdown(PATIENCE).await;
    assert!(report.ended.is_empty() && report.cut.is_empty());
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it needs nothing of the system");
    runtime.block_on(converse(&setting, &mut input));
});
