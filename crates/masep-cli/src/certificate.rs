//! The certificate that a server shows: its names and its time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use masep::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use masep::tls::rustls::crypto::{CryptoProvider, ring};
use masep::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use masep::tls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, version,
};
use time::OffsetDateTime;
use yasna::models::ObjectIdentifier;
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

/// The protocol that masep's servers require of a client in TLS.
const ALPN: &[u8] = b"masep/2";
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

    /// The certificate of the server at this address, which is trusted for nothing here.
    pub(crate) fn of_server(address: SocketAddr, name: &str, until: Instant) -> io::Result<Self> {
        let shown = Arc::new(Shown {
            certificate: Mutex::new(None),
            provider: Arc::new(ring::default_provider()),
        });
        let config = ClientConfig::builder_with_provider(shown.provider.clone())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?;
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(shown.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut stream = Timed::connect(address, until)?;
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        tls.send_close_notify();
        let _ = tls.complete_io(&mut stream);
        let der = shown.certificate.lock();
        let der = der.unwrap_or_else(PoisonError::into_inner).take();
        let der = der.ok_or_else(|| io::Error::other("the server has shown no certificate"))?;
        Self::read(&der).map_err(io::Error::other)
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

/// A stream with one bound for all that is read and written, also for a server that drips.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn connect(address: SocketAddr, until: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, left(until)?)?;
        Ok(Self { stream, until })
    }
}

/// The time that is left.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

impl Read for Timed {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(room)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
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

/// Keeps the certificate that a server shows. Others judge whether it is to be trusted.
#[derive(Debug)]
struct Shown {
    certificate: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut kept = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        masep::tls::rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
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
