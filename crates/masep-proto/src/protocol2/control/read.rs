//! CBOR to control messages.

use bytestring::ByteString;

use super::super::limits::{
    CODE_BYTES, CONTROL_BYTES, FEATURE_BYTES, FEATURES, ID_BYTES, ITEMS, LEVELS, NAME_BYTES,
    TEXT_BYTES, TOKEN_BYTES,
};
use super::{AccessToken, Bye, Hello, Notice, Rejected, Welcome};
use crate::cbor::map::{self, Bounds, Field};
use crate::{DecodeError, DecodeErrorKind, Dict, Limit, LimitExceeded, PeerId, Position};

/// The bounds of all control messages.
const BOUNDS: Bounds = Bounds {
    items: ITEMS,
    text_bytes: CONTROL_BYTES,
    levels: LEVELS,
};

/// The fields read from a control message of any kind.
#[derive(Default)]
struct Fields {
    versions: Option<(u16, u16)>,
    version: Option<u16>,
    id: Option<ByteString>,
    role: Option<ByteString>,
    game: Option<ByteString>,
    table: Option<ByteString>,
    seat: Option<ByteString>,
    token: Option<AccessToken>,
    resume: Option<ByteString>,
    profile: Option<ByteString>,
    instance: Option<ByteString>,
    make: Option<Dict>,
    last: Option<Dict>,
    about: Option<Dict>,
    max: Option<u64>,
    heartbeat_ms: Option<u64>,
    epoch: Option<u64>,
    grace_ms: Option<u64>,
    seats: Option<u64>,
    free: Option<u64>,
    retry_ms: Option<u64>,
    features: Vec<ByteString>,
    agent: ByteString,
    code: Option<ByteString>,
    text: ByteString,
    may_return: Option<bool>,
}

fn error(kind: DecodeErrorKind) -> DecodeError {
    DecodeError {
        kind,
        position: Position::of_byte(0),
    }
}

/// A key that has to be there.
fn needed<T>(field: Option<T>, key: &'static str) -> Result<T, DecodeError> {
    field.ok_or_else(|| error(DecodeErrorKind::MissingField(key)))
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn range((least, most): (u64, u64)) -> (u16, u16) {
    (small(least), small(most))
}

/// Larger than any payload can be is as large as one can be.
fn bytes(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn fields(
    payload: &[u8],
    mut each: impl FnMut(&str, &mut Field<'_, '_>, &mut Fields) -> Result<(), DecodeError>,
) -> Result<Fields, DecodeError> {
    LimitExceeded::check(Limit::FrameBytes, payload.len(), CONTROL_BYTES)
        .map_err(|limit| error(limit.into()))?;
    let mut fields = Fields::default();
    map::read(payload, BOUNDS, |key, field| each(key, field, &mut fields))?;
    Ok(fields)
}

pub(super) fn hello(payload: &[u8]) -> Result<Hello, DecodeError> {
    let read = fields(payload, |key, field, to| {
        match key {
            "v" => to.versions = Some(range(field.range()?)),
            "id" => to.id = Some(field.name(ID_BYTES)?),
            "role" => to.role = Some(field.name(NAME_BYTES)?),
            "game" => to.game = Some(field.name(NAME_BYTES)?),
            "table" => to.table = Some(field.name(NAME_BYTES)?),
            "seat" => to.seat = Some(field.name(NAME_BYTES)?),
            "token" => to.token = Some(field.text(TOKEN_BYTES)?.into()),
            "resume" => to.resume = Some(field.text(TOKEN_BYTES)?),
            "profile" => to.profile = Some(field.name(NAME_BYTES)?),
            "make" => to.make = Some(field.dict()?),
            "max" => to.max = Some(field.number()?),
            "features" => to.features = field.names(FEATURES, FEATURE_BYTES)?,
            "agent" => to.agent = field.name(NAME_BYTES)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Hello {
        versions: needed(read.versions, "v")?,
        id: PeerId::new(needed(read.id, "id")?),
        role: read.role,
        game: read.game,
        table: read.table,
        seat: read.seat,
        token: read.token,
        resume: read.resume,
        profile: read.profile,
        make: read.make,
        max: bytes(needed(read.max, "max")?),
        features: read.features,
        agent: read.agent,
    })
}

pub(super) fn welcome(payload: &[u8]) -> Result<Welcome, DecodeError> {
    let read = fields(payload, |key, field, to| {
        match key {
            "v" => to.version = Some(small(field.number()?)),
            "id" => to.id = Some(field.name(ID_BYTES)?),
            "max" => to.max = Some(field.number()?),
            "features" => to.features = field.names(FEATURES, FEATURE_BYTES)?,
            "heartbeat_ms" => to.heartbeat_ms = Some(field.number()?),
            "instance" => to.instance = Some(field.name(NAME_BYTES)?),
            "seat" => to.seat = Some(field.name(NAME_BYTES)?),
            "resume" => to.resume = Some(field.text(TOKEN_BYTES)?),
            "epoch" => to.epoch = Some(field.number()?),
            "last" => to.last = Some(field.dict()?),
            "grace_ms" => to.grace_ms = Some(field.number()?),
            "game" => to.game = Some(field.name(NAME_BYTES)?),
            "seats" => to.seats = Some(field.number()?),
            "free" => to.free = Some(field.number()?),
            "profile" => to.profile = Some(field.name(NAME_BYTES)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Welcome {
        version: needed(read.version, "v")?,
        id: PeerId::new(needed(read.id, "id")?),
        max: bytes(needed(read.max, "max")?),
        features: read.features,
        heartbeat_ms: read.heartbeat_ms.unwrap_or(0),
        instance: read.instance,
        seat: read.seat,
        resume: read.resume,
        epoch: read.epoch,
        last: read.last,
        grace_ms: read.grace_ms,
        game: read.game,
        seats: read.seats,
        free: read.free,
        profile: read.profile,
    })
}

pub(super) fn rejected(payload: &[u8]) -> Result<Rejected, DecodeError> {
    let read = fields(payload, |key, field, to| {
        match key {
            "code" => to.code = Some(field.name(CODE_BYTES)?),
            "text" => to.text = field.text(TEXT_BYTES)?,
            "v" => to.versions = Some(range(field.range()?)),
            "retry_ms" => to.retry_ms = Some(field.number()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Rejected {
        code: needed(read.code, "code")?,
        text: read.text,
        versions: needed(read.versions, "v")?,
        retry_ms: read.retry_ms,
    })
}

pub(super) fn bye(payload: &[u8]) -> Result<Bye, DecodeError> {
    let read = fields(payload, |key, field, to| {
        match key {
            "code" => to.code = Some(field.name(CODE_BYTES)?),
            "text" => to.text = field.text(TEXT_BYTES)?,
            "may_return" => to.may_return = Some(field.flag()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Bye {
        code: needed(read.code, "code")?,
        text: read.text,
        may_return: read.may_return,
    })
}

pub(super) fn notice(payload: &[u8]) -> Result<Notice, DecodeError> {
    let read = fields(payload, |key, field, to| {
        match key {
            "code" => to.code = Some(field.name(CODE_BYTES)?),
            "text" => to.text = field.text(TEXT_BYTES)?,
            "about" => to.about = Some(field.dict()?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Notice {
        code: needed(read.code, "code")?,
        text: read.text,
        about: read.about,
    })
}

/// The bytes of a ping or a pong.
pub(super) fn token(payload: &[u8]) -> Result<[u8; 8], DecodeError> {
    payload
        .try_into()
        .map_err(|_| error(DecodeErrorKind::UnexpectedItem("a ping has 8 bytes")))
}
