//! The files of a CA and of its certificates.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;

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
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Writes a file for everybody to read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        self.write_as(name, text, 0o644)
    }

    /// Writes a file for its owner alone.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<(), Error> {
        self.write_as(name, text, 0o600)
    }

    /// Writes it beside, and then puts it in its place: nobody reads a half of it.
    fn write_as(&self, name: &str, text: &str, mode: u32) -> Result<(), Error> {
        let path = self.0.join(name);
        let beside = self.0.join(format!(".{name}.{}", std::process::id()));
        let written = write_new(&beside, text, mode).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            failed("write", &path, &error)
        })
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
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
