//! Addresses as text.

/// The host, without its brackets, and the port of an IPv6 address with a zone, as in `[fe80::7%eth0]:60000`.
/// The standard library reads a zone that is a number, but leaves the brackets around one that is a name
/// when it asks the system, which then finds nothing.
pub(crate) fn with_zone(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[')?.strip_suffix(']')?;
    let port = port.parse().ok()?;
    host.contains('%').then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_stands_in_brackets_behind_a_percent_sign() {
        assert_eq!(
            with_zone("[fe80::7%lo]:60000"),
            Some(("fe80::7%lo", 60_000))
        );
        assert_eq!(with_zone("[fe80::7%1]:1"), Some(("fe80::7%1", 1)));
        for other in [
            "[::1]:60000",
            "fe80::7%lo",
            "[fe80::7%lo]",
            "[fe80::7%lo]:x",
            "host:1",
            "",
        ] {
            assert_eq!(with_zone(other), None, "{other}");
        }
    }
}
