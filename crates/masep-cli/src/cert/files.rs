//! The files of a CA and of its certificates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::files::{self, Readers, Written};

/// The names of the files.
pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca-key.pem";
pub(super) const SERVER: &str = "server.pem";
pub(super) const SERVER_KEY: &str = "server-key.pem";

/// Where they are.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// One that is there, or is made.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(|error| failed("make the directory", path, &error))?;
        Ok(Self(path.to_owned()))
    }

    /// The path of a file, to be shown.
    pub(super) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A file, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.0.join(name);
        match files::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Writes a secret for its owner alone, and what belongs to it for everybody: both, or if the disk is full none.
    pub(super) fn write_pair(
        &self,
        secret: (&str, &str),
        public: (&str, &str),
    ) -> Result<(), Error> {
        let write = |(name, text): (&str, &str), readers| {
            let path = self.0.join(name);
            Written::beside(&path, text, readers).map_err(Error::writing(&path))
        };
        let written = [write(secret, Readers::Owner)?, write(public, Readers::All)?];
        for (file, (name, _)) in written.into_iter().zip([secret, public]) {
            file.put_in_place()
                .map_err(Error::writing(&self.0.join(name)))?;
        }
        Ok(())
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::Certificate(format!("cannot {verb} {}: {error}", path.display()))
}

/// True if this PEM is a certificate of this public key and name. Both stand in it as they are here.
pub(super) fn is_of_key(pem: &str, public_key: &[u8], name: &str) -> bool {
    let lines = pem.lines().map(str::trim);
    let body = lines
        .skip_while(|line| *line != "-----BEGIN CERTIFICATE-----")
        .skip(1)
        .take_while(|line| *line != "-----END CERTIFICATE-----");
    let Ok(der) = STANDARD.decode(body.collect::<String>()) else {
        return false;
    };
    let has = |part: &[u8]| !part.is_empty() && der.windows(part.len()).any(|it| it == part);
    has(public_key) && has(name.as_bytes())
}
