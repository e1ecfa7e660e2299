//! Certificates and keys in the form PEM, in files or in memory.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;
use crate::whole_file::{self, Stamp};

/// The largest file that is read: a bundle of a system's authorities has a quarter of that.
const MOST_BYTES: u64 = 1 << 20;

/// The place where there is PEM.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

impl Source {
    pub(super) fn read(&self) -> Result<Arc<[u8]>, TlsError> {
        self.read_by(|path| File::open(path))
    }

    /// As [`read`](Self::read), what was read before. Nobody waits for a writer, or for an end.
    pub(super) fn read_again(&self) -> Result<Arc<[u8]>, TlsError> {
        self.read_by(whole_file::open_again)
    }

    fn read_by(&self, open: impl Fn(&Path) -> io::Result<File>) -> Result<Arc<[u8]>, TlsError> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path) => open(path)
                .and_then(|file| whole_file::read_all(&file, MOST_BYTES))
                .map(Arc::from)
                .map_err(|source| cannot_read(path, source)),
        }
    }

    /// `None` for what is in memory, and for a file that is not there.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let Self::File(path) = self else {
            return None;
        };
        fs::metadata(path).ok().map(|found| Stamp::of(&found))
    }

    /// The certificates in the bytes that were read of it.
    pub(super) fn certificates(
        &self,
        bytes: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        let found = found.map_err(|error| self.unreadable(&error))?;
        if found.is_empty() {
            return Err(TlsError::NoCertificate(self.to_string()));
        }
        Ok(found)
    }

    /// The key in the bytes that were read of it.
    pub(super) fn key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(self.to_string()),
            error => self.unreadable(&error),
        })
    }

    fn unreadable(&self, error: &pem::Error) -> TlsError {
        // The error may have a line of a key in it.
        let what = match error {
            pem::Error::Base64Decode(_) => "its base64 is damaged",
            pem::Error::MissingSectionEnd { .. } => "a section has no end",
            _ => "it is no PEM",
        };
        TlsError::Pem(self.to_string(), what)
    }
}

fn cannot_read(path: &Path, source: io::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

/// Never what is in it: that may be a key.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory(_) => f.write_str("the PEM that was given"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Memory(_) => f.write_str("in memory"),
        }
    }
}
