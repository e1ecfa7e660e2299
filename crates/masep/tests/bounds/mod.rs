//! All that a server of a test is bound by, from any part of it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use masep::{Limits, ServerLimits, SocketOptions};

#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pub limits: Limits,
    pub server: ServerLimits,
    pub socket: SocketOptions,
}

impl From<Limits> for Bounds {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

impl From<ServerLimits> for Bounds {
    fn from(server: ServerLimits) -> Self {
        Self {
            server,
            ..Self::default()
        }
    }
}

impl From<SocketOptions> for Bounds {
    fn from(socket: SocketOptions) -> Self {
        Self {
            socket,
            ..Self::default()
        }
    }
}
