//! Zenoh: a peer that listens and clients of it, without scouting and router.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zenoh::handlers::{FifoChannel, FifoChannelHandler};
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::CongestionControl;
use zenoh::sample::Sample;
use zenoh::{Config, Session, Wait};

use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, Work, filler};
use crate::link::{Link, runtime};

/// The key of messages for all.
const ALL: &str = "all";
/// Messages that may wait to be received; above, nothing is read.
const QUEUE: usize = 1024;

/// zenoh's errors are no errors of the standard library.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` takes"
)]
fn failed(error: zenoh::Error) -> anyhow::Error {
    anyhow!("{error}")
}

/// Clients of one peer are several times as fast as peers of each other, and connect in a hundredth of the time.
async fn session(mode: &str, endpoints: (&str, String)) -> Result<Session> {
    let mut config = Config::default();
    let common = [
        ("scouting/multicast/enabled", "false"),
        ("scouting/gossip/enabled", "false"),
        ("transport/unicast/max_sessions", "20000"),
        ("transport/unicast/accept_pending", "1000"),
    ];
    let mode = format!("\"{mode}\"");
    let own = [("mode", &*mode), (endpoints.0, &*endpoints.1)];
    for (key, value) in common.into_iter().chain(own) {
        config.insert_json5(key, value).map_err(failed)?;
    }
    zenoh::open(config).await.map_err(failed)
}

async fn publisher(session: &Session, key: String, work: Work) -> Result<Publisher<'static>> {
    // The route of a declared key is looked up once, not for each message.
    let key = session.declare_keyexpr(key).await.map_err(failed)?;
    let publisher = session
        .declare_publisher(key)
        .congestion_control(CongestionControl::Block)
        // A message that waits for an answer is not to wait for others to be sent with.
        .express(matches!(work, Work::RoundTrip | Work::WholeTurn));
    publisher.await.map_err(failed)
}

/// A session that asks under a key of its own.
pub(crate) struct Zenoh {
    questions: Publisher<'static>,
    answers: Subscriber<FifoChannelHandler<Sample>>,
    all: Option<Subscriber<FifoChannelHandler<Sample>>>,
    greeted: bool,
    _session: Session,
}

impl Zenoh {
    /// Waits until the server is known to subscribe: what is published before is lost.
    async fn known(&self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let listener = self.questions.matching_listener().await.map_err(failed)?;
        let status = self.questions.matching_status().await.map_err(failed)?;
        if !status.matching() {
            let matching = timeout(PATIENCE, listener.recv_async()).await;
            matching.context("nobody subscribes")?.map_err(failed)?;
        }
        Ok(())
    }
}

impl Link for Zenoh {
    /// Its own threads call into it; a runtime in one thread it refuses.
    fn runtime(job: &Job) -> io::Result<Runtime> {
        runtime(job.threads.max(2))
    }

    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let endpoint = format!("[\"tcp/{}\"]", job.address()?);
        let session = session("client", ("connect/endpoints", endpoint)).await?;
        let subscribe = async |key: String| {
            let subscriber = session.declare_subscriber(key);
            let subscriber = subscriber.with(FifoChannel::new(QUEUE));
            subscriber.await.map_err(failed)
        };
        let link = Self {
            answers: subscribe(format!("answers/{number}")).await?,
            all: match job.work.fans_out() {
                true => Some(subscribe(ALL.to_owned()).await?),
                false => None,
            },
            questions: publisher(&session, format!("questions/{number}"), job.work).await?,
            greeted: false,
            _session: session,
        };
        link.known().await?;
        Ok(link)
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        self.questions.put(body.clone()).await.map_err(failed)
    }

    /// If the server sends to all, the messages after the first, which is an answer, are for all.
    async fn receive(&mut self) -> Result<usize> {
        let subscriber = match &mut self.all {
            Some(all) if self.greeted => all,
            _ => &mut self.answers,
        };
        self.greeted = true;
        let sample = subscriber.recv_async().await.map_err(failed)?;
        // Whole and in one piece, as of all others.
        Ok(sample.payload().to_bytes().len())
    }
}

/// The publishers of a server: one for each client's own key, and one for all.
struct Answering {
    session: Session,
    work: Work,
    answers: Mutex<BTreeMap<String, Arc<Publisher<'static>>>>,
    all: Arc<Publisher<'static>>,
}

impl Answering {
    fn answer(&self, sample: &Sample) -> Result<()> {
        let key = sample.key_expr().as_str();
        let (_, number) = key.split_once('/').context("a key without a number")?;
        let answer = match Request::read(&sample.payload().to_bytes()) {
            Request::Take => return Ok(()),
            Request::Echo => sample.payload().clone(),
            Request::Acknowledge => ACKNOWLEDGEMENT.into(),
            Request::Observation => ACTION.into(),
            Request::Turn { size } => filler(size as usize).into(),
            Request::Broadcast { count, size } => {
                let (all, body) = (Arc::clone(&self.all), filler(size as usize));
                // Not in the thread that reads.
                thread::spawn(move || (0..count).try_for_each(|_| all.put(body.clone()).wait()));
                return Ok(());
            }
        };
        let publisher = self.publisher(number)?;
        publisher.put(answer).wait().map_err(failed)
    }

    fn publisher(&self, number: &str) -> Result<Arc<Publisher<'static>>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = answers.get(number) {
            return Ok(Arc::clone(publisher));
        }
        let key = self.session.declare_keyexpr(format!("answers/{number}"));
        let publisher = self
            .session
            .declare_publisher(key.wait().map_err(failed)?)
            .congestion_control(CongestionControl::Block)
            .express(matches!(self.work, Work::RoundTrip | Work::WholeTurn))
            .wait()
            .map_err(failed)?;
        let publisher = Arc::new(publisher);
        answers.insert(number.to_owned(), Arc::clone(&publisher));
        Ok(publisher)
    }
}

/// Answers in zenoh's thread that has read.
pub(crate) fn serve(job: &Job) -> Result<()> {
    runtime(job.threads.max(2))?.block_on(async {
        let address = free_address()?;
        let endpoint = format!("[\"tcp/{address}\"]");
        let session = session("peer", ("listen/endpoints", endpoint)).await?;
        let all = publisher(&session, ALL.to_owned(), job.work).await?;
        let answering = Answering {
            session: session.clone(),
            work: job.work,
            answers: Mutex::default(),
            all: Arc::new(all),
        };
        let _subscriber = session
            .declare_subscriber("questions/*")
            .callback(move |sample| {
                if let Err(error) = answering.answer(&sample) {
                    eprintln!("{error:#}");
                }
            })
            .await
            .map_err(failed)?;
        child::ready(address)?;
        std::future::pending().await
    })
}

/// zenoh says nowhere in its stable interface which port it was given.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
