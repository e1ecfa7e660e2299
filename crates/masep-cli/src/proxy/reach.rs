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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The engine can be reached past the proxy, at this port of these addresses.
    Open(u16, BTreeSet<IpAddr>),
    /// It cannot: none of these addresses of this host answers, though the engine does.
    Closed(u16, BTreeSet<IpAddr>),
    /// The engine does not answer yet.
    Absent,
    /// The engine is on another host, where this one cannot look.
    Elsewhere,
    /// Only this host can reach it: a Unix socket.
    Local,
}

/// Looks, and tells: a warning with a way out where others may reach the engine.
pub(super) async fn look(to: &Target) -> Found {
    let found = find(to).await;
    match &found {
        Found::Open(port, addresses) => tracing::warn!(
            "the engine can be reached past this proxy, without its rules, at port {port} of {}. Close it, for example with:\n  {}",
            listed(addresses),
            firewall(*port)
        ),
        Found::Elsewhere => tracing::warn!(
            "the engine ({to}) is on another host: nothing protects the way to it, and it was not looked whether others can \
             reach it past this proxy. Run the proxy on the engine's own host"
        ),
        Found::Closed(port, addresses) if addresses.is_empty() => {
            tracing::info!("this host has no address but its own: port {port} is closed to others");
        }
        Found::Closed(port, addresses) => tracing::info!(
            "the engine cannot be reached past this proxy: port {port} is closed at {}",
            listed(addresses)
        ),
        Found::Absent | Found::Local => {}
    }
    found
}

async fn find(to: &Target) -> Found {
    let Ok(addresses) = to.resolve().await else {
        return Found::Absent;
    };
    let Some(engine) = addresses.iter().find_map(masep::Address::tcp) else {
        return Found::Local;
    };
    let own = own_addresses();
    if !engine.ip().is_loopback() && !own.contains(&engine.ip()) {
        return Found::Elsewhere;
    }
    if !answers(engine).await {
        return Found::Absent;
    }
    let mut open = BTreeSet::new();
    for ip in &own {
        if answers(SocketAddr::new(*ip, engine.port())).await {
            open.insert(*ip);
        }
    }
    if open.is_empty() {
        Found::Closed(engine.port(), own)
    } else {
        Found::Open(engine.port(), open)
    }
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// The line that keeps all out of the port but who connects to a loopback address. The look then finds it closed too, for
/// it connects to the other addresses.
fn firewall(port: u16) -> String {
    format!(
        "iptables -I INPUT -p tcp --dport {port} ! -d 127.0.0.0/8 -j REJECT --reject-with tcp-reset"
    )
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
