//! XML subtrees.

/// An XML element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element;

/// An XML element as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node;
