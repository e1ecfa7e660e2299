//! The rules for what goes through to a pymasep engine, and from it.
//!
//! A pymasep engine reads all that arrives in one thread, and any exception there ends the game for everybody: a first
//! message that is not DEFINE, a class that cannot be imported, a role that is missing, an actor too many, a float in an
//! action. Each client can act in the name of others, and end the game with QUIT. A [`Gate`] stands before such an
//! engine, as the program's `masep proxy` does, and lets only through what the engine survives and its sender may say.
//!
//! The gate makes what goes through anew from what it has understood, so that nothing that it has not looked at reaches
//! the engine. It knows no socket: a shell has a [`Visitor`] for each client, gives the gate what the clients
//! [say](Gate::from_client) and what the engine [answers](Gate::from_engine), and does what the verdict says.
//!
//! | message of a client | goes through |
//! | --- | --- |
//! | DEFINE | once, first, and of the [game](Rules::game); not any more when the engine has shown something |
//! | REGISTER | once, behind it, by the client's own id; an actor if there is an [agent](Rules::actors) for it |
//! | ACTION | of an actor, with parameters that pymasep reads; at most as many as observations went to it |
//! | QUIT | by [`Rules::quits`]: of nobody, unless that says otherwise |
//! | others, and those in another's name | never |
//!
//! A client gets nothing before it has registered. When the engine has said END, [all is over](Gate::is_over): one that has
//! not registered is to be told BYE then, for the engine waits for that, and tells nobody of these.
//!
//! A pymasep engine does not notice that a client has left, and goes on to send to each that has registered. With the
//! connection closed, nobody takes what its main thread puts into a pair of sockets for that, and behind 278 observations it
//! waits for ever. So the shell is to [keep](Gate::keeps) that connection until the end and to read it, and to use it for
//! the same id when that comes back.

mod action;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;

use crate::access::Grant;
use crate::protocol2::{Bye, Hello, Notice, Rejected, Welcome, is_sayable};
use crate::{Frame, FrameKind, Limits, Message, MessageType, PeerId, Role, Value, cbor};

pub use rules::{Quits, Rules};

/// Actions that a client may say at once, for observations that it has got. An engine that does not wait for actions
/// may be so far ahead of a client on a slow link.
const MOST_OWED: u32 = 64;

/// The gate before one engine, for as long as that lives: an engine forgets nobody.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    /// All that ever came in, and the names of the tokens by which they came first, or registered.
    ids: BTreeMap<PeerId, Option<ByteString>>,
    /// The clients that ever had an agent.
    actors: BTreeSet<PeerId>,
    /// The observers, to whom the engine sends until its end, and what it has shown to each last.
    observers: BTreeMap<PeerId, Option<Frame>>,
    /// The engine has shown something: it has read a DEFINE.
    is_defined: bool,
    /// The engine has said END to somebody.
    is_over: bool,
}

/// One client at a [`Gate`].
#[derive(Debug)]
pub struct Visitor {
    id: PeerId,
    /// The name of its token.
    token: Option<ByteString>,
    /// The roles that it may have.
    roles: Vec<Role>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Defined,
    Actor {
        /// Observations that it has not answered.
        owes: u32,
    },
    Observer,
    /// The engine has said END.
    Over,
}

/// The decision about a message of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// These bytes go to the engine as a frame: a message in pymasep's XML.
    Forward(Bytes),
    /// Nothing goes to the engine, and nobody need be told.
    Drop,
    /// Nothing goes to the engine, which knows this client already. It is to be sent this: the last observation.
    Show(Frame),
    /// Nothing goes to the engine, and the client is told why. It stays.
    Refuse(Refusal),
    /// Nothing goes to the engine, and the client is told why with a BYE.
    End(Refusal),
}

/// The reason why something did not go through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    /// For programs: a stable name.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

impl Refusal {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl From<Refusal> for Notice {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.text)
    }
}

impl From<Refusal> for Bye {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.text).may_return(false)
    }
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.text)
    }
}

impl Gate {
    /// A gate before an engine that nobody has talked to.
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            ids: BTreeMap::new(),
            actors: BTreeSet::new(),
            observers: BTreeMap::new(),
            is_defined: false,
            is_over: false,
        }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// True if the engine has said END: nobody can register any more.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// True if the engine goes on to send to this id, whether its client is there or not.
    pub fn keeps(&self, id: &PeerId) -> bool {
        !self.is_over && (self.actors.contains(id) || self.observers.contains_key(id))
    }

    /// The number of agents that somebody new can have; 0 once the engine has said END.
    pub fn free_agents(&self) -> usize {
        if self.is_over {
            return 0;
        }
        self.rules.actors.saturating_sub(self.actors.len())
    }

    /// Sets what a client that has [come in](Self::enter) is told of the game: its name, if a WELCOME can say it, and the agents
    /// as seats.
    pub fn fill(&self, welcome: &mut Welcome) {
        let game = self.rules.game.as_str();
        welcome.game = is_sayable(game).then(|| game.into());
        welcome.seats = u64::try_from(self.rules.actors).ok();
        welcome.free = u64::try_from(self.free_agents()).ok();
    }

    /// Takes a client by what it says of itself, or not; and by what its token allows it, where it has one. It is held to
    /// both.
    ///
    /// The gate is to be asked before the engine knows of the client: each id costs a pymasep engine descriptors for
    /// ever.
    ///
    /// # Errors
    /// An id that pymasep cannot read, one of another token, or one too many; another game; a role that there is not, or
    /// may not be; the game is over.
    pub fn enter(&mut self, hello: &Hello, grant: Option<&Grant>) -> Result<Visitor, Refusal> {
        if !action::is_text(&hello.id) || hello.id.contains(char::is_control) {
            return Err(Refusal::new("bad_id", "pymasep cannot read this id"));
        }
        let game = self.rules.game.as_str();
        // First, so that a token for another game is not told which one it is.
        if !grant.is_none_or(|grant| grant.may_play(game)) {
            return Err(Refusal::new("forbidden", "its token is not for this game"));
        }
        if hello.game.as_deref().is_some_and(|said| said != game) {
            return Err(other_game());
        }
        let mut roles = vec![Role::Actor, Role::Observer];
        roles.retain(|role| grant.is_none_or(|grant| grant.may_be(*role)));
        if let Some(said) = hello.role.as_deref() {
            let is_role = |role: &Role| role.hello_name() == said;
            if ![Role::Actor, Role::Observer].iter().any(is_role) {
                return Err(Refusal::new("unknown_role", "there is no such role"));
            }
            roles.retain(is_role);
        }
        if roles.is_empty() {
            return Err(Refusal::new("other_role", "it may not have this role"));
        }
        if self.is_over {
            return Err(over());
        }
        self.note_id(&hello.id, grant)?;
        Ok(Visitor {
            id: hello.id.clone(),
            token: grant.map(|grant| grant.name.clone()),
            roles,
            phase: Phase::New,
        })
    }

    /// An id costs the engine something for ever. One that has registered belongs to its token.
    fn note_id(&mut self, id: &PeerId, grant: Option<&Grant>) -> Result<(), Refusal> {
        let name = grant.map(|grant| &grant.name);
        if let Some(owner) = self.ids.get(id) {
            if owner.as_ref() != name && self.keeps(id) {
                return Err(Refusal::new("duplicate_id", "the id is another's"));
            }
            return Ok(());
        }
        if self.ids.len() >= self.rules.ids {
            let text = "as many ids as may be have been here in the life of the engine";
            return Err(Refusal::new("full", text));
        }
        let of_token = |owner: &&Option<ByteString>| owner.as_ref() == name;
        if name.is_some() && self.ids.values().filter(of_token).count() >= self.rules.token_ids {
            let text = "as many ids as may be have come with its token in the life of the engine";
            return Err(Refusal::new("full", text));
        }
        self.ids.insert(id.clone(), name.cloned());
        Ok(())
    }

    /// A client has said this, in whatever form its protocol has.
    pub fn from_client(&mut self, visitor: &mut Visitor, frame: &Frame) -> Verdict {
        let limits = Limits::default();
        let message = match frame.kind() {
            FrameKind::Cbor => cbor::decode_message(frame.bytes(), &limits).map(|(it, _)| it),
            FrameKind::Xml | FrameKind::Bytes => Message::decode(frame.bytes().clone(), &limits),
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                return Verdict::Refuse(Refusal::new("no_message", error.to_string()));
            }
        };
        let judged = if *message.src_sub_app == *visitor.id {
            self.judge(visitor, &message)
        } else {
            Judged::refuse("not_yours", "it is in another's name")
        };
        match judged {
            Judged::Goes(message) => match write(&message) {
                Ok(bytes) => {
                    self.let_through(visitor, &message);
                    Verdict::Forward(bytes)
                }
                Err(refusal) => Verdict::Refuse(refusal),
            },
            Judged::Known(phase, verdict) => {
                visitor.phase = phase;
                verdict
            }
            Judged::Not(verdict) => verdict,
        }
    }

    fn judge(&self, visitor: &Visitor, message: &Message) -> Judged {
        let (phase, id) = (visitor.phase, &visitor.id);
        match (&message.msg_type, phase) {
            // An interface says it behind END, and nobody reads it any more.
            (MessageType::Quit, Phase::Over) => Judged::Not(Verdict::Drop),
            (_, Phase::Over) => Judged::Not(Verdict::Refuse(over())),
            _ if self.is_over => Judged::Not(Verdict::End(over())),
            (MessageType::Define, Phase::New) => self.judge_define(id, message),
            (MessageType::Register, Phase::Defined) => self.judge_register(visitor, message),
            (MessageType::Define | MessageType::Register, _) if phase != Phase::New => {
                Judged::refuse("repeated", "it was said before")
            }
            (_, Phase::New) => Judged::refuse("not_defined", "DEFINE is to be said first"),
            (_, Phase::Defined) => Judged::refuse("not_registered", "REGISTER is to be said first"),
            (MessageType::Action, Phase::Observer) => {
                Judged::refuse("not_a_player", "an observer does not act")
            }
            (MessageType::Action, Phase::Actor { owes: 0 }) => Judged::refuse(
                "not_asked",
                "there was no observation since the last action",
            ),
            (MessageType::Action, Phase::Actor { .. }) => {
                match action::checked(message.param("action"), &self.rules) {
                    Ok(action) => Judged::Goes(Message::action(id.as_str(), action)),
                    Err(refusal) => Judged::Not(Verdict::Refuse(refusal)),
                }
            }
            (MessageType::Quit, Phase::Actor { .. }) if self.rules.quits == Quits::Actors => {
                Judged::Goes(Message::quit(id.as_str()))
            }
            (MessageType::Quit, _) => {
                Judged::refuse("quit_denied", "nobody ends the game for the others")
            }
            _ => Judged::refuse("unexpected", "it is none of a client's messages"),
        }
    }

    fn judge_define(&self, id: &PeerId, message: &Message) -> Judged {
        let game = self.rules.game.clone();
        match message.param("game") {
            // It would be skipped.
            Some(Value::Type(said)) if *said == game && self.is_defined => {
                Judged::Known(Phase::Defined, Verdict::Drop)
            }
            Some(Value::Type(said)) if *said == game => {
                Judged::Goes(Message::define(id.as_str(), game))
            }
            _ => Judged::Not(Verdict::End(other_game())),
        }
    }

    fn judge_register(&self, visitor: &Visitor, message: &Message) -> Judged {
        let id = &visitor.id;
        let end = |code, text| Judged::Not(Verdict::End(Refusal::new(code, text)));
        match message.param("id") {
            Some(Value::Str(said)) if **said == **id => {}
            _ => return end("not_yours", "it is in another's name"),
        }
        let role = match message.param("role") {
            Some(Value::Str(role)) if *role == Role::Actor.as_str() => Role::Actor,
            Some(Value::Str(role)) if *role == Role::Observer.as_str() => Role::Observer,
            _ => return end("unknown_role", "there is no such role"),
        };
        if !visitor.roles.contains(&role) {
            return end("other_role", "it may not have this role");
        }
        if self.actors.contains(id) {
            return end("gone", "an engine of pymasep takes nobody back");
        }
        if role == Role::Actor && self.actors.len() >= self.rules.actors {
            return end("full", "no agent is free");
        }
        if role == Role::Actor && self.has_its_agents(visitor) {
            return end("full", "its token has as many agents as it may have");
        }
        if role == Role::Observer
            && let Some(shown) = self.observers.get(id)
        {
            let verdict = shown.clone().map_or(Verdict::Drop, Verdict::Show);
            return Judged::Known(Phase::Observer, verdict);
        }
        // The queue counts for those in the engine's own process only.
        Judged::Goes(Message::register(id.as_str(), id.as_str(), 0, role))
    }

    /// True if its token has no agent left.
    fn has_its_agents(&self, visitor: &Visitor) -> bool {
        let token = visitor.token.as_ref();
        let is_its = |actor: &&PeerId| self.ids.get(*actor).is_some_and(|it| it.as_ref() == token);
        token.is_some() && self.actors.iter().filter(is_its).count() >= self.rules.token_actors
    }

    /// Keeps in mind what the engine gets to know.
    fn let_through(&mut self, visitor: &mut Visitor, message: &Message) {
        match (&message.msg_type, &mut visitor.phase) {
            (MessageType::Define, phase) => *phase = Phase::Defined,
            (MessageType::Register, phase) => {
                self.ids.insert(visitor.id.clone(), visitor.token.clone());
                let is_actor = message.param("role").and_then(Value::as_str) == Some("Actor");
                *phase = if is_actor {
                    self.actors.insert(visitor.id.clone());
                    self.observers.remove(&visitor.id);
                    Phase::Actor { owes: 0 }
                } else {
                    self.observers.insert(visitor.id.clone(), None);
                    Phase::Observer
                };
            }
            (MessageType::Action, Phase::Actor { owes }) => *owes = owes.saturating_sub(1),
            _ => {}
        }
    }

    /// The engine has said this to a client. True if it goes on to it: not before it has registered.
    pub fn from_engine(&mut self, visitor: &mut Visitor, frame: &Frame) -> bool {
        let said = self.note(&visitor.id, frame);
        if !visitor.is_in() {
            return false;
        }
        self.is_defined |= said == Some(MessageType::Observation);
        match (said, &mut visitor.phase) {
            (Some(MessageType::Observation), Phase::Actor { owes }) => {
                *owes = MOST_OWED.min(*owes + 1);
            }
            (Some(MessageType::End), phase) => *phase = Phase::Over,
            _ => {}
        }
        true
    }

    /// The engine has said this to a client that has left, and whose connection is [kept](Self::keeps).
    pub fn overhear(&mut self, id: &PeerId, frame: &Frame) {
        self.note(id, frame);
    }

    fn note(&mut self, id: &PeerId, frame: &Frame) -> Option<MessageType> {
        let said = action::type_of(frame.bytes());
        match said {
            Some(MessageType::Observation) => {
                if let Some(shown) = self.observers.get_mut(id) {
                    *shown = Some(frame.clone());
                }
            }
            Some(MessageType::End) => {
                self.is_over = true;
                self.observers.clear();
            }
            _ => {}
        }
        said
    }
}

/// The reason why a client of another game is not taken. It is not told which one is played.
fn other_game() -> Refusal {
    Refusal::new("unknown_game", "another game is played here")
}

/// The reason why nobody can do anything behind END.
fn over() -> Refusal {
    Refusal::new("over", "the game is over")
}

impl Visitor {
    /// The client's id.
    pub const fn id(&self) -> &PeerId {
        &self.id
    }

    /// The role in which it has registered.
    pub const fn role(&self) -> Option<Role> {
        match self.phase {
            Phase::Actor { .. } => Some(Role::Actor),
            Phase::Observer => Some(Role::Observer),
            Phase::New | Phase::Defined | Phase::Over => None,
        }
    }

    /// True if it has registered, and is told what the engine says.
    pub const fn is_in(&self) -> bool {
        !matches!(self.phase, Phase::New | Phase::Defined)
    }

    /// True if the engine has said END to it.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

/// A message that has been looked at.
enum Judged {
    /// The message goes through, as it is here.
    Goes(Message),
    /// The engine knows it already. The client is where it would be if it had gone through.
    Known(Phase, Verdict),
    Not(Verdict),
}

impl Judged {
    fn refuse(code: &'static str, text: &str) -> Self {
        Self::Not(Verdict::Refuse(Refusal::new(code, text)))
    }
}

/// The bytes of a message that goes through. pymasep's parser reads fewer characters than ours.
fn write(message: &Message) -> Result<Bytes, Refusal> {
    let written = message.to_bytes();
    let bytes = written.map_err(|error| Refusal::new(error.name(), error.to_string()))?;
    if bytes.len() > Frame::MAX_BYTES {
        let text = format!("{} bytes are no frame of pymasep's", bytes.len());
        return Err(Refusal::new("limit", text));
    }
    if !action::is_readable(&bytes) {
        let text = "it has a character that pymasep cannot read";
        return Err(Refusal::new("unreadable", text));
    }
    Ok(bytes)
}
