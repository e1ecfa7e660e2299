//! The pipes themselves, and connections that run over them on a paused clock.

use std::time::Duration;

use super::*;
use crate::{Client, CloseReason, ConnectErrorKind, ConnectPhase, Frame, Limits, Server};

fn read(transport: &MemoryTransport) -> Result<Vec<u8>, ErrorKind> {
    let mut buffer = Vec::with_capacity(4096);
    match transport.try_read(&mut buffer) {
        Ok(_) => Ok(buffer.to_vec()),
        Err(error) => Err(error.kind()),
    }
}

fn write(transport: &MemoryTransport, bytes: &[u8]) -> Result<usize, ErrorKind> {
    transport.try_write(bytes).map_err(|error| error.kind())
}

#[test]
fn a_pipe_holds_what_fits_and_gives_it_in_order() {
    let (near, far) = duplex(4);
    assert_eq!(read(&far), Err(ErrorKind::WouldBlock));
    assert_eq!(write(&near, b"abcdef"), Ok(4));
    assert_eq!(write(&near, b"ef"), Err(ErrorKind::WouldBlock));
    let mut small = Vec::with_capacity(3);
    assert_eq!(far.try_read(&mut small).unwrap(), 3);
    assert_eq!(&small[..], b"abc");
    assert_eq!(write(&near, b"ef"), Ok(2));
    assert_eq!(read(&far).unwrap(), b"def");
}

#[test]
fn a_side_that_is_dropped_ends_the_stream_and_answers_with_a_reset() {
    let (near, far) = duplex(16);
    assert_eq!(write(&near, b"last"), Ok(4));
    drop(near);
    assert_eq!(read(&far).unwrap(), b"last");
    assert_eq!(read(&far).unwrap(), b"");
    assert_eq!(write(&far, b"x"), Err(ErrorKind::ConnectionReset));
    assert_eq!(read(&far), Err(ErrorKind::ConnectionReset));
}

#[test]
fn unread_bytes_make_a_drop_a_reset() {
    let (near, far) = duplex(16);
    assert_eq!(write(&near, b"lost"), Ok(4));
    assert_eq!(write(&far, b"unread"), Ok(6));
    drop(near);
    assert_eq!(read(&far), Err(ErrorKind::ConnectionReset));
    let (near, far) = duplex(16);
    near.reset_on_drop();
    drop(near);
    assert_eq!(read(&far), Err(ErrorKind::ConnectionReset));
}

#[test]
fn each_direction_is_shut_alone() {
    let (near, far) = duplex(16);
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(write(&near, b"x"), Err(ErrorKind::BrokenPipe));
    assert_eq!(read(&far).unwrap(), b"");
    assert_eq!(write(&far, b"answer"), Ok(6));
    near.shutdown(Shutdown::Both).unwrap();
    assert_eq!(read(&near).unwrap(), b"answer");
    assert_eq!(read(&near).unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_connection_delivers_all_through_a_pipe_of_one_byte() {
    let (listener, connector) = listen(1);
    let server = Server::builder("engine").serve_over(listener).unwrap();
    let client = Client::builder("agent")
        .connect_with(connector.address(), |_| connector.connect(1))
        .await
        .unwrap();
    assert_eq!(client.server_id().as_str(), "engine");
    let connection = server.accept().await.unwrap();
    for n in 0..20u8 {
        let frame = Frame::new(vec![n; usize::from(n) * 7]);
        client.connection().send(frame.clone()).await.unwrap();
        assert_eq!(connection.recv().await, Ok(frame));
    }
    assert_eq!(client.connection().bye().await, CloseReason::LocalBye);
    assert!(connection.recv().await.is_err());
    assert_eq!(connection.closed().await, CloseReason::PeerBye);
    assert!(server.registry().is_empty());
}

#[tokio::test(start_paused = true)]
async fn deadlines_go_by_the_clock_of_the_runtime() {
    let limits = Limits::default()
        .idle_time(Some(Duration::from_secs(3600)))
        .write_time(Duration::from_secs(600));
    let start = tokio::time::Instant::now();
    let (near, _silent) = duplex(64);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let failure = Client::builder("agent")
        .limits(limits.clone())
        .connect_over(near, address)
        .await
        .unwrap_err();
    assert_eq!(failure.phase, ConnectPhase::Hello);
    assert!(matches!(failure.kind, ConnectErrorKind::TimedOut(_)));
    assert_eq!(start.elapsed(), limits.hello_time);

    let (near, far) = duplex(64);
    write(&far, b"\x06\0engine").unwrap();
    let client = Client::builder("agent")
        .protocols(crate::Protocols::Pymasep)
        .limits(limits)
        .connect_over(near, address)
        .await
        .unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(client.connection().closed().await, CloseReason::IdleTimeout);
    assert_eq!(start.elapsed(), Duration::from_secs(3600));
    // Our hello, and what a peer is told that was silent for too long.
    assert_eq!(read(&far).unwrap(), b"\x05\0agent\x03\0BYE");
}
