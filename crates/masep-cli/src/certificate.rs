//! The certificate that a server shows: its names and its time.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masep::tls::ClientTls;
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

/// The extension with the names of a certificate.
const ALTERNATIVE_NAMES: [u64; 4] = [2, 5, 29, 17];

/// The names of a certificate, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownCertificate {
    /// Names of DNS and IP addresses.
    pub(crate) names: Vec<String>,
    pub(crate) begins: OffsetDateTime,
    pub(crate) ends: OffsetDateTime,
}

impl ShownCertificate {
    /// Whole days until it ends, negative if that is over.
    pub(crate) fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.ends - now).whole_days()
    }

    /// Reads one, as RFC 5280 has it.
    pub(crate) fn read(der: &[u8]) -> ASN1Result<Self> {
        yasna::parse_der(der, |reader| {
            reader.read_sequence(|parts| {
                let certificate = parts.next().read_sequence(read_body)?;
                parts.next().read_der()?;
                parts.next().read_der()?;
                Ok(certificate)
            })
        })
    }
}

/// Reads the signed part of a certificate.
fn read_body(parts: &mut BERReaderSeq<'_, '_>) -> ASN1Result<ShownCertificate> {
    parts
        .read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_der()))?;
    for _serial_signature_issuer in 0..3 {
        parts.next().read_der()?;
    }
    let (begins, ends) = parts
        .next()
        .read_sequence(|times| Ok((read_time(times.next())?, read_time(times.next())?)))?;
    for _subject_key in 0..2 {
        parts.next().read_der()?;
    }
    let mut names = Vec::new();
    parts.read_optional(|reader| {
        reader.read_tagged(Tag::context(3), |reader| {
            reader.read_sequence_of(|reader| {
                names.extend(read_extension(reader)?);
                Ok(())
            })
        })
    })?;
    Ok(ShownCertificate {
        names,
        begins,
        ends,
    })
}

fn read_time(reader: BERReader<'_, '_>) -> ASN1Result<OffsetDateTime> {
    match reader.lookahead_tag()? {
        TAG_UTCTIME => Ok(*reader.read_utctime()?.datetime()),
        TAG_GENERALIZEDTIME => Ok(*reader.read_generalized_time()?.datetime()),
        _ => Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    }
}

/// The names in an extension, if it is the one that has them.
fn read_extension(reader: BERReader<'_, '_>) -> ASN1Result<Vec<String>> {
    reader.read_sequence(|parts| {
        let id = parts.next().read_oid()?;
        parts.read_optional(|reader| reader.read_bool())?;
        let value = parts.next().read_bytes()?;
        if id != ObjectIdentifier::from_slice(&ALTERNATIVE_NAMES) {
            return Ok(Vec::new());
        }
        yasna::parse_der(&value, |reader| reader.collect_sequence_of(read_name)).map(|names| {
            let names: Vec<Option<String>> = names;
            names.into_iter().flatten().collect()
        })
    })
}

/// A name of DNS or an address; other kinds are skipped.
fn read_name(reader: BERReader<'_, '_>) -> ASN1Result<Option<String>> {
    let tag = reader.lookahead_tag()?;
    if tag == Tag::context(2) {
        reader
            .read_tagged_implicit(tag, |reader| reader.read_ia5_string())
            .map(Some)
    } else if tag == Tag::context(7) {
        let octets = reader.read_tagged_implicit(tag, |reader| reader.read_bytes())?;
        let address = <[u8; 4]>::try_from(&octets[..]).map(IpAddr::from);
        let address = address.or_else(|_| <[u8; 16]>::try_from(&octets[..]).map(IpAddr::from));
        Ok(address.ok().map(|address| address.to_string()))
    } else {
        reader.read_der().map(|_| None)
    }
}

/// The certificate that a server has shown last, to a client that connects to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<Vec<u8>>>>);

impl Shown {
    /// These settings, by which the certificate of a server is kept here.
    pub(crate) fn by(&self, tls: ClientTls) -> ClientTls {
        let kept = self.clone();
        tls.inspect(move |shown| *kept.lock() = shown.first().map(|own| own.to_vec()))
    }

    /// The certificate, if a server has shown one that can be read.
    pub(crate) fn certificate(&self) -> Option<ShownCertificate> {
        let read = ShownCertificate::read(self.lock().as_ref()?);
        let tell = |error| tracing::info!("the server's certificate cannot be read: {error}");
        read.map_err(tell).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn names_and_time_are_read_from_a_certificate() {
        // Before and after 2050 times have another form.
        for year in [2027, 2057] {
            let names = ["engine.lan", "*.lan", "192.168.1.7", "2001:db8::1"].map(str::to_owned);
            let mut params = CertificateParams::new(names.to_vec()).unwrap();
            params.not_before = date_time_ymd(2026, 11, 30);
            params.not_after = date_time_ymd(year, 2, 1);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let read = ShownCertificate::read(certificate.der()).unwrap();
            assert_eq!(read.names, names);
            assert_eq!(
                (read.begins, read.ends),
                (params.not_before, params.not_after)
            );
            assert_eq!(read.days_left(date_time_ymd(year, 1, 30)), 2);
            assert_eq!(read.days_left(date_time_ymd(year, 2, 4)), -3);
            // Cut anywhere it is none, and nothing worse.
            for end in 0..certificate.der().len() {
                assert!(
                    ShownCertificate::read(&certificate.der()[..end]).is_err(),
                    "{end}"
                );
            }
        }
    }
}
