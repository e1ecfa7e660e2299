//! Control messages of protocol 2: what is written is read as the same, what others add is ignored, and what is no
//! control message is refused in little memory.

use allocation_counter::measure;
use bytestring::ByteString;
use masep_proto::protocol2::{Bye, CONTROL_BYTES, Control, Hello, Notice, Rejected, Welcome, kind};
use masep_proto::{Dict, Int, PeerId, Value, is_printable};
use proptest::prelude::*;

fn hello() -> Hello {
    let mut hello = Hello::new(PeerId::from("agent-é"), 16 << 20);
    hello.role = Some("actor".into());
    hello.game = Some("pursuit.PursuitGame".into());
    hello.seat = Some("red".into());
    hello.token = Some("secret".into());
    hello.make = Some(Dict::from([("render_mode", "rgb_array")]));
    hello.features = vec!["pong_in_call".into()];
    hello.agent = "masep 1".into();
    hello
}

fn welcome() -> Welcome {
    let mut welcome = Welcome::new(PeerId::from("engine"), 1 << 20);
    welcome.features = vec!["pong_in_call".into()];
    welcome.heartbeat_ms = 10_000;
    welcome.instance = Some("i1".into());
    welcome.seat = Some("red".into());
    welcome.resume = Some("again".into());
    welcome.epoch = Some(3);
    welcome.last = Some(Dict::from([
        ("n", Value::from(7)),
        ("how", "played".into()),
    ]));
    welcome.grace_ms = Some(30_000);
    welcome.game = Some("pursuit.PursuitGame".into());
    welcome.seats = Some(3);
    welcome.free = Some(1);
    welcome
}

/// The messages of `interop/vectors/control.jsonl`, in order.
fn golden() -> Vec<Control> {
    vec![
        Control::Hello(Box::new(Hello::new(PeerId::from("a"), 65_536))),
        Control::Hello(Box::new(hello())),
        Control::Welcome(Box::new(Welcome::new(PeerId::from("e"), 1 << 20))),
        Control::Welcome(Box::new(welcome())),
        Control::Rejected(Rejected::new("duplicate_id", "the id is in use").retry_ms(1_000)),
        Control::Bye(Bye::new("replaced", "a newer connection has the same id").may_return(false)),
        Control::Notice(Notice::new("late", "").about(Dict::from([("turn", 7)]))),
    ]
}

#[test]
#[cfg(feature = "json")]
fn what_is_written_is_what_cbor2_reads_and_writes() {
    let vectors = include_str!("../../../../interop/vectors/control.jsonl");
    let vectors: Vec<serde_json::Value> = vectors
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let messages = golden();
    assert_eq!(vectors.len(), messages.len());
    for (vector, message) in vectors.iter().zip(messages) {
        let written = hex::encode(message.encode().unwrap());
        assert_eq!(vector["bytes_hex"], written, "{message:?}");
        assert_eq!(vector["kind"], message.kind());
        let bytes = hex::decode(written).unwrap();
        assert_eq!(Control::decode(message.kind(), &bytes), Ok(Some(message)));
    }
}

#[test]
fn a_token_is_not_shown() {
    let shown = format!("{:?} {:?}", hello(), welcome());
    assert!(
        !shown.contains("secret") && !shown.contains("again"),
        "{shown}"
    );
}

fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 24);
    [&[0x60 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A message with an entry more: its head counts it.
fn with(message: &Control, key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = message.encode().unwrap().to_vec();
    bytes[0] += 1;
    bytes.extend(text(key));
    bytes.extend(value);
    bytes
}

#[test]
fn keys_that_nobody_knows_are_ignored_whatever_their_values_are() {
    for message in golden() {
        // A tag that no value has, undefined, a simple value, and a bignum in a map with a number as its key.
        for value in [
            &b"\xd9\xff\xff\x01"[..],
            b"\xf7",
            b"\xe5",
            b"\xa1\x01\xc2\x41\x09",
        ] {
            let bytes = with(&message, "new", value);
            let read = Control::decode(message.kind(), &bytes);
            assert_eq!(read, Ok(Some(message.clone())));
        }
        // An optional one that is null is not there.
        let bytes = with(&message, "about", b"\xf6");
        if !matches!(&message, Control::Notice(notice) if notice.about.is_some()) {
            assert_eq!(Control::decode(message.kind(), &bytes), Ok(Some(message)));
        }
    }
}

#[test]
fn a_feature_that_nobody_knows_is_read_and_does_no_harm() {
    let mut known = hello();
    known.features.push("of-another-time".into());
    let message = Control::Hello(Box::new(known));
    let bytes = message.encode().unwrap();
    assert_eq!(Control::decode(kind::HELLO, &bytes), Ok(Some(message)));
}

fn name_of_error(kind: u8, bytes: &[u8]) -> &'static str {
    let error = Control::decode(kind, bytes).expect_err("it is refused");
    assert!(error.to_string().len() < 200, "{error}");
    error.kind.name()
}

#[test]
fn what_is_no_control_message_is_refused_with_its_error() {
    let bye = Control::Bye(Bye::new("c", "t"));
    for (kind, bytes, name) in [
        (kind::BYE, b"".to_vec(), "truncated"),
        (kind::BYE, b"\x80".to_vec(), "unexpected_item"),
        (kind::BYE, b"\xa0".to_vec(), "missing_field"),
        (kind::BYE, with(&bye, "code", b"\x61d"), "duplicate_key"),
        (kind::BYE, with(&bye, "new", b"\x9f\xff"), "cbor"),
        (
            kind::BYE,
            with(&bye, "may_return", b"\x01"),
            "unexpected_item",
        ),
        (kind::BYE, with(&bye, "may_return", b"\xf5\x00"), "cbor"),
        (kind::BYE, b"\xa1\x64code\x01".to_vec(), "unexpected_item"),
        (
            kind::BYE,
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "truncated",
        ),
        (
            kind::REJECTED,
            b"\xa2\x64code\x61c\x61v\x82\x03\x02".to_vec(),
            "unexpected_item",
        ),
        (
            kind::HELLO,
            b"\xa1\x61v\x83\x02\x02\x02".to_vec(),
            "unexpected_item",
        ),
        (
            kind::HELLO,
            b"\xa1\x68features\x98\x41".to_vec(),
            "truncated",
        ),
        (kind::PING, b"1234567".to_vec(), "unexpected_item"),
        (kind::PONG, b"123456789".to_vec(), "unexpected_item"),
        (kind::NOTICE, vec![0; CONTROL_BYTES + 1], "limit"),
        (
            kind::BYE,
            b"\xa1\x64code\x62a\x1b".to_vec(),
            "not_printable",
        ),
    ] {
        assert_eq!(name_of_error(kind, &bytes), name, "{kind} {bytes:x?}");
    }
    for kind in [0, 8, kind::CBOR, 200] {
        assert_eq!(Control::decode(kind, b""), Ok(None));
    }
}

#[test]
fn what_is_too_long_is_refused_on_both_ends_and_texts_for_people_are_cut() {
    let mut long = hello();
    long.id = PeerId::from("x".repeat(1_025));
    assert!(Control::Hello(Box::new(long)).encode().is_err());
    let mut large = hello();
    large.token = Some("x".repeat(2_048).into());
    large.resume = Some("x".repeat(2_048).into());
    assert!(
        Control::Hello(Box::new(large)).encode().is_err(),
        "all together"
    );

    let bytes = [&b"\xa1\x62id\x79\x04\x01"[..], &[b'x'; 1_025]].concat();
    assert_eq!(name_of_error(kind::HELLO, &bytes), "limit");

    let bye = Bye::new("c".repeat(100), "é".repeat(1_000));
    assert_eq!((bye.code.len(), bye.text.len()), (64, 1_024));
    assert!(Control::Bye(bye).encode().is_ok());
}

#[test]
fn as_many_levels_and_items_are_written_as_are_read() {
    let make = |make: Dict| {
        let mut hello = hello();
        hello.make = Some(make);
        Control::Hello(Box::new(hello))
    };
    // Dicts in each other: `make` is on the second level, and what is in the innermost is a level deeper than that.
    let dicts = |number: usize| {
        let dict = |inner: Dict, _| Dict::from([("a", inner)]);
        (1..number).fold(Dict::from([("a", 1)]), dict)
    };
    let list = |items: usize| Dict::from([("l", Value::List(vec![1.into(); items]))]);
    let is_taken = |message: &Control| match message.encode() {
        Ok(bytes) => {
            let read = Control::decode(message.kind(), &bytes);
            assert_eq!(read.as_ref(), Ok(&Some(message.clone())));
            true
        }
        Err(_) => false,
    };
    assert!(is_taken(&make(dicts(14))));
    assert!(!is_taken(&make(dicts(15))));
    let written = (0..1_100).filter(|items| is_taken(&make(list(*items))));
    assert_eq!(written.max(), Some(998), "what else is in HELLO counts too");
}

#[test]
fn what_nobody_knows_is_cbor_of_as_many_levels() {
    let bye = Control::Bye(Bye::new("c", "t"));
    let of_new = |value: &[u8]| Control::decode(kind::BYE, &with(&bye, "new", value));
    let error = |value: &[u8]| of_new(value).expect_err("it is refused").kind.name();
    // On the second level, and so many deeper. A tag is no level.
    for one in [&[0x81][..], &[0xc6, 0x81]] {
        assert!(of_new(&[&one.repeat(14)[..], b"\x01"].concat()).is_ok());
        assert_eq!(error(&[&one.repeat(15)[..], b"\x01"].concat()), "limit");
    }
    // Side by side.
    assert!(of_new(&[&b"\x83"[..], &b"\x81\x80".repeat(3)].concat()).is_ok());
    assert!(of_new(b"\xf8\x20").is_ok());
    assert_eq!(error(b"\xf8\x10"), "cbor");
}

#[test]
fn bombs_cost_little() {
    // Arrays of arrays in what is known, in what is not, and tags of tags.
    let bye = Control::Bye(Bye::new("c", "t"));
    let notice = Control::Notice(Notice::new("c", "t"));
    for (message, key) in [(&bye, "new"), (&notice, "about")] {
        for byte in [0x81, 0xc6, 0xa1] {
            let bytes = with(message, key, &[byte; 4_000]);
            let info = measure(|| {
                assert!(Control::decode(message.kind(), &bytes).is_err());
            });
            assert!(info.bytes_max < 100_000, "{info:?}");
        }
    }
    let mut many = vec![0xb9, 0x03, 0xff];
    for number in 0..0x3ffu32 {
        many.push(0x63);
        many.extend(format!("{number:03x}").as_bytes());
        many.push(0);
    }
    assert!(many.len() > CONTROL_BYTES);
    let info = measure(|| assert!(Control::decode(kind::BYE, &many).is_err()));
    assert!(info.bytes_max < 100_000, "{info:?}");
}

fn texts(most: usize) -> impl Strategy<Value = ByteString> {
    prop::collection::vec(any::<char>(), 0..most / 4).prop_map(|chars| {
        let text: String = chars.into_iter().collect();
        text.into()
    })
}

fn names(most: usize) -> impl Strategy<Value = ByteString> {
    texts(most).prop_map(|text| {
        let name: String = text.chars().filter(|c| is_printable(*c)).collect();
        name.into()
    })
}

fn dicts() -> impl Strategy<Value = Dict> {
    let value = prop_oneof![
        any::<i64>().prop_map(|int| Value::Int(Int::from(int))),
        any::<bool>().prop_map(Value::Bool),
        texts(40).prop_map(Value::Str),
        Just(Value::None),
    ];
    prop::collection::btree_map("[a-z_]{1,8}", value, 0..4)
        .prop_map(|entries| entries.into_iter().collect())
}

fn versions() -> impl Strategy<Value = (u16, u16)> {
    (any::<u16>(), any::<u16>()).prop_map(|(one, other)| (one.min(other), one.max(other)))
}

prop_compose! {
    fn hellos()(
        versions in versions(), id in names(200), max: u32, agent in names(40),
        names in prop::collection::vec(prop::option::of(names(60)), 7),
        make in prop::option::of(dicts()),
        features in prop::collection::vec(names(60), 0..5),
    ) -> Hello {
        let mut hello = Hello::new(PeerId::new(id), max);
        hello.versions = versions;
        let mut names = names.into_iter();
        for field in [
            &mut hello.role, &mut hello.game, &mut hello.table, &mut hello.seat,
            &mut hello.resume, &mut hello.profile,
        ] {
            *field = names.next().flatten();
        }
        hello.token = names.next().flatten().map(Into::into);
        hello.make = make;
        hello.features = features;
        hello.agent = agent;
        hello
    }
}

prop_compose! {
    fn welcomes()(
        version: u16, id in names(200), max: u32, heartbeat_ms: u64,
        names in prop::collection::vec(prop::option::of(names(60)), 5),
        features in prop::collection::vec(names(60), 0..5),
        epoch: Option<u64>, grace_ms: Option<u64>, seats: Option<u64>, free: Option<u64>,
        last in prop::option::of(dicts()),
    ) -> Welcome {
        let mut welcome = Welcome::new(PeerId::new(id), max);
        let mut names = names.into_iter();
        welcome.version = version;
        welcome.features = features;
        welcome.heartbeat_ms = heartbeat_ms;
        welcome.instance = names.next().flatten();
        welcome.seat = names.next().flatten();
        welcome.resume = names.next().flatten();
        welcome.game = names.next().flatten();
        welcome.profile = names.next().flatten();
        (welcome.seats, welcome.free) = (seats, free);
        welcome.epoch = epoch;
        welcome.last = last;
        welcome.grace_ms = grace_ms;
        welcome
    }
}

fn controls() -> impl Strategy<Value = Control> {
    prop_oneof![
        hellos().prop_map(|hello| Control::Hello(Box::new(hello))),
        welcomes().prop_map(|welcome| Control::Welcome(Box::new(welcome))),
        (texts(80), texts(2_000), versions(), any::<Option<u64>>()).prop_map(
            |(code, text, versions, retry)| {
                let mut rejected = Rejected::new(code, text);
                rejected.versions = versions;
                rejected.retry_ms = retry;
                Control::Rejected(rejected)
            }
        ),
        (texts(80), texts(2_000), any::<Option<bool>>()).prop_map(|(code, text, may)| {
            let mut bye = Bye::new(code, text);
            bye.may_return = may;
            Control::Bye(bye)
        }),
        any::<[u8; 8]>().prop_map(Control::Ping),
        any::<[u8; 8]>().prop_map(Control::Pong),
        (texts(80), texts(2_000), prop::option::of(dicts())).prop_map(|(code, text, about)| {
            let mut notice = Notice::new(code, text);
            notice.about = about;
            Control::Notice(notice)
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(message in controls()) {
        let bytes = message.encode().unwrap();
        prop_assert!(bytes.len() <= CONTROL_BYTES);
        prop_assert_eq!(Control::decode(message.kind(), &bytes), Ok(Some(message)));
    }

    #[test]
    fn any_beginning_and_any_changed_byte_is_an_error_or_a_message(
        message in controls(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = message.encode().unwrap().to_vec();
        let at = at.index(bytes.len());
        let _either = Control::decode(message.kind(), &bytes[..at]);
        bytes[at] = byte;
        if let Ok(Some(read)) = Control::decode(message.kind(), &bytes) {
            let again = read.encode().unwrap();
            prop_assert_eq!(Control::decode(read.kind(), &again), Ok(Some(read)));
        }
    }
}
