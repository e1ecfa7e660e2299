//! `masep cert`: a CA and a certificate for a server on a LAN.

mod files;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use self::files::Directory;
use crate::error::Error;
use crate::output::Output;
use crate::status::Status;

/// Clocks of a LAN may be so far apart.
const SKEW: Duration = Duration::days(1);
/// A CA lasts so long: all who trust it would have to be given another one.
const CA_DAYS: i64 = 3_650;
/// The most days of a server's certificate. It does not outlive its CA.
const MOST_DAYS: i64 = 3_600;

const LONG_ABOUT: &str = "\
Make a CA and a certificate for a server on a LAN, so that clients know that they talk to it, and nobody else can \
listen.

In the directory --out there is then
  ca.pem          the CA's certificate: clients are given it (--tls-ca ca.pem)
  ca-key.pem      its key: who has it can be any server; keep it off the server
  server.pem      the server's certificate, and behind it the CA's (--tls-cert server.pem)
  server-key.pem  its key (--tls-key server-key.pem)
The keys are for their owner alone to read. A CA that is there already is used again: so a certificate is renewed, and \
further servers get theirs, without any change at the clients.

Of a name that the world knows, a certificate of a public authority is the better one (ACME, Let's Encrypt): clients \
then need no --tls-ca.";

const EXAMPLE: &str = "\
Example: for a server that is known as engine.lan, and by its address
  $ masep cert --name engine.lan --address 192.168.1.7 --out certificates
  certificates/ca.pem: made, valid until 2036-11-28
  certificates/server.pem: made, valid until 2027-11-30, for engine.lan, 192.168.1.7
";

/// A CA and a server's certificate for TLS on a LAN
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Cert {
    /// A name by which clients connect to the server; can be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_name, required_unless_present = "address")]
    name: Vec<String>,

    /// An IP address by which clients connect to the server; can be given several times
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,

    /// The directory for the files, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Days for which the server's certificate is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=MOST_DAYS))]
    days: i64,
}

/// Takes a name as DNS has it, and as rustls compares it: ASCII, with a `*` for one label at most.
fn parse_name(name: &str) -> Result<String, &'static str> {
    let labels = name.strip_prefix("*.").unwrap_or(name).split('.');
    let is_label = |label: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len())
            && label.chars().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.parse::<IpAddr>().is_ok() {
        Err("that is an address: use --address")
    } else if name.len() > 253 || !labels.clone().all(is_label) {
        Err("expected a name such as engine.lan")
    } else {
        Ok(name.to_ascii_lowercase())
    }
}

impl Cert {
    pub(crate) fn run(self) -> Result<Status, Error> {
        let directory = Directory::open(&self.out)?;
        let now = OffsetDateTime::now_utc();
        let mut output = Output::new(std::io::stdout().lock());
        let (ca, is_new) = Ca::in_directory(&directory, now)?;
        let path = directory.path(files::CA);
        output.text(&if is_new {
            format!("{path}: made, valid until {}", ca.until.date())
        } else {
            format!("{path}: used again")
        })?;
        let until = now + Duration::days(self.days);
        let chain = self.sign(&ca, now, until)?;
        // The key first: who reads between the two finds a pair that does not fit, and waits for the next.
        let key = (files::SERVER_KEY, &*chain.key);
        directory.write_pair(key, (files::SERVER, &chain.certificates))?;
        let mut names = self.name.clone();
        names.extend(self.address.iter().map(ToString::to_string));
        output.text(&format!(
            "{}: made, valid until {}, for {}",
            directory.path(files::SERVER),
            until.date(),
            names.join(", ")
        ))?;
        output.flush()?;
        Ok(Status::Done)
    }

    fn sign(&self, ca: &Ca, now: OffsetDateTime, until: OffsetDateTime) -> Result<Chain, Error> {
        let key = KeyPair::generate().map_err(cannot_make)?;
        let mut params = CertificateParams::default();
        for name in &self.name {
            let name = name.as_str().try_into().map_err(cannot_make)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let addresses = self.address.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(addresses);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "masep server");
        params.serial_number = Some(serial(&key));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (now - SKEW, until);
        let certificate = params.signed_by(&key, &ca.issuer).map_err(cannot_make)?;
        Ok(Chain {
            certificates: format!("{}{}", certificate.pem(), ca.certificate),
            key: key.serialize_pem(),
        })
    }
}

/// A server's certificates and its key, as PEM.
struct Chain {
    certificates: String,
    key: String,
}

/// The CA of a directory.
struct Ca {
    /// As PEM.
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// The end of the time of a new certificate.
    until: OffsetDateTime,
}

impl Ca {
    /// The one that is there, or a new one; and whether it is new.
    fn in_directory(directory: &Directory, now: OffsetDateTime) -> Result<(Self, bool), Error> {
        let (certificate, key) = (directory.read(files::CA)?, directory.read(files::CA_KEY)?);
        match (certificate, key) {
            (None, None) => Self::make(directory, now).map(|ca| (ca, true)),
            (Some(certificate), Some(key)) => {
                Self::read(directory, certificate, &key, now).map(|ca| (ca, false))
            }
            (is, _) => {
                let (is, not) = match is {
                    Some(_) => (files::CA, files::CA_KEY),
                    None => (files::CA_KEY, files::CA),
                };
                Err(Error::Certificate(format!(
                    "there is {}, and no {not}: put it there, or choose another directory",
                    directory.path(is)
                )))
            }
        }
    }

    fn make(directory: &Directory, now: OffsetDateTime) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(cannot_make)?;
        let params = Self::params(&key, now);
        let certificate = params.self_signed(&key).map_err(cannot_make)?.pem();
        let pem = key.serialize_pem();
        directory.write_pair((files::CA_KEY, &pem), (files::CA, &certificate))?;
        Ok(Self {
            certificate,
            until: params.not_after,
            issuer: Issuer::new(params, key),
        })
    }

    /// The CA of this key. Its name follows from the key, so that its certificate need not be read for it.
    fn read(
        directory: &Directory,
        certificate: String,
        key: &str,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key).map_err(|error| {
            let path = directory.path(files::CA_KEY);
            Error::Certificate(format!("{path} is no key: {error}"))
        })?;
        let params = Self::params(&key, now);
        if !files::is_of_key(&certificate, &key.subject_public_key_info(), &name_of(&key)) {
            return Err(Error::Certificate(format!(
                "{} is not the certificate of {}, or was not made by masep: choose another directory",
                directory.path(files::CA),
                directory.path(files::CA_KEY)
            )));
        }
        Ok(Self {
            certificate,
            until: params.not_after,
            issuer: Issuer::new(params, key),
        })
    }

    fn params(key: &KeyPair, now: OffsetDateTime) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, name_of(key));
        params.serial_number = Some(serial(key));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (now - SKEW, now + Duration::days(CA_DAYS));
        params
    }
}

/// The name of the CA of this key: another key has another one, since verifiers look CAs up by name.
fn name_of(key: &KeyPair) -> String {
    let id = CertificateParams::default().key_identifier(key);
    format!("masep CA {}", hex::encode(&id[..id.len().min(8)]))
}

/// A number that no other certificate of the CA has, since none has the same key: positive, and of at most 20 bytes, as
/// RFC 5280 wants it.
fn serial(key: &KeyPair) -> SerialNumber {
    let mut bytes = CertificateParams::default().key_identifier(key);
    bytes.truncate(16);
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x01;
    }
    SerialNumber::from(bytes)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn cannot_make(error: rcgen::Error) -> Error {
    Error::Certificate(format!("cannot make a certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_dns() {
        assert_eq!(parse_name("Engine.LAN").as_deref(), Ok("engine.lan"));
        assert_eq!(parse_name("*.lan").as_deref(), Ok("*.lan"));
        assert_eq!(parse_name("localhost").as_deref(), Ok("localhost"));
        for wrong in [
            "",
            "a..b",
            "192.168.1.7",
            "::1",
            "a b",
            "é.lan",
            "-a",
            "a.*.b",
            "a:1",
        ] {
            assert!(parse_name(wrong).is_err(), "{wrong}");
        }
    }
}
