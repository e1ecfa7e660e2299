//! Looks whether an engine can be reached past its proxy.
//!
//! pymasep's engine listens on all addresses of its host. It is looked for there with a whole hello and a BYE: one that
//! connects and says nothing would end pymasep's accepting for good.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use masep::{Client, ConnectErrorKind, ConnectPhase, Limits, Protocols, SocketOptions, Target};

/// The time for an address to answer. They are this host's own.
const PATIENCE: Duration = Duration::from_secs(1);
/// Addresses that are looked at: a host may have thousands.
const MOST: usize = 16;
/// The id by which it is looked for. Always the same: a pymasep engine keeps each for ever.
const ID: &str = "masep proxy: can it be reached?";

/// The result of the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It can be reached, and a warning was given.
    Open,
    /// It cannot, as far as can be known here, or it is not there yet.
    Closed,
}

/// Looks, and warns.
pub(super) async fn look(to: &Target) -> Found {
    let Some(port) = port_on_loopback(to).await else {
        // On another host, or a Unix socket: what can be reached there is not to be seen from here.
        return Found::Closed;
    };
    let mut open = Vec::new();
    for ip in own_addresses() {
        if answers(SocketAddr::new(ip, port)).await {
            open.push(ip);
        }
    }
    if open.is_empty() {
        return Found::Closed;
    }
    let addresses: Vec<String> = open.iter().map(ToString::to_string).collect();
    tracing::warn!(
        "the engine can be reached past this proxy, without its rules, at port {port} of {}. Close it, for example with:\n  {}",
        addresses.join(", "),
        firewall(port)
    );
    Found::Open
}

/// The line that keeps all out of the port but who connects to a loopback address.
fn firewall(port: u16) -> String {
    format!(
        "iptables -I INPUT -p tcp --dport {port} ! -d 127.0.0.0/8 -j REJECT --reject-with tcp-reset"
    )
}

/// The port, if it is one of a loopback address.
async fn port_on_loopback(to: &Target) -> Option<u16> {
    let addresses = to.resolve().await.ok()?;
    let tcp = addresses.iter().find_map(masep::Address::tcp)?;
    tcp.ip().is_loopback().then_some(tcp.port())
}

/// Addresses of this host that others may reach.
fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        // pymasep has no IPv6.
        address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()))
    });
    addresses
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
        .take(MOST)
        .collect()
}

/// True if a server of pymasep's protocol says hello there.
async fn answers(address: SocketAddr) -> bool {
    let client = Client::builder(ID)
        .protocols(Protocols::Pymasep)
        .limits(Limits::default().hello_time(PATIENCE))
        .socket_options(SocketOptions::default().connect_time(PATIENCE))
        .connect(address)
        .await;
    match client {
        Ok(client) => {
            client.connection().bye().await;
            true
        }
        // Something took the connection, and it is busy.
        Err(error) => {
            error.phase == ConnectPhase::Hello
                && matches!(error.kind, ConnectErrorKind::TimedOut(_))
        }
    }
}
