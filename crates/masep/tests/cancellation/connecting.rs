//! Calls that connect: who is connected to and given up is told so.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddr;

use masep::transport::memory::{MemoryConnector, MemoryTransport, duplex, listen};
use masep::transport::{self, Listener, SocketListener, SocketTransport, Stream, Transport};
use masep::{Client, CloseReason, Limits, Protocol, Protocols, Target};
use masep_proto::protocol2::preamble;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpListener;

use crate::cut::{Cut, breathe, soon};
use crate::directory::Directory;
use crate::world::{BYE, NARROW, Peer, World};

const HELLO: &[u8] = b"\x05\0agent";
const ANSWER: &[u8] = b"\x06\0engine";

/// The server is a bare socket of pymasep's protocol, found by a name, that takes its time to say hello. A client of both
/// generations asks for protocol 2, and connects again. Each connection says a whole beginning of either, or nothing.
pub(crate) async fn connect(cut: &Cut, protocols: Protocols) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asks_first = protocols == Protocols::Both;
    let peers = tokio::spawn(async move {
        let mut heard: Vec<Vec<u8>> = Vec::new();
        let is_last = |said: &Vec<u8>| said.ends_with(b"last\x03\0BYE");
        // The last one comes from a call that is not dropped.
        while !heard.last().is_some_and(is_last) {
            let (mut stream, _) = listener.accept().await.unwrap();
            for byte in ANSWER {
                breathe().await;
                let _ = stream.write_all(&[*byte]).await;
            }
            let mut said = Vec::new();
            let read = stream.read_to_end(&mut said).await;
            // A probe that has its answer may be reset: nothing of what it says is owed to anybody.
            assert!(read.is_ok() || asks_first, "{read:?}");
            heard.push(said);
        }
        heard
    });
    let connect = || {
        let client = Client::builder("agent").protocols(protocols);
        client.connect(format!("localhost:{port}"))
    };
    if let Some(client) = cut.call(connect()).await {
        let client = client.unwrap();
        assert_eq!(client.connection().protocol(), Protocol::Pymasep);
        assert_eq!(soon(client.connection().bye()).await, CloseReason::LocalBye);
    }
    let again = soon(connect()).await.unwrap();
    again.connection().send("last").await.unwrap();
    soon(again.connection().bye()).await;
    for said in soon(peers).await.unwrap() {
        let old = said.starts_with(HELLO) && said.ends_with(BYE);
        let new = asks_first && said.starts_with(preamble::CLIENT);
        assert!(said.is_empty() || old || new, "{said:?}");
    }
}

/// A name is resolved in a thread of the runtime, whoever waits for it.
pub(crate) async fn resolve(cut: &Cut) {
    let target: Target = "localhost:60000".parse().unwrap();
    if let Some(found) = cut.call(target.resolve()).await {
        assert!(!found.unwrap().is_empty());
    }
    assert!(!soon(target.resolve()).await.unwrap().is_empty());
}

/// A listener that has no connection but those that were not given up, and the end of each other.
async fn to_a_listener(cut: &Cut, listener: SocketListener) {
    let address = listener.local_address().unwrap();
    drop(cut.call(transport::connect(address.clone())).await);
    let last = soon(transport::connect(address)).await.unwrap();
    soon(async {
        loop {
            let (taken, _) = listener.accept().await.unwrap();
            last.try_write_vectored(&[IoSlice::new(b"last")]).unwrap();
            poll_fn(|context| taken.poll_readable(context))
                .await
                .unwrap();
            let mut read = Vec::with_capacity(16);
            if taken.try_read(&mut read).unwrap() > 0 {
                break;
            }
        }
    })
    .await;
}

pub(crate) async fn tcp(cut: &Cut) {
    let target = "127.0.0.1:0".parse().unwrap();
    to_a_listener(cut, SocketListener::bind(&target).await.unwrap()).await;
}

pub(crate) async fn unix(cut: &Cut) {
    let directory = Directory::new();
    let target = directory.target("socket").parse().unwrap();
    to_a_listener(cut, SocketListener::bind(&target).await.unwrap()).await;
}

/// Bytes come while somebody waits for them, or when nobody does any more.
pub(crate) async fn ready(cut: &Cut) {
    let directory = Directory::new();
    let target = directory.target("socket").parse().unwrap();
    let listener = SocketListener::bind(&target).await.unwrap();
    let address = listener.local_address().unwrap();
    let near = soon(transport::connect(address)).await.unwrap();
    let (far, _) = soon(listener.accept()).await.unwrap();
    let SocketTransport::Unix(near) = near else {
        panic!("a Unix socket");
    };
    let sender = tokio::spawn(async move {
        breathe().await;
        far.try_write_vectored(&[IoSlice::new(b"here")]).unwrap();
        far
    });
    drop(cut.call(near.ready(Interest::READABLE)).await);
    soon(near.ready(Interest::READABLE)).await.unwrap();
    drop(soon(sender).await.unwrap());
    soon(near.ready(Interest::READABLE)).await.unwrap();
    let mut read = Vec::with_capacity(16);
    let near = SocketTransport::Unix(near);
    assert_eq!(near.try_read(&mut read).unwrap(), 4);
}

/// A server of masep, which knows how a connection ended that it has taken.
pub(crate) async fn connect_with(cut: &Cut, capacity: usize, ends: &[CloseReason]) {
    let world = World::new(Limits::default());
    let connect = |connector: &MemoryConnector| {
        let connector = connector.clone();
        let connect = move |_address| connector.connect(capacity);
        Client::builder("agent").connect_with(world.connector.address(), connect)
    };
    let client = cut.call(connect(&world.connector)).await;
    drop(client);
    // The id is free, at the latest when its first connection has ended.
    let again = soon(connect(&world.connector)).await.unwrap();
    while world.server.registry().len() != 1 {
        breathe().await;
    }
    again.connection().send("last").await.unwrap();
    let mut taken = Vec::new();
    let frame = loop {
        let connection = soon(world.server.accept()).await.unwrap();
        match soon(connection.recv()).await {
            Ok(frame) => break frame,
            Err(_) => taken.push(connection),
        }
    };
    assert_eq!(frame.bytes(), "last");
    for connection in taken {
        let reason = soon(connection.closed()).await;
        assert!(ends.contains(&reason), "{reason:?}");
    }
}

/// The far side takes the hello in pieces, and hears nothing but whole frames, or a reset.
pub(crate) async fn over(cut: &Cut, capacity: usize) {
    let (near, far): (MemoryTransport, _) = duplex(capacity);
    let far = tokio::spawn(async move {
        let mut far = Peer::new(far);
        let mut heard = Vec::new();
        breathe().await;
        let ended = loop {
            match far.try_read().await {
                Ok(Some(frame)) => heard.push(frame),
                ended => break ended,
            }
            if heard.len() == 1 {
                far.trickle(ANSWER).await;
            }
        };
        (heard, ended)
    });
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let client = Client::builder(LONG).protocols(Protocols::Pymasep);
    let call = client.connect_over(near, address);
    let connected = cut.call(call).await.is_some();
    let (heard, ended) = soon(far).await.unwrap();
    let heard: Vec<_> = heard.iter().map(|frame| &frame[..]).collect();
    match &heard[..] {
        // Dropped before it was polled, or where the pipe has no room for more.
        [] => assert!(!connected),
        [hello] => assert!(*hello == LONG.as_bytes() && ended.is_err() && !connected),
        [hello, bye] => assert!(*hello == LONG.as_bytes() && *bye == b"BYE"),
        other => panic!("{other:?}"),
    }
}

/// An id that is longer than the pipes.
const LONG: &str = "an agent with an id that does not fit into one write";

/// A place in the backlog is taken by none but those who are connected.
pub(crate) async fn in_memory(cut: &Cut) {
    let (listener, connector) = listen(1);
    let first = connector.connect(NARROW).await.unwrap();
    let door = tokio::spawn(async move {
        breathe().await;
        let mut accepted = Vec::new();
        while let Ok((transport, _)) = listener.accept().await {
            let mut peer = Peer::new(transport);
            match peer.read().await {
                Some(said) if said == b"BYE" => break,
                said => accepted.push(said),
            }
        }
        accepted.len()
    });
    drop(first);
    let connected = cut.call(connector.connect(NARROW)).await;
    let expected = 1 + usize::from(connected.is_some());
    drop(connected);
    let last = Peer::new(soon(connector.connect(NARROW)).await.unwrap());
    last.write(BYE).await;
    assert_eq!(soon(door).await.unwrap(), expected);
}
