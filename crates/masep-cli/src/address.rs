//! Addresses to listen on and to connect to.

use masep::{Address, Target};
use serde::Serializer;

use crate::error::Error;
use crate::token::Credentials;

/// The variable that holds the address to use where none is given.
const VARIABLE: &str = "MASEP_ADDRESS";
/// The address to use where there is no such variable.
const DEFAULT: &str = "127.0.0.1:60000";

/// The given address, else that of `MASEP_ADDRESS`, if there is one.
pub(crate) fn or_variable(given: Option<Target>) -> Result<Option<Target>, Error> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let (None, Some(value)) = (&given, value) else {
        return Ok(given);
    };
    let value = value.to_string_lossy();
    let target = parse(&value);
    let wrong = |reason| Error::Usage(format!("{VARIABLE} is {value:?}: {reason}"));
    target.map(Some).map_err(wrong)
}

/// As [`or_variable`], else 127.0.0.1:60000.
pub(crate) fn or_default(given: Option<Target>) -> Result<Target, Error> {
    match or_variable(given)? {
        Some(target) => Ok(target),
        None => parse(DEFAULT).map_err(Error::Usage),
    }
}

/// As [`or_default`], but the address that goes with a token counts more than those that are not given.
pub(crate) fn with_token(
    given: Option<Target>,
    credentials: Option<&Credentials>,
) -> Result<Target, Error> {
    or_default(given.or_else(|| credentials?.address.clone()))
}

/// An address among the arguments. clap says itself what it was that is none.
pub(crate) fn parse(text: &str) -> Result<Target, String> {
    text.parse()
        .map_err(|error: masep::InvalidAddress| error.reason())
}

/// The same for one that may not be there.
#[expect(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn as_text_if_some<S: Serializer>(
    address: &Option<Address>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => as_text(address, serializer),
        None => serializer.serialize_none(),
    }
}

/// An address in JSON is its text.
pub(crate) fn as_text<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}
