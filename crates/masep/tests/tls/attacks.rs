//! Records that no TLS would make: floods of them, those of other times and kinds, and handshakes of any size. They cost
//! their own connection, and a good client plays on.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use masep::tls::TlsFault;
use masep::{CloseReason, ConnectErrorKind, Frame, Limits, RejectReason};

use crate::authority::Authority;
use crate::foreign::{self, HELLO};
use crate::forger::{Forger, RECORD, client_hello, in_records, ticket, with_extension};
use crate::hostile::{Setting, serve};
use crate::shells::masep2::bye;
use crate::shells::network_authority as authority;
use crate::shells::{
    Client, Event, Options, Peer, SOON, Shell, listen, next, next_rejected, of_each_shell, until,
};

of_each_shell! {
    records_without_content_are_ended
    a_message_of_the_handshake_that_never_ends_is_ended
    records_that_nobody_makes_end_their_connection
    a_frame_in_records_of_one_byte_is_a_frame
    an_end_of_tls_is_an_end_wherever_it_comes
    one_that_has_ended_its_side_in_order_gets_what_is_left_and_a_bye
    keys_that_are_renewed_without_end_cost_nobody_anything
    first_messages_of_any_size_do_no_harm
    protocols_are_looked_for_among_many
    a_client_has_the_same_bounds_for_its_server
}

const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

impl Setting {
    fn address(&self) -> SocketAddr {
        self.server.address().tcp().unwrap()
    }

    /// A client behind its handshake and its hello.
    fn forger(&self) -> Forger {
        let forger = Forger::connect(self.address(), authority(), true);
        self.wait_for_foreign();
        forger
    }

    /// The same, of a client of rustls.
    pub(crate) fn foreign(&self) -> foreign::Client {
        let mut client = foreign::connect(self.address(), authority(), &["masep/2"]);
        client.write_all(HELLO).unwrap();
        self.wait_for_foreign();
        client
    }

    fn wait_for_foreign(&self) {
        until(|| self.server.registry().is_connection_registered("foreign"));
    }

    /// The reason for which the forger's connection ends. Good ones send meanwhile.
    pub(crate) fn end_of_foreign(&self) -> CloseReason {
        loop {
            if let Event::Closed(of, end) = next(&self.events) {
                assert_eq!(of.peer(), "foreign");
                return end;
            }
        }
    }

    /// A frame of the good client arrives.
    pub(crate) fn play(&self, good: &dyn Client) {
        good.connection().send("still here").unwrap();
        loop {
            match next(&self.events) {
                Event::Received(of, frame) if of.peer() == "good" => {
                    break assert_eq!(frame, Frame::from("still here"));
                }
                Event::Connected(_) | Event::Received(..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// It is told that there is no TLS in what was said.
    fn is_broken(&self) {
        let rejected = next_rejected(&self.events);
        assert_eq!(rejected, RejectReason::Tls(TlsFault::Broken));
    }
}

/// Each costs the receiver a decryption, and tells nothing. 32 in a row are allowed.
fn records_without_content_are_ended(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    // Some are allowed, as in front of each frame.
    let mut some = setting.forger();
    for _ in 0..10 {
        some.flood(DATA, b"", 30);
        some.say(&[(DATA, IGNORED)]);
        setting.play(&*good);
    }
    some.say(&[(DATA, &bye())]);
    assert_eq!(setting.end_of_foreign(), CloseReason::PeerBye);
    drop(some);

    let mut flood = setting.forger();
    flood.flood(DATA, b"", 1_000_000);
    assert_eq!(setting.end_of_foreign(), BROKEN);
    setting.play(&*good);
    // Before the hello too.
    let mut flood = Forger::connect(setting.address(), authority(), false);
    flood.flood(DATA, b"", 1_000_000);
    setting.is_broken();
    setting.play(&*good);
}

const BROKEN: CloseReason = CloseReason::Tls(TlsFault::Broken);

/// A frame of protocol 2 that nobody has to know.
const IGNORED: &[u8] = b"\0\0\0\0\x80\0\0\0";

/// Its pieces are kept until it is whole: the larger a record is for what it has, the more of them.
fn a_message_of_the_handshake_that_never_ends_is_ended(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    // More than the receiver may keep, and less than the whole of it.
    const MOST: usize = 200_000;
    let mut forger = setting.forger();
    // A ticket of 65,000 bytes.
    forger.say(&[(HANDSHAKE, b"\x04\0\xfd\xe8")]);
    forger.flood(HANDSHAKE, b"\0", MOST / 23);
    assert_eq!(setting.end_of_foreign(), BROKEN);
    setting.play(&*good);
    for begins in [&b"\x04\0\xfd\xe8"[..], b""] {
        let mut forger = setting.forger();
        forger.say(&[(HANDSHAKE, begins)]);
        forger.flood(HANDSHAKE, b"", MOST / 22);
        assert_eq!(setting.end_of_foreign(), BROKEN, "{begins:?}");
        setting.play(&*good);
    }
    // The first one of all, in the clear.
    let begins = [&b"\x01\0\xfd\xe8\x03\x03"[..], &[7; 60_000]].concat();
    for piece in [1, 100, RECORD] {
        let mut peer = Peer::connect(setting.address());
        let _until_it_is_ended = peer
            .stream
            .write_all(&in_records(HANDSHAKE, &begins, piece));
        setting.is_broken();
        setting.play(&*good);
    }
}

fn records_that_nobody_makes_end_their_connection(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    let hello = client_hello(authority());
    let chain = [&b"\x0b\0\xea\x60"[..], &[7; 60_000]].concat();
    let records: &[(&str, u8, &[u8])] = &[
        ("a kind that is none", 0, b""),
        ("nothing but padding", 0, &[0; 5_000]),
        ("a heartbeat", 24, b"\x01\x40\0"),
        ("another kind", 99, b"1"),
        ("a change of ciphers", CHANGE_CIPHER, b"\x01"),
        ("a second hello", HANDSHAKE, &hello),
        ("a question for one", HANDSHAKE, b"\0\0\0\0"),
        ("an end of early data", HANDSHAKE, b"\x05\0\0\0"),
        ("a second end of it", HANDSHAKE, b"\x14\0\0\x04done"),
        ("a certificate", HANDSHAKE, b"\x0b\0\0\x04\0\0\0\0"),
        ("a long chain", HANDSHAKE, &chain[..RECORD]),
        ("a key update of no kind", HANDSHAKE, b"\x18\0\0\x01\x02"),
        ("half a key update and data", HANDSHAKE, b"\x18\0"),
        ("too much", DATA, &[7; RECORD + 1]),
        ("half an alert", ALERT, b"\x01"),
        ("a long alert", ALERT, b"\x01\0\0"),
        ("a warning", ALERT, b"\x01\x28"),
        ("an alert of no level", ALERT, b"\x07\0"),
    ];
    for (name, kind, payload) in records {
        let mut forger = setting.forger();
        forger.say(&[(*kind, payload), (DATA, IGNORED), (DATA, IGNORED)]);
        let end = setting.end_of_foreign();
        let is_typed = matches!(end, CloseReason::Tls(TlsFault::Broken | TlsFault::Alert(_)));
        assert!(is_typed, "{name}: {end:?}");
        // It is told so, and the stream ends.
        let mut answer = Vec::new();
        forger.stream.read_to_end(&mut answer).unwrap();
        setting.play(&*good);
    }
    // Alerts that say nothing are not to come without end, nor are those that nobody decrypts.
    let mut forger = setting.forger();
    forger.flood(ALERT, b"\x01\x5a", 1_000);
    assert_eq!(setting.end_of_foreign(), BROKEN);
    let mut forger = setting.forger();
    let changes = in_records(CHANGE_CIPHER, b"\x01", 1).repeat(1_000);
    let _until_it_is_ended = forger.stream.write_all(&changes);
    assert_eq!(setting.end_of_foreign(), BROKEN);
    setting.play(&*good);
}

fn a_frame_in_records_of_one_byte_is_a_frame(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let mut forger = setting.forger();
    let body = [b"\x10\x27\0\0\x12\0\0\0", &[7; 10_000][..]].concat();
    let records: Vec<_> = body.chunks(1).map(|byte| (DATA, byte)).collect();
    forger.say(&records);
    next(&setting.events).connected();
    let frame = next(&setting.events).received();
    assert_eq!(frame, Frame::from(vec![7; 10_000]));
}

/// Of this side's TLS, in place of what would come next; what is behind it is not heard.
fn an_end_of_tls_is_an_end_wherever_it_comes(shell: Shell) {
    const CLOSE: &[u8] = b"\x01\0";
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    // Within the hello, and right behind the handshake.
    for said in [0, 1, 9, 14, 20, HELLO.len() - 1] {
        let mut forger = Forger::connect(setting.address(), authority(), false);
        let (before, behind) = HELLO.split_at(said);
        forger.say(&[(DATA, before), (ALERT, CLOSE), (DATA, behind)]);
        let rejected = next_rejected(&setting.events);
        assert_eq!(rejected, RejectReason::ClosedBeforeHello, "{said}");
    }
    // Behind it, between frames and within one.
    for (said, mid_frame) in [(&b""[..], false), (IGNORED, false), (&IGNORED[..5], true)] {
        let mut forger = setting.forger();
        forger.say(&[(DATA, said), (ALERT, CLOSE), (DATA, &bye())]);
        let end = setting.end_of_foreign();
        assert_eq!(end, CloseReason::EndOfStream { mid_frame }, "{said:?}");
    }
    // In the clear: in place of the handshake, within it, and where nobody is to believe it.
    let hello = client_hello(authority());
    for whole in [false, true] {
        let hello = if whole { &hello[..] } else { &hello[..100] };
        let bytes = [
            in_records(HANDSHAKE, hello, RECORD),
            in_records(ALERT, CLOSE, 2),
        ];
        let mut peer = Peer::connect(setting.address());
        peer.write(&bytes.concat());
        let rejected = next_rejected(&setting.events);
        assert!(matches!(rejected, RejectReason::Tls(_)), "{rejected:?}");
    }
    let mut forger = setting.forger();
    forger
        .stream
        .write_all(&in_records(ALERT, CLOSE, 2))
        .unwrap();
    assert_eq!(setting.end_of_foreign(), BROKEN);
    setting.play(&*good);
}

fn one_that_has_ended_its_side_in_order_gets_what_is_left_and_a_bye(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let mut client = setting.foreign();
    let registry = setting.server.registry();
    let connection = registry.get_connection("foreign").unwrap();
    connection.send("news").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    // All of it, to the end of TLS: an error would be one that was cut.
    let (heard, error) = foreign::rest(&mut client);
    assert_eq!(error, None);
    let says = |word: &[u8]| heard.windows(word.len()).position(|part| part == word);
    assert!(
        says(b"news").unwrap() < says(b"end_of_stream").unwrap(),
        "{heard:?}"
    );
    let end = setting.end_of_foreign();
    assert_eq!(end, CloseReason::EndOfStream { mid_frame: false });
}

/// With a frame behind each, that is allowed; and the one that is to renew them too may read nothing of it.
fn keys_that_are_renewed_without_end_cost_nobody_anything(shell: Shell) {
    const UPDATES: u32 = 100_000;
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    let mut client = setting.foreign();
    let bye = bye();
    for n in 0..UPDATES {
        client.conn.refresh_traffic_keys().unwrap();
        let body = if n + 1 < UPDATES { IGNORED } else { &bye };
        client.conn.writer().write_all(body).unwrap();
        if n % 20 == 0 || n + 1 == UPDATES {
            while client.conn.wants_write() {
                client.conn.write_tls(&mut client.sock).unwrap();
            }
        }
        if n % 20_000 == 0 {
            setting.play(&*good);
        }
    }
    assert_eq!(setting.end_of_foreign(), CloseReason::PeerBye);
    // Its own keys were renewed as often as it has written, and not more: what it has to say is short.
    let mut heard = Vec::new();
    client.sock.read_to_end(&mut heard).unwrap();
    assert!(heard.len() < 10_000, "{}", heard.len());
    setting.play(&*good);
}

fn first_messages_of_any_size_do_no_harm(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let good = setting.join("good");
    let hello = client_hello(authority());
    let name = |name: &[u8]| {
        let size = u16::try_from(name.len()).unwrap();
        let list = size + 3;
        [&list.to_be_bytes()[..], &[0], &size.to_be_bytes(), name].concat()
    };
    let protocols = b"\x08masep/10".repeat(1_500);
    let protocols = [
        &u16::try_from(protocols.len()).unwrap().to_be_bytes()[..],
        &protocols,
    ]
    .concat();
    let most = 65_000 - hello.len();
    for (kind, content) in [
        (0, name(&vec![b'a'; most])),
        // Small enough to be looked at.
        (0, name(&[b'a'; 12_000])),
        (0, b"\0\x04\0\0\x01a".repeat(1_000)),
        (0, name(b"")),
        (0, name(&[0xff; 300])),
        (0, b"\0\0".to_vec()),
        (16, protocols),
        // One that nobody knows, and one of early data, of a ticket, of a share of a key.
        (0xfe0d, vec![7; most]),
        (42, vec![]),
        (41, vec![7; 12_000]),
        (51, vec![7; 12_000]),
    ] {
        let message = with_extension(&hello, kind, &content);
        for piece in [500, RECORD] {
            let mut peer = Peer::connect(setting.address());
            let _until_it_is_ended = peer
                .stream
                .write_all(&in_records(HANDSHAKE, &message, piece));
            peer.close_sending_side();
            let rejected = next_rejected(&setting.events);
            let is_typed = matches!(
                rejected,
                RejectReason::Tls(_) | RejectReason::ClosedBeforeHello
            );
            assert!(is_typed, "{kind} {rejected:?}");
            peer.rest();
        }
        setting.play(&*good);
    }
}

fn protocols_are_looked_for_among_many(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let others: Vec<String> = (0..1_000).map(|n| format!("other/{n}")).collect();
    let mut many: Vec<&str> = others.iter().map(String::as_str).collect();
    let long = "x".repeat(255);
    let cases: [(&[&str], bool); 6] = [
        (&["h2", "http/1.1", "masep/2"], true),
        (&["masep/2", "masep/2"], true),
        (&["MASEP/2"], false),
        (&["masep/2 "], false),
        (&["masep"], false),
        (&[&long], false),
    ];
    for (alpn, is_ours) in cases {
        assert_eq!(takes(&setting, alpn), is_ours, "{alpn:?}");
    }
    assert!(!takes(&setting, &many));
    many.push("masep/2");
    assert!(takes(&setting, &many));
}

/// True if a client that names these protocols is taken.
fn takes(setting: &Setting, alpn: &[&str]) -> bool {
    let mut client = foreign::connect(setting.address(), authority(), alpn);
    let _either = client.write_all(HELLO).and_then(|()| client.flush());
    match next(&setting.events) {
        Event::Connected(_) => {
            client.write_all(&bye()).unwrap();
            client.flush().unwrap();
            assert_eq!(setting.end_of_foreign(), CloseReason::PeerBye);
            true
        }
        Event::Rejected(_, reason) => {
            assert_eq!(reason, RejectReason::Tls(TlsFault::NoProtocol));
            false
        }
        other => panic!("{other:?}"),
    }
}

/// Bytes that are no frame are no sign of life: the hello has its deadline.
fn a_client_has_the_same_bounds_for_its_server(shell: Shell) {
    let ticket: &'static [u8] = ticket().leak();
    // Enough for the handshake.
    let hello_time = Duration::from_secs(3);
    for (kind, begins, floods, is_expected) in [
        (
            HANDSHAKE,
            &b"\x04\0\xfd\xe8"[..],
            &b"\0"[..],
            is_broken as fn(&ConnectErrorKind) -> bool,
        ),
        (DATA, b"", b"", is_broken),
        (HANDSHAKE, ticket, ticket, is_late),
    ] {
        let authority = Authority::new();
        let certificate = authority.server(&["127.0.0.1"]);
        let (listener, address) = listen();
        let server = thread::spawn(move || {
            let mut forger = Forger::accept(&listener, &certificate);
            forger.flood(kind, begins, 1);
            // Until the client has ended it.
            while forger.flood(kind, floods, 10_000) > 0 {}
        });
        // A connection that ends for another reason is not to be late on a machine that is busy.
        let hello_time = if floods == ticket { hello_time } else { SOON };
        let options = Options::from(Limits::default().hello_time(hello_time));
        let options = options.client_tls(authority.trusted());
        let refused = shell.connect("agent", format!("masep+tls://{address}"), options);
        let error = refused.map(drop).unwrap_err();
        assert!(is_expected(&error.kind), "{error}");
        server.join().unwrap();
    }
}

fn is_broken(kind: &ConnectErrorKind) -> bool {
    matches!(kind, ConnectErrorKind::Tls(TlsFault::Broken))
}

fn is_late(kind: &ConnectErrorKind) -> bool {
    matches!(kind, ConnectErrorKind::TimedOut(_))
}
