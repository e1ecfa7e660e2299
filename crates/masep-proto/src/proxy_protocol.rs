//! The PROXY protocol, versions 1 and 2: what a load balancer or a tunnel says of the client in front of its bytes.
//!
//! A listener that is told to expect it takes the client's address from there, for its rules and for people. It is to
//! expect it only where nobody but that balancer can connect: the header is a claim, and so is the address in it.
//!
//! Behind the header come the client's bytes, and before anything else, TLS included. So a shell reads no more than
//! [`wanted`] says, and hands the stream on when [`read`] has found the header.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The first bytes of version 1.
const WORD: &[u8] = b"PROXY ";
/// Bytes of version 2 in front of its addresses.
const FIXED: usize = 16;
/// The most bytes of a header of version 1, by its specification.
const MOST_TEXT: usize = 107;
/// The most bytes of a header of version 2 that are taken: addresses, and what else a balancer has to say.
pub const MOST_BYTES: usize = 2_048;

/// The origin of a connection, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The connection is a client's.
    Client {
        /// The client's address.
        source: SocketAddr,
        /// The address at which the client has connected.
        destination: SocketAddr,
    },
    /// The connection is the balancer's own, such as a look whether the server lives, or nothing is said of the client.
    Unknown,
}

/// The reason why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first bytes are those of no header.
    #[error("the first bytes are no header of the PROXY protocol")]
    Missing,
    /// A version or a command that is not known.
    #[error("a version or a command of the PROXY protocol that is not known")]
    Unsupported,
    /// Something in it has not the form that it must have.
    #[error("a header of the PROXY protocol that is malformed")]
    Malformed,
    /// More bytes than a header may have.
    #[error("a header of the PROXY protocol of more than {MOST_BYTES} bytes, or 107 in version 1")]
    TooLong,
}

/// Reads the header at the beginning of a stream: what it says, and how many bytes it has. `None` if more bytes are needed
/// to know.
///
/// # Errors
/// Bytes that are no header, as soon as that is known. The connection is of no use then.
pub fn read(input: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    if begins(input, SIGNATURE) {
        return read_binary(input);
    }
    if begins(input, WORD) {
        return read_text(input);
    }
    Err(HeaderError::Missing)
}

/// The number of bytes that are to be read next, where these have come: at least one, and never beyond the header. For
/// input of which [`read`] has told nothing yet.
pub fn wanted(input: &[u8]) -> usize {
    let whole = if begins(input, SIGNATURE) && input.len() >= SIGNATURE.len() {
        binary_length(input).map_or(FIXED, |length| FIXED + length)
    } else if input.len() < SIGNATURE.len() {
        // The shortest header of version 1 has 15 bytes.
        SIGNATURE.len()
    } else {
        // Its end is known when it is there.
        input.len() + 1
    };
    whole.saturating_sub(input.len()).max(1)
}

/// True if the input begins so, as far as it goes.
fn begins(input: &[u8], with: &[u8]) -> bool {
    let length = input.len().min(with.len());
    input[..length] == with[..length]
}

/// Bytes behind the fixed part, when that is there.
fn binary_length(input: &[u8]) -> Option<usize> {
    let length = input.get(14..FIXED)?;
    Some(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn read_binary(input: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    let is_client = match input.get(12) {
        None => return Ok(None),
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Err(HeaderError::Unsupported),
    };
    let Some(length) = binary_length(input) else {
        return Ok(None);
    };
    let whole = FIXED + length;
    if whole > MOST_BYTES {
        return Err(HeaderError::TooLong);
    }
    let Some(said) = input.get(FIXED..whole) else {
        return Ok(None);
    };
    let origin = match (is_client, input[13]) {
        (true, 0x11) => {
            let address = |at: usize| {
                let octets: [u8; 4] = said.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(octets)))
            };
            client(address(0), address(4), said.get(8..12))?
        }
        (true, 0x21) => {
            let address = |at: usize| {
                let octets: [u8; 16] = said.get(at..at + 16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(octets)))
            };
            client(address(0), address(16), said.get(32..36))?
        }
        // Its own connection, a Unix socket, or an address of a kind that has no name here.
        _ => Origin::Unknown,
    };
    Ok(Some((origin, whole)))
}

fn client(
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: Option<&[u8]>,
) -> Result<Origin, HeaderError> {
    let (Some(source), Some(destination), Some(&[a, b, c, d])) = (source, destination, ports)
    else {
        return Err(HeaderError::Malformed);
    };
    Ok(Origin::Client {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

fn read_text(input: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    let line = &input[..input.len().min(MOST_TEXT)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() >= MOST_TEXT {
            Err(HeaderError::TooLong)
        } else {
            Ok(None)
        };
    };
    let line = str::from_utf8(&line[..end]).map_err(|_| HeaderError::Malformed)?;
    let origin = text_origin(line).ok_or(HeaderError::Malformed)?;
    Ok(Some((origin, end + 2)))
}

fn text_origin(line: &str) -> Option<Origin> {
    let said = line.strip_prefix("PROXY ")?;
    if said == "UNKNOWN" || said.starts_with("UNKNOWN ") {
        return Some(Origin::Unknown);
    }
    let mut words = said.split(' ');
    let is_ipv4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut address = || {
        let ip: IpAddr = words.next()?.parse().ok()?;
        (ip.is_ipv4() == is_ipv4).then_some(ip)
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        // A number as it is written: no sign, and no zeros in front.
        let port: u16 = word.parse().ok()?;
        (port.to_string() == word).then_some(port)
    };
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then_some(Origin::Client {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

impl Origin {
    /// The client's address, if it is known.
    pub const fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Client { source, .. } => Some(*source),
            Self::Unknown => None,
        }
    }

    /// The header of version 1 that says this. Of addresses of two kinds nothing is said.
    pub fn to_text(self) -> Vec<u8> {
        let Self::Client {
            source,
            destination,
        } = self
        else {
            return b"PROXY UNKNOWN\r\n".to_vec();
        };
        let family = match (source.ip(), destination.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
            (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
            _ => return Self::Unknown.to_text(),
        };
        let (from, to) = (source.ip(), destination.ip());
        let (from_port, to_port) = (source.port(), destination.port());
        format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
    }

    /// The header of version 2 that says this. Of addresses of two kinds nothing is said.
    pub fn to_binary(self) -> Vec<u8> {
        let (family, addresses) = self.addresses().unwrap_or_default();
        let mut header = SIGNATURE.to_vec();
        let command = if family == 0 { 0x20 } else { 0x21 };
        header.extend([command, family]);
        // At most 36.
        header.extend((addresses.len() as u16).to_be_bytes());
        header.extend(addresses);
        header
    }

    fn addresses(self) -> Option<(u8, Vec<u8>)> {
        let Self::Client {
            source,
            destination,
        } = self
        else {
            return None;
        };
        let mut bytes = Vec::new();
        let family = match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                0x11
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                0x21
            }
            _ => return None,
        };
        for port in [source.port(), destination.port()] {
            let _ = bytes.write_all(&port.to_be_bytes());
        }
        Some((family, bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(source: &str, destination: &str) -> Origin {
        Origin::Client {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn the_text_of_version_1_is_read() {
        for (text, expected) in [
            (
                "TCP4 192.0.2.7 198.51.100.1 56324 443",
                origin("192.0.2.7:56324", "198.51.100.1:443"),
            ),
            (
                "TCP6 2001:db8::1 ::1 1 65535",
                origin("[2001:db8::1]:1", "[::1]:65535"),
            ),
            ("UNKNOWN", Origin::Unknown),
            ("UNKNOWN what ever", Origin::Unknown),
        ] {
            let header = format!("PROXY {text}\r\n");
            let behind = format!("{header}\x06\0engine");
            assert_eq!(
                read(behind.as_bytes()),
                Ok(Some((expected, header.len()))),
                "{text}"
            );
        }
        for text in [
            "TCP4 192.0.2.7 198.51.100.1 56324",
            "TCP4 192.0.2.7 198.51.100.1 56324 443 ",
            "TCP4  192.0.2.7 198.51.100.1 56324 443",
            "TCP4 192.0.2.7 198.51.100.1 56324 70000",
            "TCP4 192.0.2.7 198.51.100.1 056324 443",
            "TCP4 192.0.2.7 198.51.100.1 +1 443",
            "TCP4 ::1 ::1 1 1",
            "TCP6 192.0.2.7 192.0.2.7 1 1",
            "UDP4 192.0.2.7 192.0.2.7 1 1",
            "unknown",
            "",
        ] {
            let header = format!("PROXY {text}\r\n");
            assert_eq!(
                read(header.as_bytes()),
                Err(HeaderError::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_header_is_known_at_once() {
        for input in [
            &b"\x07\0masep/2"[..],
            b"G",
            b"\x16\x03",
            b"PROXX",
            b"\r\n\r\n\0\r\nQUIT!",
        ] {
            assert_eq!(read(input), Err(HeaderError::Missing), "{input:?}");
        }
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 100]].concat();
        assert_eq!(read(&long), Err(HeaderError::TooLong));
        let begin = |command, family, length: u16| {
            [&SIGNATURE[..], &[command, family], &length.to_be_bytes()].concat()
        };
        assert_eq!(read(&begin(0x11, 0x11, 12)), Err(HeaderError::Unsupported));
        assert_eq!(read(&begin(0x22, 0x11, 12)), Err(HeaderError::Unsupported));
        assert_eq!(read(&begin(0x21, 0x11, 60_000)), Err(HeaderError::TooLong));
        assert_eq!(
            read(&begin(0x21, 0x11, 12)),
            Ok(None),
            "its addresses are to come"
        );
        let short = [begin(0x21, 0x11, 4), vec![0; 4]].concat();
        assert_eq!(read(&short), Err(HeaderError::Malformed));
    }

    #[test]
    fn of_other_kinds_of_version_2_nothing_is_known() {
        for (command, family, length) in [
            (0x20, 0, 0),
            (0x20, 0x11, 12),
            (0x21, 0x31, 216),
            (0x21, 0, 7),
        ] {
            let mut header = [&SIGNATURE[..], &[command, family]].concat();
            header.extend(u16::to_be_bytes(length));
            header.resize(FIXED + usize::from(length), 0);
            assert_eq!(read(&header), Ok(Some((Origin::Unknown, header.len()))));
        }
        // The rest of a balancer's words stands behind the addresses.
        let known = origin("192.0.2.7:1", "192.0.2.8:2");
        let mut header = known.to_binary();
        header[15] += 5;
        header.extend([4, 0, 2, 0, 0]);
        assert_eq!(read(&header), Ok(Some((known, header.len()))));
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ]
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written_and_not_a_byte_beyond(
            (from, to) in (address(), address()),
            (from_port, to_port) in any::<(u16, u16)>(),
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let said = Origin::Client {
                source: SocketAddr::new(from, from_port),
                destination: SocketAddr::new(to, to_port),
            };
            let expected = if from.is_ipv4() == to.is_ipv4() { said } else { Origin::Unknown };
            for header in [said.to_text(), said.to_binary()] {
                let stream = [&header[..], &behind].concat();
                let mut heard = 0;
                let found = loop {
                    match read(&stream[..heard]) {
                        Ok(Some(found)) => break found,
                        Ok(None) => heard += wanted(&stream[..heard]),
                        Err(error) => panic!("{error}"),
                    }
                    prop_assert!(heard <= header.len(), "read beyond the header");
                };
                prop_assert_eq!(found, (expected, header.len()));
                prop_assert_eq!(heard, header.len());
            }
        }

        #[test]
        fn any_bytes_are_a_header_or_none_however_they_are_cut(
            input in prop::collection::vec(any::<u8>(), 0..300),
            prefix in 0usize..3,
        ) {
            let prefix = [&b""[..], WORD, SIGNATURE][prefix];
            let input = [prefix, &input].concat();
            let whole = read(&input);
            // A decision stays when more comes.
            for end in 0..=input.len() {
                match read(&input[..end]) {
                    Ok(None) => {}
                    decided => {
                        prop_assert_eq!(decided, whole);
                        break;
                    }
                }
            }
        }
    }
}
