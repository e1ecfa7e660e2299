//! The view of a player or a spectator.

use masep_proto::{Dict, Element, Value};

/// The view of a player or a spectator. Cheap to clone where the observation is an element.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The State, for pymasep peers; any value for others.
    pub observation: Value,
    /// Anything else that the game tells: a reward, a log, ...
    pub information: Dict,
}

/// A view with nothing beside it.
impl<T: Into<Value>> From<T> for View {
    fn from(observation: T) -> Self {
        Self::new(observation)
    }
}

impl View {
    /// A view with nothing beside it.
    pub fn new(observation: impl Into<Value>) -> Self {
        Self {
            observation: observation.into(),
            information: Dict::new(),
        }
    }

    /// The same with more information.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.information.insert(name, value);
        self
    }

    /// True if both are written in the same way, which is less often than that they are equal.
    pub(crate) fn is_written_as(&self, other: &Self) -> bool {
        self.observation.is_written_as(&other.observation)
            && self.information.is_written_as(&other.information)
    }

    /// The same as a question for a pymasep peer: the turn's number is its step, and stands beside it as `turn`
    /// (also in place of another `turn`), for players that say it in their actions. `None` if this is no State.
    pub(crate) fn numbered(mut self, number: u64, keeps_env_step: bool) -> Option<Self> {
        let Value::Element(state) = self.observation else {
            return None;
        };
        let state = if keeps_env_step {
            state
        } else {
            state.with_attribute("env_step", &number.to_string()).ok()?
        };
        self.observation = state.into();
        self.information.insert("turn", number);
        Some(self)
    }

    /// The step of the State.
    pub(crate) fn env_step(&self) -> Option<i64> {
        let state = self.observation.as_element();
        state.and_then(|state: &Element| state.attribute("env_step")?.parse().ok())
    }
}
