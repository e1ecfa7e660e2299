//! A layer between a connection and its stream, such as TLS: what it says, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::connection::{
    Action, Config, Connection, HelloFailure, Protocols, Read, Transmit, Want, Write,
};
use masep_proto::protocol2::preamble;
use masep_proto::tls::{LayerState, TlsFault};
use masep_proto::{CloseReason, Limits, PeerId};

use super::pair;

const SECURE: LayerState = LayerState {
    more: false,
    owes: false,
    secure: true,
};

fn config(tls: bool, protocols: Protocols) -> Arc<Config> {
    Arc::new(pair::config("engine", &Limits::default(), protocols).tls(tls))
}

fn open() -> (Connection, Instant) {
    let now = Instant::now();
    let config = config(false, Protocols::Both);
    let mut core = Connection::established(config, PeerId::from("agent"), now);
    core.note_layer(SECURE);
    while core.poll_event().is_some() {}
    (core, now)
}

fn read(core: &mut Connection, read: Read, now: Instant) {
    let room = core.take_room().expect("it reads");
    core.put_room(room, read, now);
}

fn hear(core: &mut Connection, bytes: &[u8], now: Instant) {
    let mut room = core.take_room().expect("it reads");
    assert_eq!(room.fill(bytes), bytes.len());
    core.put_room(room, Read::Bytes, now);
}

/// All that it writes.
fn written(core: &mut Connection, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(transmit) = core.take_transmit() {
        bytes.extend_from_slice(transmit.as_slice().expect("small things are one slice"));
        let length = transmit.len();
        core.put_transmit(transmit, Write::Bytes(length), now);
    }
    bytes
}

#[test]
fn what_a_layer_owes_is_written_by_who_writes_frames() {
    let (mut core, now) = open();
    assert_eq!(core.wants().write, Want::Nothing);
    let owes = LayerState {
        owes: true,
        ..SECURE
    };
    core.note_layer(owes);
    assert_eq!(core.wants().write, Want::Now);
    let transmit: Transmit = core.take_transmit().expect("what is owed");
    assert!(transmit.is_empty());
    assert_eq!(core.wants().write, Want::Nothing, "it is out");
    core.put_transmit(transmit, Write::Blocked, now);
    assert_eq!(core.wants().write, Want::Ready);
    // The peer that takes nothing is given up, as for frames.
    let due = core.deadline().expect("a bound");
    assert_eq!(due - now, Limits::default().write_time);
    let transmit = core.take_transmit().expect("what is owed");
    core.note_layer(SECURE);
    core.put_transmit(transmit, Write::Bytes(0), now);
    assert_eq!(core.wants().write, Want::Nothing);
    assert_eq!(core.deadline(), None);
}

#[test]
fn what_a_layer_has_is_read_though_the_stream_is_not_readable() {
    let (mut core, now) = open();
    assert_eq!(core.wants().read, Want::Ready);
    core.note_layer(LayerState {
        more: true,
        ..SECURE
    });
    assert_eq!(core.wants().read, Want::Now);
    assert!(core.has_more());
    core.note_layer(SECURE);
    read(&mut core, Read::Blocked, now);
    assert_eq!(core.wants().read, Want::Ready);
}

#[test]
fn a_cut_is_no_end_of_an_open_connection_and_one_behind_a_bye_does_not_matter() {
    let (mut core, now) = open();
    read(&mut core, Read::Tls(TlsFault::Truncated), now);
    let cut = CloseReason::Tls(TlsFault::Truncated);
    assert_eq!(core.reason(), Some(&cut));
    assert!(!cut.is_orderly());
    assert_eq!(cut.as_str(), "truncated");

    let (mut core, now) = open();
    core.end(CloseReason::LocalBye, now);
    read(&mut core, Read::Blocked, now);
    assert_eq!(written(&mut core, now), b"\x03\0BYE");
    read(&mut core, Read::Tls(TlsFault::Truncated), now);
    assert_eq!(core.reason(), Some(&CloseReason::LocalBye));
    assert!(core.is_over());
}

#[test]
fn a_fault_closes_in_order_so_that_the_peer_reads_the_alert() {
    let (mut core, now) = open();
    read(&mut core, Read::Tls(TlsFault::Broken), now);
    assert_eq!(core.reason(), Some(&CloseReason::Tls(TlsFault::Broken)));
    let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
    assert!(actions.contains(&Action::HalfClose), "{actions:?}");
    assert!(!actions.contains(&Action::Reset), "{actions:?}");
    assert_eq!(written(&mut core, now), b"");

    let mut core = Connection::connect(config(true, Protocols::Masep2), now);
    written(&mut core, now);
    read(&mut core, Read::Tls(TlsFault::NotTls), now);
    assert_eq!(core.failure(), Some(&HelloFailure::Tls(TlsFault::NotTls)));
    assert_eq!(
        written(&mut core, now),
        b"",
        "nothing is said in what is no TLS"
    );
}

#[test]
fn a_server_that_requires_tls_answers_in_the_peers_protocol() {
    let now = Instant::now();
    let required = HelloFailure::Tls(TlsFault::Required);
    for piece in [1, 3, 100] {
        let mut core = Connection::accept(config(true, Protocols::Masep2), now);
        let mut hello = preamble::CLIENT.to_vec();
        hello.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0, 0xa0, 0, 0, 0, 0, 0, 0, 0]);
        hello
            .chunks(piece)
            .for_each(|bytes| hear(&mut core, bytes, now));
        assert_eq!(core.failure(), Some(&required));
        let answer = written(&mut core, now);
        assert!(answer.starts_with(preamble::SERVER), "{answer:x?}");
        let code = b"tls_required";
        assert!(answer.windows(code.len()).any(|at| at == code));

        let mut core = Connection::accept(config(true, Protocols::Masep2), now);
        b"\x05\0agent"
            .chunks(piece)
            .for_each(|bytes| hear(&mut core, bytes, now));
        assert_eq!(core.failure(), Some(&required));
        assert_eq!(written(&mut core, now), b"\x06\0engine\x03\0BYE");
    }
}

#[test]
fn a_server_without_tls_knows_it_at_once_and_waits_for_nothing() {
    let now = Instant::now();
    for protocols in [Protocols::Both, Protocols::Masep2, Protocols::Pymasep] {
        let mut core = Connection::accept(config(false, protocols), now);
        for byte in b"\x16\x03\x01\x02\0\x01" {
            assert_eq!(core.failure(), None);
            hear(&mut core, &[*byte], now);
        }
        assert_eq!(
            core.failure(),
            Some(&HelloFailure::Tls(TlsFault::Unexpected))
        );
        assert!(!written(&mut core, now).is_empty());
    }
}

#[test]
fn in_tls_nothing_but_protocol_2_is_spoken() {
    let now = Instant::now();
    let mut core = Connection::accept(config(false, Protocols::Both), now);
    core.note_layer(SECURE);
    hear(&mut core, b"\x05\0agent", now + Duration::from_millis(1));
    assert!(matches!(
        core.failure(),
        Some(HelloFailure::OtherProtocol(_))
    ));
}
