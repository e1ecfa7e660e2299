//! Control messages of protocol 2 to JSON, to be looked at.

use serde_json::{Map, Value as Json, json};

use super::write::{self, Arrays};
use crate::protocol2::{Bye, Control, Hello, Notice, Rejected, Welcome};
use crate::{Dict, LimitExceeded};

/// The text in place of a secret.
const HIDDEN: &str = "...";

type Object = Map<String, Json>;

pub(super) fn write(control: &Control) -> Result<Object, LimitExceeded> {
    let mut object = Object::new();
    let to = &mut object;
    match control {
        Control::Hello(it) => hello(to, it)?,
        Control::Welcome(it) => welcome(to, it)?,
        Control::Rejected(it) => rejected(to, it),
        Control::Bye(it) => bye(to, it),
        Control::Ping(token) | Control::Pong(token) => put(to, "token", hex::encode(token)),
        Control::Notice(it) => notice(to, it)?,
    }
    Ok(object)
}

pub(super) const fn name(control: &Control) -> &'static str {
    match control {
        Control::Hello(_) => "hello",
        Control::Welcome(_) => "welcome",
        Control::Rejected(_) => "rejected",
        Control::Bye(_) => "bye",
        Control::Ping(_) => "ping",
        Control::Pong(_) => "pong",
        Control::Notice(_) => "notice",
    }
}

fn hello(to: &mut Object, it: &Hello) -> Result<(), LimitExceeded> {
    put(to, "v", json!([it.versions.0, it.versions.1]));
    put(to, "id", it.id.as_str());
    text(to, "role", it.role.as_deref());
    text(to, "game", it.game.as_deref());
    text(to, "table", it.table.as_deref());
    text(to, "seat", it.seat.as_deref());
    text(to, "token", it.token.as_ref().map(|_| HIDDEN));
    text(to, "resume", it.resume.as_ref().map(|_| HIDDEN));
    text(to, "profile", it.profile.as_deref());
    dict(to, "make", it.make.as_ref())?;
    put(to, "max", it.max);
    features(to, &it.features);
    text(
        to,
        "agent",
        Some(&*it.agent).filter(|agent| !agent.is_empty()),
    );
    Ok(())
}

fn welcome(to: &mut Object, it: &Welcome) -> Result<(), LimitExceeded> {
    put(to, "v", it.version);
    put(to, "id", it.id.as_str());
    put(to, "max", it.max);
    features(to, &it.features);
    put(to, "heartbeat_ms", it.heartbeat_ms);
    text(to, "instance", it.instance.as_deref());
    text(to, "seat", it.seat.as_deref());
    text(to, "resume", it.resume.as_ref().map(|_| HIDDEN));
    number(to, "epoch", it.epoch);
    dict(to, "last", it.last.as_ref())?;
    number(to, "grace_ms", it.grace_ms);
    text(to, "game", it.game.as_deref());
    number(to, "seats", it.seats);
    number(to, "free", it.free);
    text(to, "profile", it.profile.as_deref());
    Ok(())
}

fn rejected(to: &mut Object, it: &Rejected) {
    put(to, "code", &*it.code);
    put(to, "text", &*it.text);
    put(to, "v", json!([it.versions.0, it.versions.1]));
    number(to, "retry_ms", it.retry_ms);
}

fn bye(to: &mut Object, it: &Bye) {
    put(to, "code", &*it.code);
    put(to, "text", &*it.text);
    if let Some(may_return) = it.may_return {
        put(to, "may_return", may_return);
    }
}

fn notice(to: &mut Object, it: &Notice) -> Result<(), LimitExceeded> {
    put(to, "code", &*it.code);
    put(to, "text", &*it.text);
    dict(to, "about", it.about.as_ref())
}

fn put(to: &mut Object, key: &str, value: impl Into<Json>) {
    to.insert(key.to_owned(), value.into());
}

fn text(to: &mut Object, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        put(to, key, value);
    }
}

fn number(to: &mut Object, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        put(to, key, value);
    }
}

fn features(to: &mut Object, features: &[bytestring::ByteString]) {
    if !features.is_empty() {
        let names = features.iter().map(|name| Json::from(&**name));
        put(to, "features", Json::Array(names.collect()));
    }
}

fn dict(to: &mut Object, key: &str, value: Option<&Dict>) -> Result<(), LimitExceeded> {
    if let Some(value) = value {
        put(
            to,
            key,
            write::value(&value.clone().into(), Arrays::Summary)?,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol2::AccessToken;

    #[test]
    fn all_is_shown_but_secrets() {
        let mut hello = Hello::new("a".into(), 7);
        hello.token = Some(AccessToken::from("access"));
        hello.resume = Some("life.00".into());
        hello.make = Some(Dict::from([("n", 1)]));
        hello.features = vec!["pong_in_call".into()];
        let shown = Json::Object(Control::Hello(Box::new(hello)).to_json().unwrap());
        let expected = json!({
            "v": [2, 2], "id": "a", "token": "...", "resume": "...", "make": {"n": 1}, "max": 7,
            "features": ["pong_in_call"],
        });
        assert_eq!(shown, expected);
        let mut welcome = Welcome::new("e".into(), 7);
        welcome.resume = Some("life.00".into());
        welcome.last = Some(Dict::from([("how", "played")]));
        welcome.epoch = Some(2);
        welcome.profile = Some("environment/1".into());
        let shown = Json::Object(Control::Welcome(Box::new(welcome)).to_json().unwrap());
        let expected = json!({
            "v": 2, "id": "e", "max": 7, "heartbeat_ms": 0, "resume": "...", "epoch": 2,
            "last": {"how": "played"}, "profile": "environment/1",
        });
        assert_eq!(shown, expected);
        let bye = Control::Bye(Bye::new("full", "x").may_return(false));
        let expected = json!({"code": "full", "text": "x", "may_return": false});
        assert_eq!(Json::Object(bye.to_json().unwrap()), expected);
        assert_eq!(bye.name(), "bye");
    }
}
