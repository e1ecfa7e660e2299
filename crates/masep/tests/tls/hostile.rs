//! Peers and links that cut, change, delay, are silent, or do not speak the protocol.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;

use masep::tls::TlsFault;
use masep::{CloseReason, ConnectErrorKind, Frame, Limits, RejectReason};

use rand::{RngExt, SeedableRng};
use rand_xorshift::XorShiftRng;

use crate::authority::Authority;
use crate::foreign::{self, HELLO};
use crate::shells::network_authority as authority;
use crate::shells::{
    Client, Event, Events, Network, Options, Peer, Serving, Shell, Side, listen, next,
    next_rejected, of_each_pair, of_each_shell,
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
    handshakes_that_stand_still_cost_the_others_nothing
    no_bytes_of_a_handshake_do_harm
}

const ANY: usize = usize::MAX;

/// A server in TLS, and what its handler is told.
pub(crate) struct Setting {
    side: Side,
    pub(crate) server: Serving,
    pub(crate) events: std::sync::mpsc::Receiver<Event>,
}

pub(crate) fn serve(shell: Shell, limits: Limits) -> Setting {
    let side = shell.over(Network::Tls);
    let (handler, events) = Events::new();
    let server = side.serve(Options::from(limits).handler(handler));
    Setting {
        side,
        server,
        events,
    }
}

impl Setting {
    /// A client of this library.
    pub(crate) fn join(&self, id: &str) -> Box<dyn Client> {
        self.side.join(id, &self.server)
    }

    /// A client through a relay, of which so many bytes of each side arrive.
    fn connect_through(
        &self,
        shell: Shell,
        bounds: (usize, usize),
        piece: usize,
    ) -> (
        Result<Box<dyn Client>, masep::ConnectError>,
        thread::JoinHandle<()>,
    ) {
        let (listener, address) = listen();
        let relay = foreign::relay(listener, self.server.address(), bounds, piece);
        (connect(shell, address), relay)
    }
}

/// Connects to what stands between a client and the server of a [`Setting`].
fn connect(shell: Shell, address: SocketAddr) -> Result<Box<dyn Client>, masep::ConnectError> {
    let options = Options::default().client_tls(authority().trusted());
    shell.connect("agent", format!("masep+tls://{address}"), options)
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
    let at_server = next(&setting.events).connected();
    for size in [0, 1, 7, 1_000, 20_000] {
        connection.send(vec![1; size]).unwrap();
        let frame = next(&setting.events).received();
        assert_eq!(frame, Frame::from(vec![1; size]));
        at_server.send(frame).unwrap();
        assert_eq!(connection.recv(), Ok(Frame::from(vec![1; size])));
    }
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(next(&setting.events).closed().as_str(), "peer_bye");
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
    let client = connect(client, address).unwrap();
    let at_server = next(&setting.events).connected();
    at_server.send(vec![9; 10_000]).unwrap();
    assert_eq!(
        client.connection().end(),
        CloseReason::Tls(TlsFault::Broken)
    );
    // 20: a record whose mark does not fit.
    assert_eq!(
        next(&setting.events).closed(),
        CloseReason::Tls(TlsFault::Alert(20))
    );
    drop(client);
    relay.join().unwrap();
}

fn a_peer_that_names_no_protocol_gets_nowhere(shell: Shell) {
    let setting = serve(shell, Limits::default());
    for alpn in [&[][..], &["http/1.1"], &["masep/3"]] {
        let mut client = foreign::connect(setting.server.address(), authority(), alpn);
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
    let good = setting.join("good");
    let mut client = setting.foreign();
    for _ in 0..1_000 {
        if client.conn.refresh_traffic_keys().is_err()
            || client.conn.complete_io(&mut client.sock).is_err()
        {
            break;
        }
    }
    assert_eq!(setting.end_of_foreign(), CloseReason::Tls(TlsFault::Broken));
    setting.play(&*good);
}

fn handshakes_that_stand_still_cost_the_others_nothing(shell: Shell) {
    const STILL: usize = 200;
    let setting = serve(shell, Limits::default());
    let first = foreign::first_record(authority());
    let still: Vec<Peer> = (0..STILL)
        .map(|n| {
            let mut peer = Peer::connect(setting.server.address());
            peer.write(&first[..first.len() * (n % 4 + 1) / 4]);
            peer
        })
        .collect();
    let good = setting.join("good");
    for n in 0..50_u8 {
        good.connection().send(vec![n]).unwrap();
    }
    let (mut received, mut refused) = (0, 0);
    let mut still = Some(still);
    while received < 50 || refused < STILL {
        match next(&setting.events) {
            Event::Received(..) => received += 1,
            Event::Rejected(..) => refused += 1,
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
        if received == 50 {
            still = None;
        }
    }
    assert!(still.is_none());
}

/// Each of them ends in a refusal: a task or a thread that had panicked would tell none.
fn no_bytes_of_a_handshake_do_harm(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let first = foreign::first_record(authority());
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
    setting.join("good");
}
