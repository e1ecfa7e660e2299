//! The reason for which a connection ended.

pub use masep_proto::CloseReason;

/// True if the peer said `BYE`: it is owed nothing.
pub(crate) const fn is_bye_of_peer(reason: &CloseReason) -> bool {
    reason.is_peer_bye() || matches!(reason, CloseReason::Rejected)
}
