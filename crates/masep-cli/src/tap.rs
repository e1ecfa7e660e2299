//! `masep tap`: a transparent proxy that shows what goes through it.

mod entry;
mod forward;
mod json;
mod printer;
mod printing;
mod recorder;
mod text;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use masep::transport::{Listener, SocketListener};
use masep::{Address, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) use self::entry::{Direction, What};
use self::forward::Link;
pub(crate) use self::printing::{PrintOptions, WhenUnread};
pub(crate) use self::recorder::{ConnectionRecorder, Recorder};
use crate::address;
use crate::error::Error;
use crate::limits;
use crate::runtime;
use crate::signals::Signals;
use crate::status::Status;

/// The time that a connection waits for a place when as many as may be go through, so that a peer that
/// leaves can come back at once.
const PLACE_TIME: Duration = Duration::from_secs(1);
/// Connections that wait for a place. More are rejected at once.
const MAX_WAITING: usize = 10;
/// The time that accepting rests after an error of the machine, such as no free descriptor.
const ACCEPT_REST: Duration = Duration::from_millis(100);

const LONG_ABOUT: &str = "\
Stand between engines and interfaces, of masep or pymasep, and show what they say. Bytes go through \
unchanged and at once, also those that are no frames; half-closes and resets go through too. (As masep \
itself, the proxy acknowledges at once, so that pymasep peers do not wait 40 ms for that: a game can be \
faster through it.)

A line for each frame: seconds since the start, the number of the connection, the direction (c2s: from \
who connected; s2c: to it), the bytes of the frame's body, and what it says. The first frame of each \
direction is the hello. Further lines tell of connections that open, half-close (eof) or are reset.

Of protocol 2, which is told by its first bytes, control messages have their names in capitals: HELLO, \
WELCOME, REJECTED, BYE, NOTICE, and with --pings PING and PONG. In place of an access token or a resume \
text there is \"...\". Of a payload over 8 MiB only the size is shown. TLS goes through, and cannot be looked into: its bytes are \
shown as no frames. An array is shown as what it is, uint8[84,84,4], and with --full with its bytes.

With --json each line is an object: {\"t\":...,\"conn\":...,\"dir\":...,\"size\":N} and one of \
\"hello\":ID, \"message\":{...}, \"bye\":true, \"bytes_hex\":... with \"error\":{\"kind\":...,\"message\":...}; of \
protocol 2 \"preamble\":2, \"control\":\"hello\" with \"fields\":{...}, \"bytes_hex\":... alone or with \"kind\":N; or \
{\"t\":...,\"conn\":...,\"dir\":...,\"event\":...} with open, eof, reset, refused (by --to) or rejected (more \
than --max-connections: it is reset). The first line is {\"event\":\"listening\",\"address\":...}.

When standard output is read too slowly, the game goes on and lines are skipped: {\"event\":\"skipped\", \
\"lines\":N} stands in their place. It ends with SIGINT (Ctrl-C), SIGTERM, SIGHUP or SIGQUIT, \
and when the reader of standard output is gone; connections that are open then are reset.";

const EXAMPLE: &str = "\
Example: watch an interface that would connect to 127.0.0.1:60000 and is told 60001 instead
  $ masep tap --listen 127.0.0.1:60001 --to 127.0.0.1:60000
  listening on 127.0.0.1:60001
      0.781326   0 c2s            open from 127.0.0.1:40322
      0.782313   0 c2s       24 B hello agent-1
      0.782617   0 s2c       36 B hello c2b9546e-0f02-40f3-adb7-f1d5cbf15150
      0.826302   0 c2s      170 B define <Message msg_type=\"define\" src_sub_app=\"agent-1\"><dict>...
";

/// A transparent proxy that prints each frame, decoded
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Tap {
    /// Where to listen; port 0 takes a free one, which is printed. A Unix socket is `unix:///PATH`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = address::parse)]
    listen: Target,

    /// Where the connections go [default: `MASEP_ADDRESS`, else 127.0.0.1:60000]
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    to: Option<Target>,

    /// Connections that go through at the same time, each with two descriptors
    ///
    /// One more is told, as rejected, and reset if none of the others ends within a second.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = limits::at_least_one())]
    max_connections: usize,

    #[command(flatten)]
    print: PrintOptions,

    /// Show the pings of protocol 2 and the answers to them too
    #[arg(long)]
    pings: bool,
}

impl Tap {
    pub(crate) fn run(self) -> Result<Status, Error> {
        runtime::block_on(self.tap())
    }

    async fn tap(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let to = Arc::new(address::or_default(self.to)?);
        let cannot_listen = |source| Error::listen(&self.listen, &source);
        let listener = tokio::select! {
            bound = SocketListener::bind(&self.listen) => bound.map_err(cannot_listen)?,
            status = signals.next() => return Ok(status),
        };
        let address = listener.local_address().map_err(cannot_listen)?;
        let carry = |recorder| accept((&listener, &address), &to, self.max_connections, recorder);
        // They are reset.
        let drain = std::future::ready(Status::Done);
        let print = self.print;
        print
            .print_while(
                (self.pings, WhenUnread::End),
                (address.clone(), None),
                &mut signals,
                carry,
                drain,
            )
            .await
    }
}

/// Takes connections for as long as it is polled. When it is dropped, they all are reset: a bare
/// close would make a pymasep peer spin.
async fn accept(
    (listener, at): (&SocketListener, &Address),
    to: &Arc<Target>,
    most: usize,
    recorder: Recorder,
) {
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let mut links = JoinSet::new();
    for number in 0.. {
        let (client, address) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    tracing::warn!("accepting at {at} rests for {ACCEPT_REST:?}: {error}");
                    sleep(ACCEPT_REST).await;
                }
            }
        };
        while links.try_join_next().is_some() {}
        let link = Link {
            to: to.clone(),
            address,
            recorder: recorder.connection(number),
        };
        if links.len() < most.saturating_add(MAX_WAITING) {
            let places = places.clone();
            links.spawn(async move {
                match timeout(PLACE_TIME, places.acquire()).await {
                    Ok(Ok(_place)) => link.run(client).await,
                    _ => link.reject(client, most),
                }
            });
        } else {
            link.reject(client, most);
        }
    }
}
