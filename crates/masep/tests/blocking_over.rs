//! Blocking connections and servers on sockets that others have opened.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use masep::blocking::{Client, Connection, Server};
use masep::{CloseReason, Frame, Limits, RecvTimeoutError, SocketOptions};

const SOON: Duration = Duration::from_secs(10);

fn tcp_pair() -> (TcpStream, TcpStream) {
    let pair = || -> io::Result<_> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        Ok((near, listener.accept()?.0))
    };
    pair().expect("loopback takes connections")
}

#[test]
fn a_connection_over_a_tcp_stream_says_no_hello() {
    let (near, mut far) = tcp_pair();
    // However it was used before.
    near.set_nonblocking(true).unwrap();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    assert_eq!(connection.peer().as_str(), "peer");
    assert_eq!(connection.address(), far.local_addr().unwrap());
    connection.send(&b"one"[..]).unwrap();
    far.write_all(b"\x03\0two\x03\0BYE").unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("two")));
    assert_eq!(
        connection.recv_timeout(SOON),
        Err(RecvTimeoutError::Closed(CloseReason::PeerBye))
    );
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x03\0one");
}

#[cfg(unix)]
#[test]
fn a_connection_over_a_local_socket_ends_in_order() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    far.write_all(b"\x03\0two").unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("two")));
    connection.send(&b"one"[..]).unwrap();
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x03\0one\x03\0BYE");
}

#[test]
fn a_server_serves_a_socket_that_listens() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder("engine").serve(listener).unwrap();
    assert_eq!(server.local_address(), address);
    let client = Client::builder("agent").connect(address).unwrap();
    let connection = server.accept_timeout(SOON).unwrap();
    client.connection().send(&b"hi"[..]).unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("hi")));
}

#[test]
fn what_is_left_of_a_frame_goes_out_when_there_is_room() {
    let (near, mut far) = tcp_pair();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    let frame = Frame::new(vec![7; Frame::MAX_BYTES]);
    let mut sent = 0;
    while connection.try_send(frame.clone()).is_ok() {
        sent += 1;
    }
    let mut heard = 0;
    let mut landing = vec![0; 1 << 16];
    far.set_read_timeout(Some(SOON)).unwrap();
    while !connection.try_flush().unwrap() || heard < sent * (Frame::MAX_BYTES + 2) {
        heard += far.read(&mut landing).unwrap();
    }
    assert_eq!(heard, sent * (Frame::MAX_BYTES + 2));
}

#[test]
fn the_socket_can_be_had_until_the_connection_ends() {
    let (near, far) = tcp_pair();
    let address = near.local_addr().unwrap();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    let socket = TcpStream::from(connection.socket().unwrap());
    assert_eq!(socket.local_addr().unwrap(), address);
    connection.bye();
    let refused = connection.socket().unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
    drop(far);
}

/// The thread that reads is there when another one begins to wait for room, and then waits for room itself.
#[cfg(unix)]
#[test]
fn a_thread_that_waits_for_room_reads_when_the_one_that_read_has_left() {
    const FRAMES: usize = 64;
    let frame = Frame::new(vec![1; 50_000]);
    let (near, far) = UnixStream::pair().unwrap();
    far.set_write_timeout(Some(SOON)).unwrap();
    far.set_read_timeout(Some(SOON)).unwrap();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    let send_all =
        |connection: &Connection| (0..FRAMES).try_for_each(|_| connection.send(frame.clone()));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            assert_eq!(connection.recv(), Ok(Frame::new("go")));
            send_all(&connection)
        });
        std::thread::sleep(Duration::from_millis(100));
        let sender = scope.spawn(|| send_all(&connection));
        std::thread::sleep(Duration::from_millis(100));
        (&far).write_all(b"\x02\0go").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        // More than the system keeps. Only then it reads.
        let mut bytes = 50_000_u16.to_le_bytes().to_vec();
        bytes.extend_from_slice(frame.bytes());
        for _ in 0..FRAMES {
            (&far).write_all(&bytes).unwrap();
        }
        let mut taken = vec![0; 2 * FRAMES * bytes.len()];
        (&far).read_exact(&mut taken).unwrap();
        assert_eq!(reader.join().unwrap(), Ok(()));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
    assert!((0..FRAMES).all(|_| connection.recv_timeout(SOON) == Ok(frame.clone())));
}
