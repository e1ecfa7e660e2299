//! Good bytes that were damaged on the way, or by their sender.

use super::{Input, TAKEN, around};

/// Numbers that look like chance and are the same in every run (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is smaller than a usize")
    }

    fn byte(&mut self) -> u8 {
        // Half of them from what XML is made of: other bytes are refused at once.
        const MARKUP: &[u8] = b"<>/&;\"'= !-[]?#xa0\n\t:";
        match self.next() % 2 {
            0 => MARKUP[self.below(MARKUP.len())],
            _ => self.next() as u8,
        }
    }

    /// Changes, removes, inserts, repeats or cuts something.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.byte());
            return;
        }
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] = self.byte(),
            1 => bytes[at] ^= 1 << self.below(8),
            2 => {
                bytes.remove(at);
            }
            3 => bytes.insert(at, self.byte()),
            4 => {
                let end = at + self.below((bytes.len() - at).min(40)) + 1;
                let piece = bytes[at..end.min(bytes.len())].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
}

/// Every error that there is for bytes that should be a message, and none.
const ANY: &[&str] = &[
    TAKEN,
    "syntax",
    "truncated",
    "encoding",
    "doctype",
    "undefined_entity",
    "unbound_prefix",
    "missing_attribute",
    "params_not_dict",
    "empty_item",
    "missing_key",
    "element_in_scalar",
    "invalid_int",
    "invalid_type",
    "unhashable",
    "limit",
];

/// Messages of every kind of value, each damaged in one to eight places.
pub fn damaged(count: usize) -> Vec<Input> {
    let good: Vec<String> = [
        "<str>a&amp;&#233;<![CDATA[b]]></str>",
        "<int> -12_345 </int>",
        "<list><item><float>1.5</float></item><item><bool>False</bool></item></list>",
        "<dict><item key=\"a&#10;\"><tuple><item><int>1</int></item></tuple></item></dict>",
        "<set><item><str>x</str></item><item><bytes>b'\\x00'</bytes></item></set>",
        "<type>&lt;class 'unittest.case.TestCase'&gt;</type>",
        "<Action type=\"3\"><ActionParameter name=\"to\"><NoneType>None</NoneType></ActionParameter></Action>",
        "<State xmlns:p='urn:p' p:a='1'><!-- c --><p:b/><?i j?></State>",
    ]
    .map(around)
    .to_vec();
    let mut random = Random::new(1);
    (0..count)
        .map(|number| {
            let mut bytes = good[number % good.len()].clone().into_bytes();
            for _ in 0..=random.below(8) {
                random.damage(&mut bytes);
            }
            Input::new(format!("damaged message {number}"), bytes, ANY)
        })
        .collect()
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it fits into a frame");
    [&length.to_le_bytes(), body].concat()
}

/// First bytes on a connection of which no hello comes.
pub fn hellos() -> Vec<(String, Vec<u8>)> {
    let mut hellos: Vec<(String, Vec<u8>)> = [
        ("nothing", &b""[..]),
        ("half a header", b"\x05"),
        ("a header", b"\x05\0"),
        ("a part of an id", b"\x05\0age"),
        ("BYE", b"\x03\0BYE"),
        ("bytes that are no text", b"\x02\0\xff\xfe"),
        ("an overlong zero", b"\x02\0\xc0\x80"),
        ("a surrogate", b"\x03\0\xed\xa0\x80"),
        ("a length over the limit", b"\x01\x04"),
        ("the largest length", b"\xff\xff"),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
        ("SSH", b"SSH-2.0-scan\r\n"),
        (
            "a proxy's header",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ),
        ("line ends", b"\r\n\r\n\r\n\r\n"),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
    .to_vec();
    hellos.push(("an id over the limit".into(), frame(&[b'a'; 1_025])));
    let mut random = Random::new(2);
    for number in 0..200 {
        let length = random.below(100);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        // A length that is claimed and not filled, so that none of them is a hello.
        bytes.splice(0..0, [200, random.below(4) as u8]);
        hellos.push((format!("garbage {number}"), bytes));
    }
    hellos
}

/// Bytes behind a good hello that are no good frames. None of them holds a `BYE`.
pub fn streams() -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(3);
    let good = frame(around("<int>1</int>").as_bytes());
    let mut streams = vec![
        ("empty frames".to_owned(), vec![0; 20_000]),
        ("frames of one byte".to_owned(), b"\x01\0x".repeat(5_000)),
        ("a length never filled".to_owned(), b"\xff\xff".to_vec()),
        ("half a header".to_owned(), b"\x01".to_vec()),
    ];
    for number in 0..300 {
        let mut bytes = good.repeat(1 + random.below(3));
        for _ in 0..=random.below(8) {
            random.damage(&mut bytes);
        }
        streams.push((format!("damaged frames {number}"), bytes));
    }
    for number in 0..100 {
        let length = random.below(5_000);
        let bytes = (0..length).map(|_| random.next() as u8).collect();
        streams.push((format!("noise {number}"), bytes));
    }
    streams.retain(|(_, bytes)| !bytes.windows(3).any(|window| window == b"BYE"));
    streams
}
