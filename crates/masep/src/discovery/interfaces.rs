//! The network interfaces of this host, and the membership of a socket in a multicast group on them.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use socket2::{InterfaceIndexOrAddress, SockRef};
use tokio::net::UdpSocket;

/// One IPv4 address of an interface that is up. An interface with several addresses is several of
/// these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) address: Ipv4Addr,
}

/// The IPv4 addresses of all interfaces that are up, loopback included.
///
/// An interface's own word that it can do multicast does not count: Linux's loopback says that it
/// cannot, and can.
pub(super) fn up() -> io::Result<Vec<Interface>> {
    let interfaces = getifaddrs()?
        .filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|entry| {
            let address = entry.address?.as_sockaddr_in()?.ip();
            // An interface that was removed since the list was made has no index any more.
            let index = if_nametoindex(entry.interface_name.as_str()).ok()?;
            Some(Interface {
                name: entry.interface_name,
                index,
                address,
            })
        })
        .collect();
    Ok(interfaces)
}

/// On which interfaces a socket is a member of a group. It follows the interfaces as they come and
/// go; an error on one of them never concerns the others.
#[derive(Debug)]
pub(super) struct Membership {
    group: Ipv4Addr,
    /// The interfaces, by index, that were joined.
    joined: BTreeSet<u32>,
    /// The interfaces that could not be joined, so that the log says it once.
    refused: BTreeSet<u32>,
    /// The addresses of this host when it was last looked.
    addresses: BTreeSet<Ipv4Addr>,
}

impl Membership {
    pub(super) const fn new(group: Ipv4Addr) -> Self {
        Self {
            group,
            joined: BTreeSet::new(),
            refused: BTreeSet::new(),
            addresses: BTreeSet::new(),
        }
    }

    /// Joins on the interfaces that are new and leaves on those that are gone.
    pub(super) fn update(&mut self, socket: &UdpSocket, interfaces: &[Interface]) {
        let socket = SockRef::from(socket);
        self.addresses = interfaces.iter().map(|it| it.address).collect();
        let present: BTreeSet<u32> = interfaces.iter().map(|it| it.index).collect();
        self.refused.retain(|index| present.contains(index));
        // A membership on an interface that is gone still counts against the kernel's maximum.
        for &gone in self.joined.difference(&present) {
            let interface = InterfaceIndexOrAddress::Index(gone);
            let left = socket.leave_multicast_v4_n(&self.group, &interface);
            tracing::debug!(index = gone, ?left, "an interface is gone");
        }
        self.joined.retain(|index| present.contains(index));
        for interface in interfaces {
            if !self.joined.contains(&interface.index) {
                self.join(&socket, interface);
            }
        }
    }

    fn join(
        &mut self,
        socket: &SockRef<'_>,
        Interface {
            name,
            index,
            address,
        }: &Interface,
    ) {
        let by_index = InterfaceIndexOrAddress::Index(*index);
        match socket.join_multicast_v4_n(&self.group, &by_index) {
            Ok(()) => {
                self.joined.insert(*index);
                self.refused.remove(index);
                tracing::debug!(%name, %address, "listens for the search on an interface");
            }
            Err(error) if self.refused.insert(*index) => {
                tracing::warn!(%name, %address, %error, "cannot listen for the search on an interface");
            }
            Err(_) => {}
        }
    }

    /// True if `address` is one of this host's own.
    pub(super) fn is_own(&self, address: Ipv4Addr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }
}
