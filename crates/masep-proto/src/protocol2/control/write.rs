//! Control messages to CBOR.

use bytestring::ByteString;

use super::super::limits::{
    CODE_BYTES, CONTROL_BYTES, FEATURE_BYTES, FEATURES, ID_BYTES, ITEMS, LEVELS, NAME_BYTES,
    TEXT_BYTES, TOKEN_BYTES,
};
use super::{AccessToken, Bye, Hello, Notice, Rejected, Welcome};
use crate::cbor::{self, map::MapWriter};
use crate::printable::is_name;
use crate::value::excerpt;
use crate::{Dict, EncodeError, Limit, LimitExceeded, Limits, Value};

type Written = Result<Vec<u8>, EncodeError>;

/// A map whose texts are checked.
struct Fields(MapWriter);

impl Fields {
    fn text(&mut self, key: &str, text: &str, most: usize) -> Result<(), LimitExceeded> {
        LimitExceeded::check(Limit::TextBytes, text.len(), most)?;
        self.0.text(key, text);
        Ok(())
    }

    fn optional(
        &mut self,
        key: &str,
        text: Option<&ByteString>,
        most: usize,
    ) -> Result<(), LimitExceeded> {
        text.map_or(Ok(()), |text| self.text(key, text, most))
    }

    fn number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.0.number(key, number);
        }
    }

    /// A text whose characters are all printable.
    fn name(&mut self, key: &str, name: &str, most: usize) -> Result<(), EncodeError> {
        check_name(name, most)?;
        self.0.text(key, name);
        Ok(())
    }

    fn optional_name(&mut self, key: &str, name: Option<&ByteString>) -> Result<(), EncodeError> {
        name.map_or(Ok(()), |name| self.name(key, name, NAME_BYTES))
    }

    fn features(&mut self, features: &[ByteString]) -> Result<(), EncodeError> {
        LimitExceeded::check(Limit::Nodes, features.len(), FEATURES)?;
        for feature in features {
            check_name(feature, FEATURE_BYTES)?;
        }
        self.0.texts("features", features);
        Ok(())
    }

    fn dict(&mut self, key: &str, dict: Option<&Dict>) -> Result<(), LimitExceeded> {
        let Some(dict) = dict else {
            return Ok(());
        };
        let limits = Limits::default()
            .message_bytes(CONTROL_BYTES)
            .nodes(ITEMS)
            .depth(cbor::depth_of(LEVELS - 1));
        let item = cbor::encode_value(&Value::Dict(dict.clone()), &limits);
        let item = item.map_err(|error| match error {
            EncodeError::Limit(limit) => limit,
            // An element that was made of an array: there is nothing of it to be written.
            _ => LimitExceeded {
                limit: Limit::MessageBytes,
                actual: CONTROL_BYTES + 1,
                allowed: CONTROL_BYTES,
            },
        })?;
        self.0.item(key, &item);
        Ok(())
    }
}

fn check_name(name: &str, most: usize) -> Result<(), EncodeError> {
    LimitExceeded::check(Limit::TextBytes, name.len(), most)?;
    if is_name(name) {
        Ok(())
    } else {
        Err(EncodeError::NotPrintable(excerpt(name)))
    }
}

fn range((least, most): (u16, u16)) -> (u64, u64) {
    (least.into(), most.into())
}

pub(super) fn hello(hello: &Hello) -> Written {
    let mut fields = Fields(MapWriter::new());
    fields.0.range("v", range(hello.versions));
    fields.name("id", &hello.id, ID_BYTES)?;
    for (key, name) in [
        ("role", &hello.role),
        ("game", &hello.game),
        ("table", &hello.table),
        ("seat", &hello.seat),
    ] {
        fields.optional_name(key, name.as_ref())?;
    }
    let token = hello.token.as_ref().map(AccessToken::as_text);
    fields.optional("token", token, TOKEN_BYTES)?;
    fields.optional("resume", hello.resume.as_ref(), TOKEN_BYTES)?;
    fields.optional_name("profile", hello.profile.as_ref())?;
    fields.dict("make", hello.make.as_ref())?;
    fields.0.number("max", hello.max.into());
    fields.features(&hello.features)?;
    fields.name("agent", &hello.agent, NAME_BYTES)?;
    Ok(fields.0.finish())
}

pub(super) fn welcome(welcome: &Welcome) -> Written {
    let mut fields = Fields(MapWriter::new());
    fields.0.number("v", welcome.version.into());
    fields.name("id", &welcome.id, ID_BYTES)?;
    fields.0.number("max", welcome.max.into());
    fields.features(&welcome.features)?;
    fields.0.number("heartbeat_ms", welcome.heartbeat_ms);
    fields.optional_name("instance", welcome.instance.as_ref())?;
    fields.optional_name("seat", welcome.seat.as_ref())?;
    fields.optional("resume", welcome.resume.as_ref(), TOKEN_BYTES)?;
    fields.number("epoch", welcome.epoch);
    fields.dict("last", welcome.last.as_ref())?;
    fields.number("grace_ms", welcome.grace_ms);
    fields.optional_name("game", welcome.game.as_ref())?;
    fields.number("seats", welcome.seats);
    fields.number("free", welcome.free);
    fields.optional_name("profile", welcome.profile.as_ref())?;
    Ok(fields.0.finish())
}

pub(super) fn rejected(rejected: &Rejected) -> Written {
    let mut fields = Fields(MapWriter::new());
    fields.name("code", &rejected.code, CODE_BYTES)?;
    fields.text("text", &rejected.text, TEXT_BYTES)?;
    fields.0.range("v", range(rejected.versions));
    fields.number("retry_ms", rejected.retry_ms);
    Ok(fields.0.finish())
}

pub(super) fn bye(bye: &Bye) -> Written {
    let mut fields = Fields(MapWriter::new());
    fields.name("code", &bye.code, CODE_BYTES)?;
    fields.text("text", &bye.text, TEXT_BYTES)?;
    if let Some(may) = bye.may_return {
        fields.0.flag("may_return", may);
    }
    Ok(fields.0.finish())
}

pub(super) fn notice(notice: &Notice) -> Written {
    let mut fields = Fields(MapWriter::new());
    fields.name("code", &notice.code, CODE_BYTES)?;
    fields.text("text", &notice.text, TEXT_BYTES)?;
    fields.dict("about", notice.about.as_ref())?;
    Ok(fields.0.finish())
}
