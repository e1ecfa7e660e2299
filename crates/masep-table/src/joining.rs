//! The way of a connection to a seat or to the spectators.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use masep_proto::access::Grant;
use masep_proto::{Message, PeerId, Role, Value};

use crate::claims::Title;
use crate::names::{self, ResumeSecret};
use crate::peer::{Manner, Peer, Registration, Wire};
use crate::seat::{Player, Presence};
use crate::{
    Absence, Code, Effect, Event, PeerKey, SeatId, SeatState, Table, Verdict, ViewRequest, Welcome,
};

/// The table's part of a `HELLO`. `{:?}` does not show the resume text.
#[derive(Clone)]
pub struct Hello {
    /// The peer's id.
    pub id: PeerId,
    /// Its role. Without one it follows pymasep's customs: `REGISTER` tells the role, and its actions have no number.
    pub role: Option<Role>,
    /// The game that it means.
    pub game: Option<String>,
    /// The name of the seat that it wants.
    pub seat: Option<String>,
    /// The resume text of an earlier `WELCOME`.
    pub resume: Option<String>,
    /// Its rights by its access token, as the shell that checks tokens says. A seat in its grace, and with it the
    /// resume text, belongs to one [name](Grant::name). Without a grant it may do everything.
    pub grant: Option<Arc<Grant>>,
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("game", &self.game)
            .field("seat", &self.seat)
            .field("resume", &self.resume.as_ref().map(|_| "..."))
            .field("grant", &self.grant)
            .finish()
    }
}

impl Hello {
    /// A peer with this id, which says nothing else.
    pub fn new(id: impl Into<PeerId>) -> Self {
        Self {
            id: id.into(),
            role: None,
            game: None,
            seat: None,
            resume: None,
            grant: None,
        }
    }

    /// The name by which its token is known.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.grant.as_ref().map(|grant| &*grant.name)
    }

    /// True if its token allows this role.
    fn may_be(&self, role: Role) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.may_be(role))
    }

    /// True if its token allows a seat of this name.
    pub(crate) fn may_sit(&self, seat: &str) -> bool {
        self.grant.as_ref().is_none_or(|grant| grant.may_sit(seat))
    }

    /// True if its token allows this game. At a table without a game, the one that the peer names counts, if it names
    /// one.
    fn may_play(&self, game: Option<&str>) -> bool {
        let game = game.or(self.game.as_deref());
        self.grant.as_ref().is_none_or(|grant| match game {
            Some(game) => grant.may_play(game),
            None => grant.games.is_empty(),
        })
    }
}

impl Table {
    /// A peer of pymasep's protocol has said hello, and was taken by the door.
    pub fn handle_connected(&mut self, peer: PeerKey, id: PeerId, now: Instant) {
        let now = self.tick(now);
        if self.peers.contains_key(&peer) {
            return;
        }
        self.peers
            .insert(peer, Peer::new(id, Wire::V1, Manner::Pymasep));
        if self.is_ending() {
            // One that could stay would keep the table from its end.
            self.dismiss(peer, Code::Over, false);
        } else if self.peers.len() > self.settings.peers {
            self.turn_out(peer, Code::Full, false, now);
        }
        self.conclude(now);
    }

    /// A peer of protocol 2 has said `HELLO`, and the door waits for the verdict, which is among the effects when
    /// this returns. The secret becomes that of the seat, if the peer gets one that it has not had before.
    pub fn handle_hello(
        &mut self,
        peer: PeerKey,
        hello: Hello,
        secret: ResumeSecret,
        now: Instant,
    ) {
        let now = self.tick(now);
        if self.peers.contains_key(&peer) {
            return;
        }
        let id = hello.id.clone();
        if let Err(code) = self.judge(peer, hello, secret, now) {
            if code != Code::Over {
                self.tell(Event::Rejected { id, code });
            }
            let verdict = Verdict::reject(code);
            self.effects
                .push_back(Effect::Verdict { to: peer, verdict });
        }
        self.conclude(now);
    }

    fn judge(
        &mut self,
        peer: PeerKey,
        hello: Hello,
        secret: ResumeSecret,
        now: Instant,
    ) -> Result<(), Code> {
        if self.is_ending() {
            return Err(Code::Over);
        }
        let game = self.settings.game.as_ref().zip(hello.game.as_ref());
        if game.is_some_and(|(ours, theirs)| ours != theirs) {
            return Err(Code::UnknownGame);
        }
        if !hello.may_play(self.settings.game.as_deref())
            || hello.role.is_some_and(|role| !hello.may_be(role))
        {
            return Err(Code::Forbidden);
        }
        match hello.role {
            Some(Role::Actor) => return self.judge_actor(peer, hello, secret, now),
            Some(Role::Observer) if self.spectators.len() >= self.settings.spectators => {
                return Err(Code::Full);
            }
            _ => self.check_room()?,
        }
        let (role, manner) = (hello.role, manner_of(&hello));
        let mut known = Peer::new(hello.id, Wire::V2, manner);
        known.grant = hello.grant;
        self.peers.insert(peer, known);
        let welcome = self.welcome(None);
        self.admit(peer, welcome, false);
        if role.is_some() {
            self.add_spectator(peer, now);
        }
        Ok(())
    }

    fn judge_actor(
        &mut self,
        peer: PeerKey,
        hello: Hello,
        secret: ResumeSecret,
        now: Instant,
    ) -> Result<(), Code> {
        let (found, told) = self.find_resumed(&hello)?;
        let proved = found.is_some();
        let (seat, title) = match found {
            Some(seat) => (seat, Title::Same),
            None => self.find_seat(&hello, Manner::Numbered)?,
        };
        let older = self.seats[seat.0].peer();
        if older.is_none() {
            self.check_room()?;
        }
        let kept = self.seats[seat.0].player.as_ref().filter(|_| proved);
        let secret = kept.and_then(|player| player.secret).unwrap_or(secret);
        let older_id = older
            .and_then(|older| self.peers.get(&older))
            .map(|it| it.id.clone());
        self.replace_older(seat);
        let place = &self.seats[seat.0];
        let welcome = Welcome {
            seat: Some(place.name.clone()),
            resume: Some(names::write(&self.settings.instance, secret)),
            epoch: place.epoch + 1,
            last: place.last.filter(|_| title == Title::Same),
            ..self.welcome(Some(seat))
        };
        let player = Player {
            id: hello.id.clone(),
            manner: Manner::Numbered,
            secret: Some(secret),
            is_heard: proved,
            principal: hello.principal().map(str::to_owned),
        };
        let replaces = older_id.is_some_and(|id| id == hello.id);
        self.peers
            .insert(peer, Peer::new(hello.id, Wire::V2, Manner::Numbered));
        self.admit(peer, welcome, replaces);
        self.attach(seat, peer, player, title, now);
        if let Some(code) = told {
            self.notify(peer, code, None);
        }
        Ok(())
    }

    /// For a peer that gets this seat, or none.
    fn welcome(&self, seat: Option<SeatId>) -> Welcome {
        let takes_one = seat.is_some_and(|seat| self.state(seat) == SeatState::Open);
        Welcome {
            game: self.settings.game.clone(),
            seats: self.seats.len(),
            free: self.free_seats() - usize::from(takes_one),
            instance: self.settings.instance.clone(),
            grace: match self.settings.absence {
                Absence::Wait(grace) => Some(grace),
                Absence::Proceed => None,
            },
            ..Welcome::default()
        }
    }

    fn admit(&mut self, peer: PeerKey, welcome: Welcome, replaces: bool) {
        let verdict = if replaces {
            Verdict::Replace(welcome)
        } else {
            Verdict::Admit(welcome)
        };
        self.effects
            .push_back(Effect::Verdict { to: peer, verdict });
    }

    fn check_room(&self) -> Result<(), Code> {
        if self.peers.len() < self.settings.peers {
            Ok(())
        } else {
            Err(Code::Full)
        }
    }

    /// `DEFINE`, which says the game.
    pub(crate) fn handle_define(&mut self, peer: PeerKey, message: &Message, now: Instant) {
        let theirs = message.param("game").and_then(Value::as_type);
        let ours = self.settings.game.as_deref();
        if ours.is_some_and(|ours| theirs.is_none_or(|theirs| theirs.as_str() != ours)) {
            self.turn_out(peer, Code::UnknownGame, false, now);
        }
    }

    /// `REGISTER`, which says the role.
    pub(crate) fn handle_register(&mut self, peer: PeerKey, message: &Message, now: Instant) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let is_actor = message.param("role").and_then(Value::as_str) == Some("Actor");
        let named = message.param("id").and_then(Value::as_str);
        let id = known.id.as_str();
        let is_own = named == Some(id) && *message.src_sub_app == *id;
        match known.registration {
            Registration::None if !is_own => self.turn_out(peer, Code::IdMismatch, false, now),
            Registration::None => {
                if let Err(code) = self.register(peer, is_actor, now) {
                    self.turn_out(peer, code, false, now);
                }
            }
            Registration::Seat(_) | Registration::Spectator if !is_own => {
                self.ignore(peer, Code::NotYours, None);
            }
            // The first one counts.
            Registration::Seat(_) if is_actor => {}
            Registration::Spectator if !is_actor => {}
            Registration::Seat(_) | Registration::Spectator => {
                self.ignore(peer, Code::OtherRole, None);
            }
        }
    }

    fn register(&mut self, peer: PeerKey, is_actor: bool, now: Instant) -> Result<(), Code> {
        let Some(known) = self.peers.get(&peer) else {
            return Ok(());
        };
        let mut hello = Hello::new(known.id.clone());
        hello.grant.clone_from(&known.grant);
        let role = if is_actor {
            Role::Actor
        } else {
            Role::Observer
        };
        if !hello.may_be(role) {
            return Err(Code::Forbidden);
        }
        if !is_actor {
            if self.spectators.len() >= self.settings.spectators {
                return Err(Code::Full);
            }
            self.add_spectator(peer, now);
            return Ok(());
        }
        let player = Player {
            id: known.id.clone(),
            manner: known.manner,
            secret: None,
            is_heard: true,
            principal: hello.principal().map(str::to_owned),
        };
        let (seat, title) = self.find_seat(&hello, player.manner)?;
        self.replace_older(seat);
        self.attach(seat, peer, player, title, now);
        Ok(())
    }

    /// Ends the connection that a seat has.
    fn replace_older(&mut self, seat: SeatId) {
        if let Some(older) = self.seats[seat.0].peer() {
            self.dismiss(older, Code::Replaced, false);
        }
    }

    /// Gives a seat to a connection.
    fn attach(&mut self, seat: SeatId, peer: PeerKey, player: Player, title: Title, now: Instant) {
        let place = &mut self.seats[seat.0];
        place.presence = Presence::Here {
            peer,
            is_asleep: false,
        };
        place.epoch += 1;
        place.misses = 0;
        let id = player.id.clone();
        let event = if title == Title::Same {
            Event::Back { seat, id }
        } else {
            place.clear();
            Event::Seated { seat, id }
        };
        place.player = Some(player);
        let epoch = place.epoch;
        let is_other = title == Title::Stranger;
        let request = place.question.as_mut().and_then(|question| {
            question.view.take_if(|_| is_other);
            let turn = question.turn;
            let request = ViewRequest { seat, turn, epoch };
            question.view.is_none().then_some(request)
        });
        if let Some(known) = self.peers.get_mut(&peer) {
            known.registration = Registration::Seat(seat);
        }
        self.tell(event);
        if let Some(request) = request {
            self.effects.push_back(Effect::AskView(request));
        }
        self.has_changed = true;
        self.fill();
        self.conclude(now);
        self.pump(seat, now);
    }
}

const fn manner_of(hello: &Hello) -> Manner {
    match hello.role {
        Some(_) => Manner::Numbered,
        None => Manner::Pymasep,
    }
}
