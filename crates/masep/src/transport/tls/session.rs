//! One connection of TLS, from bytes to bytes. Of rustls's connections this module alone knows.
//!
//! It takes rustls by its unbuffered interface: records are decrypted where they were read, and encrypted where they are
//! written from. A connection that is idle then holds no buffer, and a read of the socket is as large as it likes.

use std::fmt;
use std::mem;
use std::sync::Arc;

use masep_proto::tls::{ALPN, CertificateFault, TlsFault};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{
    CertificateError, ClientConfig, Error, InvalidMessage, PeerIncompatible, ServerConfig,
};

/// Bytes that a record adds to its payload at most: header, content type, tag.
const RECORD_EXTRA: usize = 5 + 1 + 255;
/// The most payload of a record.
pub(super) const RECORD: usize = 16 * 1024;
/// The most ciphertext that waits for the rest of a record, or of a message that a peer has cut into records. rustls takes
/// messages of 64 KiB, and has no bound for the records of one: 1 byte in each is 22 bytes of ciphertext.
const MOST_WAITING: usize = 64 * 1024 + RECORD + RECORD_EXTRA;
/// The same before the first message of a client is whole, which is a record mostly, and a small one.
const MOST_FIRST: usize = RECORD + RECORD_EXTRA;
/// The most bytes that wait for the end of the handshake. Before that a connection says a hello and no more.
const MOST_EARLY: usize = 64 * 1024;

/// See the [module](self).
pub(super) struct Session {
    side: Side,
    /// Ciphertext that was not processed: a part of a record, or what there was no room for.
    incoming: Vec<u8>,
    /// The bytes of it that are done with.
    used: usize,
    /// There was no room for what is in it.
    is_behind: bool,
    /// Plaintext for which there was no room, from the mark on.
    plain: Vec<u8>,
    mark: usize,
    /// Plaintext that was written before the handshake was done.
    early: Vec<u8>,
    /// Ciphertext to be written.
    out: Vec<u8>,
    is_open: bool,
    /// The peer has ended TLS in order.
    has_ended: bool,
    /// This side has.
    is_closed: bool,
    fault: Option<TlsFault>,
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// The outcome of a step.
enum Next {
    /// There may be another one.
    Again,
    /// Nothing more without bytes of the peer.
    Waits,
    Fails(TlsFault),
}

/// The places that a step fills, and what it is to encrypt.
struct Step<'a, 'd> {
    room: &'a mut Vec<u8>,
    plain: &'a mut Vec<u8>,
    out: &'a mut Vec<u8>,
    /// To be encrypted once that can be.
    data: &'a mut Option<&'d [u8]>,
    closes: bool,
    is_open: bool,
    has_ended: bool,
}

impl Session {
    /// The session of a client, whose first bytes are to be written then.
    pub(super) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(Self::new(Side::Client(Box::new(connection))))
    }

    /// The session of a server.
    pub(super) fn accept(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Side::Server(Box::new(connection))))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            incoming: Vec::new(),
            used: 0,
            is_behind: false,
            plain: Vec::new(),
            mark: 0,
            early: Vec::new(),
            out: Vec::new(),
            is_open: false,
            has_ended: false,
            is_closed: false,
            fault: None,
        }
    }

    /// Takes in ciphertext, and appends plaintext to the spare capacity of the room. Gives a buffer back that is of no use
    /// here.
    pub(super) fn take_in(&mut self, ciphertext: Vec<u8>, room: &mut Vec<u8>) -> Vec<u8> {
        if self.incoming.is_empty() {
            self.incoming = ciphertext;
            self.advance(room);
            // A part of a record waits in a buffer of its size: a peer may leave it there.
            let rest = self.incoming[self.used..].to_vec();
            self.used = 0;
            mem::replace(&mut self.incoming, rest)
        } else {
            self.incoming.extend_from_slice(&ciphertext);
            self.go_on(room);
            ciphertext
        }
    }

    /// Goes on with what has arrived, where there was no room before.
    pub(super) fn go_on(&mut self, room: &mut Vec<u8>) {
        self.advance(room);
        if self.used == self.incoming.len() {
            self.incoming = Vec::new();
        } else {
            self.incoming.drain(..self.used);
        }
        self.used = 0;
    }

    fn advance(&mut self, room: &mut Vec<u8>) {
        self.drain(room);
        self.process(room);
        self.bound_waiting();
    }

    /// Ends a session whose peer has the pieces of something kept, and never sends the last.
    fn bound_waiting(&mut self) {
        let waiting = self.incoming.len() - self.used;
        let most = match self.side {
            Side::Server(_) if !self.is_open => MOST_FIRST,
            _ => MOST_WAITING,
        };
        if waiting > most && !self.is_behind {
            tracing::debug!("TLS: {waiting} bytes wait for the rest, allowed {most}");
            self.fail(TlsFault::Broken);
            self.used = self.incoming.len();
        }
    }

    fn drain(&mut self, room: &mut Vec<u8>) {
        let waiting = &self.plain[self.mark..];
        let taken = waiting.len().min(room.capacity() - room.len());
        room.extend_from_slice(&waiting[..taken]);
        self.mark += taken;
        if self.mark == self.plain.len() {
            (self.plain, self.mark) = (Vec::new(), 0);
        }
    }

    /// Processes records until there is no room, or nothing more to process.
    fn process(&mut self, room: &mut Vec<u8>) {
        self.is_behind = false;
        while self.fault.is_none() && !self.has_ended {
            if !self.plain.is_empty() || room.len() == room.capacity() {
                self.is_behind = self.used < self.incoming.len();
                return;
            }
            match self.step(room, &mut None, false) {
                Next::Again => {}
                Next::Waits => return,
                Next::Fails(fault) => self.fail(fault),
            }
        }
        // Behind a fault or the end of TLS nothing counts.
        self.used = self.incoming.len();
    }

    /// A step of rustls, which always sees all that was not done with. Data is taken when it was encrypted.
    fn step(&mut self, room: &mut Vec<u8>, data: &mut Option<&[u8]>, closes: bool) -> Next {
        let mut step = Step {
            room,
            plain: &mut self.plain,
            out: &mut self.out,
            data,
            closes,
            is_open: false,
            has_ended: false,
        };
        let bytes = &mut self.incoming[self.used..];
        let (discard, next) = match &mut self.side {
            Side::Client(connection) => step.take(connection.process_tls_records(bytes)),
            Side::Server(connection) => step.take(connection.process_tls_records(bytes)),
        };
        let (is_open, has_ended) = (step.is_open, step.has_ended);
        self.used += discard;
        self.has_ended |= has_ended;
        if is_open && !self.is_open {
            return self.open();
        }
        next
    }

    /// The handshake is done.
    fn open(&mut self) -> Next {
        let protocol = match &self.side {
            Side::Client(connection) => connection.alpn_protocol(),
            Side::Server(connection) => connection.alpn_protocol(),
        };
        // rustls refuses another protocol, but not none.
        if protocol != Some(ALPN) {
            return Next::Fails(TlsFault::NoProtocol);
        }
        self.is_open = true;
        let early = mem::take(&mut self.early);
        match self.encrypt_all(&early) {
            Next::Waits => Next::Again,
            next => next,
        }
    }

    /// Nothing goes any more in either direction, but for what tells the peer why.
    fn fail(&mut self, fault: TlsFault) {
        const MOST_STEPS: usize = 16;
        // A peer that has begun in TLS speaks it.
        let has_begun = self.is_open || matches!(self.side, Side::Server(_));
        let fault = match fault {
            TlsFault::NotTls if has_begun => TlsFault::Broken,
            fault => fault,
        };
        self.fault = Some(fault);
        self.early = Vec::new();
        let before = self.plain.len();
        // There is no alert for a peer that has named no protocol, where rustls is content with that.
        let closes = fault == TlsFault::NoProtocol;
        self.is_open |= closes;
        for _ in 0..MOST_STEPS {
            // An alert, and what is in front of it. No record is looked at again.
            if !closes && !self.wants_write() {
                break;
            }
            if !matches!(self.step(&mut Vec::new(), &mut None, closes), Next::Again) {
                break;
            }
        }
        self.plain.truncate(before);
        self.is_closed = true;
    }

    fn wants_write(&self) -> bool {
        match &self.side {
            Side::Client(connection) => connection.wants_write(),
            Side::Server(connection) => connection.wants_write(),
        }
    }

    /// Encrypts plaintext behind what is to be written already, or keeps it until the handshake is done.
    ///
    /// # Errors
    /// TLS is broken.
    pub(super) fn encrypt(&mut self, data: &[u8]) -> Result<(), TlsFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let next = if self.is_open {
            self.encrypt_all(data)
        } else {
            self.early.extend_from_slice(data);
            self.shake_hands()
        };
        if let Next::Fails(fault) = next {
            self.fail(fault);
            return Err(fault);
        }
        Ok(())
    }

    fn encrypt_all(&mut self, data: &[u8]) -> Next {
        if data.is_empty() {
            return Next::Waits;
        }
        let mut data = Some(data);
        loop {
            match self.step(&mut Vec::new(), &mut data, false) {
                Next::Again => {}
                Next::Waits if data.is_some() => return Next::Fails(TlsFault::Broken),
                next => return next,
            }
        }
    }

    /// Goes on with the handshake as far as that is without bytes of the peer.
    fn shake_hands(&mut self) -> Next {
        loop {
            match self.step(&mut Vec::new(), &mut None, false) {
                Next::Again => {}
                next => return next,
            }
        }
    }

    /// Ends TLS in order, once: behind what was encrypted.
    pub(super) fn close(&mut self) {
        if mem::replace(&mut self.is_closed, true) || !self.is_open || self.fault.is_some() {
            return;
        }
        const MOST_STEPS: usize = 1024;
        for _ in 0..MOST_STEPS {
            if !matches!(self.step(&mut Vec::new(), &mut None, true), Next::Again) {
                return;
            }
        }
    }

    /// Bytes that can still be taken before the handshake is done; any number from then on.
    pub(super) fn early_room(&self) -> usize {
        if self.is_open {
            usize::MAX
        } else {
            MOST_EARLY.saturating_sub(self.early.len())
        }
    }

    /// True if nothing more can be written.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// True if a read brings something without bytes of the peer: plaintext.
    pub(super) fn has_more(&self) -> bool {
        !self.plain.is_empty() || self.is_behind
    }

    /// The reason why no plaintext comes any more, if it has all been taken: the end of TLS, or a fault.
    pub(super) fn end(&self) -> Option<Result<(), TlsFault>> {
        if self.has_more() {
            None
        } else if let Some(fault) = self.fault {
            Some(Err(fault))
        } else {
            self.has_ended.then_some(Ok(()))
        }
    }

    /// The ciphertext that is to be written.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

impl Step<'_, '_> {
    /// Does what rustls asks for. Gives the bytes that are done with.
    fn take<D>(&mut self, status: UnbufferedStatus<'_, '_, D>) -> (usize, Next) {
        let UnbufferedStatus { mut discard, state } = status;
        let next = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut next = Next::Again;
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            self.give(record.payload);
                        }
                        Err(error) => next = Next::Fails(fault_of(&error)),
                    }
                }
                next
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let start = self.out.len();
                loop {
                    match data.encode(&mut self.out[start..]) {
                        Ok(written) => {
                            self.out.truncate(start + written);
                            break Next::Again;
                        }
                        // The first time it only says what it needs: less than a record mostly.
                        Err(EncodeError::InsufficientSize(needed))
                            if needed.required_size > self.out.len() - start =>
                        {
                            self.out.resize(start + needed.required_size, 0);
                        }
                        Err(_) => {
                            self.out.truncate(start);
                            break Next::Fails(TlsFault::Broken);
                        }
                    }
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It is written in order with what comes behind it.
                data.done();
                Next::Again
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                self.is_open = true;
                let data = self.data.take();
                if let Some(data) = data {
                    put(self.out, data.len(), |out| traffic.encrypt(data, out))
                } else if mem::take(&mut self.closes) {
                    put(self.out, 0, |out| traffic.queue_close_notify(out))
                } else {
                    Next::Waits
                }
            }
            Ok(ConnectionState::PeerClosed) => {
                self.has_ended = true;
                Next::Again
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Next::Waits,
            // Early data, which nobody is allowed to send.
            Ok(_) => Next::Fails(TlsFault::Broken),
            Err(error) => {
                tracing::debug!("TLS: {error}");
                Next::Fails(fault_of(&error))
            }
        };
        (discard, next)
    }

    fn give(&mut self, payload: &[u8]) {
        let fits = if self.plain.is_empty() {
            payload.len().min(self.room.capacity() - self.room.len())
        } else {
            0
        };
        self.room.extend_from_slice(&payload[..fits]);
        self.plain.extend_from_slice(&payload[fits..]);
    }
}

/// Appends what is written into as much room as that needs.
fn put(
    out: &mut Vec<u8>,
    payload: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Next {
    let start = out.len();
    let mut size = payload + (payload / RECORD + 1) * RECORD_EXTRA;
    loop {
        out.resize(start + size, 0);
        match write(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Next::Waits;
            }
            Err(EncryptError::InsufficientSize(needed)) if needed.required_size > size => {
                size = needed.required_size;
            }
            Err(_) => {
                out.truncate(start);
                return Next::Fails(TlsFault::Broken);
            }
        }
    }
}

/// The fault that a user is told for an error of rustls.
fn fault_of(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(error) => TlsFault::Certificate(certificate_fault(error)),
        Error::AlertReceived(alert) => TlsFault::Alert((*alert).into()),
        Error::NoApplicationProtocol => TlsFault::NoProtocol,
        // The server's own choice of a certificate makes it, see `ServerTls`.
        Error::General(_) => TlsFault::NoProtocol,
        // The second: a hello of 20 to 24 bytes begins as a record does.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsFault::NotTls,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => TlsFault::Version,
        Error::PeerIncompatible(_) => TlsFault::Incompatible,
        _ => TlsFault::Broken,
    }
}

fn certificate_fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateFault::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::Name
        }
        // A wrong signature is that of another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateFault::Issuer
        }
        CertificateError::Revoked => CertificateFault::Revoked,
        _ => CertificateFault::Bad,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_open", &self.is_open)
            .field("has_ended", &self.has_ended)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
