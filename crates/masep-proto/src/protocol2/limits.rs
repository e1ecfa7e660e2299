//! The bounds of control messages. They are parts of the protocol, and no settings: control messages are read before
//! anything is agreed.

/// Bytes of a control message at most.
pub const CONTROL_BYTES: usize = 4_096;
/// Bytes at most of a text that is for people, in a [`Rejected`](super::Rejected), a [`Bye`](super::Bye) or a
/// [`Notice`](super::Notice). Longer ones are cut when they are written.
pub const TEXT_BYTES: usize = 1_024;

/// Bytes of an id.
pub(super) const ID_BYTES: usize = 1_024;
/// Bytes of a code.
pub(super) const CODE_BYTES: usize = 64;
/// Bytes of a name: of a role, a game, a table, a seat, a profile or an instance, and of an agent.
pub const NAME_BYTES: usize = 512;

/// True if a control message can say this name: it has 1 to [`NAME_BYTES`] bytes, and all of its characters are
/// [printable](crate::is_printable).
pub fn is_sayable(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len()) && text.chars().all(crate::is_printable)
}

/// Bytes of a token.
pub(super) const TOKEN_BYTES: usize = 2_048;
/// The number of features, and bytes of each.
pub(super) const FEATURES: usize = 64;
pub(super) const FEATURE_BYTES: usize = 64;
/// Data items of CBOR in a control message, and the levels on which they may stand in each other, its map's own included.
pub(super) const ITEMS: usize = 1_024;
pub(super) const LEVELS: usize = 16;
