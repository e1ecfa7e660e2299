//! The search for a server on the LAN, as pymasep does it: a question to a multicast group, answered
//! by every server that announces itself.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! for server in masep::discovery::discover().await? {
//!     println!("{}", server.address());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Multicast is not everywhere: many cloud and container networks drop it, and so do some Wi-Fi
//! access points. Then only servers of the own host are found, over the loopback interface.
//! [`search()`] tells the interfaces on which it asked, and the results.
//!
//! Anybody on the LAN can answer, and nothing in an answer proves who sent it.

mod announce;
mod interfaces;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use interfaces::Interface;
use masep_proto::discovery::DESCRIPTION_BYTES;

pub use announce::Announcement;
pub(crate) use announce::Describe;
pub use masep_proto::discovery::{Description, Found, GROUP, Ignored, PORT, QUESTION, in_turn};
pub use search::{InterfaceProbe, SearchOptions, SearchReport, discover, search, search_blocking};

/// The time after which a server looks again for interfaces that have come or gone. Listing them takes some
/// microseconds, and nobody who has just plugged in a cable should wait long to be found.
const RESCAN: Duration = Duration::from_secs(2);

/// Room for one datagram: more than any question or answer has, so that a longer one, which is cut
/// to this size, is still seen to be too long.
const DATAGRAM_BYTES: usize = DESCRIPTION_BYTES + 1;

/// The network that a search takes place on. There is one, [`Lan::default`]; the tests have others,
/// so that they run side by side and need no network.
#[derive(Clone)]
struct Lan {
    /// The address that the question goes to.
    group: SocketAddrV4,
    /// Lists the addresses of the interfaces that are up.
    interfaces: Arc<dyn Fn() -> io::Result<Vec<Interface>> + Send + Sync>,
    /// The time after which a server lists them again.
    rescan: Duration,
}

impl Default for Lan {
    fn default() -> Self {
        Self {
            group: SocketAddrV4::new(GROUP, PORT),
            interfaces: Arc::new(interfaces::up),
            rescan: RESCAN,
        }
    }
}

impl fmt::Debug for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lan")
            .field("group", &self.group)
            .field("rescan", &self.rescan)
            .finish_non_exhaustive()
    }
}
