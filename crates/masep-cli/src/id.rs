//! Ids of our own.

use std::hash::{BuildHasher, RandomState};

use masep::Limits;
use masep_proto::connection::Config;

use crate::commands::EVERYONE;

/// An id that nobody else has: the name and 64 random bits. (pymasep takes a UUID; any text is an
/// id, and one that says what it is reads better in a log.)
pub(crate) fn random(name: &str) -> String {
    // The keys of the standard library's hash maps are random, which is enough to be different.
    format!(
        "{name}-{:016x}",
        RandomState::new().hash_one(std::process::id())
    )
}

/// Takes an id that a peer can take.
pub(crate) fn parse(id: &str) -> Result<String, String> {
    if id == EVERYONE {
        return Err(format!("{id:?} means all who are connected"));
    }
    match Config::new(id, Limits::default()) {
        Ok(_) => Ok(id.to_owned()),
        Err(error) => Err(match error {
            masep_proto::HelloError::Bye => "BYE is the word that ends a connection".to_owned(),
            error => error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_that_a_hello_can_carry() {
        assert_eq!(parse("engine-é").as_deref(), Ok("engine-é"));
        assert!(parse("BYE").unwrap_err().contains("ends a connection"));
        assert!(parse("*").unwrap_err().contains("all who are connected"));
        let error = parse(&"x".repeat(1_025)).unwrap_err();
        assert!(error.contains("1025") && error.contains("1024"), "{error}");
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(random("engine"), random("engine"));
    }
}
