//! Carries frames and ends between two connections.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use masep::{
    Address, Bye, Client, CloseReason, Connection, DecodeError, EncodeError, Frame, FrameKind,
    Notice, Protocol, Rejected, Request, SendError, Server, SocketHandler, Welcome,
};
use masep_proto::gate::Refusal;
use masep_proto::protocol2::kind;
use tokio::sync::mpsc;

use crate::tap::{ConnectionRecorder, Direction, What};

/// One side of the sidecar: at an interface, or at an engine.
pub(super) trait Side: Send + Sync {
    /// The proxy listens.
    fn begin(&self) {}

    /// Decides about a client, and sees its link to the end.
    fn serve(&self, link: Link, request: Request) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Ends what is left when all links have ended.
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// A link of a client to the far side.
pub(super) struct Link {
    server: Arc<Server>,
    recorder: ConnectionRecorder,
    shows: bool,
}

/// A frame or a notice of the far end.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Frame),
    Notice(Notice),
}

/// The end that the proxy has connected to, and what it says.
pub(super) struct Far {
    client: Client,
    heard: mpsc::Receiver<Heard>,
}

/// Gives what the far end says to the link, which takes one after the other.
pub(super) struct FarHandler(mpsc::Sender<Heard>);

impl FarHandler {
    pub(super) fn new() -> (Self, mpsc::Receiver<Heard>) {
        let (sender, heard) = mpsc::channel(1);
        (Self(sender), heard)
    }
}

impl SocketHandler for FarHandler {
    async fn on_receive(&self, _far: &Connection, frame: Frame) {
        // The link may have ended.
        let _ = self.0.send(Heard::Frame(frame)).await;
    }

    async fn on_notice(&self, far: &Connection) {
        while let Some(notice) = far.try_notice() {
            let _ = self.0.send(Heard::Notice(notice)).await;
        }
    }
}

impl Far {
    pub(super) const fn new(client: Client, heard: mpsc::Receiver<Heard>) -> Self {
        Self { client, heard }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.client.connection()
    }

    /// The next that it says, or why it has ended. Cancel safe.
    pub(super) async fn hear(&mut self) -> Result<Heard, CloseReason> {
        Self::next(self.client.connection(), &mut self.heard).await
    }

    async fn next(
        connection: &Connection,
        heard: &mut mpsc::Receiver<Heard>,
    ) -> Result<Heard, CloseReason> {
        tokio::select! {
            biased;
            Some(next) = heard.recv() => Ok(next),
            reason = connection.closed() => heard.try_recv().map_err(|_| reason),
        }
    }
}

/// The reason why a frame cannot be carried on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Uncarried {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The rules for what goes on between the two ends.
pub(super) trait Filter: Send + Sync {
    /// Decides about a frame of the client: to forward it, as it is or changed, or not.
    fn pass_up(&self, frame: Frame) -> Passage;

    /// True if this goes on to the client.
    fn passes_down(&self, _frame: &Frame) -> bool {
        true
    }

    /// Adds what the client is told of the game when it is let in.
    fn fill(&self, _welcome: &mut Welcome) {}

    /// True if the far end is to be read no faster than the client reads. Otherwise one that is too slow for its queue is
    /// ended, and the far end never waits.
    fn waits_for_client(&self) -> bool {
        true
    }

    /// True if the far end is to be kept when the client has left.
    fn keeps_far(&self) -> bool {
        false
    }

    /// Waits until the client is to be sent away.
    fn dismissal(&self) -> Pin<Box<dyn Future<Output = Bye> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// The decision about a frame of a client.
pub(super) enum Passage {
    Forward(Frame),
    Drop,
    /// This goes back to the client.
    Answer(Frame),
    Refuse(Refusal),
    End(Refusal),
}

/// The way in which a link ends.
enum Parting {
    /// The client has left, for this reason.
    Near(CloseReason),
    /// The far end has.
    Far(CloseReason),
    /// The client does not read what it is sent.
    Stalled,
}

impl Link {
    pub(super) const fn new(
        server: Arc<Server>,
        recorder: ConnectionRecorder,
        shows: bool,
    ) -> Self {
        Self {
            server,
            recorder,
            shows,
        }
    }

    pub(super) fn open(&self, address: &Address) {
        let open = What::Open(address.clone());
        self.recorder.record(Direction::ClientToServer, open);
    }

    /// The far side does not take the client, or is not there.
    pub(super) fn refuse(&self, request: Request, why: &str, rejected: Rejected) {
        let refused = What::Refused(format!("{:?}: {why}", request.peer()));
        self.recorder.record(Direction::ServerToClient, refused);
        request.refuse(rejected);
    }

    /// Admits the client, which the far side has admitted, and carries until one of them has left. Then the far end is
    /// given back, if it is to be kept, or has ended too.
    pub(super) async fn carry(
        self,
        request: Request,
        mut far: Far,
        filter: &dyn Filter,
    ) -> Option<Far> {
        let far_end = far.client.connection().clone();
        let tell = |dir, reason: &CloseReason| {
            self.ended(dir, reason.as_str(), reason.to_string());
        };
        let (client, server) = (Direction::ClientToServer, Direction::ServerToClient);
        let Some(near) = self.admit(request, &far, filter).await else {
            if filter.keeps_far() {
                return Some(far);
            }
            let gone = Bye::new("gone", "the client has gone");
            tell(server, &far_end.bye_with(gone).await);
            return None;
        };
        let parting = {
            let mut up = pin!(self.up(&near, &far_end, filter));
            let mut down = pin!(self.down(&near, &far_end, &mut far.heard, filter));
            let dismissal = async {
                near.bye_with(filter.dismissal().await).await;
                std::future::pending().await
            };
            tokio::select! {
                reason = &mut up => Parting::Near(reason),
                parting = &mut down => parting,
                never = dismissal => never,
            }
        };
        match parting {
            Parting::Far(reason) => {
                tell(server, &reason);
                tell(client, &near.bye_with(passed_on(&reason)).await);
                return None;
            }
            Parting::Near(reason) => {
                tell(client, &reason);
                if !filter.keeps_far() {
                    tell(server, &far_end.bye_with(passed_on(&reason)).await);
                    return None;
                }
            }
            Parting::Stalled => {
                let reason = "it does not read what it is sent";
                self.ended(client, "queue_full", reason.into());
                let bye = Bye::new("queue_full", reason).may_return(true);
                // The engine does not wait for that.
                tokio::spawn(async move { near.bye_with(bye).await });
                if !filter.keeps_far() {
                    tell(server, &far_end.bye().await);
                    return None;
                }
            }
        }
        Some(far)
    }

    /// The client's connection, when it has been let in.
    async fn admit(&self, request: Request, far: &Far, filter: &dyn Filter) -> Option<Connection> {
        let (id, number) = (request.peer().clone(), request.connection());
        // A seat, say, for a client of protocol 2.
        let mut welcome = far
            .connection()
            .welcome()
            .unwrap_or_else(|| request.welcome());
        welcome.id = far.connection().peer().clone();
        filter.fill(&mut welcome);
        self.show_hello(Direction::ClientToServer, &id);
        self.show_hello(Direction::ServerToClient, &welcome.id);
        let admitted = request.admit(welcome).await;
        let near = self.server.registry().get_connection(&id);
        let near = near.filter(|near| near.id() == number);
        if near.is_none() {
            let why =
                admitted.map_or_else(|why| why.to_string(), |()| "the client has gone".into());
            self.ended(Direction::ClientToServer, "gone", why);
        }
        near
    }

    /// From the client, until it has ended.
    async fn up(&self, near: &Connection, far: &Connection, filter: &dyn Filter) -> CloseReason {
        loop {
            let frame = match near.recv().await {
                Ok(frame) => frame,
                Err(reason) => return reason,
            };
            self.show(Direction::ClientToServer, &frame);
            match filter.pass_up(frame) {
                Passage::Forward(frame) => {
                    if let Err(error) = carry(frame, near, far).await {
                        return self.give_up(near, far, error).await;
                    }
                }
                Passage::Drop => {}
                Passage::Answer(frame) => {
                    self.show(Direction::ServerToClient, &frame);
                    // One that has no room for it does not read.
                    let _ = carried(frame, far, near).map(|frame| near.try_send(frame));
                }
                Passage::Refuse(refusal) => {
                    self.denied(&refusal);
                    // pymasep has no such thing, and one that reads none has to do without.
                    let _ = near.notice(refusal.into());
                }
                Passage::End(refusal) => {
                    self.denied(&refusal);
                    return near.bye_with(refusal.into()).await;
                }
            }
        }
    }

    /// To the client, until the far end has ended, or the client does not read.
    async fn down(
        &self,
        near: &Connection,
        far: &Connection,
        heard: &mut mpsc::Receiver<Heard>,
        filter: &dyn Filter,
    ) -> Parting {
        loop {
            let frame = match Far::next(far, heard).await {
                Ok(Heard::Frame(frame)) => frame,
                Ok(Heard::Notice(notice)) => {
                    self.denied_there(&notice);
                    let _ = near.notice(notice);
                    continue;
                }
                Err(reason) => return Parting::Far(reason),
            };
            if !filter.passes_down(&frame) {
                continue;
            }
            self.show(Direction::ServerToClient, &frame);
            let sent = match carried(frame, far, near) {
                Ok(frame) if filter.waits_for_client() => {
                    near.send(frame).await.map_err(Into::into)
                }
                Ok(frame) => near.try_send(frame).map_err(Into::into),
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => {}
                Err(Uncarried::Send(SendError::Full(_))) => return Parting::Stalled,
                // The other half of the link sees that.
                Err(Uncarried::Send(SendError::Closed(_))) if !filter.waits_for_client() => {}
                Err(error) => return Parting::Far(self.give_up(far, near, error).await),
            }
        }
    }

    /// A frame of one end cannot go to the other: if that has not ended anyway, the link is of no use any more.
    async fn give_up(&self, from: &Connection, to: &Connection, error: Uncarried) -> CloseReason {
        if !matches!(error, Uncarried::Send(SendError::Closed(_))) {
            let bye = Bye::new("unsupported", error.to_string()).may_return(false);
            tokio::join!(from.bye_with(bye.clone()), to.bye_with(bye));
        }
        // The end of the other is carried on from there.
        from.closed().await
    }

    fn show_hello(&self, dir: Direction, id: &str) {
        if self.shows {
            self.recorder.record(dir, What::First(Frame::hello(id)));
        }
    }

    fn show(&self, dir: Direction, frame: &Frame) {
        if self.shows {
            let what = match frame.kind() {
                FrameKind::Cbor => {
                    let bytes = frame.bytes().clone();
                    What::Frame2(kind::CBOR, bytes.len(), Some(bytes))
                }
                _ => What::Frame(frame.clone()),
            };
            self.recorder.record(dir, what);
        }
    }

    /// Something that a client has said did not go through.
    fn denied(&self, refusal: &Refusal) {
        let denied = What::Denied(refusal.code.into(), refusal.text.clone());
        self.recorder.record(Direction::ClientToServer, denied);
    }

    /// The far side says that something did not go through there.
    fn denied_there(&self, notice: &Notice) {
        let denied = What::Denied(notice.code.to_string(), notice.text.to_string());
        self.recorder.record(Direction::ServerToClient, denied);
    }

    fn ended(&self, dir: Direction, reason: &'static str, detail: String) {
        self.recorder.record(dir, What::Ended(reason, detail));
    }
}

/// Sends a frame of one connection on another, in the form that its protocol has. Waits for room.
async fn carry(frame: Frame, from: &Connection, to: &Connection) -> Result<(), Uncarried> {
    Ok(to.send(carried(frame, from, to)?).await?)
}

/// A frame of one connection in the form that the protocol of another one has.
fn carried(frame: Frame, from: &Connection, to: &Connection) -> Result<Frame, Uncarried> {
    Ok(match (frame.kind(), to.protocol()) {
        (FrameKind::Bytes, Protocol::Masep2) if from.protocol() == Protocol::Pymasep => {
            Frame::of(FrameKind::Xml, frame.into_bytes())
        }
        (FrameKind::Cbor, Protocol::Pymasep) => to.encode(&from.decode(frame)?)?,
        _ => frame,
    })
}

/// The end of one connection as the other is told it.
fn passed_on(reason: &CloseReason) -> Bye {
    match reason {
        CloseReason::PeerBye => Bye::new(Bye::PLAIN, ""),
        // This side has ended it, and knows why.
        CloseReason::LocalBye | CloseReason::Shutdown => shut_down(),
        reason => reason.words().cloned().unwrap_or_else(|| {
            let text = format!("the link was lost: {reason}");
            Bye::new("link_lost", text).may_return(true)
        }),
    }
}

/// The end of all links, when the proxy ends.
pub(super) fn shut_down() -> Bye {
    Bye::new("shutdown", "the proxy ends").may_return(true)
}
