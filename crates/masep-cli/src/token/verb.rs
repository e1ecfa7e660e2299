//! `masep token`: the tokens of a server.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use masep::access::{Digest, Grant, Tokens, generate_token};
use masep::{ConnectionString, PeerId, Role, TypeName};
use masep_proto::protocol2::is_sayable;
use serde::Serialize;

use super::file;
use crate::error::Error;
use crate::files;
use crate::output::Output;
use crate::status::Status;
use crate::{id, join};

const LONG_ABOUT: &str = "\
Make, list and remove the access tokens of a server.

`masep serve --tokens FILE` takes those who have a token of the file, and nobody else. The file has the SHA-256 of each token, and \
what its holder may do; the token itself is printed once, by new, and is nowhere else. A running server reads \
the file anew when it changes: a token that is removed ends its connections.";

const EXAMPLE: &str = "\
Example: a server, and a player of it
  $ masep token new --name lab3 --role actor --game pursuit.PursuitGame \\
        --address unix:///run/game.sock > lab3.token
  $ masep serve unix:///run/game.sock --tokens tokens.toml
  $ masep join --token-file lab3.token
";

/// Make, list and remove the access tokens of a server
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct TokenVerb {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    New(New),
    List(List),
    Remove(Remove),
}

/// Add a token to the file, and print it: the only time that it is shown
///
/// A right without an option of its own is not bounded: a token without --role is for players and observers.
#[derive(Debug, Args)]
#[command(after_long_help = NEW_EXAMPLE)]
struct New {
    /// The name by which the token is known, in the file, in events, and to kick and ban
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: String,

    /// The role that its holder may have; may be said twice
    #[arg(long, value_name = "ROLE", value_enum)]
    role: Vec<RoleName>,

    /// A game that its holder may join, as the name of its class; may be repeated, as --seat and --id
    #[arg(long, value_name = "CLASS", value_parser = join::parse_game)]
    game: Vec<TypeName>,

    /// A seat that its holder may have
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    seat: Vec<String>,

    /// An id under which its holder may come
    #[arg(long, value_name = "ID", value_parser = id::parse)]
    id: Vec<String>,

    /// When it ends: a time in UTC such as 2027-01-31T12:00:00Z, or from now such as 30d [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    expires: Option<SystemTime>,

    /// The server's address, with its scheme: then it is printed in front of the token, and who has that line needs no other
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// The certificate of the authority (CA) for the server's TLS, whose SHA-256 is printed behind the token
    ///
    /// A client with the line then needs no file of certificates. The chain of certificates that the server shows has
    /// to contain it, and may be for any name: this is for an authority of your own, as `masep cert` makes it, and not for a
    /// public one.
    #[arg(long, value_name = "FILE", requires = "address")]
    tls_ca: Option<PathBuf>,

    #[command(flatten)]
    file: FileOption,
}

const LIST_EXAMPLE: &str = "\
Example
  $ masep token list
  {\"name\":\"lab3\",\"roles\":[\"actor\"],\"games\":[\"pursuit.PursuitGame\"]}
";

const REMOVE_EXAMPLE: &str = "\
Example: its connections end within a second
  $ masep token remove lab3
";

const NEW_EXAMPLE: &str = "\
Example: for players of one game, at a server in TLS, for thirty days
  $ masep token new --name lab3 --role actor --game pursuit.PursuitGame --expires 30d \\
        --address engine.lan:60443 --tls-ca ca.pem > lab3.token
  $ masep join --token-file lab3.token --turns --game pursuit.PursuitGame
";

/// Print the tokens of the file, one object of JSON a line: what each may do, and not the token
#[derive(Debug, Args)]
#[command(after_long_help = LIST_EXAMPLE)]
struct List {
    #[command(flatten)]
    file: FileOption,
}

/// Take a token out of the file
#[derive(Debug, Args)]
#[command(after_long_help = REMOVE_EXAMPLE)]
struct Remove {
    /// The token's name
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    file: FileOption,
}

#[derive(Debug, Args)]
struct FileOption {
    /// The file of tokens; new makes it if it is not there
    #[arg(long = "file", value_name = "FILE", default_value = "tokens.toml")]
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Plays
    Actor,
    /// Watches
    Observer,
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Actor => Self::Actor,
            RoleName::Observer => Self::Observer,
        }
    }
}

impl TokenVerb {
    pub(crate) fn run(self) -> Result<Status, Error> {
        match self.act {
            Act::New(new) => new.run(),
            Act::List(list) => list.run(),
            Act::Remove(remove) => remove.run(),
        }
    }
}

impl New {
    fn run(self) -> Result<Status, Error> {
        let token = generate_token().map_err(Error::Start)?;
        let ca = self.tls_ca.as_deref().map(ca_digest).transpose()?;
        let line = match &self.address {
            None => token.reveal().to_owned(),
            Some(address) => ConnectionString::new(with_scheme(address, ca), token.clone(), ca)
                .map_err(|_| Error::Usage(format!("{address:?} is no address to connect to")))?
                .reveal(),
        };
        let digest = Digest::of(&token);
        let path = &self.file.path;
        file::change(path, |document| file::add(document, digest, &self.grant()))?;
        let mut output = Output::new(io::stdout().lock());
        let printed = output.text(&line).and_then(|()| output.flush());
        if let Err(error) = printed {
            // Nobody has it, and nobody will.
            file::change(path, |document| file::remove(document, &self.name))?;
            return Err(Error::NotPrinted(Box::new(error)));
        }
        Ok(Status::Done)
    }

    fn grant(&self) -> Grant {
        let mut grant = Grant::new(&*self.name);
        grant.roles = self.role.iter().copied().map(Role::from).collect();
        grant.games = self.game.iter().map(|it| it.as_str().into()).collect();
        grant.seats = self.seat.iter().map(|it| it.as_str().into()).collect();
        grant.ids = self.id.iter().map(|it| PeerId::from(it.as_str())).collect();
        grant.expires = self.expires;
        grant
    }
}

/// The address with the scheme that goes with it.
fn with_scheme(address: &str, ca: Option<Digest>) -> String {
    match (address.contains("://"), ca) {
        (true, _) => address.to_owned(),
        (false, Some(_)) => format!("masep+tls://{address}"),
        (false, None) => format!("masep://{address}"),
    }
}

/// A token as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    games: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seats: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expired: bool,
}

impl List {
    fn run(self) -> Result<Status, Error> {
        let tokens = Tokens::file(self.file.path);
        let tokens = tokens.map_err(|error| Error::Unusable(error.to_string()))?;
        let now = SystemTime::now();
        let mut output = Output::new(io::stdout().lock());
        for grant in tokens.grants().iter() {
            let listed = Listed {
                name: &grant.name,
                roles: grant.roles.iter().map(|role| role.hello_name()).collect(),
                games: grant.games.iter().map(|game| &**game).collect(),
                seats: grant.seats.iter().map(|seat| &**seat).collect(),
                ids: grant.ids.iter().map(|id| id.as_str()).collect(),
                expires: grant.expires.map(file::rfc3339),
                expired: grant.is_expired(now),
            };
            output.json(&listed)?;
        }
        output.flush()?;
        Ok(Status::Done)
    }
}

impl Remove {
    fn run(self) -> Result<Status, Error> {
        let Self { name, file } = self;
        file::change(&file.path, |document| file::remove(document, &name))?;
        Ok(Status::Done)
    }
}

/// A name that an event, a HELLO or a line of JSON can say.
fn parse_name(text: &str) -> Result<String, &'static str> {
    is_sayable(text)
        .then(|| text.to_owned())
        .ok_or("expected 1 to 512 bytes, all printable")
}

/// The seconds until the last one that has a date of four digits, 9999-12-31T23:59:59Z.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// A time, or a time from now.
fn parse_expiry(text: &str) -> Result<SystemTime, String> {
    let now = SystemTime::now();
    if let Ok(time) = humantime::parse_rfc3339(text) {
        let is_later = time > now;
        return is_later
            .then_some(time)
            .ok_or_else(|| "that is over already".to_owned());
    }
    // Not as other times, which are no longer than anybody waits.
    let from_now = humantime::parse_duration(text).map_err(|_| {
        "expected a time in UTC such as 2027-01-31T12:00:00Z, or one from now such as 30d"
            .to_owned()
    })?;
    if from_now.is_zero() {
        return Err("that is over at once".to_owned());
    }
    let time = now
        .checked_add(from_now)
        .filter(|time| *time <= SystemTime::UNIX_EPOCH + LAST);
    time.ok_or_else(|| "that is too far away".to_owned())
}

/// The SHA-256 of the one certificate in this file.
fn ca_digest(path: &Path) -> Result<Digest, Error> {
    let unusable = |what: &str| Error::Unusable(format!("{} {what}", path.display()));
    let text = files::read(path);
    let text = text.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let mut parts = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let (Some(certificate), None) = (parts.next(), parts.next()) else {
        return Err(unusable("has to have one certificate, in PEM"));
    };
    let broken = || unusable("has no whole certificate");
    let (lines, _) = certificate
        .split_once("-----END CERTIFICATE-----")
        .ok_or_else(broken)?;
    let base64: String = lines.split_whitespace().collect();
    let der = STANDARD.decode(base64).map_err(|_| broken())?;
    Ok(Digest::of_bytes(&der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_one_from_now() {
        let time = parse_expiry("2999-01-31T12:00:00Z").map(file::rfc3339);
        assert_eq!(time.as_deref(), Ok("2999-01-31T12:00:00Z"));
        for over in ["2001-01-01T00:00:00Z", "0s"] {
            assert!(parse_expiry(over).unwrap_err().contains("over"), "{over}");
        }
        assert!(parse_expiry("30d").is_ok_and(|time| time > SystemTime::now()));
        assert!(parse_expiry("soon").is_err());
    }

    #[test]
    fn an_address_has_a_scheme() {
        let ca = Digest::of_bytes(b"");
        assert_eq!(with_scheme("a:1", None), "masep://a:1");
        assert_eq!(with_scheme("a:1", Some(ca)), "masep+tls://a:1");
        assert_eq!(with_scheme("unix:///a", Some(ca)), "unix:///a");
    }
}
