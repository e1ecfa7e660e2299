//! NATS by Debian's `nats-server` and the client async-nats: both ends of a conversation are clients
//! of the server, and each message goes through it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::child;
use crate::job::{ACTION, Job, Request, Work, filler};
use crate::link::{Link, runtime};

/// The subjects of questions, and of messages for all.
const QUESTIONS: &str = "questions";
const ALL: &str = "all";

/// async-nats throws away what comes when this many messages wait to be taken: nothing may be lost.
const CAPACITY: usize = 1 << 24;

/// nats-server cuts a client off for which more than this waits; its default is 64 MB.
const CONFIGURATION: &str = "
    listen: \"127.0.0.1:-1\"
    max_pending: 1GB
    write_deadline: \"60s\"
";

async fn client(address: SocketAddr) -> Result<Client> {
    let options = ConnectOptions::new().subscription_capacity(CAPACITY);
    Ok(options.connect(format!("nats://{address}")).await?)
}

/// A client that asks.
pub(crate) struct Nats {
    client: Client,
    reply_to: String,
    answers: Subscriber,
    all: Option<Subscriber>,
    greeted: bool,
    fed: usize,
    one_way: bool,
}

impl Link for Nats {
    async fn connect(job: &Job, number: usize) -> Result<Self> {
        let client = client(job.address()?).await?;
        let reply_to = format!("answers.{number}");
        let answers = client.subscribe(reply_to.clone()).await?;
        let all = match job.work.fans_out() {
            true => Some(client.subscribe(ALL).await?),
            false => None,
        };
        Ok(Self {
            client,
            reply_to,
            answers,
            all,
            greeted: false,
            fed: 0,
            one_way: job.work == Work::OneWay,
        })
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        self.fed += 1;
        let published =
            self.client
                .publish_with_reply(QUESTIONS, self.reply_to.clone(), body.clone());
        Ok(published.await?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.client.flush().await?)
    }

    /// The first message is the answer to a greeting; where the server sends to all, those after it
    /// are for all.
    async fn receive(&mut self) -> Result<usize> {
        let subscriber = match &mut self.all {
            Some(all) if self.greeted => all,
            _ => &mut self.answers,
        };
        self.greeted = true;
        let message = subscriber.next().await.context("the connection is lost")?;
        if self.one_way {
            let taken: usize = std::str::from_utf8(&message.payload)?.parse()?;
            let fed = std::mem::take(&mut self.fed);
            ensure!(taken == fed, "of {fed} messages {taken} arrived");
        }
        Ok(message.payload.len())
    }
}

/// Starts nats-server and answers what comes through it.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let (address, process) = start()?;
    runtime(job.threads)?.block_on(async {
        let client = client(address).await?;
        let mut questions = client.subscribe(QUESTIONS).await?;
        client.flush().await?;
        child::ready_elsewhere(address, process)?;
        let mut taken = 0_usize;
        loop {
            let question = questions.next().await.context("the connection is lost")?;
            taken += 1;
            if let Request::Acknowledge = Request::read(&question.payload) {
                let taken = std::mem::take(&mut taken).to_string();
                answer(&client, question, taken.into()).await?;
            } else {
                respond(&client, question).await?;
            }
        }
    })
}

async fn respond(client: &Client, question: Message) -> Result<()> {
    match Request::read(&question.payload) {
        Request::Take | Request::Acknowledge => Ok(()),
        Request::Echo => {
            let body = question.payload.clone();
            answer(client, question, body).await
        }
        Request::Observation => answer(client, question, ACTION).await,
        Request::Turn { size } => answer(client, question, filler(size as usize)).await,
        Request::Broadcast { count, size } => {
            let body = filler(size as usize);
            for _ in 0..count {
                client.publish(ALL, body.clone()).await?;
            }
            Ok(())
        }
    }
}

async fn answer(client: &Client, question: Message, body: Bytes) -> Result<()> {
    let reply_to = question.reply.context("a question without a way back")?;
    Ok(client.publish(reply_to, body).await?)
}

/// The address on which the server listens, and its process, which ends with this one.
fn start() -> Result<(SocketAddr, u32)> {
    let mut server = Command::new("nats-server")
        .args(["--config", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start nats-server")?;
    let (stdin, stderr) = (server.stdin.take(), server.stderr.take());
    let process = server.id();
    child::end_with_this(server);
    stdin
        .context("no standard input")?
        .write_all(CONFIGURATION.as_bytes())?;
    let mut log = BufReader::new(stderr.context("no standard error")?).lines();
    for line in &mut log {
        let line = line?;
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            let address = address.parse().context("nats-server's address")?;
            thread::spawn(move || log.for_each(drop));
            return Ok((address, process));
        }
    }
    anyhow::bail!("nats-server has ended")
}
