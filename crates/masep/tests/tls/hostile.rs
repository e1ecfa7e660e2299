//! Peers and links that cut, change, delay, are silent, or do not speak the protocol.

use std::io::{Read, Write};
use std::thread;

use masep::tls::TlsFault;
use masep::{CloseReason, ConnectErrorKind, Frame, Limits, RejectReason};

use rand::{RngExt, SeedableRng};
use rand_xorshift::XorShiftRng;

use crate::authority::Authority;
use crate::foreign::{self, HELLO};
use crate::shells::{
    Event, Events, Options, Peer, Server, Shell, listen, next, next_rejected, of_each_pair,
    of_each_shell,
};

of_each_pair! {
    a_stream_that_is_cut_anywhere_has_no_orderly_end
    a_session_survives_a_network_that_hands_on_single_bytes
    bytes_that_were_changed_are_an_error
}

of_each_shell! {
    a_peer_that_names_no_protocol_gets_nowhere
    a_server_that_names_no_protocol_is_told_nothing
    a_flood_of_key_updates_is_ended
    a_client_of_rustls_alone_says_hello
    handshakes_that_stand_still_cost_the_others_nothing
    no_bytes_of_a_handshake_do_harm
}

const ANY: usize = usize::MAX;

pub(crate) struct Setting {
    pub(crate) authority: Authority,
    pub(crate) server: Box<dyn Server>,
    pub(crate) events: std::sync::mpsc::Receiver<Event>,
}

pub(crate) fn serve(shell: Shell, limits: Limits) -> Setting {
    let authority = Authority::new();
    let (handler, events) = Events::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let options = Options::from(limits).server_tls(tls).handler(handler);
    Setting {
        server: shell.serve(options),
        authority,
        events,
    }
}

impl Setting {
    /// A client of this library.
    pub(crate) fn join(&self, shell: Shell, id: &str) -> Box<dyn crate::shells::Client> {
        let options = Options::default().client_tls(self.authority.trusted());
        let address = format!("masep+tls://{}", self.server.address());
        shell.connect(id, address, options).unwrap()
    }

    /// A client through a relay, of which so many bytes of each side arrive.
    fn connect_through(
        &self,
        shell: Shell,
        bounds: (usize, usize),
        piece: usize,
    ) -> (
        Result<Box<dyn crate::shells::Client>, masep::ConnectError>,
        thread::JoinHandle<()>,
    ) {
        let (listener, address) = listen();
        let relay = foreign::relay(listener, self.server.address(), bounds, piece);
        let options = Options::default().client_tls(self.authority.trusted());
        let client = shell.connect("agent", format!("masep+tls://{address}"), options);
        (client, relay)
    }
}

fn a_stream_that_is_cut_anywhere_has_no_orderly_end(server: Shell, client: Shell) {
    let setting = serve(server, Limits::default());
    // The hello is about 250 and 900 bytes long, the frames behind it 5,000 each.
    let lengths = (0..24)
        .map(|n| n * 61)
        .chain((0..12).map(|n| 1_500 + n * 997));
    let cuts = lengths.flat_map(|length| [(length, ANY), (ANY, length)]);
    for cut in cuts {
        let (connected, relay) = setting.connect_through(client, cut, 65_536);
        match connected {
            Err(error) => {
                let is_typed = matches!(
                    error.kind,
                    ConnectErrorKind::Closed | ConnectErrorKind::Tls(_) | ConnectErrorKind::Io(_)
                );
                assert!(is_typed, "{cut:?} {error}");
            }
            Ok(client) => {
                let connection = client.connection();
                for _ in 0..3 {
                    let _ = connection.send(vec![7; 5_000]);
                    let _ = setting
                        .server
                        .registry()
                        .get_connection("agent")
                        .map(|agent| agent.send(vec![8; 5_000]));
                }
                let end = loop {
                    match connection.recv() {
                        Ok(frame) => assert_eq!(frame, Frame::from(vec![8; 5_000])),
                        Err(end) => break end,
                    }
                };
                let is_cut = matches!(
                    end,
                    CloseReason::Tls(TlsFault::Truncated) | CloseReason::Reset
                );
                assert!(is_cut, "{cut:?} {end:?}");
            }
        }
        relay.join().unwrap();
    }
    // Neither does the server take one of them for an end.
    setting.server.shutdown(std::time::Duration::ZERO);
    while let Ok(event) = setting.events.try_recv() {
        match event {
            Event::Closed(_, end) => assert!(
                matches!(
                    end,
                    CloseReason::Tls(TlsFault::Truncated)
                        | CloseReason::Reset
                        | CloseReason::Shutdown
                ),
                "{end:?}"
            ),
            Event::Rejected(_, reason) => assert!(
                matches!(
                    reason,
                    RejectReason::ClosedBeforeHello | RejectReason::DuplicateId(_)
                ),
                "{reason}"
            ),
            Event::Connected(_) | Event::Received(..) => {}
        }
    }
}

fn a_session_survives_a_network_that_hands_on_single_bytes(server: Shell, client: Shell) {
    let setting = serve(server, Limits::default());
    let (client, relay) = setting.connect_through(client, (ANY, ANY), 1);
    let client = client.unwrap();
    let connection = client.connection();
    let Event::Connected(at_server) = next(&setting.events) else {
        panic!("it is connected");
    };
    for size in [0, 1, 7, 1_000, 20_000] {
        connection.send(vec![1; size]).unwrap();
        let Event::Received(_, frame) = next(&setting.events) else {
            panic!("a frame");
        };
        assert_eq!(frame, Frame::from(vec![1; size]));
        at_server.send(frame).unwrap();
        assert_eq!(connection.recv(), Ok(Frame::from(vec![1; size])));
    }
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    let Event::Closed(_, end) = next(&setting.events) else {
        panic!("the end");
    };
    assert_eq!(end.as_str(), "peer_bye");
    drop(client);
    relay.join().unwrap();
}

/// A relay that changes one byte.
fn bytes_that_were_changed_are_an_error(server: Shell, client: Shell) {
    let setting = serve(server, Limits::default());
    let (listener, address) = listen();
    let to = setting.server.address();
    let relay = thread::spawn(move || {
        let mut near = Peer::of(listener.accept().unwrap().0).stream;
        let mut far = Peer::connect(to).stream;
        let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let forth = thread::spawn(move || {
            let _ = std::io::copy(&mut from_near, &mut to_far);
        });
        // The hello is whole by then: what follows is a frame.
        let mut bytes = vec![0; 65_536];
        while let Ok(read @ 1..) = far.read(&mut bytes) {
            if read > 4_000 {
                bytes[read / 2] ^= 1;
            }
            if near.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = far.shutdown(std::net::Shutdown::Both);
        forth.join().unwrap();
    });
    let options = Options::default().client_tls(setting.authority.trusted());
    let client = client
        .connect("agent", format!("masep+tls://{address}"), options)
        .unwrap();
    let Event::Connected(at_server) = next(&setting.events) else {
        panic!("it is connected");
    };
    at_server.send(vec![9; 10_000]).unwrap();
    assert_eq!(
        client.connection().end(),
        CloseReason::Tls(TlsFault::Broken)
    );
    // 20: a record whose mark does not fit.
    let Event::Closed(_, end) = next(&setting.events) else {
        panic!("the end");
    };
    assert_eq!(end, CloseReason::Tls(TlsFault::Alert(20)));
    drop(client);
    relay.join().unwrap();
}

fn a_peer_that_names_no_protocol_gets_nowhere(shell: Shell) {
    let setting = serve(shell, Limits::default());
    for alpn in [&[][..], &["http/1.1"], &["masep/3"]] {
        let mut client = foreign::connect(setting.server.address(), &setting.authority, alpn);
        let sent = client.write_all(HELLO).and_then(|()| client.flush());
        let (answer, error) = foreign::rest(&mut client);
        assert_eq!(answer, b"", "{alpn:?}");
        assert!(sent.is_err() || error.is_some(), "{alpn:?}");
        let rejected = next_rejected(&setting.events);
        assert_eq!(
            rejected,
            RejectReason::Tls(TlsFault::NoProtocol),
            "{alpn:?}"
        );
    }
}

/// The hello may have a token in it.
fn a_server_that_names_no_protocol_is_told_nothing(shell: Shell) {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"]);
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut stream = foreign::accept(&listener, &certificate, &[]);
        foreign::rest(&mut stream).0
    });
    let options = Options::default().client_tls(authority.trusted());
    let refused = shell.connect("agent", format!("masep+tls://{address}"), options);
    let error = refused.map(drop).unwrap_err();
    assert!(
        matches!(error.kind, ConnectErrorKind::Tls(TlsFault::NoProtocol)),
        "{error}"
    );
    assert_eq!(server.join().unwrap(), b"");
}

fn a_flood_of_key_updates_is_ended(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let mut client = foreign::connect(setting.server.address(), &setting.authority, &["masep/2"]);
    client.write_all(HELLO).unwrap();
    assert!(matches!(next(&setting.events), Event::Connected(_)));
    let options = Options::default().client_tls(setting.authority.trusted());
    let address = format!("masep+tls://{}", setting.server.address());
    let good = shell.connect("good", address, options).unwrap();
    for _ in 0..1_000 {
        if client.conn.refresh_traffic_keys().is_err()
            || client.conn.complete_io(&mut client.sock).is_err()
        {
            break;
        }
    }
    let ended = loop {
        match next(&setting.events) {
            Event::Closed(_, end) => break end,
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended, CloseReason::Tls(TlsFault::Broken));
    good.connection().send("still here").unwrap();
    loop {
        match next(&setting.events) {
            Event::Connected(_) => {}
            Event::Received(_, frame) => break assert_eq!(frame, Frame::from("still here")),
            other => panic!("{other:?}"),
        }
    }
}

fn a_client_of_rustls_alone_says_hello(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let mut client = foreign::connect(
        setting.server.address(),
        &setting.authority,
        &["h2", "masep/2"],
    );
    client.write_all(HELLO).unwrap();
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x07\0masep/2");
    let Event::Connected(connection) = next(&setting.events) else {
        panic!("it is connected");
    };
    assert_eq!(connection.peer(), "foreign");
    // It ends TLS in order, and says no BYE.
    client.conn.send_close_notify();
    client.flush().unwrap();
    let Event::Closed(_, end) = next(&setting.events) else {
        panic!("the end");
    };
    assert_eq!(end, CloseReason::EndOfStream { mid_frame: false });
}

fn handshakes_that_stand_still_cost_the_others_nothing(shell: Shell) {
    const STILL: usize = 200;
    let time = std::time::Duration::from_millis(1_500);
    let setting = serve(shell, Limits::default().hello_time(time));
    let first = foreign::first_record(&setting.authority);
    let still: Vec<Peer> = (0..STILL)
        .map(|n| {
            let mut peer = Peer::connect(setting.server.address());
            peer.write(&first[..first.len() * (n % 4 + 1) / 4]);
            peer
        })
        .collect();
    let options = Options::default().client_tls(setting.authority.trusted());
    let address = format!("masep+tls://{}", setting.server.address());
    let good = shell.connect("good", address, options).unwrap();
    for n in 0..50_u8 {
        good.connection().send(vec![n]).unwrap();
    }
    let mut received = 0;
    let mut refused = 0;
    while received < 50 || refused < STILL {
        match next(&setting.events) {
            Event::Received(..) => received += 1,
            Event::Rejected(_, RejectReason::HelloTimeout(_)) => refused += 1,
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(still);
}

/// Each of them ends in a refusal: a task or a thread that had panicked would tell none.
fn no_bytes_of_a_handshake_do_harm(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let first = foreign::first_record(&setting.authority);
    let mut random = XorShiftRng::seed_from_u64(20);
    for _ in 0..300 {
        let mut bytes = first.clone();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        // Records and messages that are cut, of any kind, and many of them.
        if random.random_bool(0.3) {
            let kind = random.random_range(0x14..0x19);
            let length: u8 = random.random_range(0..64);
            bytes.extend_from_slice(&[kind, 3, 3, 0, length]);
            bytes.extend((0..length).map(|_| random.random::<u8>()));
        }
        bytes.truncate(random.random_range(1..=bytes.len()));
        let mut peer = Peer::connect(setting.server.address());
        // It may be given up within.
        let _ = bytes
            .chunks(random.random_range(1..=bytes.len()))
            .try_for_each(|piece| peer.stream.write_all(piece));
        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
        next_rejected(&setting.events);
    }
    let options = Options::default().client_tls(setting.authority.trusted());
    let address = format!("masep+tls://{}", setting.server.address());
    shell.connect("good", address, options).unwrap();
}
