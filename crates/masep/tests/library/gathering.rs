//! Frames that a thread sends one right behind another with `masep::blocking`: they may wait for each other, and nobody sees
//! anything of that but the speed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use masep::blocking::Connection;
use masep::{Frame, Limits, SendError, SocketOptions};

use crate::shells::SOON;

/// Frames enough for a caller to be seen as one that does nothing else.
const FRAMES: u32 = 2_000;

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection over each kind of stream, and the peer's end of it.
fn connections() -> [(Connection, Box<dyn Stream>); 2] {
    let over = |stream: OwnedFd| {
        let (limits, options) = (Limits::default(), SocketOptions::default());
        Connection::over(stream, "peer", &limits, &options).unwrap()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    far.set_read_timeout(Some(SOON)).unwrap();
    let (unix_near, unix_far) = UnixStream::pair().unwrap();
    unix_far.set_read_timeout(Some(SOON)).unwrap();
    [
        (over(near.into()), Box::new(far)),
        (over(unix_near.into()), Box::new(unix_far)),
    ]
}

fn body(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// Reads as many frames that [`body`] has made, in pymasep's protocol.
fn read(stream: &mut dyn Stream, frames: u32) -> Vec<u32> {
    let read = |_| {
        let mut bytes = [0; 6];
        stream.read_exact(&mut bytes).expect("a frame in time");
        let (header, body) = bytes.split_at(2);
        assert_eq!(header, [4, 0]);
        u32::from_be_bytes(body.try_into().unwrap())
    };
    (0..frames).map(read).collect()
}

#[test]
fn the_last_frames_arrive_though_their_sender_makes_no_other_call() {
    for round in 0..20 {
        for (connection, mut peer) in connections() {
            let (tell, told) = mpsc::channel();
            let reading = thread::spawn(move || tell.send(read(&mut *peer, FRAMES + round)));
            for number in 0..FRAMES + round {
                match number % 2 {
                    0 => connection.send(body(number)).unwrap(),
                    _ => while connection.try_send(body(number)).is_err() {},
                }
            }
            let arrived = told.recv_timeout(SOON).expect("all of them arrive");
            assert!(arrived.into_iter().eq(0..FRAMES + round));
            reading.join().unwrap().unwrap();
        }
    }
}

#[test]
fn frames_of_threads_that_send_at_once_keep_their_order_while_another_receives() {
    for (connection, mut peer) in connections() {
        thread::scope(|scope| {
            for sender in 0..3 {
                let connection = &connection;
                scope.spawn(move || {
                    for number in 0..FRAMES {
                        connection.send(body(sender << 24 | number)).unwrap();
                    }
                });
            }
            let receiving = scope.spawn(|| {
                let received = (0..FRAMES).map(|_| connection.recv().unwrap());
                received.collect::<Vec<_>>()
            });
            let mut next = [0; 3];
            for round in 0..FRAMES {
                for number in read(&mut *peer, 3) {
                    let (sender, number) = ((number >> 24) as usize, number & 0xff_ffff);
                    assert_eq!(number, next[sender], "of {sender}");
                    next[sender] += 1;
                }
                peer.write_all(&[&[4, 0], &body(round)[..]].concat())
                    .unwrap();
            }
            assert_eq!(next, [FRAMES; 3]);
            let received = receiving.join().unwrap();
            assert!(
                received
                    .into_iter()
                    .eq((0..FRAMES).map(body).map(Frame::new))
            );
        });
    }
}

#[test]
fn a_sender_that_waits_for_an_answer_gets_it_whatever_it_has_sent_before() {
    for (connection, mut peer) in connections() {
        let answering = thread::spawn(move || {
            for frames in 1..200 {
                let last = read(&mut *peer, frames).pop().unwrap();
                peer.write_all(&[&[4, 0], &body(last)[..]].concat())
                    .unwrap();
            }
        });
        for frames in 1..200 {
            for number in 0..frames {
                connection.send(body(number)).unwrap();
            }
            let answer = connection.recv_timeout(SOON).unwrap();
            assert_eq!(answer, Frame::new(body(frames - 1)));
        }
        answering.join().unwrap();
    }
}

#[test]
fn a_flush_and_an_end_have_all_written_that_was_sent_before() {
    for (connection, mut peer) in connections() {
        let reading = thread::spawn(move || {
            let arrived = read(&mut *peer, FRAMES);
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).unwrap();
            (arrived, rest)
        });
        for number in 0..FRAMES {
            connection.send(body(number)).unwrap();
            if number % 500 == 250 {
                connection.flush().unwrap();
                assert_eq!(connection.try_flush(), Ok(true), "nothing is left");
            }
        }
        connection.bye();
        let (arrived, rest) = reading.join().unwrap();
        assert!(arrived.into_iter().eq(0..FRAMES));
        assert_eq!(rest, b"\x03\0BYE");
    }
}

#[test]
fn a_sender_whose_peer_goes_is_told_so() {
    for size in [4, 4_000] {
        for (connection, mut peer) in connections() {
            let leaving = thread::spawn(move || {
                let mut some = vec![0; 10_000];
                peer.read_exact(&mut some).unwrap();
            });
            let frame = Frame::new(vec![7; size]);
            let error = loop {
                if let Err(error) = connection.send(frame.clone()) {
                    break error;
                }
            };
            assert!(matches!(error, SendError::Closed(_)), "{error:?}");
            leaving.join().unwrap();
        }
    }
}
