//! Access tokens: who may come to a server, and as what.
//!
//! A server knows the SHA-256 of each token ([`Digest`]) and what its holder may do ([`Grant`]), and never the token. A
//! client says the token in its `HELLO`. The [door](crate::admission) judges it by the [`Grants`] before it looks at anything
//! else, so that a refusal tells nothing of ids, games or places.
//!
//! A digest without salt is enough for texts of 128 random bits or more, which nobody can go through. A word that a
//! person has made up is no access token.

mod digest;
mod subject;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;

use crate::protocol2::Hello;
use crate::{CloseReason, PeerId, Role};

pub use digest::{Digest, InvalidDigest};
pub use subject::Subject;

/// The rights of the holder of a token. A list that is empty allows everything.
///
/// ```
/// use masep_proto::Role;
/// use masep_proto::access::Grant;
///
/// let grant = Grant::new("lab3").role(Role::Actor).game("pursuit.PursuitGame").seat("red");
/// assert!(grant.may_be(Role::Actor) && !grant.may_be(Role::Observer));
/// assert!(grant.may_sit("red") && !grant.may_sit("blue"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The name by which the host knows the holder. Logs and events show it. A seat in its grace belongs to this name.
    pub name: ByteString,
    /// The ids under which it may come.
    pub ids: Vec<PeerId>,
    /// The roles that it may have.
    pub roles: Vec<Role>,
    /// The games that it may join.
    pub games: Vec<ByteString>,
    /// The seats that it may have as an actor.
    pub seats: Vec<ByteString>,
    /// The time from which on it may nothing any more.
    pub expires: Option<SystemTime>,
}

impl Grant {
    /// Everything, for ever, under this name.
    pub fn new(name: impl Into<ByteString>) -> Self {
        Self {
            name: name.into(),
            ids: Vec::new(),
            roles: Vec::new(),
            games: Vec::new(),
            seats: Vec::new(),
            expires: None,
        }
    }

    /// Adds an id under which it may come.
    #[must_use]
    pub fn id(mut self, id: impl Into<PeerId>) -> Self {
        self.ids.push(id.into());
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a game.
    #[must_use]
    pub fn game(mut self, game: impl Into<ByteString>) -> Self {
        self.games.push(game.into());
        self
    }

    /// Adds a seat.
    #[must_use]
    pub fn seat(mut self, seat: impl Into<ByteString>) -> Self {
        self.seats.push(seat.into());
        self
    }

    /// Sets the time from which on it may nothing any more.
    #[must_use]
    pub const fn expires(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    /// True if it may have this role.
    pub fn may_be(&self, role: Role) -> bool {
        allows(&self.roles, |allowed| *allowed == role)
    }

    /// True if it may join this game.
    pub fn may_play(&self, game: &str) -> bool {
        allows(&self.games, |allowed| allowed == game)
    }

    /// True if it may have this seat.
    pub fn may_sit(&self, seat: &str) -> bool {
        allows(&self.seats, |allowed| allowed == seat)
    }

    /// True if its time is over.
    pub fn is_expired(&self, date: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= date)
    }

    /// Checks that it may be what a `HELLO` says, as far as that says it: a table knows its game and the seat.
    fn permit(&self, claim: &Claim) -> Result<(), Forbidden> {
        if !allows(&self.ids, |allowed| *allowed == claim.id) {
            return Err(Forbidden::Id);
        }
        let is_role = |role: &str| allows(&self.roles, |allowed| allowed.hello_name() == role);
        if !claim.role.as_deref().is_none_or(is_role) {
            return Err(Forbidden::Role);
        }
        if !(claim.game.as_deref()).is_none_or(|game| self.may_play(game)) {
            return Err(Forbidden::Game);
        }
        let may_sit = |seat: &ByteString| self.may_sit(seat);
        if !claim.is_observers() && !claim.seat.as_ref().is_none_or(may_sit) {
            return Err(Forbidden::Seat);
        }
        Ok(())
    }

    /// The reason to end one that was let in with this claim, when the grant was `before`. A part that the claim left
    /// open may have been filled since, by `REGISTER` for example: so nothing of it may have been taken away. One that comes
    /// anew fills it as it is allowed now.
    fn ends(&self, claim: &Claim, before: &Self) -> Option<CloseReason> {
        if self.permit(claim).is_err() {
            return Some(CloseReason::Revoked);
        }
        let has_seat = claim.seat.is_some() || claim.is_observers();
        let keeps = (claim.role.is_some() || covers(&self.roles, &before.roles))
            && (claim.game.is_some() || covers(&self.games, &before.games))
            && (has_seat || covers(&self.seats, &before.seats));
        (!keeps).then_some(CloseReason::Narrowed)
    }
}

/// True if the one list allows all that the other allows.
fn covers<T: PartialEq>(list: &[T], other: &[T]) -> bool {
    let has_all = || !other.is_empty() && other.iter().all(|it| list.contains(it));
    list.is_empty() || has_all()
}

fn allows<T>(list: &[T], is_it: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(is_it)
}

/// The parts of a client's `HELLO` that a grant is about, and the seat that the host has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    id: PeerId,
    role: Option<ByteString>,
    game: Option<ByteString>,
    seat: Option<ByteString>,
}

impl Claim {
    /// True if it is one that watches: then seats do not matter.
    fn is_observers(&self) -> bool {
        self.role.as_deref() == Some(Role::Observer.hello_name())
    }
}

impl From<&Hello> for Claim {
    fn from(hello: &Hello) -> Self {
        Self {
            id: hello.id.clone(),
            role: hello.role.clone(),
            game: hello.game.clone(),
            seat: hello.seat.clone(),
        }
    }
}

/// The reason why a token is none. The client is told one code for all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthorized {
    /// There was none.
    #[error("it has no access token")]
    Absent,
    /// The token is none of those that the server has.
    #[error("its access token is not known")]
    Unknown,
    /// The time of this one is over.
    #[error("the access token {0:?} has expired")]
    Expired(ByteString),
}

/// The claim that a token does not allow. Its holder is told, with the code `forbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Its id.
    #[error("the access token is not for this id")]
    Id,
    /// Its role.
    #[error("the access token is not for this role")]
    Role,
    /// Its game.
    #[error("the access token is not for this game")]
    Game,
    /// Its seat.
    #[error("the access token is not for this seat")]
    Seat,
}

/// The verdict about a client that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Unauthorized(Unauthorized),
    Forbidden(Forbidden),
}

impl From<Forbidden> for Denial {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden)
    }
}

/// The tokens of a server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<Set>);

#[derive(Clone, Debug, Default)]
struct Set {
    /// The digest of a guess cannot be chosen near to that of a token, so that the time of a look-up tells nothing.
    by_digest: HashMap<Digest, Arc<Grant>>,
    names: BTreeMap<ByteString, Digest>,
}

/// A token that cannot be added to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Another one has this name.
    #[error("there are two tokens with the name {0:?}")]
    SameName(ByteString),
    /// These two are the same token.
    #[error("{0:?} and {1:?} are the same token")]
    SameToken(ByteString, ByteString),
}

impl Grants {
    /// Adds the token with this digest.
    ///
    /// # Errors
    /// Another one has its name or its digest.
    pub fn add(&mut self, digest: Digest, grant: Grant) -> Result<(), GrantError> {
        let set = Arc::make_mut(&mut self.0);
        let name = grant.name.clone();
        if let Some(other) = set.by_digest.get(&digest) {
            return Err(GrantError::SameToken(other.name.clone(), name));
        }
        if set.names.contains_key(&name) {
            return Err(GrantError::SameName(name));
        }
        set.names.insert(name, digest);
        set.by_digest.insert(digest, Arc::new(grant));
        Ok(())
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.0.by_digest.len()
    }

    /// True if there is none: then nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.by_digest.is_empty()
    }

    /// The tokens by name, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        let grants = self.0.names.values();
        grants.filter_map(|digest| self.0.by_digest.get(digest).map(|grant| &**grant))
    }

    /// The verdict about a client that has said this, at this date.
    pub(crate) fn judge(&self, hello: &Hello, date: SystemTime) -> Result<Pass, Denial> {
        let unauthorized = |why| Err(Denial::Unauthorized(why));
        let Some(token) = &hello.token else {
            return unauthorized(Unauthorized::Absent);
        };
        let digest = Digest::of(token);
        let Some(grant) = self.0.by_digest.get(&digest) else {
            return unauthorized(Unauthorized::Unknown);
        };
        if grant.is_expired(date) {
            return unauthorized(Unauthorized::Expired(grant.name.clone()));
        }
        let claim = Claim::from(hello);
        grant.permit(&claim)?;
        Ok(Pass {
            grant: grant.clone(),
            holding: Some(Box::new((digest, claim))),
        })
    }
}

/// The token, or the word of the host, with which a client was let in.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) grant: Arc<Grant>,
    /// The token, and what was said with it; none where the host's word is the grant.
    holding: Option<Box<(Digest, Claim)>>,
}

impl Pass {
    /// One that the host gives.
    pub(crate) fn of_host(grant: Grant, hello: &Hello) -> Result<Self, Forbidden> {
        grant.permit(&Claim::from(hello))?;
        Ok(Self {
            grant: Arc::new(grant),
            holding: None,
        })
    }

    /// The host has given its holder this seat.
    pub(crate) fn seat(&mut self, seat: ByteString) {
        if let Some(holding) = &mut self.holding {
            holding.1.seat = Some(seat);
        }
    }

    /// The reason to end the connection, if it does not hold at this date any more; where there are tokens, among these.
    pub(crate) fn renew(
        &mut self,
        grants: Option<&Grants>,
        date: SystemTime,
    ) -> Option<CloseReason> {
        let mut ends = None;
        if let (Some(grants), Some(holding)) = (grants, &self.holding) {
            let (digest, claim) = &**holding;
            let Some(grant) = grants.0.by_digest.get(digest) else {
                return Some(CloseReason::Revoked);
            };
            if *grant != self.grant {
                ends = grant.ends(claim, &self.grant);
                self.grant = grant.clone();
            }
        }
        let is_expired = self.grant.is_expired(date);
        is_expired.then_some(CloseReason::Revoked).or(ends)
    }
}
