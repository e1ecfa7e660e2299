//! Does one kind of the codec's work this many times: `instructions WORK TIMES`. `cargo xtask instructions`
//! runs it under callgrind, twice as many times the second time; the difference is what the work costs.
//!
//! Without arguments it names the kinds of work, one a line.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use masep_proto::{
    Action, Array, Dict, Element, Frame, FrameCodec, Limits, Message, MessageType, Node, Value,
    cbor,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ACTION: &[u8] = include_bytes!("../../../interop/vectors/sizes/action.xml");
const OBSERVATION_7K: &[u8] = include_bytes!("../../../interop/vectors/sizes/observation-7k.xml");
const OBSERVATION_60K: &[u8] = include_bytes!("../../../interop/vectors/sizes/observation-60k.xml");
const VALUES_7K: &[u8] = include_bytes!("../../../interop/vectors/sizes/values-7k.xml");

/// A kind of work, and what does it this many times.
type Work = (&'static str, fn(usize) -> Outcome<()>);

const WORKS: [Work; 18] = [
    ("decode action", |times| decode(ACTION, times)),
    ("decode action, as Action", |times| {
        decode_action(ACTION, times)
    }),
    ("decode observation 7k", |times| {
        decode(OBSERVATION_7K, times)
    }),
    ("decode observation 7k, as tree", |times| {
        decode_tree(OBSERVATION_7K, times)
    }),
    ("decode observation 60k", |times| {
        decode(OBSERVATION_60K, times)
    }),
    ("decode observation 60k, as tree", |times| {
        decode_tree(OBSERVATION_60K, times)
    }),
    ("decode values 7k", |times| decode(VALUES_7K, times)),
    ("encode action", |times| encode_action(ACTION, times)),
    ("encode observation 7k", |times| {
        encode(OBSERVATION_7K, times)
    }),
    ("encode observation 7k, from tree", |times| {
        encode_tree(OBSERVATION_7K, times)
    }),
    ("encode observation 60k, from tree", |times| {
        encode_tree(OBSERVATION_60K, times)
    }),
    ("encode values 7k", |times| encode(VALUES_7K, times)),
    ("decode values 7k, CBOR", |times| {
        decode_cbor(&Message::from_bytes(VALUES_7K)?, times)
    }),
    ("encode values 7k, CBOR", |times| {
        encode_cbor(&Message::from_bytes(VALUES_7K)?, times)
    }),
    ("decode array 28k, CBOR", |times| {
        decode_cbor(&message_of_array()?, times)
    }),
    ("encode array 28k, CBOR", |times| {
        encode_cbor(&message_of_array()?, times)
    }),
    ("decode frames of 475 B", |times| {
        decode_frames(ACTION, times)
    }),
    ("decode frames of 7 kB", |times| {
        decode_frames(OBSERVATION_7K, times)
    }),
];

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for (name, _) in WORKS {
            println!("{name}");
        }
        return Ok(());
    };
    let times = arguments.next().ok_or("how many times?")?.parse()?;
    let (_, work) = WORKS
        .iter()
        .find(|(other, _)| *other == name)
        .ok_or_else(|| format!("no work {name:?}"))?;
    work(times)
}

fn decode(body: &'static [u8], times: usize) -> Outcome<()> {
    let body = shared(body);
    for _ in 0..times {
        black_box(Message::from_bytes(black_box(body.clone()))?);
    }
    Ok(())
}

fn decode_action(body: &'static [u8], times: usize) -> Outcome<()> {
    let body = shared(body);
    for _ in 0..times {
        let message = Message::from_bytes(black_box(body.clone()))?;
        black_box(Action::try_from(element(&message, "action")?)?);
    }
    Ok(())
}

fn decode_tree(body: &'static [u8], times: usize) -> Outcome<()> {
    let body = shared(body);
    for _ in 0..times {
        let message = Message::from_bytes(black_box(body.clone()))?;
        black_box(element(&message, "observation")?.to_node());
        black_box(message);
    }
    Ok(())
}

fn encode(body: &'static [u8], times: usize) -> Outcome<()> {
    let message = Message::from_bytes(body)?;
    for _ in 0..times {
        black_box(black_box(&message).to_bytes()?);
    }
    Ok(())
}

fn encode_action(body: &'static [u8], times: usize) -> Outcome<()> {
    let action = Action::try_from(element(&Message::from_bytes(body)?, "action")?)?;
    for _ in 0..times {
        black_box(Message::action("actor", black_box(&action)).to_bytes()?);
    }
    Ok(())
}

fn encode_tree(body: &'static [u8], times: usize) -> Outcome<()> {
    let mut message = Message::from_bytes(body)?;
    let tree: Node = element(&message, "observation")?.to_node();
    for _ in 0..times {
        let observation = black_box(&tree).to_element()?;
        if let Value::Dict(params) = &mut message.params {
            params.insert("observation", observation);
        }
        black_box(message.to_bytes()?);
    }
    Ok(())
}

fn decode_cbor(message: &Message, times: usize) -> Outcome<()> {
    let limits = Limits::default();
    let body = cbor::encode_message(message, None, &limits)?;
    for _ in 0..times {
        black_box(cbor::decode_message(black_box(&body), &limits)?);
    }
    Ok(())
}

fn encode_cbor(message: &Message, times: usize) -> Outcome<()> {
    let limits = Limits::default();
    for _ in 0..times {
        black_box(cbor::encode_message(black_box(message), None, &limits)?);
    }
    Ok(())
}

/// An observation that is an image.
fn message_of_array() -> Outcome<Message> {
    let array = Array::from_vec(&[84, 84, 4], vec![7u8; 84 * 84 * 4])?;
    let params = Dict::from([("observation", array)]);
    Ok(Message::new(MessageType::Observation, params, "engine"))
}

/// As many frames as 16 KiB hold, which arrive at once.
fn decode_frames(body: &'static [u8], times: usize) -> Outcome<()> {
    let codec = FrameCodec::default();
    let frame = Frame::new(body);
    let mut stream = Vec::new();
    for _ in 0..(16_384 / body.len()).max(1) {
        codec.encode(&frame, &mut stream)?;
    }
    let mut buffer = BytesMut::new();
    for _ in 0..times {
        buffer.extend_from_slice(black_box(&stream));
        while let Some(frame) = codec.decode(&mut buffer)? {
            black_box(frame);
        }
    }
    Ok(())
}

/// Bytes that are counted, as those of a frame are.
fn shared(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(body)
}

fn element<'a>(message: &'a Message, param: &str) -> Outcome<&'a Element> {
    let value = message.param(param).and_then(Value::as_element);
    Ok(value.ok_or_else(|| format!("no {param}"))?)
}
