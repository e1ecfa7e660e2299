//! One end of a connection that is fuzzed: what it was asked to send, what it was given, and what
//! has to hold of both.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arbitrary::Arbitrary;
use masep::{CloseReason, Connection, Frame, SendError, SocketHandler, TryRecvError, WhenFull};

/// Bytes of a frame's number, with which its body begins.
const NUMBER: usize = 4;
/// The largest body: what is larger takes longer and goes the same way.
const MOST_BYTES: usize = 600;

/// A call on one end.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Act {
    /// `try_send` of a frame with about so many bytes.
    TrySend(u16),
    /// Begins a `send`, or polls the one that has begun.
    Send(u16),
    /// Gives up the `send` that has begun.
    DropSend,
    /// `send_or` with a policy that does not wait.
    SendOr(u16, Policy),
    /// Begins a `recv`, or polls the one that has begun.
    Recv,
    /// Gives up the `recv` that has begun.
    DropRecv,
    /// `try_recv`.
    TryRecv,
    /// Polls a `recv_newest` once; those whose numbers are a multiple of this are kept.
    RecvNewest(u8),
    /// Polls `bye` once.
    Bye,
    /// Sends `BYE` as a frame.
    SendBye,
    /// Polls `closed` once.
    Closed,
    /// Lets time pass, and with it everything that is under way: so many milliseconds.
    Wait(u8),
}

/// The policies of `send_or` that do not wait.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Policy {
    NewestWins,
    Disconnect,
}

/// The events that a handler was told.
#[derive(Debug, Default)]
struct Told {
    numbers: Vec<u32>,
    reasons: Vec<CloseReason>,
}

/// A handler that takes its time and keeps what it was told.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    told: Arc<Mutex<Told>>,
    pause: Duration,
}

impl Recorder {
    /// One that takes so long for each frame.
    #[must_use]
    pub fn new(pause: Duration) -> Self {
        Self {
            told: Arc::default(),
            pause,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketHandler for Recorder {
    async fn on_receive(&self, _connection: &Connection, frame: Frame) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.told().numbers.push(number_of(&frame));
    }

    async fn on_close(&self, _connection: &Connection, reason: &CloseReason) {
        self.told().reasons.push(reason.clone());
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// One end of a connection, and the calls on it that have begun.
pub struct Side {
    connection: Connection,
    recorder: Option<Recorder>,
    frame_bytes: usize,
    next: u32,
    sending: Option<(u32, Pending<Result<(), SendError>>)>,
    receiving: Option<Pending<Result<Frame, CloseReason>>>,
    accepted: Vec<u32>,
    received: Vec<u32>,
    /// True if frames that were accepted may be dropped before they are sent.
    drops_unsent: bool,
    /// True if frames that arrived may be dropped before they are given.
    drops_received: bool,
    /// True if this side has asked for the end.
    ended: bool,
}

impl Side {
    /// `recorder`, if this side has a handler; `drops_received`, if its queue does.
    #[must_use]
    pub fn new(
        connection: Connection,
        recorder: Option<Recorder>,
        frame_bytes: usize,
        drops_received: bool,
    ) -> Self {
        Self {
            connection,
            recorder,
            frame_bytes,
            next: 0,
            sending: None,
            receiving: None,
            accepted: Vec::new(),
            received: Vec::new(),
            drops_unsent: false,
            drops_received,
            ended: false,
        }
    }

    /// Makes a call.
    pub async fn act(&mut self, act: Act) {
        match act {
            Act::TrySend(size) => {
                let (number, frame) = self.frame(size);
                let sent = self.connection.try_send(frame);
                self.sent(number, &sent);
            }
            Act::Send(size) => self.send(size).await,
            Act::DropSend => drop(self.sending.take()),
            Act::SendOr(size, policy) => self.send_or(size, policy).await,
            Act::Recv => self.recv().await,
            Act::DropRecv => drop(self.receiving.take()),
            Act::TryRecv => {
                let frame = self.connection.try_recv();
                self.received.extend(frame.as_ref().ok().map(number_of));
            }
            Act::RecvNewest(kept) => self.recv_newest(kept).await,
            Act::Bye => {
                self.ended = true;
                let _ = poll_once(Box::pin(self.connection.bye()).as_mut()).await;
            }
            Act::SendBye => {
                self.ended = true;
                assert!(self.connection.try_send(Frame::BYE).is_ok());
            }
            Act::Closed => {
                let closed = poll_once(Box::pin(self.connection.closed()).as_mut()).await;
                assert_eq!(closed.as_ref(), self.connection.close_reason());
            }
            Act::Wait(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
            }
        }
    }

    fn frame(&mut self, size: u16) -> (u32, Frame) {
        let number = self.next;
        self.next += 1;
        let size = usize::from(size) % (MOST_BYTES - NUMBER);
        let mut body = number.to_le_bytes().to_vec();
        body.resize(NUMBER + size, number.to_le_bytes()[0]);
        (number, Frame::new(body))
    }

    /// The outcome of a call that sends.
    fn sent(&mut self, number: u32, sent: &Result<(), SendError>) {
        match sent {
            Ok(()) => {
                assert!(!self.ended, "a frame was taken behind the end");
                self.accepted.push(number);
            }
            Err(SendError::TooLarge(limit)) => {
                assert!(limit.actual > limit.allowed && limit.allowed == self.frame_bytes);
            }
            Err(SendError::Full(limit)) => {
                assert!(limit.actual > limit.allowed, "{limit}");
                assert!(!self.ended, "full, where nothing is taken any more");
            }
            Err(SendError::Closed(_)) => {}
            Err(other) => panic!("a frame needs no encoding: {other}"),
        }
    }

    async fn send(&mut self, size: u16) {
        let (number, mut call) = self.sending.take().unwrap_or_else(|| {
            let (number, frame) = self.frame(size);
            let connection = self.connection.clone();
            let call = async move { connection.send(frame).await };
            (number, Box::pin(call))
        });
        match poll_once(call.as_mut()).await {
            Some(sent) => self.sent(number, &sent),
            None => self.sending = Some((number, call)),
        }
    }

    async fn send_or(&mut self, size: u16, policy: Policy) {
        let (number, frame) = self.frame(size);
        self.drops_unsent = true;
        let policy = match policy {
            Policy::NewestWins => WhenFull::NewestWins,
            Policy::Disconnect => WhenFull::Disconnect,
        };
        let sent = self.connection.send_or(frame, policy).await;
        self.sent(number, &sent);
        if matches!(
            (sent, policy),
            (Err(SendError::Full(_)), WhenFull::Disconnect)
        ) {
            self.ended = true;
        }
    }

    async fn recv(&mut self) {
        let mut call = self.receiving.take().unwrap_or_else(|| {
            let connection = self.connection.clone();
            Box::pin(async move { connection.recv().await })
        });
        match poll_once(call.as_mut()).await {
            Some(frame) => self.received.extend(frame.as_ref().ok().map(number_of)),
            None => self.receiving = Some(call),
        }
    }

    async fn recv_newest(&mut self, kept: u8) {
        let keep = |frame: &Frame| number_of(frame).is_multiple_of(u32::from(kept).max(1));
        // A multiple of 1 is everything: then nothing is dropped.
        self.drops_received |= kept > 1;
        let call = self.connection.recv_newest(keep);
        if let Some(Ok(frame)) = poll_once(Box::pin(call).as_mut()).await {
            self.received.push(number_of(&frame));
        }
    }

    /// Takes what still comes, until the end; `says_bye` if this side is to begin it.
    pub async fn finish(&mut self, says_bye: bool) {
        self.sending = None;
        if says_bye {
            self.act(Act::Bye).await;
        }
        if let Some(call) = self.receiving.take() {
            self.received
                .extend(call.await.as_ref().ok().map(number_of));
        }
        while let Ok(frame) = self.connection.recv().await {
            self.received.push(number_of(&frame));
        }
        let reason = self.connection.closed().await;
        let behind = self.connection.try_recv();
        assert_eq!(behind, Err(TryRecvError::Closed(reason.clone())));
        assert!(matches!(
            self.connection.try_send("late"),
            Err(SendError::Closed(given)) if given == reason
        ));
        if let Some(recorder) = &self.recorder {
            let told = recorder.told();
            assert_eq!(told.reasons, [reason], "one reason, the same for all");
            assert!(self.received.is_empty(), "frames go to the handler");
            self.received.clone_from(&told.numbers);
        }
    }

    /// Checks that what `other` was given is what this side has sent.
    pub fn check(&self, other: &Self) {
        let gaps = self.drops_unsent || other.drops_received;
        let mut rest = self.accepted.iter();
        for number in &other.received {
            let found = rest.position(|accepted| accepted == number);
            assert!(found.is_some(), "{number} twice, or out of order");
            assert!(gaps || found == Some(0), "lost before {number}");
        }
        let reasons = [self, other].map(|side| side.connection.close_reason());
        let told = matches!(
            reasons,
            [
                Some(CloseReason::LocalBye | CloseReason::Shutdown),
                Some(CloseReason::PeerBye | CloseReason::Rejected)
            ]
        );
        assert!(
            gaps || !told || rest.next().is_none(),
            "lost before the end"
        );
    }

    /// The reason why the connection ended, as this side knows it; only after [`finish`](Self::finish).
    #[must_use]
    pub fn reason(&self) -> CloseReason {
        self.connection
            .close_reason()
            .cloned()
            .expect("it has ended")
    }
}

/// The number of a frame that is as it was sent.
fn number_of(frame: &Frame) -> u32 {
    let (number, rest) = frame
        .bytes()
        .split_first_chunk::<NUMBER>()
        .expect("no frame without a number was sent");
    assert!(rest.iter().all(|byte| *byte == number[0]), "a mixed frame");
    u32::from_le_bytes(*number)
}

async fn poll_once<T>(mut call: Pin<&mut (dyn Future<Output = T> + '_)>) -> Option<T> {
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
