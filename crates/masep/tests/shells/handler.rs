//! Handlers that are written once: a call says what is to be done, and the adapter does it in the way of its shell.

use std::fmt;
use std::sync::{Arc, mpsc};

use masep::{Address, CloseReason, Frame, RejectReason, blocking};

use super::{Connection, Handle, SOON};

/// The end of a call of a handler.
pub enum Act {
    Return,
    Send(Frame),
    /// Sends until that fails, and then never returns.
    SendAndWait(Frame),
    /// Never returns.
    Wait,
    /// Says `BYE`.
    Bye,
    /// Waits for the end.
    AwaitEnd,
}

pub trait Handler: Send + Sync + 'static {
    fn on_connect(&self, _connection: &dyn Connection) -> Act {
        Act::Return
    }
    fn on_receive(&self, _connection: &dyn Connection, _frame: Frame) -> Act {
        Act::Return
    }
    fn on_notice(&self, _connection: &dyn Connection) {}
    fn on_close(&self, _connection: &dyn Connection, _reason: &CloseReason) -> Act {
        Act::Return
    }
    fn on_reject(&self, _address: Address, _reason: &RejectReason) -> Act {
        Act::Return
    }
}

pub(super) struct Adapter(pub(super) Arc<dyn Handler>);

fn act(act: Act, connection: Option<&blocking::Connection>) {
    let send = |frame| connection.is_some_and(|connection| connection.send(frame).is_ok());
    match act {
        Act::Return => {}
        Act::Send(frame) => drop(send(frame)),
        Act::SendAndWait(frame) => {
            while send(frame.clone()) {}
            act_wait();
        }
        Act::Wait => act_wait(),
        Act::Bye => drop(connection.map(blocking::Connection::bye)),
        Act::AwaitEnd => drop(connection.map(blocking::Connection::closed)),
    }
}

fn act_wait() {
    loop {
        std::thread::park();
    }
}

impl blocking::SocketHandler for Adapter {
    fn on_connect(&self, connection: &blocking::Connection) {
        act(self.0.on_connect(connection), Some(connection));
    }
    fn on_receive(&self, connection: &blocking::Connection, frame: Frame) {
        act(self.0.on_receive(connection, frame), Some(connection));
    }
    fn on_notice(&self, connection: &blocking::Connection) {
        self.0.on_notice(connection);
    }
    fn on_close(&self, connection: &blocking::Connection, reason: &CloseReason) {
        act(self.0.on_close(connection, reason), Some(connection));
    }
    fn on_reject(&self, address: Address, reason: &RejectReason) {
        act(self.0.on_reject(address, reason), None);
    }
}

async fn act_async(act: Act, connection: Option<&masep::Connection>) {
    let send = async |frame: Frame| match connection {
        Some(connection) => connection.send(frame).await.is_ok(),
        None => false,
    };
    match act {
        Act::Return => {}
        Act::Send(frame) => drop(send(frame).await),
        Act::SendAndWait(frame) => {
            while send(frame.clone()).await {}
            std::future::pending::<()>().await;
        }
        Act::Wait => std::future::pending().await,
        Act::Bye => {
            if let Some(connection) = connection {
                connection.bye().await;
            }
        }
        Act::AwaitEnd => {
            if let Some(connection) = connection {
                connection.closed().await;
            }
        }
    }
}

impl masep::SocketHandler for Adapter {
    async fn on_connect(&self, connection: &masep::Connection) {
        act_async(self.0.on_connect(connection), Some(connection)).await;
    }
    async fn on_receive(&self, connection: &masep::Connection, frame: Frame) {
        act_async(self.0.on_receive(connection, frame), Some(connection)).await;
    }
    async fn on_notice(&self, connection: &masep::Connection) {
        self.0.on_notice(connection);
    }
    async fn on_close(&self, connection: &masep::Connection, reason: &CloseReason) {
        act_async(self.0.on_close(connection, reason), Some(connection)).await;
    }
    async fn on_reject(&self, address: Address, reason: &RejectReason) {
        act_async(self.0.on_reject(address, reason), None).await;
    }
}

/// Sends frames back.
pub struct Echo;

impl Handler for Echo {
    fn on_receive(&self, _: &dyn Connection, frame: Frame) -> Act {
        Act::Send(frame)
    }
}

/// The calls of a handler, as a list.
pub enum Event {
    Connected(Handle),
    Received(Handle, Frame),
    Closed(Handle, CloseReason),
    Rejected(Address, RejectReason),
}

/// Each call takes an event of one kind, and panics at another.
impl Event {
    #[track_caller]
    pub fn connected(self) -> Handle {
        match self {
            Self::Connected(connection) => connection,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn received(self) -> Frame {
        match self {
            Self::Received(_, frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn closed(self) -> CloseReason {
        match self {
            Self::Closed(_, reason) => reason,
            other => panic!("{other:?}"),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(from) => write!(f, "Connected({})", from.peer()),
            Self::Received(from, frame) => write!(f, "Received({}, {frame:?})", from.peer()),
            Self::Closed(from, reason) => write!(f, "Closed({}, {reason:?})", from.peer()),
            Self::Rejected(_, reason) => write!(f, "Rejected({reason:?})"),
        }
    }
}

/// A handler that passes every call on.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    fn tell(&self, event: Event) -> Act {
        let _ = self.0.send(event);
        Act::Return
    }
}

impl Handler for Events {
    fn on_connect(&self, connection: &dyn Connection) -> Act {
        self.tell(Event::Connected(connection.handle()))
    }
    fn on_receive(&self, connection: &dyn Connection, frame: Frame) -> Act {
        self.tell(Event::Received(connection.handle(), frame))
    }
    fn on_close(&self, connection: &dyn Connection, reason: &CloseReason) -> Act {
        self.tell(Event::Closed(connection.handle(), reason.clone()))
    }
    fn on_reject(&self, address: Address, reason: &RejectReason) -> Act {
        self.tell(Event::Rejected(address, reason.clone()))
    }
}

/// The next event; a connection that was only just made tells nothing in between.
pub fn next(events: &mpsc::Receiver<Event>) -> Event {
    events.recv_timeout(SOON).expect("an event")
}

/// The reason of the next refusal. Connections that are taken or end in between are passed over.
pub fn next_rejected(events: &mpsc::Receiver<Event>) -> RejectReason {
    loop {
        if let Event::Rejected(_, reason) = next(events) {
            return reason;
        }
    }
}
