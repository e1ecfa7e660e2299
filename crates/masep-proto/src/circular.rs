//! The element `CircularHeadList`: whose turn it is.

use crate::xml::{Encoded, Encoder};
use crate::{DecodeError, DecodeErrorKind, Element, Int, Limits, Position, Value};

/// A list with a head that goes round, as pymasep's class `CircularHeadList`: a State holds the
/// order of its agents in one.
///
/// ```no_run
/// use masep_proto::{CircularHeadList, Value};
/// let mut order = CircularHeadList::from_iter(["State.prey", "State.hunter"]);
/// order.advance();
/// assert_eq!(order.head(), Some(&Value::from("State.hunter")));
/// order.advance();
/// assert_eq!(order.head(), Some(&Value::from("State.prey")));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CircularHeadList {
    /// The items.
    pub data: Vec<Value>,
    /// Where the head is, from 0; -1 for an empty list.
    pub head_idx: i64,
}

impl Default for CircularHeadList {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl CircularHeadList {
    /// A list with the head on its first item.
    pub const fn new(data: Vec<Value>) -> Self {
        let head_idx = if data.is_empty() { -1 } else { 0 };
        Self { data, head_idx }
    }

    /// The item at the head; `None` if there is none there.
    pub fn head(&self) -> Option<&Value> {
        self.data.get(usize::try_from(self.head_idx).ok()?)
    }

    /// Moves the head to the next item, from the last one to the first.
    pub fn advance(&mut self) {
        let items = i64::try_from(self.data.len()).unwrap_or(i64::MAX);
        if self.head_idx >= 0 && items > 0 {
            self.head_idx = (self.head_idx % items + 1) % items;
        }
    }

    fn encode(&self) -> Encoded {
        let mut encoder = Encoder::at_depth(2);
        encoder.push("<CircularHeadList><data>");
        encoder.push_list(&self.data, 3);
        encoder.push("</data><head_idx>");
        encoder.push_int(&self.head_idx.into());
        encoder.push("</head_idx></CircularHeadList>");
        encoder.finish()
    }
}

impl<T: Into<Value>> FromIterator<T> for CircularHeadList {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::new(items.into_iter().map(Into::into).collect())
    }
}

/// Reads a list as pymasep's `CircularHeadList.from_xml` does: the elements `data` and `head_idx`
/// in any order, the last of each counts, and one that is missing leaves that of an empty list.
impl TryFrom<&Element> for CircularHeadList {
    type Error = DecodeError;

    fn try_from(element: &Element) -> Result<Self, DecodeError> {
        let mut list = Self::default();
        for part in element.children() {
            match part.name() {
                "data" => list.data = read_data(&part)?,
                "head_idx" => list.head_idx = read_head_idx(&part)?,
                _ => {}
            }
        }
        Ok(list)
    }
}

fn read_data(part: &Element) -> Result<Vec<Value>, DecodeError> {
    let value = part
        .children()
        .next()
        .ok_or_else(|| at_start(DecodeErrorKind::EmptyItem))?
        .to_value()?;
    match value {
        Value::List(items) => Ok(items),
        _ => Err(at_start(DecodeErrorKind::UnexpectedElement(
            "the data of a CircularHeadList is a list",
        ))),
    }
}

fn read_head_idx(part: &Element) -> Result<i64, DecodeError> {
    let text = part.text();
    let int = Int::parse(&text, Limits::default().int_digits).map_err(at_start)?;
    int.as_i64()
        .ok_or_else(|| at_start(DecodeErrorKind::InvalidInt(text.to_string())))
}

fn at_start(kind: DecodeErrorKind) -> DecodeError {
    DecodeError {
        kind,
        position: Position::START,
    }
}

impl From<&CircularHeadList> for Element {
    fn from(list: &CircularHeadList) -> Self {
        list.encode().into()
    }
}

impl From<CircularHeadList> for Element {
    fn from(list: CircularHeadList) -> Self {
        Self::from(&list)
    }
}

impl From<&CircularHeadList> for Value {
    fn from(list: &CircularHeadList) -> Self {
        Self::Element(list.into())
    }
}

impl From<CircularHeadList> for Value {
    fn from(list: CircularHeadList) -> Self {
        Self::from(&list)
    }
}
