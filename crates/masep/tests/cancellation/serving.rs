//! Calls of a server, and of the listeners below it.

use std::net::SocketAddr;
use std::time::Duration;

use masep::transport::memory::listen;
use masep::transport::{self, Listener, SocketListener};
use masep::{Client, CloseReason, Limits, Protocols, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::cut::{Cut, breathe, soon};
use crate::world::{NARROW, Peer, World, frame};

/// A server that is bound has a port, and one that is dropped has none.
pub(crate) async fn bind(cut: &Cut) {
    let bind = || Server::builder("engine").bind("localhost:0");
    let server = match cut.call(bind()).await {
        Some(bound) => bound.unwrap(),
        None => {
            breathe().await;
            soon(bind()).await.unwrap()
        }
    };
    let connect = Client::builder("agent").connect(server.local_address());
    let client = soon(connect).await.unwrap();
    assert!(soon(server.accept()).await.is_ok());
    soon(client.connection().bye()).await;
}

/// A listener that is bound has a port, and one that is dropped has none.
pub(crate) async fn bind_a_listener(cut: &Cut) {
    let target = "localhost:0".parse().unwrap();
    drop(cut.call(SocketListener::bind(&target)).await);
    let listener = soon(SocketListener::bind(&target)).await.unwrap();
    let connect = transport::connect(listener.local_address().unwrap());
    let _connected = soon(connect).await.unwrap();
    assert!(soon(listener.accept()).await.is_ok());
}

/// Two peers come; each is given out once, to one of two that wait.
pub(crate) async fn accept(cut: &Cut, another: bool) {
    let world = std::sync::Arc::new(World::new(Limits::default()));
    let server = world.clone();
    let other = another.then(|| tokio::spawn(async move { server.server.accept().await }));
    breathe().await;
    let connector = world.connector.clone();
    let peers = tokio::spawn(async move {
        let mut peers = Vec::new();
        for id in ["a", "b", "c"] {
            breathe().await;
            peers.push(Peer::join(&connector, id, NARROW).await);
        }
        peers
    });
    let got = cut.call(world.server.accept()).await;
    let mut accepted: Vec<_> = got.into_iter().flatten().collect();
    if let Some(other) = other {
        accepted.extend(soon(other).await.unwrap());
    }
    while accepted.len() < 3 {
        accepted.push(soon(world.server.accept()).await.unwrap());
    }
    let mut ids: Vec<_> = accepted.iter().map(|it| it.peer().as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"]);
    world.server.stop_accepting();
    assert!(soon(world.server.accept()).await.is_err());
    soon(peers).await.unwrap();
}

/// Three clients say HELLO; the host is asked about each once, by one of two calls that wait.
pub(crate) async fn next_request(cut: &Cut, another: bool) {
    let (listener, connector) = listen(16);
    let server = Server::builder("engine").ask().serve_over(listener);
    let server = std::sync::Arc::new(server.unwrap());
    let asking = server.clone();
    let other = another.then(|| tokio::spawn(async move { asking.next_request().await }));
    breathe().await;
    let clients = tokio::spawn(async move {
        let mut clients = Vec::new();
        for id in ["a", "b", "c"] {
            breathe().await;
            let transport = connector.connect(1_024).await.unwrap();
            let client = Client::builder(id).protocols(Protocols::Masep2);
            let address: SocketAddr = ([127, 0, 0, 1], 1).into();
            clients.push(tokio::spawn(client.connect_over(transport, address)));
        }
        clients
    });
    let got = cut.call(server.next_request()).await;
    let mut requests: Vec<_> = got.into_iter().flatten().collect();
    if let Some(other) = other {
        requests.extend(soon(other).await.unwrap());
    }
    while requests.len() < 3 {
        requests.push(soon(server.next_request()).await.unwrap());
    }
    let mut ids: Vec<_> = requests.iter().map(|it| it.peer().to_string()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"]);
    for request in requests {
        assert_eq!(soon(request.admit(None)).await, Ok(()));
    }
    for client in soon(clients).await.unwrap() {
        let client = soon(client).await.unwrap().unwrap();
        soon(client.connection().bye()).await;
    }
    server.stop_accepting();
    assert!(soon(server.next_request()).await.is_err());
}

/// One peer reads, slowly, and one does not: whoever waits for it, the server ends, the first has all
/// that was sent and a `BYE`, and each connection one reason.
pub(crate) async fn shutdown(cut: &Cut) {
    let World { server, connector } = World::new(Limits::default());
    let mut good = Peer::join(&connector, "good", NARROW).await;
    let served = soon(server.accept()).await.unwrap();
    let _stalled = Peer::join(&connector, "stalled", NARROW).await;
    let stuck = soon(server.accept()).await.unwrap();
    for number in 0..3 {
        served.send(frame(number)).await.unwrap();
        stuck.send(frame(number)).await.unwrap();
    }
    let reader = tokio::spawn(async move { good.read_numbers().await });
    let ending = served.clone();
    let waiting = tokio::spawn(async move { ending.closed().await });

    let report = cut.call(server.shutdown(Duration::from_secs(2))).await;

    assert_eq!(soon(reader).await.unwrap(), [0, 1, 2]);
    assert_eq!(soon(waiting).await.unwrap(), CloseReason::Shutdown);
    // Known to no one but by its time for writing, if nobody waited for the deadline.
    let reason = soon(stuck.closed()).await;
    let cut_off = [CloseReason::Shutdown, CloseReason::WriteTimeout];
    assert!(cut_off.contains(&reason), "{reason:?}");
    if let Some(report) = report {
        let ids = |peers: &[masep::PeerId]| -> Vec<_> {
            peers.iter().map(|id| id.as_str().to_owned()).collect()
        };
        assert_eq!(ids(&report.ended), ["good"]);
        assert_eq!(ids(&report.cut), ["stalled"]);
        assert_eq!(reason, CloseReason::Shutdown);
    }
    // The door is closed.
    breathe().await;
    let connect = Client::builder("late")
        .connect_with(connector.address(), |_address| connector.connect(NARROW));
    assert!(soon(connect).await.is_err());
}

/// A connection that a dropped call would have taken is still there.
pub(crate) async fn accept_in_memory(cut: &Cut) {
    let (listener, connector) = listen(4);
    let connecting = tokio::spawn(async move {
        breathe().await;
        let first = connector.connect(NARROW).await.unwrap();
        let second = connector.connect(NARROW).await.unwrap();
        (first, second)
    });
    let mut ports = Vec::new();
    if let Some(accepted) = cut.call(listener.accept()).await {
        ports.push(accepted.unwrap().1.tcp().unwrap().port());
    }
    while ports.len() < 2 {
        let (_, address) = soon(listener.accept()).await.unwrap();
        ports.push(address.tcp().unwrap().port());
    }
    assert_eq!(ports[0] + 1, ports[1]);
    soon(connecting).await.unwrap();
}

pub(crate) async fn accept_tcp(cut: &Cut) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = SocketListener::new(listener.into_std().unwrap()).unwrap();
    let connecting = tokio::spawn(async move {
        breathe().await;
        TcpStream::connect(address).await.unwrap()
    });
    let accepted = match cut.call(Listener::accept(&listener)).await {
        Some(accepted) => accepted,
        None => soon(Listener::accept(&listener)).await,
    };
    let near = soon(connecting).await.unwrap();
    assert_eq!(accepted.unwrap().1, near.local_addr().unwrap());
}
