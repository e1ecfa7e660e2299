//! Files of a certificate and a key that change.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;

use super::ServerTls;
use super::server::Content;
use crate::TlsError;
use crate::whole_file::Stamp;

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
    /// Another content could have had the same stamps then.
    was_fresh: bool,
    /// The content that was read last, if it could be.
    content: Option<Content>,
    looked_at: Instant,
    config: Arc<ServerConfig>,
    state: CertificateState,
}

impl Reload {
    pub(super) fn begin(source: ServerTls, now: Instant) -> Result<Self, TlsError> {
        let stamps = source.stamps();
        let content = source.read()?;
        let config = source.load(&content)?;
        Ok(Self {
            source,
            stamps,
            was_fresh: are_fresh(&stamps, SystemTime::now()),
            content: Some(content),
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
        self.look_at(stamps, SystemTime::now());
    }

    fn look_at(&mut self, stamps: Stamps, date: SystemTime) {
        let have_changed = stamps != self.stamps;
        // A file that was not read, for want of a descriptor for example, is read again though it does not change.
        if !have_changed && !self.was_fresh && self.content.is_some() {
            return;
        }
        self.stamps = stamps;
        self.was_fresh = are_fresh(&stamps, date);
        match self.source.read_again() {
            Ok(content) if !have_changed && self.content.as_ref() == Some(&content) => {}
            Ok(content) => {
                let config = self.source.load(&content);
                self.content = Some(content);
                match config {
                    Ok(config) => self.renew(config),
                    Err(error) => self.complain(error),
                }
            }
            Err(error) => {
                self.content = None;
                self.complain(error);
            }
        }
    }

    fn renew(&mut self, config: Arc<ServerConfig>) {
        tracing::info!("the certificate was read anew");
        self.config = config;
        self.state.loads += 1;
        self.state.error = None;
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

fn are_fresh((certificate, key): &Stamps, date: SystemTime) -> bool {
    let stamps = certificate.iter().chain(key);
    stamps.into_iter().any(|stamp| stamp.is_fresh(date))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    use super::*;

    /// A file of a test, which is removed with this.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            Self(env::temp_dir().join(format!("masep-{}-{name}", process::id())))
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn write(path: &Path) {
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        fs::write(path, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    }

    /// Two changes in one tick of the file system's clock, between which the files were looked at.
    #[test]
    fn a_file_that_changed_twice_in_one_tick_is_read_twice() {
        const TICK: Duration = Duration::from_secs(2);
        let file = Temporary::new("both.pem");
        let path = &*file.0;
        write(path);
        let mut reload = Reload::begin(ServerTls::files(path, path), Instant::now()).unwrap();
        let stamp = Stamp::of(&fs::metadata(path).unwrap());
        let stamps = (Some(stamp), Some(stamp));
        let date = SystemTime::now();
        reload.look_at(stamps, date);
        assert_eq!(reload.state.loads, 1, "it has not changed");

        write(path);
        reload.look_at(stamps, date);
        assert_eq!(reload.state.loads, 2);
        // The last look is at a file that has been as it is for a while.
        write(path);
        reload.look_at(stamps, date + 2 * TICK);
        assert_eq!(reload.state.loads, 3);
        write(path);
        reload.look_at(stamps, date + 2 * TICK);
        assert_eq!(reload.state.loads, 3, "it was read though it was settled");

        // Broken in such a moment, and whole again.
        reload.was_fresh = true;
        fs::write(path, "no PEM").unwrap();
        reload.look_at(stamps, date);
        assert!(reload.state.error.is_some());
        write(path);
        reload.look_at(stamps, date);
        assert_eq!(
            (reload.state.loads, reload.state.error.is_none()),
            (4, true)
        );
    }
}
