//! Access tokens, from a file or from the environment: an argument would be seen by everybody on the machine.

use std::path::Path;

use masep::AccessToken;

use crate::error::Error;

/// The variable that has the token where no file is given.
const VARIABLE: &str = "MASEP_TOKEN";

/// The token in the file, else that of `MASEP_TOKEN`, if there is one. White space around it does not count.
pub(crate) fn read(file: Option<&Path>) -> Result<Option<AccessToken>, Error> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Error::Usage(format!(
                "cannot read the token file {}: {error}",
                file.display()
            ))
        })?,
        None => match std::env::var(VARIABLE) {
            Ok(value) => value,
            Err(_) => return Ok(None),
        },
    };
    match (text.trim(), file) {
        ("", Some(file)) => Err(Error::Usage(format!(
            "the token file {} has no token",
            file.display()
        ))),
        ("", None) => Ok(None),
        (token, _) => Ok(Some(AccessToken::from(token))),
    }
}
