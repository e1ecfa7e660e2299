//! A client of protocol 2 that is given from one connection to another while it waits for the verdict, with bytes that were
//! already read behind its HELLO: all goes on as if it had stayed. And any bytes in place of what was heard.
#![no_main]

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Cuts, Memory};
use masep_proto::connection::{
    Batch, Config, Connection, Event, HandOver, Heard, HelloFailure, Protocols, Read, Transmit,
    Write,
};
use masep_proto::protocol2::Control;
use masep_proto::{CloseReason, Frame, Limits};

/// Memory that a connection may take beyond a few times what has arrived.
const MEMORY: usize = 256 * 1024;

#[derive(Arbitrary, Debug)]
struct Setting {
    cuts: u32,
    /// The bytes that have arrived when the client is given away, if it waits then.
    arrived: u16,
    /// True if the server speaks protocol 2 alone.
    insists: bool,
    queue_messages: u8,
    payload_bytes: u16,
    /// In place of what was heard: bytes of nobody's.
    forges: bool,
    is_answered: bool,
}

/// A server's side, and what came of it.
struct Side {
    core: Connection,
    now: Instant,
    written: Vec<u8>,
    frames: Vec<Frame>,
    is_heard: bool,
}

/// The outcome, as it is to be the same wherever the client was.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// As bytes: with NaN in it, one is not equal to itself.
    hello: Option<Bytes>,
    written: Vec<u8>,
    frames: Vec<Frame>,
    reason: Option<CloseReason>,
    failure: Option<HelloFailure>,
}

impl Side {
    fn new(config: &Arc<Config>, now: Instant) -> Self {
        Self {
            core: Connection::accept(config.clone(), now),
            now,
            written: Vec::new(),
            frames: Vec::new(),
            is_heard: false,
        }
    }

    /// Does all that is to be done without reading.
    fn settle(&mut self, takes: bool) {
        loop {
            while let Some(event) = self.core.poll_event() {
                self.is_heard |= event == Event::Hello;
            }
            while self.core.poll_action().is_some() {}
            let mut batch = Batch::new();
            if takes {
                self.core.take_frames(&mut batch, self.now);
                self.frames.extend(&mut batch);
            }
            let Some(transmit) = self.core.take_transmit() else {
                if self.core.frames() > 0 && takes {
                    continue;
                }
                return;
            };
            let mut slices = [IoSlice::new(&[]); Transmit::MOST_SLICES];
            let used = transmit.slices(&mut slices);
            for slice in &slices[..used] {
                self.written.extend_from_slice(slice);
            }
            let size = transmit.len();
            self.core
                .put_transmit(transmit, Write::Bytes(size), self.now);
        }
    }

    /// Has these bytes arrive. The bytes for which there is no room, because the verdict is awaited.
    fn hear<'a>(&mut self, mut bytes: &'a [u8], takes: bool) -> &'a [u8] {
        while !bytes.is_empty()
            && let Some(mut room) = self.core.take_room()
        {
            let filled = room.fill(bytes);
            bytes = &bytes[filled..];
            self.core.put_room(room, Read::Bytes, self.now);
            self.settle(takes);
        }
        bytes
    }

    /// Has bytes arrive in pieces before the verdict. The number of those that were read.
    fn hear_in_cuts(&mut self, bytes: &[u8], cuts: u32) -> usize {
        let mut read = 0;
        for cut in Cuts::new(bytes, cuts) {
            let left = self.hear(cut, false);
            read += cut.len() - left.len();
            if !left.is_empty() {
                break;
            }
        }
        self.settle(false);
        read
    }

    /// Takes the client, if it waits, and hears the rest and the end of its stream.
    fn finish(mut self, rest: &[u8]) -> Outcome {
        self.settle(false);
        let mut hello = None;
        if self.is_heard && self.core.failure().is_none() {
            let heard = self.core.hello().cloned();
            let heard = heard.map(|hello| Control::Hello(Box::new(hello)).encode());
            hello = heard.map(|hello| hello.expect("it was short enough to be read"));
            self.core.admit(self.now);
        }
        self.settle(true);
        // Byte by byte: of pings that come together the latest alone is answered.
        for byte in rest.chunks(1) {
            self.hear(byte, true);
        }
        if let Some(room) = self.core.take_room() {
            self.core.put_room(room, Read::End, self.now);
        }
        self.settle(true);
        Outcome {
            hello,
            written: self.written,
            frames: self.frames,
            reason: self.core.reason().cloned(),
            failure: self.core.failure().cloned(),
        }
    }
}

fn config(setting: &Setting) -> Arc<Config> {
    let limits = Limits::default()
        .queue_messages(usize::from(setting.queue_messages).max(1))
        .payload_bytes(Some(u32::from(setting.payload_bytes).max(1)));
    let protocols = if setting.insists {
        Protocols::Masep2
    } else {
        Protocols::Both
    };
    let config = Config::new("engine", limits).expect("a short id");
    Arc::new(config.protocols(protocols))
}

/// A client that stays, and the same one that is given away in the middle.
fn compare(setting: &Setting, stream: &[u8]) {
    let (config, now) = (config(setting), Instant::now());
    let arrived = usize::from(setting.arrived).min(stream.len());
    let mut giver = Side::new(&config, now);
    let read = giver.hear_in_cuts(&stream[..arrived], setting.cuts);
    let HandOver::Done(heard) = giver.core.hand_over() else {
        assert!(!giver.is_heard || giver.core.hello().is_none() || giver.core.failure().is_some());
        return;
    };
    assert!(giver.core.is_over() && giver.core.take_transmit().is_none());
    assert!(giver.core.take_room().is_none(), "the stream is another's");

    let mut stays = Side::new(&config, now);
    assert_eq!(stays.hear_in_cuts(&stream[..arrived], setting.cuts), read);
    let expected = stays.finish(&stream[read..]);

    let mut taker = Side::new(&config, now);
    taker.written = giver.written;
    taker.core.take_over(&heard, now);
    assert_eq!(taker.finish(&stream[read..]), expected);
}

/// Bytes of nobody's that another process is said to have heard.
fn forge(setting: &Setting, bytes: &[u8]) {
    let (config, now) = (config(setting), Instant::now());
    let mut taker = Side::new(&config, now);
    let heard = Heard {
        bytes: bytes.to_vec(),
        is_answered: setting.is_answered,
    };
    let memory = Memory::watch();
    taker.core.take_over(&heard, now);
    let peak = memory.peak();
    assert!(peak <= MEMORY + 8 * bytes.len(), "{peak} bytes");
    let _ = taker.finish(&[]);
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let stream = input.take_rest();
    if setting.forges {
        forge(&setting, stream);
    } else {
        compare(&setting, stream);
    }
});
