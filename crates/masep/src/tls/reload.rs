//! Files of a certificate and a key that change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::ServerTls;
use super::pem::Stamp;
use crate::TlsError;

/// The time in which the files are looked at once.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// Those of the certificate and of the key.
pub(super) type Stamps = (Option<Stamp>, Option<Stamp>);

/// The state of a server's certificate, see [`Server::certificate`](crate::Server::certificate).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CertificateState {
    /// The number of times it was read: once at the start, and each time that a file had changed.
    pub loads: u64,
    /// The reason why the files, as they are now, are not in use, but what they were before. `None` if they are.
    pub error: Option<TlsError>,
}

/// The certificate and the key that are in use, and where they are from.
#[derive(Debug)]
pub(super) struct Reload {
    source: ServerTls,
    /// The files as they were when they were read last, whatever came of that.
    stamps: Stamps,
    looked_at: Instant,
    config: Arc<ServerConfig>,
    state: CertificateState,
}

impl Reload {
    pub(super) fn begin(source: ServerTls, now: Instant) -> Result<Self, TlsError> {
        let stamps = source.stamps();
        let config = source.load()?;
        Ok(Self {
            source,
            stamps,
            looked_at: now,
            config,
            state: CertificateState {
                loads: 1,
                error: None,
            },
        })
    }

    /// The configuration for a connection that begins now.
    pub(super) fn current(&mut self, now: Instant) -> Arc<ServerConfig> {
        self.look(now);
        self.config.clone()
    }

    pub(super) fn state(&mut self, now: Instant) -> CertificateState {
        self.look(now);
        self.state.clone()
    }

    fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked_at) < LOOK_TIME {
            return;
        }
        self.looked_at = now;
        // Before they are read: what changes meanwhile is found the next time.
        let stamps = self.source.stamps();
        // A file that was not read, for want of a descriptor for example, is read again though it does not change.
        let is_unread = matches!(self.state.error, Some(TlsError::File { .. }));
        if stamps == self.stamps && !is_unread {
            return;
        }
        self.stamps = stamps;
        match self.source.load_again() {
            Ok(config) => {
                tracing::info!("the certificate was read anew");
                self.config = config;
                self.state.loads += 1;
                self.state.error = None;
            }
            Err(error) => self.complain(error),
        }
    }

    fn complain(&mut self, error: TlsError) {
        let complaint = error.to_string();
        let last = self.state.error.replace(error);
        if last.is_none_or(|last| last.to_string() != complaint) {
            tracing::warn!(
                "the certificate stays as it was, since the new one is of no use: {complaint}"
            );
        }
    }
}
