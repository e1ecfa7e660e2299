//! The rights of clients before an engine: each message of each kind of client, in its own and in another's name, at each
//! point of a game. The verdict that must come is a rule here, and each case of it is held against the gate.

use std::fmt;

use masep_proto::access::Grant;
use masep_proto::gate::{Gate, Quits, Rules, Verdict, Visitor};
use masep_proto::protocol2::Hello;
use masep_proto::{
    Dict, Frame, FrameKind, Limits, Message, MessageType, PeerId, Role, TypeName, Value, cbor,
};

use super::engine::{Engine, GAME};
use crate::sayings::{OTHER, OWN, Part, Says};

/// The point of the game. At the first two, only one that has not registered can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeDefine,
    BeforeRegister,
    /// The engine has shown nothing yet.
    BeforeFirst,
    Asked,
    /// It has answered, if it could.
    Answered,
    AfterEnd,
}

/// The bounds of the role that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// None: also those of pymasep's protocol.
    Free,
    /// The role in its HELLO.
    Hello(Role),
    /// The role that its token is for.
    Token(Role),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    bound: Bound,
    part: Part,
    point: Point,
    says: Says,
    in_own_name: bool,
    quits: Quits,
    form: FrameKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It reaches the engine, as its sender's.
    Goes,
    Dropped,
    /// It does not, and its sender is told so.
    Refused(&'static str),
    /// The connection ends.
    Ended(&'static str),
}

/// The rule.
fn must_happen(case: Case) -> Outcome {
    use Outcome::{Dropped, Ended, Goes, Refused};
    let Case {
        bound, part, point, ..
    } = case;
    if !case.in_own_name {
        return Refused("not_yours");
    }
    let may_be = |role| match bound {
        Bound::Hello(only) | Bound::Token(only) if only != role => Ended("other_role"),
        _ => Goes,
    };
    match (part, point, case.says) {
        (Part::Unregistered, Point::AfterEnd, _) => Ended("over"),
        (Part::Unregistered, Point::BeforeDefine, Says::Define) => Goes,
        (Part::Unregistered, Point::BeforeDefine, Says::DefineOther) => Ended("unknown_game"),
        (Part::Unregistered, Point::BeforeDefine, _) => Refused("not_defined"),
        (Part::Unregistered, _, Says::RegisterActor) => may_be(Role::Actor),
        (Part::Unregistered, _, Says::RegisterObserver) => may_be(Role::Observer),
        (Part::Unregistered, _, Says::RegisterNothing) => Ended("unknown_role"),
        (Part::Unregistered, _, Says::RegisterAnother) => Ended("not_yours"),
        (Part::Unregistered, _, Says::Define | Says::DefineOther) => Refused("repeated"),
        (Part::Unregistered, _, _) => Refused("not_registered"),
        (_, Point::AfterEnd, Says::Quit) => Dropped,
        (_, Point::AfterEnd, _) => Refused("over"),
        (
            _,
            _,
            Says::Define
            | Says::DefineOther
            | Says::RegisterActor
            | Says::RegisterObserver
            | Says::RegisterNothing
            | Says::RegisterAnother,
        ) => Refused("repeated"),
        (Part::Observer, _, Says::Act | Says::ActNothing) => Refused("not_a_player"),
        (Part::Actor, Point::Asked, Says::Act) => Goes,
        (Part::Actor, Point::Asked, Says::ActNothing) => Refused("no_action"),
        (Part::Actor, _, Says::Act | Says::ActNothing) => Refused("not_asked"),
        (Part::Actor, _, Says::Quit) if case.quits == Quits::Actors => Goes,
        (_, _, Says::Quit) => Refused("quit_denied"),
        (_, _, Says::Observation | Says::End | Says::Other) => Refused("unexpected"),
    }
}

fn cases() -> Vec<Case> {
    let unregistered = [
        Point::BeforeDefine,
        Point::BeforeRegister,
        Point::Asked,
        Point::AfterEnd,
    ];
    let registered = [
        Point::BeforeFirst,
        Point::Asked,
        Point::Answered,
        Point::AfterEnd,
    ];
    let mut clients = vec![
        (Bound::Free, Part::Unregistered, unregistered),
        (Bound::Free, Part::Actor, registered),
        (Bound::Free, Part::Observer, registered),
    ];
    for bound in [Bound::Hello, Bound::Token] {
        clients.extend([
            (bound(Role::Actor), Part::Unregistered, unregistered),
            (bound(Role::Actor), Part::Actor, registered),
            (bound(Role::Observer), Part::Unregistered, unregistered),
            (bound(Role::Observer), Part::Observer, registered),
        ]);
    }
    let mut cases = Vec::new();
    for (bound, part, points) in clients {
        for (point, says) in points
            .into_iter()
            .flat_map(|point| Says::ALL.map(|says| (point, says)))
        {
            for in_own_name in [true, false] {
                for quits in [Quits::Nobody, Quits::Actors] {
                    for form in [FrameKind::Xml, FrameKind::Cbor] {
                        cases.push(Case {
                            bound,
                            part,
                            point,
                            says,
                            in_own_name,
                            quits,
                            form,
                        });
                    }
                }
            }
        }
    }
    cases
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} ({:?}), {:?}: {:?}, in its own name: {}, quits: {:?}, {:?}",
            self.part, self.bound, self.point, self.says, self.in_own_name, self.quits, self.form
        )
    }
}

fn frame(message: &Message, form: FrameKind) -> Frame {
    match form {
        FrameKind::Cbor => {
            let body = cbor::encode_message(message, None, &Limits::default());
            Frame::of(FrameKind::Cbor, body.expect("a message"))
        }
        _ => message.to_frame().expect("a message"),
    }
}

/// A game at the point of a case: the gate, its engine, the one that it is about, and another actor, who is asked.
struct Game {
    gate: Gate,
    engine: Engine,
    own: Visitor,
    other: Visitor,
    /// The number of frames of the engine's that the one got.
    seen: usize,
}

impl Game {
    fn at(case: Case) -> Self {
        let mut rules = Rules::new(TypeName::from(GAME));
        (rules.actors, rules.quits) = (2, case.quits);
        let mut gate = Gate::new(rules);
        let mut enter = |id: &str, bound: Bound| {
            let mut hello = Hello::new(PeerId::from(id), 0);
            let mut grant = None;
            match bound {
                Bound::Free => {}
                Bound::Hello(role) => hello.role = Some(role.hello_name().into()),
                Bound::Token(role) => grant = Some(Grant::new("lab").role(role)),
            }
            gate.enter(&hello, grant.as_ref()).expect("it may come in")
        };
        let (own, other) = (enter(OWN, case.bound), enter(OTHER, Bound::Free));
        let mut game = Self {
            gate,
            engine: Engine::default(),
            own,
            other,
            seen: 0,
        };
        game.others(Says::Define);
        game.others(Says::RegisterActor);
        let show = || Message::observation("engine", Value::None, Dict::new());
        if case.point != Point::BeforeDefine {
            game.owns(Says::Define);
        }
        match case.part {
            Part::Unregistered => {}
            Part::Actor => game.owns(Says::RegisterActor),
            Part::Observer => game.owns(Says::RegisterObserver),
        }
        if matches!(case.point, Point::Asked | Point::Answered | Point::AfterEnd) {
            game.shows(&show());
        }
        if case.point == Point::Answered && case.part == Part::Actor {
            game.owns(Says::Act);
        }
        if case.point == Point::AfterEnd {
            game.shows(&Message::end("engine"));
        }
        game
    }

    fn owns(&mut self, says: Says) {
        let said = frame(&says.message(OWN, GAME), FrameKind::Xml);
        let verdict = self.gate.from_client(&mut self.own, &said);
        self.goes(OWN, &verdict);
    }

    fn others(&mut self, says: Says) {
        let said = frame(&says.message(OTHER, GAME), FrameKind::Xml);
        let verdict = self.gate.from_client(&mut self.other, &said);
        self.goes(OTHER, &verdict);
    }

    /// It reaches the engine, which lives.
    fn goes(&mut self, id: &str, verdict: &Verdict) {
        let Verdict::Forward(bytes) = verdict else {
            panic!("{id}: {verdict:?}");
        };
        let message = Message::from_bytes(bytes.clone()).expect("a message");
        assert_eq!(&*message.src_sub_app, id);
        // That ends the game, as its rules allow then.
        if message.msg_type != MessageType::Quit {
            assert_eq!(self.engine.read(id, bytes), Ok(()));
        }
    }

    /// The engine says this to both.
    fn shows(&mut self, message: &Message) {
        let said = frame(message, FrameKind::Xml);
        self.seen += usize::from(self.gate.from_engine(&mut self.own, &said));
        assert!(self.gate.from_engine(&mut self.other, &said));
    }
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Forward(_) => Outcome::Goes,
        Verdict::Drop | Verdict::Show(_) => Outcome::Dropped,
        Verdict::Refuse(refusal) => Outcome::Refused(refusal.code),
        Verdict::End(refusal) => Outcome::Ended(refusal.code),
    }
}

#[test]
fn each_message_of_each_client_at_each_point_does_what_it_may() {
    let cases = cases();
    for &case in &cases {
        let mut game = Game::at(case);
        let is_in = case.part != Part::Unregistered;
        let shown = match case.point {
            Point::Asked | Point::Answered => 1,
            Point::AfterEnd => 2,
            _ => 0,
        };
        assert_eq!(game.seen, if is_in { shown } else { 0 }, "{case}");

        let before = game.own.role();
        let name = if case.in_own_name { OWN } else { OTHER };
        let said = frame(&case.says.message(name, GAME), case.form);
        let verdict = game.gate.from_client(&mut game.own, &said);
        let expected = must_happen(case);
        assert_eq!(outcome(&verdict), expected, "{case}");

        let registers = matches!(case.says, Says::RegisterActor | Says::RegisterObserver);
        let has_joined = registers && expected == Outcome::Goes;
        if expected == Outcome::Goes {
            game.goes(OWN, &verdict);
        }
        if !has_joined {
            assert_eq!(game.own.role(), before, "{case}");
        }
        // Nothing of it changes the game for the other one, nor who is shown something.
        if case.point == Point::AfterEnd {
            assert!(game.other.is_over(), "{case}");
        } else {
            let is_asked = matches!(case.point, Point::Asked | Point::Answered);
            if !is_asked {
                let show = Message::observation("engine", Value::None, Dict::new());
                game.shows(&show);
            }
            game.others(Says::Act);
        }
        let show = frame(&Message::end("engine"), FrameKind::Xml);
        let gets = game.gate.from_engine(&mut game.own, &show);
        assert_eq!(gets, is_in || has_joined, "{case}");
    }
    assert_eq!(cases.len(), 11 * 4 * 12 * 2 * 2 * 2);
}
