//! `masep proxy`: a sidecar for unmodified pymasep, at an interface or at an engine.

mod engine;
mod guard;
mod interface;
mod kept;
mod reach;
mod relay;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use masep::access::Tokens;
use masep::{AcceptError, Protocols, Server, Target, TypeName};
use masep_proto::gate::{Quits, Rules};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::engine::EngineSide;
use self::interface::InterfaceSide;
use self::relay::Side;
use crate::error::Error;
use crate::limits::{ConnectionLimits, SharedLimits};
use crate::signals::Signals;
use crate::status::Status;
use crate::tap::{PrintOptions, Recorder, WhenUnread};
use crate::tls::{Certificate, Trust};
use crate::token::TokenFile;
use crate::{address, duration, id, runtime, variables};

/// The time that a client waits for the far side's word, at most: that connects, and may ask somebody itself.
const DECISION_TIME: Duration = Duration::from_secs(20);

const LONG_ABOUT: &str = "\
Stand between an unmodified pymasep program and the network, where it speaks protocol 2: whole frames over any \
network, refusals and ends that say why, signs of life.

At an interface, where --to is an address of protocol 2 (masep+tls://, masep://, masep+unix://): pymasep connects to \
--listen on its own machine, and is taken when the far side has taken it, by the far side's id.

At an engine, where --to is a pymasep engine: clients come to --listen, and only what the engine survives goes \
through, in the client's own name: DEFINE of --game first, REGISTER once in a known role and while there is an agent \
for it, actions with parameters that pymasep reads, no more than observations. An observer cannot act, nobody can \
QUIT for the others (--quit), and who has not registered receives nothing, but a BYE at the end. The gate does not know what the game's own \
code does with the parameters of an action. A pymasep engine never forgets: the proxy counts agents \
and ids over its life, so start both together.

The engine never waits for a client: one whose queue is full (--queue-bytes) is ended. It does not learn that a \
client has left: a pymasep engine would go on sending to it, until it hangs. The proxy reads in its place, and an observer \
that is back is shown the newest observation. An actor that has left has no way back.

pymasep's engine listens on all addresses. The proxy looks from outside whether it can be reached there, past the \
proxy, and warns with the line for the firewall (MASEP_LOG=info tells if it cannot). The search on the LAN is answered with --announce only: otherwise \
the engine could not have the port of the search.

A link that is lost is a BYE to the client, and to an interface. Each link has its own bounded queues, and holds up no other.

A line for each event, as masep tap has them: open, refused (by --to), denied (what did not go through, and why) and \
ended (of which end, and why); with --show also each frame. With --json each line is an object; \"target\" of the first, listening, \
is the address with the scheme that clients need. It ends with SIGINT \
(Ctrl-C), SIGTERM, SIGHUP or SIGQUIT, with BYE to all. When the reader of standard output is gone, it warns and goes on \
without lines.";

const EXAMPLE: &str = "\
Example: a pymasep engine and a pymasep interface, over a bad LAN
  on the engine's machine
  $ masep proxy --listen masep+tls://0.0.0.0:60443 --tls-cert server.pem \\
        --tls-key server-key.pem --tokens tokens.toml \\
        --to 127.0.0.1:60000 --game pkg.mod.Game --actors 2
  on the interface's, with the line of masep token new in red.token
  $ masep proxy --listen 127.0.0.1:60000 --token-file red.token
";

/// A sidecar of unmodified pymasep programs: protocol 2 on the network
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Proxy {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    listen: Target,

    /// The far proxy or server (masep+tls://..., masep://...), or the pymasep engine (HOST:PORT)
    ///
    /// A line of masep token new in --token-file or `MASEP_TOKEN` has it already. Without either it is `MASEP_ADDRESS`.
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    to: Option<Target>,

    /// The proxy's own id, which peers learn where the other side's is not known yet [default: proxy and a random number]
    #[arg(long, value_name = "ID", value_parser = id::parse)]
    id: Option<String>,

    #[command(flatten)]
    certificate: Certificate,

    #[command(flatten)]
    trust: Trust,

    /// Take only clients that have one of the tokens in this file, which masep token makes
    ///
    /// Peers of pymasep's protocol have no tokens, and are not taken then. A token that is taken out ends its connections.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    #[command(flatten)]
    token_file: TokenFile,

    /// Answer the LAN search
    #[arg(long)]
    announce: bool,

    /// Expect a header of the PROXY protocol (version 1 or 2) in front of each connection: behind a load balancer
    ///
    /// Clients then have the addresses that it says. Only where nobody else can connect: the header is a claim.
    #[arg(long)]
    proxy_protocol: bool,

    #[command(flatten)]
    shared: SharedLimits,

    /// Time in which to send what waits when ending
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    drain_time: Duration,

    #[command(flatten)]
    print: PrintOptions,

    /// Show each frame too
    #[arg(long)]
    show: bool,

    #[command(flatten)]
    limits: ConnectionLimits,

    #[command(flatten)]
    gate: GateOptions,
}

/// The rules for what goes through to an engine.
#[derive(Debug, Args)]
#[command(next_help_heading = "At an engine")]
struct GateOptions {
    /// The game that the engine plays, as the name of its class: DEFINE of another does not go through
    #[arg(long, value_name = "CLASS", value_parser = crate::join::parse_game)]
    game: Option<TypeName>,

    /// Agents that the game has for actors: one more would end pymasep's engine
    #[arg(long, value_name = "N", default_value_t = 1)]
    actors: usize,

    /// Different ids in the life of the engine: pymasep keeps three descriptors for each, for ever
    #[arg(long, value_name = "N", default_value_t = 200)]
    ids: usize,

    /// Different ids that one token may bring, of those: an interface of pymasep has a new one each time that it starts
    #[arg(long, value_name = "N", default_value_t = 20, requires = "tokens")]
    ids_per_token: usize,

    /// Agents that the holders of one token may have, of those: nobody can take the places of others
    #[arg(long, value_name = "N", default_value_t = 1, requires = "tokens")]
    actors_per_token: usize,

    /// Those whose QUIT goes through, which ends the game for all
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Quit::Nobody)]
    quit: Quit,

    /// The types of actions that the game knows, from the first to the last, as in 0..5 [default: any]
    #[arg(long, value_name = "FIRST..LAST", value_parser = parse_types)]
    actions: Option<(i64, i64)>,

    /// An element that may be a parameter of actions, such as Object; can be given several times
    ///
    /// pymasep makes objects of these, and imports what they name: who may act has to be trusted then.
    #[arg(long, value_name = "NAME")]
    element: Vec<String>,

    /// Do not look whether the engine can be reached past the proxy
    #[arg(long)]
    no_reach_check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Quit {
    /// Nobody's: who wants to leave says BYE
    Nobody,
    /// The QUIT of actors
    Actors,
}

fn parse_types(text: &str) -> Result<(i64, i64), &'static str> {
    let read = |text: &str| text.trim().parse::<i64>().ok();
    let (first, last) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    match (read(first), read(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err("expected two numbers, the lower one first, as in 0..5"),
    }
}

impl Proxy {
    pub(crate) fn run(self) -> Result<Status, Error> {
        runtime::block_on(self.proxy())
    }

    async fn proxy(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let side = self.side()?;
        let server = tokio::select! {
            server = self.listen() => server?,
            status = signals.next() => return Ok(status),
        };
        let server = Arc::new(server);
        let links = Mutex::new(JoinSet::new());
        let carry = |recorder| accept(&server, &side, &links, recorder, self.show);
        let drain = async {
            for connection in server.registry().connections() {
                tokio::spawn(async move { connection.bye_with(relay::shut_down()).await });
            }
            server.stop_accepting();
            let mut links = std::mem::take(&mut *lock(&links));
            let all = async {
                while links.join_next().await.is_some() {}
                side.end().await;
            };
            match timeout(self.drain_time, all).await {
                Ok(()) => Status::Done,
                Err(_elapsed) => {
                    let time = humantime::format_duration(self.drain_time);
                    let peers = server.registry().connections();
                    let mut cut = peers.iter().filter(|peer| peer.unsent() > 0).peekable();
                    if cut.peek().is_none() {
                        tracing::warn!(
                            "cut off: a link has not ended within {time} (--drain-time)"
                        );
                    }
                    for peer in cut {
                        let (id, address) = (peer.peer(), peer.address());
                        let frames = peer.unsent();
                        tracing::warn!(
                            "cut off: not all was sent to {id:?} at {address} within {time} (--drain-time): frames that were not: {frames}"
                        );
                    }
                    Status::NotSent
                }
            }
        };
        let address = server.local_address();
        let target = self.certificate.target(&address);
        let print = self.print;
        print
            .print_while(
                (false, WhenUnread::CarryOn),
                (address, Some(target)),
                &mut signals,
                carry,
                drain,
            )
            .await
    }

    async fn listen(&self) -> Result<Server, Error> {
        let id = self.id.clone().unwrap_or_else(|| id::random("proxy"));
        let limits = self.shared.limits().decision_time(DECISION_TIME);
        let mut builder = Server::builder(id)
            .limits(self.limits.limits())
            .server_limits(limits)
            .socket_options(self.limits.socket_options())
            .proxy_protocol(self.proxy_protocol)
            .ask_all();
        if let Some(tls) = self.certificate.tls() {
            builder = builder.tls(tls);
        }
        if let Some(file) = &self.tokens {
            let tokens = Tokens::file(file).map_err(|error| Error::Unusable(error.to_string()))?;
            builder = builder.tokens(tokens);
        }
        let bound = builder.bind(&self.listen).await;
        let server = bound.map_err(|source| Error::listen(&self.listen, &source))?;
        if self.tokens.is_some() {
            self.certificate.warn_of_tokens(&server.local_address());
        }
        if self.announce {
            server.announce().map_err(Error::Announce)?;
        }
        Ok(server)
    }

    /// The rules by which each client is served, which depend on the server.
    fn side(&self) -> Result<Arc<dyn Side>, Error> {
        let is_engine = |to: &Target| to.protocols() != Some(Protocols::Masep2);
        // One that is at an engine for certain has no use for a token: a variable may be meant for another verb.
        let credentials = match &self.to {
            Some(to) if is_engine(to) => None,
            _ => self.token_file.read()?,
        };
        let of_token = || credentials.as_ref()?.address.clone();
        let Some(to) = address::or_variable(self.to.clone().or_else(of_token))? else {
            return Err(Error::Usage("--to is missing: where do clients go?".into()));
        };
        let limits = (self.limits.limits(), self.limits.socket_options());
        if !is_engine(&to) {
            refuse(&AT_ENGINE, OF_ENGINE, &to)?;
            let tls = self.trust.tls(Some(&to))?;
            return Ok(Arc::new(InterfaceSide::new(to, credentials, tls, limits)));
        }
        refuse(&AT_INTERFACE, OF_INTERFACE, &to)?;
        let Some(rules) = self.gate.rules() else {
            let text = "the proxy of an engine needs --game; that of an interface connects --to masep://...";
            return Err(Error::Usage(text.into()));
        };
        let looks = !self.gate.no_reach_check;
        Ok(Arc::new(EngineSide::new(to, rules, limits, looks)))
    }
}

/// Options of the proxy at an engine alone, by their names in the code.
const AT_ENGINE: [&str; 9] = [
    "game",
    "actors",
    "ids",
    "ids_per_token",
    "actors_per_token",
    "quit",
    "actions",
    "element",
    "no_reach_check",
];
/// Those of the proxy at an interface alone.
const AT_INTERFACE: [&str; 3] = ["token_file", "tls_ca", "tls_name"];

const OF_ENGINE: &str = "an engine, which is at HOST:PORT, pymasep://... or unix://...";
const OF_INTERFACE: &str =
    "an interface, which goes to masep+tls://..., masep://... or masep+unix://...";

/// Refuses options that would do nothing. Variables may be meant for another proxy.
fn refuse(options: &[&str], side: &str, to: &Target) -> Result<(), Error> {
    let given = options.iter().find(|option| variables::is_given(option));
    given.map_or(Ok(()), |option| {
        let option = option.replace('_', "-");
        let text = format!("--{option} is for the proxy of {side}; --to is {to}");
        Err(Error::Usage(text))
    })
}

impl GateOptions {
    fn rules(&self) -> Option<Rules> {
        let mut rules = Rules::new(self.game.clone()?);
        rules.actors = self.actors;
        rules.ids = self.ids;
        rules.token_ids = self.ids_per_token;
        rules.token_actors = self.actors_per_token;
        rules.quits = match self.quit {
            Quit::Nobody => Quits::Nobody,
            Quit::Actors => Quits::Actors,
        };
        rules.actions = self.actions.map(|(first, last)| first..=last);
        rules.elements = self.element.iter().cloned().collect();
        Some(rules)
    }
}

fn lock(links: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes clients for as long as it is polled.
async fn accept(
    server: &Arc<Server>,
    side: &Arc<dyn Side>,
    links: &Mutex<JoinSet<()>>,
    recorder: Recorder,
    shows: bool,
) {
    side.begin();
    for number in 0.. {
        let request = tokio::select! {
            request = server.next_request() => request,
            // They are in the registry, where links look for them.
            accepted = server.accept() => match accepted {
                Ok(_) => continue,
                Err(error) => Err(error),
            },
        };
        let request = match request {
            Ok(request) => request,
            Err(AcceptError::Stopped | _) => return,
        };
        let mut links = lock(links);
        while links.try_join_next().is_some() {}
        let link = relay::Link::new(server.clone(), recorder.connection(number), shows);
        let side = side.clone();
        links.spawn(async move { side.serve(link, request).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_actions_are_two_numbers() {
        assert_eq!(parse_types("0..5"), Ok((0, 5)));
        assert_eq!(parse_types("-1..-1"), Ok((-1, -1)));
        for wrong in ["", "5", "5..0", "a..b", "0..", "0...5"] {
            assert!(parse_types(wrong).is_err(), "{wrong}");
        }
    }
}
