//! The configuration of a player.

use std::time::Instant;

use masep_proto::{PeerId, Role, TypeName};
use masep_table::player::{Backoff, Part, Session};

use super::playing::{Place, Playing};
use crate::connecting::connecting_calls;
use crate::endpoint::Endpoint;
use crate::random::random_u64;
use crate::{ConnectionString, IntoTarget, InvalidAddress};

/// Configures a [`Player`](super::Player).
#[derive(Clone, Debug)]
#[must_use]
pub struct PlayerBuilder {
    part: Part,
    resume: Option<String>,
    /// Settings of the endpoint count more than those in it, in whatever order both come.
    credentials: Option<ConnectionString>,
    endpoint: Endpoint,
}

impl PlayerBuilder {
    pub(super) fn new(id: PeerId, game: TypeName) -> Self {
        Self {
            endpoint: Endpoint::new(id.clone()),
            part: Part {
                id,
                role: Role::Actor,
                game,
                backoff: Backoff::default(),
            },
            resume: None,
            credentials: None,
        }
    }

    /// A player or a spectator. Default [`Role::Actor`].
    pub const fn role(mut self, role: Role) -> Self {
        self.part.role = role;
        self
    }

    /// The name of the seat that it wants. Default any. Only tables of protocol 2 have names.
    pub fn seat(mut self, seat: impl Into<String>) -> Self {
        self.endpoint.offer.seat = Some(seat.into().into());
        self
    }

    /// The [resume text](super::Player::resume) of an earlier process, which had the seat.
    pub fn resume(mut self, resume: impl Into<String>) -> Self {
        self.resume = Some(resume.into());
        self
    }

    /// The token of a connection string, and whom to trust in TLS, see [`ClientBuilder::credentials`](crate::ClientBuilder::credentials).
    pub fn credentials(mut self, string: &ConnectionString) -> Self {
        self.credentials = Some(string.clone());
        self
    }

    /// The pace of attempts to connect, and when they are given up. Default from 100 ms on, for 60 s.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.part.backoff = backoff;
        self
    }

    connecting_calls!();

    pub(crate) fn playing_at<C>(
        self,
        address: impl IntoTarget,
        now: Instant,
    ) -> Result<Playing<C>, InvalidAddress> {
        Ok(self.playing(Place::At(address.into_target()?), now))
    }

    pub(crate) fn playing<C>(self, place: Place, now: Instant) -> Playing<C> {
        let mut session = Session::new(self.part.clone(), now);
        if let Some(resume) = &self.resume {
            session.set_resume(resume.clone());
        }
        Playing {
            session,
            place,
            options: self,
            client: None,
            random: Box::new(random_u64),
            failure: None,
        }
    }

    /// The settings of a client that connects for this player.
    pub(super) fn endpoint(&self, resume: Option<&str>) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        if let Some(string) = &self.credentials {
            endpoint.set_credentials(string);
        }
        if self.endpoint.client_tls.is_some() {
            endpoint.client_tls.clone_from(&self.endpoint.client_tls);
        }
        let offer = &mut endpoint.offer;
        if self.endpoint.offer.token.is_some() {
            offer.token.clone_from(&self.endpoint.offer.token);
        }
        offer.role = Some(self.part.role.hello_name().into());
        offer.game = Some(self.part.game.as_str().into());
        offer.resume = resume.map(Into::into);
        endpoint
    }
}
