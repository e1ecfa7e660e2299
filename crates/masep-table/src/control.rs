//! The table's words in the control messages of protocol 2.

use std::time::Duration;

use masep_proto::protocol2::{self, is_sayable};
use masep_proto::{Dict, Role};

use crate::{Code, Hello, Notice, Welcome};

/// The table's part of a `HELLO`. Its access token is no part of that: the one who checks tokens sets
/// [`Hello::grant`].
///
/// The error is that of a role that is neither `actor` nor `observer`, or of a profile, which no table has, for a
/// [`Verdict::reject`](crate::Verdict::reject).
impl TryFrom<&protocol2::Hello> for Hello {
    type Error = Code;

    fn try_from(hello: &protocol2::Hello) -> Result<Self, Code> {
        if hello.profile.is_some() {
            return Err(Code::UnsupportedProfile);
        }
        let role = match hello.role.as_deref() {
            None => None,
            Some("actor") => Some(Role::Actor),
            Some("observer") => Some(Role::Observer),
            Some(_) => return Err(Code::UnknownRole),
        };
        Ok(Self {
            role,
            game: hello.game.as_ref().map(ToString::to_string),
            seat: hello.seat.as_ref().map(ToString::to_string),
            resume: hello.resume.as_ref().map(ToString::to_string),
            ..Self::new(hello.id.clone())
        })
    }
}

impl Welcome {
    /// Sets the table's part of a `WELCOME`. A game whose name it cannot say is left out.
    pub fn fill(&self, welcome: &mut protocol2::Welcome) {
        welcome.instance = Some(self.instance.clone().into());
        welcome.seat = self.seat.clone().map(Into::into);
        welcome.resume = self.resume.clone().map(Into::into);
        welcome.epoch = self.seat.as_ref().map(|_| self.epoch);
        welcome.last = self.last.map(|last| last.to_dict());
        welcome.grace_ms = self.grace.map(millis);
        let game = self.game.as_ref().filter(|game| is_sayable(game));
        welcome.game = game.map(|game| game.clone().into());
        welcome.seats = u64::try_from(self.seats).ok();
        welcome.free = u64::try_from(self.free).ok();
    }
}

impl From<&Notice> for protocol2::Notice {
    fn from(notice: &Notice) -> Self {
        let control = Self::new(notice.code.as_str(), &*notice.text);
        match notice.about {
            Some(turn) => control.about(Dict::from([("turn", turn)])),
            None => control,
        }
    }
}

impl Code {
    /// The `REJECTED` of a [`Verdict::Reject`](crate::Verdict::Reject).
    pub fn rejected(self, text: &str) -> protocol2::Rejected {
        protocol2::Rejected::new(self.as_str(), text)
    }

    /// The `BYE` of an [`Effect::Close`](crate::Effect::Close).
    pub fn bye(self, text: &str, may_return: bool) -> protocol2::Bye {
        protocol2::Bye::new(self.as_str(), text).may_return(may_return)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{Cause, How, Last};

    #[test]
    fn a_hello_has_a_role_or_none() {
        let mut control = protocol2::Hello::new("a".into(), 1_000);
        let read = |control: &protocol2::Hello| Hello::try_from(control);
        assert_eq!(read(&control).unwrap().role, None);
        control.role = Some("actor".into());
        control.game = Some("pursuit.PursuitGame".into());
        control.seat = Some("red".into());
        control.resume = Some("life.00".into());
        let hello = read(&control).unwrap();
        assert_eq!((hello.id.as_str(), hello.role), ("a", Some(Role::Actor)));
        assert_eq!(hello.game.as_deref(), Some("pursuit.PursuitGame"));
        assert_eq!(hello.seat.as_deref(), Some("red"));
        assert_eq!(hello.resume.as_deref(), Some("life.00"));
        control.role = Some("observer".into());
        assert_eq!(read(&control).unwrap().role, Some(Role::Observer));
        // Nobody becomes a spectator who has not said so.
        control.role = Some("Actor".into());
        assert_eq!(read(&control).unwrap_err(), Code::UnknownRole);
    }

    #[test]
    fn one_that_asks_for_an_environment_is_told_that_this_is_a_table() {
        let mut control = protocol2::Hello::new("a".into(), 1_000);
        control.profile = Some("environment/1".into());
        let refused = Hello::try_from(&control).unwrap_err();
        assert_eq!(refused.as_str(), "unsupported_profile");
    }

    #[test]
    fn a_welcome_tells_of_seat_and_life() {
        let mut control = protocol2::Welcome::new("engine".into(), 1_000);
        let how = How::None(Cause::Late);
        let last = Last {
            turn: 6,
            how,
            after: None,
            played: Some(5),
        };
        let welcome = Welcome {
            instance: "life".into(),
            seat: Some("red".into()),
            resume: Some("life.00".into()),
            epoch: 2,
            last: Some(last),
            grace: Some(Duration::from_secs(30)),
            game: Some("pursuit.PursuitGame".into()),
            seats: 3,
            free: 1,
        };
        welcome.fill(&mut control);
        assert_eq!(control.instance.as_deref(), Some("life"));
        assert_eq!(control.seat.as_deref(), Some("red"));
        assert_eq!(control.resume.as_deref(), Some("life.00"));
        assert_eq!((control.epoch, control.grace_ms), (Some(2), Some(30_000)));
        assert_eq!(control.game.as_deref(), Some("pursuit.PursuitGame"));
        assert_eq!((control.seats, control.free), (Some(3), Some(1)));
        assert_eq!(Last::from_dict(&control.last.unwrap()), Some(last));
        assert!(!format!("{welcome:?}").contains("life.00"), "it is secret");
        for game in ["g".repeat(protocol2::NAME_BYTES + 1), "a\u{200b}".into()] {
            let game = Some(game);
            let welcome = Welcome {
                game,
                ..welcome.clone()
            };
            let mut control = protocol2::Welcome::new("engine".into(), 1_000);
            welcome.fill(&mut control);
            assert_eq!(control.game, None, "it would be no WELCOME");
        }
        let mut control = protocol2::Welcome::new("engine".into(), 1_000);
        Welcome::default().fill(&mut control);
        assert_eq!((control.seat, control.epoch), (None, None));
    }

    #[test]
    fn a_notice_is_about_a_turn() {
        let notice = Notice {
            code: Code::Late,
            text: Cow::Borrowed(Code::Late.text()),
            about: Some(7),
        };
        let control = protocol2::Notice::from(&notice);
        assert_eq!(&*control.code, "late");
        assert_eq!(control.about, Some(Dict::from([("turn", 7)])));
        let bye = Code::Replaced.bye("x", false);
        assert_eq!((&*bye.code, bye.may_return), ("replaced", Some(false)));
        assert_eq!(&*Code::Full.rejected("x").text, "x");
    }
}
