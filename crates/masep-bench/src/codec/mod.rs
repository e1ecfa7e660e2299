//! The message path: bytes to `Message` and back, beside quick-xml and pymasep on the same bytes.
//!
//! The bytes are messages of the real pymasep, see `interop/vectors/sizes.py`. quick-xml does what any
//! parser or writer of XML has to do at least: it goes over the events, or writes them, and nothing
//! becomes a value or comes of one.

mod masep;
mod pymasep;
mod quick_xml;

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::experiment::{Bound, Experiment, How, Metric, Subject, Target};
use crate::link::Outcome;
use crate::placement::{self, Placement};

const QUICK_XML: &str = "quick-xml";
/// Texts that are escaped already: what a writer does that has nothing to do.
const ESCAPED: &str = "quick-xml, escaped before";
const MASEP: &str = "masep";
const TREE: &str = "masep, trees";
const ACTION: &str = "masep, Action";
/// The same message in protocol 2's form, counted as if it had as many bytes.
const CBOR: &str = "masep, CBOR";
const PYMASEP: &str = "pymasep";

/// The length of one of these measurements, as a part of one between two processes.
const SHORTER: f64 = 0.2;

/// A message that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The name of its file.
    name: &'static str,
    /// The kind of message that it is.
    about: &'static str,
    /// Its bytes.
    pub(crate) body: &'static [u8],
}

macro_rules! sample {
    ($name:literal, $about:literal) => {
        Sample {
            name: $name,
            about: $about,
            body: include_bytes!(concat!("../../../../interop/vectors/sizes/", $name, ".xml")),
        }
    };
}

/// An action of a real session.
pub(crate) const AN_ACTION: Sample = sample!("action", "an action");
/// An observation of a real session.
pub(crate) const AN_OBSERVATION: Sample = sample!("observation-7k", "an observation of 7 kB");

const SAMPLES: [Sample; 4] = [
    AN_ACTION,
    AN_OBSERVATION,
    sample!("observation-60k", "an observation of 60 kB"),
    sample!("values-7k", "7 kB of plain values"),
];

/// The direction of the work on a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Decode,
    Encode,
    /// Both, one after the other.
    Both,
}

/// One who is measured with one message: what is called again and again.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    who: &'static str,
    sample: Sample,
    direction: Direction,
    seconds: f64,
}

/// All experiments with messages; each measurement a part of this many seconds.
pub(crate) fn experiments(seconds: f64) -> impl Iterator<Item = Experiment> {
    let directions = |sample: Sample| match sample.name {
        "observation-7k" => &[Direction::Decode, Direction::Encode, Direction::Both][..],
        _ => &[Direction::Decode, Direction::Encode],
    };
    let of = move |sample| {
        let directions = directions(sample).iter();
        directions.map(move |&direction| experiment(sample, direction, seconds))
    };
    SAMPLES.into_iter().flat_map(of)
}

fn experiment(sample: Sample, direction: Direction, seconds: f64) -> Experiment {
    let subject = |&who: &&'static str| {
        let task = Task {
            who,
            sample,
            direction,
            seconds: seconds * SHORTER,
        };
        Subject::new(who, How::Codec(task))
    };
    let verb = match direction {
        Direction::Decode => "decode",
        Direction::Encode => "encode",
        Direction::Both => "decode and encode",
    };
    Experiment {
        name: name(sample, direction),
        about: format!("{verb} {} ({} B)", sample.about, sample.body.len()),
        placements: &[Placement::OneCore],
        subjects: subjects(sample, direction).iter().map(subject).collect(),
        metrics: vec![rate(sample, direction), time(direction)],
    }
}

fn subjects(sample: Sample, direction: Direction) -> Vec<&'static str> {
    let mut subjects = vec![QUICK_XML];
    if direction == Direction::Encode {
        subjects.push(ESCAPED);
    }
    subjects.push(MASEP);
    match sample.name {
        "action" => subjects.push(ACTION),
        "values-7k" => subjects.push(CBOR),
        _ => subjects.push(TREE),
    }
    subjects.push(PYMASEP);
    subjects
}

fn name(sample: Sample, direction: Direction) -> &'static str {
    match (sample.name, direction) {
        ("action", Direction::Decode) => "codec-decode-action",
        ("action", Direction::Encode) => "codec-encode-action",
        ("observation-7k", Direction::Decode) => "codec-decode-7k",
        ("observation-7k", Direction::Encode) => "codec-encode-7k",
        ("observation-60k", Direction::Decode) => "codec-decode-60k",
        ("observation-60k", Direction::Encode) => "codec-encode-60k",
        (_, Direction::Both) => "codec-both-7k",
        (_, Direction::Decode) => "codec-decode-values",
        (_, Direction::Encode) => "codec-encode-values",
    }
}

/// Bytes per second. A path that makes values or a tree of everything does more than one that goes over events.
fn rate(sample: Sample, direction: Direction) -> Metric {
    let target = |subject, ratio| Target::of(subject, Bound::RatioAtLeast(QUICK_XML, ratio));
    let opaque = if sample.name == "values-7k" { 0.5 } else { 0.8 };
    let targets = match direction {
        Direction::Decode => vec![
            target(MASEP, opaque),
            target(TREE, 0.5),
            target(ACTION, 0.5),
        ],
        Direction::Encode => vec![target(MASEP, 2.0), target(TREE, 2.0), target(ACTION, 2.0)],
        Direction::Both => Vec::new(),
    };
    Metric {
        key: "rate",
        about: "speed",
        unit: "MB/s",
        less_is_better: false,
        base: QUICK_XML,
        targets,
    }
}

fn time(direction: Direction) -> Metric {
    let both = Target::of(MASEP, Bound::RatioAtMost(PYMASEP, 0.01));
    let cbor = Target::of(CBOR, Bound::RatioAtMost(MASEP, 0.5));
    Metric {
        key: "time",
        about: "time",
        unit: "ns",
        less_is_better: true,
        base: PYMASEP,
        targets: match direction {
            Direction::Both => vec![both],
            _ => vec![cbor],
        },
    }
}

impl Task {
    /// Does it for its time, on this processor.
    pub(crate) fn measure(self, cpu: Option<usize>) -> Result<Outcome> {
        let measured = thread::spawn(move || {
            placement::prepare(cpu)?;
            self.nanoseconds()
        });
        let nanoseconds = measured.join().ok().context("it panicked")??;
        let bytes = self.sample.body.len() as f64;
        let bytes = match self.direction {
            Direction::Both => 2.0 * bytes,
            _ => bytes,
        };
        Ok(Outcome::from([
            ("time".to_owned(), nanoseconds),
            ("rate".to_owned(), bytes * 1e3 / nanoseconds),
        ]))
    }

    fn nanoseconds(self) -> Result<f64> {
        // Reference-counted, as those of a frame are.
        let body = Bytes::copy_from_slice(self.sample.body);
        match self.who {
            PYMASEP => pymasep::nanoseconds(self.sample, self.direction, self.seconds),
            QUICK_XML => self.quick_xml(&body),
            ESCAPED => {
                let events = quick_xml::events(&body)?;
                self.path(
                    || Ok(&events),
                    |events| quick_xml::write_events(events, body.len()),
                )
            }
            TREE => self.path(
                || masep::decode_trees(&body),
                |(message, tree)| masep::encode_tree(message, tree),
            ),
            CBOR => self.cbor(&body),
            ACTION => self.path(
                || masep::decode_action(&body),
                |(message, action)| masep::encode_action(message, action),
            ),
            _ => self.path(|| masep::decode(&body), |message| Ok(message.to_bytes()?)),
        }
    }

    /// The nanoseconds of decoding the sample, or of encoding it to the same bytes.
    fn path<T, B: AsRef<[u8]>>(
        self,
        decode: impl Fn() -> Result<T>,
        encode: impl Fn(&T) -> Result<B>,
    ) -> Result<f64> {
        let message = decode()?;
        // A path that is faster because it writes something else does not count.
        ensure!(
            encode(&message)?.as_ref() == self.sample.body,
            "it does not write the same bytes"
        );
        match self.direction {
            Direction::Decode => repeat(self.seconds, decode),
            Direction::Encode => repeat(self.seconds, || encode(&message)),
            Direction::Both => repeat(self.seconds, || encode(&decode()?)),
        }
    }

    fn cbor(self, body: &Bytes) -> Result<f64> {
        let message = masep::decode(body)?;
        let written = masep::encode_cbor(&message)?;
        ensure!(
            masep::decode_cbor(&written)? == message,
            "it writes another message"
        );
        match self.direction {
            Direction::Decode => repeat(self.seconds, || masep::decode_cbor(&written)),
            Direction::Encode => repeat(self.seconds, || masep::encode_cbor(&message)),
            Direction::Both => repeat(self.seconds, || {
                masep::encode_cbor(&masep::decode_cbor(&written)?)
            }),
        }
    }

    fn quick_xml(self, body: &Bytes) -> Result<f64> {
        let message = masep::decode(body)?;
        let tree = quick_xml::tree(&message)?;
        let read = || quick_xml::read(body);
        let write = || quick_xml::write_tree(&tree, body.len());
        let written = masep::decode(&write()?.into())?;
        ensure!(written == message, "it writes another message");
        match self.direction {
            Direction::Decode => repeat(self.seconds, read),
            Direction::Encode => repeat(self.seconds, write),
            Direction::Both => repeat(self.seconds, || Ok((read()?, write()?))),
        }
    }
}

/// The nanoseconds that a call takes, on average over this many seconds.
fn repeat<T>(seconds: f64, mut call: impl FnMut() -> Result<T>) -> Result<f64> {
    let limit = Duration::from_secs_f64(seconds);
    let mut calls = 0u32;
    let mut batch = 1;
    black_box(call()?);
    let start = Instant::now();
    loop {
        for _ in 0..batch {
            black_box(call()?);
        }
        calls += batch;
        let elapsed = start.elapsed();
        if elapsed >= limit {
            return Ok(elapsed.as_nanos() as f64 / f64::from(calls));
        }
        // The clock is asked about every millisecond.
        if elapsed < Duration::from_millis(1) {
            batch *= 2;
        }
    }
}
