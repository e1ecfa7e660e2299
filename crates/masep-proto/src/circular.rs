//! The element `CircularHeadList`: whose turn it is.

use std::fmt;

use crate::printable::debug_bounded;
use crate::value::excerpt;
use crate::xml::{Encoded, Encoder};
use crate::{DecodeError, DecodeErrorKind, Element, Int, Limits, Position, Value};

/// A list with a head that goes round, as pymasep's class `CircularHeadList`: a State holds the
/// order of its agents in one.
///
/// ```
/// use masep_proto::{CircularHeadList, Value};
/// let mut order = CircularHeadList::from_iter(["State.prey", "State.hunter"]);
/// order.advance();
/// assert_eq!(order.head(), Some(&Value::from("State.hunter")));
/// order.advance();
/// assert_eq!(order.head(), Some(&Value::from("State.prey")));
/// ```
#[derive(Clone, PartialEq)]
pub struct CircularHeadList {
    /// The items.
    pub data: Vec<Value>,
    /// The index of the head, from 0; -1 for an empty list.
    pub head_idx: i64,
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for CircularHeadList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            f.debug_struct("CircularHeadList")
                .field("data", &self.data)
                .field("head_idx", &self.head_idx)
                .finish()
        })
    }
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
        .ok_or_else(|| at_start(DecodeErrorKind::InvalidInt(excerpt(&text))))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<CircularHeadList, DecodeErrorKind> {
        CircularHeadList::try_from(&Element::parse(xml).unwrap()).map_err(|error| error.kind)
    }

    #[test]
    fn an_empty_list_has_no_head() {
        let mut list = CircularHeadList::default();
        list.advance();
        assert_eq!((list.head(), list.head_idx), (None, -1));
        assert_eq!(
            Element::from(&list).as_xml(),
            "<CircularHeadList><data><list /></data><head_idx>-1</head_idx></CircularHeadList>"
        );
        assert_eq!(read(Element::from(&list).as_xml()), Ok(list));
    }

    #[test]
    fn it_is_written_as_pymasep_writes_it() {
        let mut list = CircularHeadList::from_iter(["a", "b"]);
        list.advance();
        let xml = "<CircularHeadList><data><list><item><str>a</str></item><item><str>b</str></item>\
                   </list></data><head_idx>1</head_idx></CircularHeadList>";
        assert_eq!(Element::from(&list).as_xml(), xml);
        assert_eq!(read(xml), Ok(list));
    }

    #[test]
    fn parts_may_be_missing_or_doubled() {
        assert_eq!(
            read("<CircularHeadList />"),
            Ok(CircularHeadList::default())
        );
        assert_eq!(
            read(
                "<L><head_idx>7</head_idx><x /><data><list><item><int>1</int></item></list></data>\
                 <head_idx> 0 </head_idx></L>"
            ),
            Ok(CircularHeadList::from_iter([1]))
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(read("<L><data /></L>"), Err(DecodeErrorKind::EmptyItem));
        assert!(matches!(
            read("<L><data><int>1</int></data></L>"),
            Err(DecodeErrorKind::UnexpectedElement(_))
        ));
        assert_eq!(
            read("<L><head_idx /></L>"),
            Err(DecodeErrorKind::InvalidInt(String::new()))
        );
        let large = "9".repeat(20);
        assert_eq!(
            read(&format!("<L><head_idx>{large}</head_idx></L>")),
            Err(DecodeErrorKind::InvalidInt(large))
        );
    }

    #[test]
    fn a_head_outside_of_the_list_is_none() {
        for head_idx in [-2, 1, i64::MAX] {
            let mut list = CircularHeadList {
                data: vec![Value::None],
                head_idx,
            };
            assert_eq!(list.head(), None);
            list.advance();
        }
    }
}
