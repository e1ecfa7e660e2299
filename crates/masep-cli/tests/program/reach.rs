//! The look of `masep proxy` whether its engine can be reached past it, on hosts of their own (network namespaces).

use std::process::Command;

use serde_json::Value as Json;

use crate::run::{shell, skipped};
use crate::session::Session;

/// A host with the address 192.0.2.1 at a cable that leads nowhere.
const HOST: &str = "
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 192.0.2.1/24 dev v0
ip link set v0 up
ip link set v1 up
ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev v0
";
/// Nobody gets from the host to its own address, as a firewall has it that is asked from outside.
const CLOSED: &str = "ip route del local 192.0.2.1 table local; ";

/// A command on a host of its own, with all that it has started; its processes end with it.
fn on_a_host(script: &str) -> Command {
    let host =
        "exec unshare --user --map-root-user --net --pid --fork --kill-child -- sh -ec \"$1\"";
    let mut command = shell(host);
    command
        .args(["sh", script])
        .env("MASEP_LOG", "masep=info")
        .env("MASEP_LOG_FORMAT", "json");
    command
}

/// False, which is said, where there are no such hosts.
fn has_hosts() -> bool {
    match on_a_host(HOST).output() {
        Ok(output) if output.status.success() => true,
        refused => {
            skipped("proxy", format!("{refused:?}"));
            false
        }
    }
}

/// The level and the text of what the proxy says of the engine, which listens at `engine`, and is gone to at `to`.
fn said(set_up: &str, engine: &str, to: &str) -> (String, String) {
    let script = format!(
        "{HOST}{set_up}
        masep serve pymasep://{engine} --id engine 2>/dev/null |
        {{
            read -r listening
            exec masep proxy --json --listen 127.0.0.1:60001 --to {to} --game pkg.Game 2>&1
        }}"
    );
    let mut session = Session::spawn_read(&mut on_a_host(&script));
    loop {
        let line = session.json();
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let message = text(&line["fields"]["message"]);
        if message.contains("engine") {
            return (text(&line["level"]), message);
        }
    }
}

#[test]
fn an_engine_that_can_be_reached_past_its_proxy_is_told_with_the_way_out() {
    if !has_hosts() {
        return;
    }
    for to in ["127.0.0.1:60000", "192.0.2.1:60000"] {
        let (level, message) = said("", "0.0.0.0:60000", to);
        assert_eq!(level, "WARN", "{message}");
        for part in [
            "at port 60000 of 192.0.2.1.",
            "--dport 60000 ! -d 127.0.0.0/8 -j REJECT",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
    let (level, message) = said("", "0.0.0.0:60000", "198.51.100.7:60000");
    assert!(
        level == "WARN" && message.contains("is on another host"),
        "{message}"
    );
}

#[test]
fn an_engine_behind_a_firewall_is_closed_whatever_that_answers() {
    if !has_hosts() {
        return;
    }
    let nothing = CLOSED.to_owned();
    let unreachable = format!("{CLOSED}ip route add unreachable 192.0.2.1");
    let prohibited = format!("{CLOSED}ip route add prohibit 192.0.2.1");
    for (set_up, engine) in [
        // No answer at all, until the look gives up.
        (&*nothing, "0.0.0.0:60000"),
        (&unreachable, "0.0.0.0:60000"),
        (&prohibited, "0.0.0.0:60000"),
        // As with the line for the firewall: a reset.
        ("", "127.0.0.1:60000"),
    ] {
        let (level, message) = said(set_up, engine, "127.0.0.1:60000");
        assert_eq!(level, "INFO", "{set_up:?} {message}");
        let expected = "cannot be reached past this proxy: port 60000 is closed at 192.0.2.1";
        assert!(message.contains(expected), "{set_up:?} {message}");
    }
}
