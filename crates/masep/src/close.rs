//! The reason for which a connection ended.

pub use masep_proto::CloseReason;

/// True if the peer said `BYE`: it is owed nothing.
pub(crate) const fn is_bye_of_peer(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::PeerBye | CloseReason::Rejected)
}
