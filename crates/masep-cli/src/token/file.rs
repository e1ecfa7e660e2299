//! The file of tokens, changed in one step and with what people have written in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use masep::access::{Digest, Grant, Tokens};
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, Item, Table, value};

use crate::error::Error;
use crate::files::{self, Readers};

/// The fault of tokens that a server takes, and that cannot be changed here.
const OTHERWISE: &str = "its tokens are not written as [[token]]: change it by hand";

/// The key under which the tokens stand.
const TOKEN: &str = "token";

/// Changes the file, or makes it: whoever reads it sees all of the change or nothing, and two changes at the same
/// time are made one after the other.
pub(super) fn change(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), String>,
) -> Result<(), Error> {
    let unusable =
        |error: &dyn std::fmt::Display| Error::Unusable(format!("{}: {error}", path.display()));
    // A symbolic link stays one.
    let path = &files::place(path);
    files::check_is_file(path).map_err(|error| unusable(&error))?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let lock = File::open(&directory).map_err(|error| unusable(&error))?;
    lock.lock().map_err(|error| unusable(&error))?;
    let text = match files::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unusable(&error)),
    };
    if !text.is_empty() {
        check(path)?;
    }
    let mut document: DocumentMut = text.parse().map_err(|_| unusable(&"it is no TOML"))?;
    change(&mut document).map_err(|reason| unusable(&reason))?;
    files::replace(path, &document.to_string(), Readers::Owner).map_err(Error::writing(path))
}

/// Fails if a server would not take the file.
fn check(path: &Path) -> Result<(), Error> {
    let tokens = Tokens::file(path);
    tokens
        .map(drop)
        .map_err(|error| Error::Unusable(error.to_string()))
}

/// Adds a token.
pub(super) fn add(document: &mut DocumentMut, digest: Digest, grant: &Grant) -> Result<(), String> {
    // Text behind the last one stays in front of the new one.
    let behind = document.trailing().as_str().unwrap_or_default().to_owned();
    document.set_trailing("");
    let tokens = document
        .entry(TOKEN)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tokens = tokens.as_array_of_tables_mut().ok_or(OTHERWISE)?;
    if tokens.iter().any(|table| is_named(table, &grant.name)) {
        return Err(format!("there is a token with the name {:?}", &*grant.name));
    }
    let mut table = Table::new();
    let gap = if tokens.is_empty() { "" } else { "\n" };
    table.decor_mut().set_prefix(format!("{behind}{gap}"));
    table.insert("name", value(&*grant.name));
    table.insert("sha256", value(digest.to_string()));
    let roles = grant.roles.iter().map(|role| role.hello_name());
    put(&mut table, "roles", roles);
    put(&mut table, "ids", grant.ids.iter().map(|id| id.as_str()));
    put(&mut table, "games", grant.games.iter().map(|game| &**game));
    put(&mut table, "seats", grant.seats.iter().map(|seat| &**seat));
    if let Some(expires) = grant.expires {
        let expires: Datetime = rfc3339(expires)
            .parse()
            .map_err(|_| "its end is too far away")?;
        table.insert("expires", value(expires));
    }
    tokens.push(table);
    Ok(())
}

fn put<'a>(table: &mut Table, key: &str, values: impl Iterator<Item = &'a str>) {
    let array: Array = values.collect();
    if !array.is_empty() {
        table.insert(key, value(array));
    }
}

/// Takes a token out. The comments in front of it stay.
pub(super) fn remove(document: &mut DocumentMut, name: &str) -> Result<(), String> {
    let tokens = match document.get_mut(TOKEN) {
        Some(item) => Some(item.as_array_of_tables_mut().ok_or(OTHERWISE)?),
        None => None,
    };
    let found = tokens.and_then(|tokens| {
        let at = tokens.iter().position(|table| is_named(table, name))?;
        let comments = tokens.get(at).map(prefix).unwrap_or_default();
        tokens.remove(at);
        if let Some(next) = tokens.get_mut(at) {
            let comments = comments + &prefix(next);
            next.decor_mut().set_prefix(comments);
            return Some(String::new());
        }
        Some(comments)
    });
    let comments = found.ok_or_else(|| format!("there is no token with the name {name:?}"))?;
    let behind = document.trailing().as_str().unwrap_or_default();
    document.set_trailing(comments + behind);
    Ok(())
}

/// The text in front of a token.
fn prefix(table: &Table) -> String {
    let prefix = table.decor().prefix().and_then(|prefix| prefix.as_str());
    prefix.unwrap_or_default().to_owned()
}

fn is_named(table: &Table, name: &str) -> bool {
    table.get("name").and_then(Item::as_str) == Some(name)
}

/// A time as the file has it: in UTC, to the second.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stay_and_names_are_there_once() {
        let mut document: DocumentMut = "# ours\n".parse().unwrap();
        let digest = |text| Digest::of(&masep::AccessToken::from(text));
        add(&mut document, digest("a"), &Grant::new("a").seat("red")).unwrap();
        add(&mut document, digest("b"), &Grant::new("b")).unwrap();
        let twice = add(&mut document, digest("c"), &Grant::new("b"));
        assert!(twice.unwrap_err().contains("\"b\""));
        remove(&mut document, "a").unwrap();
        assert!(remove(&mut document, "a").is_err());
        let text = document.to_string();
        assert!(
            text.contains("# ours") && text.contains("name = \"b\""),
            "{text}"
        );
        assert!(!text.contains("seats"), "{text}");
    }
}
