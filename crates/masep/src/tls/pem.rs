//! Certificates and keys in the form PEM, in files or in memory.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{TlsError, whole_file};

/// The largest file that is read: a bundle of a system's authorities has a quarter of that.
const MOST_BYTES: u64 = 1 << 20;

/// A file that was changed within this time may change again without another time of change: clocks of file systems tick.
const TICK: Duration = Duration::from_secs(2);

/// The place where there is PEM.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

/// The facts about a file that differ when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Source {
    pub(super) fn read(&self) -> Result<Arc<[u8]>, TlsError> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path) => File::open(path)
                .and_then(|file| whole_file::read_all(&file, MOST_BYTES))
                .map(Arc::from)
                .map_err(|source| cannot_read(path, source)),
        }
    }

    /// An error if this is a file that is not to be read again: nobody waits for its writer, or for its end.
    pub(super) fn check_again(&self) -> Result<(), TlsError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(path) => whole_file::open_again(path)
                .map(drop)
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

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.read()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(|error| self.unreadable(&error))?;
        if found.is_empty() {
            return Err(TlsError::NoCertificate(self.to_string()));
        }
        Ok(found)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.read()?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
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

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            changed: metadata.modified().ok(),
            bytes: metadata.len(),
            inode: metadata.ino(),
        }
    }

    /// True if a file of this stamp has been so for a while: another content would have another stamp.
    pub(super) fn is_settled(&self) -> bool {
        let age = self.changed.and_then(|it| it.elapsed().ok());
        age.is_some_and(|age| age >= TICK)
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
