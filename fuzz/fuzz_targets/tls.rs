//! Any bytes in any pieces from a peer of a server in TLS: in front of the handshake, in its place, behind it as
//! ciphertext, behind it as plaintext, and as records of any kind. Nobody gets in without a handshake, and everything ends.
#![no_main]

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use masep::tls::ServerTls;
use masep::tls::rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use masep::tls::rustls::crypto::ring;
use masep::tls::rustls::pki_types::ServerName;
use masep::tls::rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    RootCertStore, version,
};
use masep::transport::memory::{self, MemoryTransport};
use masep::transport::{Stream, Transport};
use masep::{Limits, Server};
use masep_fuzz::Cuts;
use rcgen::CertifiedKey;
use tokio::runtime::{Builder, Handle};

/// In which everything has to have ended, of a clock that goes as fast as things happen.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Longer than a server waits for anything.
const LONG: Duration = Duration::from_secs(60);

#[derive(Arbitrary, Debug)]
struct Setting {
    pipe: u16,
    cuts: u32,
    act: Act,
    ending: Ending,
}

/// The peer's use of the bytes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Act {
    /// All that it says, from the first byte on.
    Raw,
    /// A handshake in which one byte is another one, and the bytes behind it in TLS.
    Changed { at: u16, by: u8 },
    /// A handshake, and the bytes behind it as they are.
    Behind,
    /// A handshake, and the bytes behind it in TLS.
    Inside,
    /// A handshake and a hello, and the bytes behind it as records: the kind of each, its length and its content.
    Forged,
}

/// The records of a client behind its handshake, of any kind.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Forger {
    fn new(tls: ClientConnection) -> Option<Self> {
        let suite = tls.negotiated_cipher_suite()?.tls13()?;
        let (next, secrets) = tls.dangerous_extract_secrets().ok()?.tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            return None;
        };
        let encrypter = suite.aead_alg.encrypter(key, iv);
        Some(Self { encrypter, next })
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(content),
        };
        let record = self.encrypter.encrypt(message, self.next);
        self.next += 1;
        record.expect("it takes all").encode()
    }
}

/// The hello of one that goes on to forge.
const HELLO: &[u8] = b"\x07\0masep/2\x03\0BYE\0\0\
    \x2c\x00\x00\x00\x01\x00\x00\x00\xa5av\x82\x02\x02bidgforeigncmax\x1a\x00\x10\x00\x00hfeatures\x80eagentax\x00\x00\x00\x00";
/// Data of an application, as a kind of records.
const DATA: u8 = 23;

/// The act of the peer behind its last byte.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Ending {
    /// It shuts its side.
    Shut,
    /// It is gone.
    Drop,
    /// It says nothing any more.
    Silence,
}

/// The server's certificate, and a client that trusts it: the same for all inputs of a process.
fn sides() -> &'static (ServerTls, Arc<ClientConfig>) {
    static SIDES: OnceLock<(ServerTls, Arc<ClientConfig>)> = OnceLock::new();
    SIDES.get_or_init(|| {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["engine".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .expect("it has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"masep/2".to_vec()];
        config.enable_secret_extraction = true;
        let server = ServerTls::pem(cert.pem(), signing_key.serialize_pem());
        (server, Arc::new(config))
    })
}

/// The end of a connection: the server does not take or send more.
struct Gone;

/// The peer.
struct Peer {
    pipe: MemoryTransport,
    cuts: u32,
    /// A byte that is not sent as it is: the bytes in front of it, and the difference.
    change: Option<(usize, u8)>,
}

impl Peer {
    /// Writes all of it, if the server takes it.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut bytes = bytes.to_vec();
        if let Some((before, by)) = &mut self.change {
            match bytes.get_mut(*before) {
                Some(byte) => {
                    *byte ^= *by;
                    self.change = None;
                }
                None => *before -= bytes.len(),
            }
        }
        for mut piece in Cuts::new(&bytes, self.cuts) {
            while !piece.is_empty() {
                match self.pipe.try_write(piece) {
                    Ok(written) => piece = &piece[written..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let room = std::future::poll_fn(|context| self.pipe.poll_writable(context));
                        room.await.map_err(|_| Gone)?;
                    }
                    Err(_reset) => return Err(Gone),
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn read(&self) -> Result<Vec<u8>, Gone> {
        loop {
            let mut landing = Vec::with_capacity(4_096);
            match self.pipe.try_read(&mut landing) {
                Ok(0) => return Err(Gone),
                Ok(_) => return Ok(landing),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let bytes = std::future::poll_fn(|context| self.pipe.poll_readable(context));
                    bytes.await.map_err(|_| Gone)?;
                }
                Err(_reset) => return Err(Gone),
            }
        }
    }

    /// The handshake; an error if there is none with this server, or not after what was changed.
    async fn shake_hands(&mut self) -> Result<ClientConnection, Gone> {
        let name = ServerName::try_from("engine").expect("a name");
        let mut tls = ClientConnection::new(sides().1.clone(), name).expect("a client");
        loop {
            self.write_tls(&mut tls).await?;
            if !tls.is_handshaking() {
                return Ok(tls);
            }
            let bytes = self.read().await?;
            let mut bytes = &bytes[..];
            while !bytes.is_empty() {
                tls.read_tls(&mut bytes).map_err(|_| Gone)?;
                if tls.process_new_packets().is_err() {
                    // The alert.
                    self.write_tls(&mut tls).await?;
                    return Err(Gone);
                }
            }
        }
    }

    async fn write_tls(&mut self, tls: &mut ClientConnection) -> Result<(), Gone> {
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).expect("memory takes all");
        }
        self.write(&bytes).await
    }

    async fn say(&mut self, bytes: &[u8], act: Act) -> Result<(), Gone> {
        if let Act::Raw = act {
            return self.write(bytes).await;
        }
        let mut tls = self.shake_hands().await?;
        if let Act::Behind = act {
            return self.write(bytes).await;
        }
        if let Act::Forged = act {
            return self.forge(tls, bytes).await;
        }
        for piece in Cuts::new(bytes, self.cuts) {
            std::io::Write::write_all(&mut tls.writer(), piece).expect("memory takes all");
            self.write_tls(&mut tls).await?;
        }
        Ok(())
    }

    async fn forge(&mut self, tls: ClientConnection, mut bytes: &[u8]) -> Result<(), Gone> {
        let mut forger = Forger::new(tls).expect("it tells its secrets");
        let hello = forger.record(DATA, HELLO);
        self.write(&hello).await?;
        while let [kind, length, rest @ ..] = bytes {
            let (content, behind) = rest.split_at(rest.len().min((*length).into()));
            bytes = behind;
            let record = forger.record(*kind, content);
            self.write(&record).await?;
        }
        Ok(())
    }

    async fn play(mut self, bytes: &[u8], setting: &Setting) {
        let said = self.say(bytes, setting.act).await;
        match setting.ending {
            Ending::Drop => return,
            Ending::Shut => {
                let _ = self.pipe.shutdown(std::net::Shutdown::Write);
            }
            Ending::Silence => {}
        }
        if said.is_ok() {
            let hears = async { while self.read().await.is_ok() {} };
            let _ = tokio::time::timeout(LONG, hears).await;
        }
    }
}

async fn meet(setting: &Setting, bytes: &[u8]) {
    let limits = Limits::default().idle_time(Some(Duration::from_secs(10)));
    let (listener, connector) = memory::listen(1);
    let server = Server::builder("e").limits(limits).tls(sides().0.clone());
    let server = server
        .serve_over(listener)
        .expect("pipes need nothing of the system");
    let pipe = connector.connect(setting.pipe.into()).await;
    let peer = Peer {
        pipe: pipe.expect("it is listening"),
        cuts: setting.cuts,
        change: match setting.act {
            Act::Changed { at, by } => Some((at.into(), by)),
            _ => None,
        },
    };
    let accept = async {
        if let Ok(Ok(connection)) = tokio::time::timeout(LONG, server.accept()).await {
            assert!(!matches!(setting.act, Act::Raw), "without a handshake");
            while connection.recv().await.is_ok() {}
            connection.closed().await;
        }
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::join!(peer.play(bytes, setting), accept)
    })
    .await
    .expect("it does not end");
    let report = server.shutdown(PATIENCE).await;
    assert!(report.ended.is_empty() && report.cut.is_empty());
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let bytes = input.take_rest();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it needs nothing of the system");
    runtime.block_on(meet(&setting, bytes));
});
