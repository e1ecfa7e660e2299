//! A file of tokens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use masep_proto::access::{Digest, Grant, GrantError, Grants};
use masep_proto::{PeerId, Role};
use serde::Deserialize;

use crate::whole_file::{self, Stamp};

/// The most bytes of such a file: ten thousand tokens.
const MOST_BYTES: u64 = 4 << 20;

/// The reason why a file has no tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("cannot read the tokens of {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is no file of tokens.
    #[error("{} is no file of tokens: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason, with the line.
        reason: String,
    },
    /// Two of its tokens are the same.
    #[error("{} is no file of tokens: {source}", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// Which.
        source: GrantError,
    },
}

/// A file as it was read last.
pub(super) struct TokenFile {
    path: PathBuf,
    stamp: Stamp,
    text: String,
    /// The last complaint, which is not repeated.
    complaint: String,
}

impl TokenFile {
    pub(super) fn open(path: PathBuf) -> Result<(Self, Grants), TokenFileError> {
        let file = fs::File::open(&path).map_err(|source| cannot_read(&path, source))?;
        let (stamp, text) = read(&path, &file)?;
        let grants = parse(&path, &text)?;
        let file = Self {
            path,
            stamp,
            text,
            complaint: String::new(),
        };
        Ok((file, grants))
    }

    /// The tokens, if they are others than when this was called last.
    pub(super) fn read_anew(&mut self) -> Option<Grants> {
        match self.try_read_anew() {
            Ok(grants) => {
                self.complaint.clear();
                grants
            }
            Err(error) => {
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::warn!("the tokens stay as they are: {complaint}");
                    self.complaint = complaint;
                }
                None
            }
        }
    }

    fn try_read_anew(&mut self) -> Result<Option<Grants>, TokenFileError> {
        let now = fs::metadata(&self.path).map_err(|source| cannot_read(&self.path, source))?;
        let now = Stamp::of(&now);
        let is_fresh = now.is_fresh(SystemTime::now());
        if self.stamp == now && !is_fresh && self.complaint.is_empty() {
            return Ok(None);
        }
        let file = whole_file::open_again(&self.path);
        let file = file.map_err(|source| cannot_read(&self.path, source))?;
        let (stamp, text) = read(&self.path, &file)?;
        self.stamp = stamp;
        if text == self.text {
            return Ok(None);
        }
        let grants = parse(&self.path, &text)?;
        self.text = text;
        tracing::info!(tokens = grants.len(), "the tokens were read anew");
        Ok(Some(grants))
    }
}

fn cannot_read(path: &Path, source: io::Error) -> TokenFileError {
    TokenFileError::Io {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path, file: &fs::File) -> Result<(Stamp, String), TokenFileError> {
    let read = || {
        let stamp = Stamp::of(&file.metadata()?);
        let text = String::from_utf8(whole_file::read_all(file, MOST_BYTES)?);
        let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"));
        Ok((stamp, text?))
    };
    read().map_err(|source| cannot_read(path, source))
}

/// The content of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    roles: Vec<RoleName>,
    #[serde(default)]
    games: Vec<String>,
    #[serde(default)]
    seats: Vec<String>,
    expires: Option<toml::value::Datetime>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    Actor,
    Observer,
}

fn parse(path: &Path, text: &str) -> Result<Grants, TokenFileError> {
    let invalid = |reason| TokenFileError::Invalid {
        path: path.to_owned(),
        reason,
    };
    // A line of the file may have a token in it by mistake: only the place of an error is told.
    let content: Content = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..text.floor_char_boundary(at)].matches('\n').count() + 1;
        invalid(format!("line {line}: {}", without_values(error.message())))
    })?;
    let mut grants = Grants::default();
    for entry in content.token {
        let (digest, grant) = entry.read().map_err(invalid)?;
        let added = grants.add(digest, grant);
        added.map_err(|source| TokenFileError::Twice {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(grants)
}

/// The message of an error without what may be a token in it.
fn without_values(message: &str) -> String {
    let quoted = message.find('"').zip(message.rfind('"'));
    let message = match quoted {
        Some((from, to)) if from < to => format!("{}...{}", &message[..=from], &message[to..]),
        _ => message.to_owned(),
    };
    let word = |word| if str::len(word) > 24 { "..." } else { word };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

impl Entry {
    fn read(self) -> Result<(Digest, Grant), String> {
        let name = &self.name;
        let digest = self.sha256.parse();
        let digest: Digest = digest.map_err(|error| format!("sha256 of {name:?}: {error}"))?;
        let mut grant = Grant::new(&*self.name);
        grant.ids = self.ids.into_iter().map(PeerId::from).collect();
        grant.roles = self.roles.into_iter().map(Role::from).collect();
        grant.games = self.games.into_iter().map(Into::into).collect();
        grant.seats = self.seats.into_iter().map(Into::into).collect();
        if let Some(expires) = self.expires {
            let time = humantime::parse_rfc3339(&expires.to_string());
            let time = time.map_err(|_| {
                format!("expires of {name:?}: a time in UTC, as 2027-01-31T12:00:00Z, is wanted")
            })?;
            grant.expires = Some(time);
        }
        Ok((digest, grant))
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Actor => Self::Actor,
            RoleName::Observer => Self::Observer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parsed(text: &str) -> Result<Grants, String> {
        parse(Path::new("tokens.toml"), text).map_err(|error| error.to_string())
    }

    fn entry(more: &str) -> String {
        let digest = "ab".repeat(32);
        format!("[[token]]\nname = \"lab3\"\nsha256 = \"{digest}\"\n{more}\n")
    }

    #[test]
    fn an_entry_says_all_that_a_token_may() {
        let text = entry(concat!(
            "ids = ['a', 'b']\nroles = ['actor']\ngames = ['pkg.Game']\nseats = ['red']\n",
            "expires = 2027-01-31T12:00:00Z"
        ));
        let grants = parsed(&text).unwrap();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_801_396_800);
        let expected = Grant::new("lab3").id("a").id("b").role(Role::Actor);
        let expected = expected.game("pkg.Game").seat("red").expires(expires);
        assert_eq!(grants.iter().collect::<Vec<_>>(), [&expected]);

        let grants = parsed(&entry("")).unwrap();
        assert_eq!(grants.iter().collect::<Vec<_>>(), [&Grant::new("lab3")]);
        assert!(parsed("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_entry_is_an_error_with_its_place() {
        let twice = entry("") + &entry("");
        let same_name = entry("") + &entry("").replace("abab", "cdcd");
        for (text, expected) in [
            (entry("role = ['actor']"), "line 4: unknown field `role`"),
            (entry("roles = ['king']"), "line 4: unknown variant `king`"),
            (entry("expires = 2027-01-31"), "in UTC"),
            (entry("expires = 2027-01-31T12:00:00+01:00"), "in UTC"),
            ("[[token]]\nname = 'a'".into(), "missing field `sha256`"),
            (
                "[[token]]\nname = 'a'\nsha256 = 'b'".into(),
                "64 hexadecimal digits",
            ),
            ("tokens = []".into(), "line 1: unknown field"),
            (twice, "are the same token"),
            (same_name, "two tokens with the name \"lab3\""),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_token_in_place_of_its_digest_is_not_shown() {
        let error = parsed("[[token]]\nname = 'a'\nsha256 = 'a secret'").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        for text in [
            "[[token]]\nname = 'a'\nsha256 = a-secret",
            "token = 'a-secret'",
            "[[token]]\nname = 'a'\nexpires = 'a-secret'",
            "[[token]]\nname = 'a'\nroles = ['a-secret-of-many-characters']",
        ] {
            let error = parsed(text).unwrap_err();
            assert!(!error.contains("a-secret"), "{error}");
        }
    }
}
