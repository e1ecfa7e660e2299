//! The data of a turn, as they go over the wire beside a message of protocol 2.

use std::time::Duration;

use masep_proto::cbor::{MapItem, MapWriter, read_map};
use masep_proto::{Dict, Value};

/// The kind of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An action is wanted.
    Ask,
    /// None is: a spectator is shown the game. A player is shown turns that did not wait for it because its seat is
    /// asleep, which any action of it ends: so the [player's side](crate::player) makes it an [`Ask`](Self::Ask).
    Show,
    /// None is: the episode is over.
    Final,
}

/// The reason why a seat had no action of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its time was over.
    Late,
    /// The host closed the turn before.
    Closed,
    /// Its connection was lost.
    Away,
    /// The player had missed too many turns before.
    Asleep,
    /// The player had left the game, or was away for too long.
    Gone,
    /// The host had closed the seat, as for a dead agent.
    Dead,
    /// Nobody had the seat.
    Vacant,
    /// The view could not be brought into a form that its peer can read.
    Undeliverable,
}

/// The decision of one seat in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// The seat was decided by its own action.
    Played,
    /// The seat was decided by the [action for the late](crate::Late).
    Default(Cause),
    /// The seat was decided without an action.
    None(Cause),
}

/// The decision of a player's last turn, which tells it whether its action counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// The turn's number.
    pub turn: u64,
    /// The decision.
    pub how: How,
    /// The time until its action arrived, if that counted.
    pub after: Option<Duration>,
    /// The last turn, up to this one, in which an action of this player counted; `None` if none has. An answer to an earlier
    /// turn than [`turn`](Self::turn) counted only if it was to this one.
    pub played: Option<u64>,
}

/// The data of a turn beside an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnData {
    /// The turn's number. It rises for as long as the table lives.
    pub number: u64,
    /// The episode, from 0.
    pub episode: u64,
    /// The kind of the observation: whether an action is wanted.
    pub kind: Kind,
    /// The rest of the time of this turn, without the bank; `None` if there is no such time.
    pub left: Option<Duration>,
    /// The rest of the bank; `None` if there is none.
    pub bank: Option<Duration>,
    /// The decision of the last turn in which this player was asked.
    pub last: Option<Last>,
    /// The number of views that a spectator has not been sent since the one before.
    pub skipped: u64,
}

impl Kind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Show => "show",
            Self::Final => "final",
        }
    }

    fn read(word: &[u8]) -> Option<Self> {
        let kinds = [Self::Ask, Self::Show, Self::Final];
        let is_it = |kind: &Self| kind.as_str().as_bytes() == word;
        kinds.into_iter().find(is_it)
    }
}

impl Cause {
    /// All of them.
    const ALL: [Self; 8] = [
        Self::Late,
        Self::Closed,
        Self::Away,
        Self::Asleep,
        Self::Gone,
        Self::Dead,
        Self::Vacant,
        Self::Undeliverable,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Closed => "closed",
            Self::Away => "away",
            Self::Asleep => "asleep",
            Self::Gone => "gone",
            Self::Dead => "dead",
            Self::Vacant => "vacant",
            Self::Undeliverable => "undeliverable",
        }
    }

    fn read(word: &[u8]) -> Option<Self> {
        let is_it = |cause: &Self| cause.as_str().as_bytes() == word;
        Self::ALL.into_iter().find(is_it)
    }

    /// True if the default action is played: for causes that are the player's fault.
    pub(crate) const fn has_default(self) -> bool {
        matches!(self, Self::Late | Self::Away | Self::Asleep | Self::Gone)
    }
}

impl How {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Played => "played",
            Self::Default(_) => "default",
            Self::None(_) => "none",
        }
    }

    /// The reason why it was not played.
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Played => None,
            Self::Default(cause) | Self::None(cause) => Some(cause),
        }
    }
}

impl Last {
    /// As a dict: `n`, `how`, `after_ms` if it was played; `why` if it was not, and `played` where an earlier turn was.
    pub fn to_dict(&self) -> Dict {
        let mut dict = Dict::with_capacity(4)
            .with("n", self.turn)
            .with("how", self.how.as_str());
        if let Some(cause) = self.how.cause() {
            dict.insert("why", cause.as_str());
        }
        if let Some(after) = self.after {
            dict.insert("after_ms", millis(after));
        }
        if let Some(played) = self.played.filter(|_| self.how != How::Played) {
            dict.insert("played", played);
        }
        dict
    }

    fn write(&self, map: &mut MapWriter) {
        map.number("n", self.turn);
        map.text("how", self.how.as_str());
        if let Some(cause) = self.how.cause() {
            map.text("why", cause.as_str());
        }
        if let Some(after) = self.after {
            map.number("after_ms", millis(after));
        }
        if let Some(played) = self.played.filter(|_| self.how != How::Played) {
            map.number("played", played);
        }
    }

    /// Reads what [`to_dict`](Self::to_dict) writes; other keys are ignored.
    pub fn from_dict(dict: &Dict) -> Option<Self> {
        let word = |key| Some(dict.get(key)?.as_str()?.as_bytes());
        Self::of(
            number(dict, "n")?,
            word("how")?,
            word("why").and_then(Cause::read),
            duration(dict, "after_ms"),
            number(dict, "played"),
        )
    }
}

impl Last {
    /// Reads what [`to_dict`](Self::to_dict) has, in CBOR.
    fn from_cbor(bytes: &[u8]) -> Option<Self> {
        let (mut turn, mut how, mut why, mut after, mut played) = (None, None, None, None, None);
        let read = read_map(bytes, |key, item| match (key, item) {
            (b"n", MapItem::Number(number)) => turn = Some(number),
            (b"how", MapItem::Text(word)) => how = Some(word),
            (b"why", MapItem::Text(word)) => why = Cause::read(word),
            (b"after_ms", MapItem::Number(number)) => after = Some(Duration::from_millis(number)),
            (b"played", MapItem::Number(number)) => played = Some(number),
            _ => {}
        });
        read.ok()?;
        Self::of(turn?, how?, why, after, played)
    }

    fn of(
        turn: u64,
        how: &[u8],
        why: Option<Cause>,
        after: Option<Duration>,
        played: Option<u64>,
    ) -> Option<Self> {
        let how = match how {
            b"played" => How::Played,
            b"default" => How::Default(why?),
            b"none" => How::None(why?),
            _ => return None,
        };
        Some(Self {
            turn,
            how,
            after,
            played: match how {
                How::Played => Some(turn),
                _ => played.filter(|played| *played < turn),
            },
        })
    }
}

impl TurnData {
    /// As a map in CBOR: `n`, `episode`, `kind`, and `left_ms`, `bank_ms`, `last`, `skipped` where there is something to say.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        self.write(&mut map);
        map.finish()
    }

    /// Writes the entries of [`to_cbor`](Self::to_cbor) into a map.
    pub fn write(&self, map: &mut MapWriter) {
        map.number("n", self.number);
        map.number("episode", self.episode);
        map.text("kind", self.kind.as_str());
        if let Some(left) = self.left {
            map.number("left_ms", millis(left));
        }
        if let Some(bank) = self.bank {
            map.number("bank_ms", millis(bank));
        }
        if let Some(last) = self.last {
            map.map("last", |map| last.write(map));
        }
        if self.skipped > 0 {
            map.number("skipped", self.skipped);
        }
    }

    /// Reads what [`to_cbor`](Self::to_cbor) writes; other keys are ignored.
    pub fn from_cbor(bytes: &[u8]) -> Option<Self> {
        let (mut turn, mut kind, mut last) = (None, None, Some(None));
        let mut data = Self {
            number: 0,
            episode: 0,
            kind: Kind::Show,
            left: None,
            bank: None,
            last: None,
            skipped: 0,
        };
        let read = read_map(bytes, |key, item| match (key, item) {
            (b"n", MapItem::Number(number)) => turn = Some(number),
            (b"episode", MapItem::Number(number)) => data.episode = number,
            (b"kind", MapItem::Text(word)) => kind = Kind::read(word),
            (b"left_ms", MapItem::Number(number)) => {
                data.left = Some(Duration::from_millis(number));
            }
            (b"bank_ms", MapItem::Number(number)) => {
                data.bank = Some(Duration::from_millis(number));
            }
            (b"last", MapItem::Map(bytes)) => last = Last::from_cbor(bytes).map(Some),
            (b"skipped", MapItem::Number(number)) => data.skipped = number,
            _ => {}
        });
        read.ok()?;
        (data.number, data.kind, data.last) = (turn?, kind?, last?);
        Some(data)
    }
}

/// The number in the data of a turn in CBOR; `None` if there is none.
pub fn turn_number_of(bytes: &[u8]) -> Option<u64> {
    let mut turn = None;
    let read = read_map(bytes, |key, item| {
        if let (b"n", MapItem::Number(number)) = (key, item) {
            turn = Some(number);
        }
    });
    read.ok().and(turn)
}

/// The data of a turn beside an action: its number.
pub fn action_turn(number: u64) -> Dict {
    Dict::from([("n", number)])
}

fn number(dict: &Dict, key: &str) -> Option<u64> {
    to_u64(dict.get(key)?)
}

/// The value as the number of a turn.
pub(crate) fn to_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Int(int) => u64::try_from(int.as_i128()?).ok(),
        _ => None,
    }
}

fn duration(dict: &Dict, key: &str) -> Option<Duration> {
    number(dict, key).map(Duration::from_millis)
}

/// Rounded down: a player must not believe that it has more time than it has.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use masep_proto::Limits;
    use masep_proto::cbor::encode_value;
    use proptest::prelude::*;

    use super::*;

    /// The same data as a dict, in which they are easily seen.
    fn to_dict(turn: &TurnData) -> Dict {
        let mut dict = Dict::with_capacity(7)
            .with("n", turn.number)
            .with("episode", turn.episode)
            .with("kind", turn.kind.as_str());
        if let Some(left) = turn.left {
            dict.insert("left_ms", millis(left));
        }
        if let Some(bank) = turn.bank {
            dict.insert("bank_ms", millis(bank));
        }
        if let Some(last) = turn.last {
            dict.insert("last", last.to_dict());
        }
        if turn.skipped > 0 {
            dict.insert("skipped", turn.skipped);
        }
        dict
    }

    fn from_dict(dict: &Dict) -> Option<TurnData> {
        let last = match dict.get("last") {
            Some(Value::Dict(last)) => Some(Last::from_dict(last)?),
            _ => None,
        };
        Some(TurnData {
            number: number(dict, "n")?,
            episode: number(dict, "episode").unwrap_or(0),
            kind: Kind::read(dict.get("kind")?.as_str()?.as_bytes())?,
            left: duration(dict, "left_ms"),
            bank: duration(dict, "bank_ms"),
            last,
            skipped: number(dict, "skipped").unwrap_or(0),
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let hows = Cause::ALL
            .into_iter()
            .flat_map(|it| [How::Default(it), How::None(it)]);
        for how in hows.chain([How::Played]) {
            for left in [None, Some(Duration::from_millis(1990))] {
                let turn = TurnData {
                    number: u64::MAX,
                    episode: 3,
                    kind: Kind::Final,
                    left,
                    bank: left,
                    last: Some(Last {
                        turn: 6,
                        how,
                        after: left,
                        played: Some(if how == How::Played { 6 } else { 4 }),
                    }),
                    skipped: 2,
                };
                let encoded = cbor(to_dict(&turn));
                assert_eq!(turn.to_cbor(), encoded);
                assert_eq!(TurnData::from_cbor(&encoded), Some(turn));
            }
        }
        let short = Dict::new()
            .with("n", 7)
            .with("kind", "ask")
            .with("unknown", 1);
        let read = TurnData::from_cbor(&cbor(short)).unwrap();
        assert_eq!((read.number, read.kind, read.skipped), (7, Kind::Ask, 0));
        assert_eq!(to_dict(&read).len(), 3);
    }

    #[test]
    fn what_is_no_turn_is_none() {
        for turn in [
            Dict::new(),
            Dict::from([("n", Value::from(-1)), ("kind", "ask".into())]),
            Dict::from([("n", Value::from(1)), ("kind", "other".into())]),
            Dict::from([("n", Value::from("1")), ("kind", "ask".into())]),
        ] {
            assert_eq!(TurnData::from_cbor(&cbor(turn)), None);
        }
        for (turn, number) in [
            (action_turn(5), Some(5)),
            (Dict::from([("n", 1.0)]), None),
            (Dict::from([("m", 1)]), None),
        ] {
            assert_eq!(turn_number_of(&cbor(turn)), number);
        }
        assert_eq!(turn_number_of(b"\x01"), None);
        // A key that is there twice.
        assert_eq!(turn_number_of(b"\xa2\x61n\x05\x61n\x05"), None);
    }

    fn cbor(turn: Dict) -> Vec<u8> {
        let encoded = encode_value(&turn.into(), &Limits::default());
        encoded.unwrap().to_vec()
    }

    fn item() -> impl Strategy<Value = Value> {
        let words =
            prop::sample::select(vec!["ask", "show", "final", "played", "none", "late", "x"]);
        prop_oneof![
            any::<u64>().prop_map(Value::from),
            (-9i64..9).prop_map(Value::from),
            words.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::None),
            Just(Value::from(1.5)),
            Just(Value::List(vec![Dict::new().into(), 1.into()])),
        ]
    }

    fn dict() -> impl Strategy<Value = Dict> {
        let keys = vec![
            "n", "episode", "kind", "left_ms", "bank_ms", "skipped", "how", "why", "after_ms",
            "played", "other",
        ];
        let entry = (prop::sample::select(keys), item());
        prop::collection::vec(entry, 0..12).prop_map(|entries| entries.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_turn_in_cbor_is_read_as_its_dict(turn in dict(), last in dict(), has_last in any::<bool>()) {
            // Most have what each needs.
            let mut turn = Dict::from([("n", Value::from(7)), ("kind", "ask".into())])
                .into_iter()
                .chain(turn)
                .collect::<Dict>();
            if has_last {
                turn.insert("last", last);
            }
            prop_assert_eq!(turn_number_of(&cbor(turn.clone())), number(&turn, "n"));
            prop_assert_eq!(TurnData::from_cbor(&cbor(turn.clone())), from_dict(&turn));
        }
    }
}
