use super::*;
use crate::{Action, Dict, Element, TypeName};

const GAME: &str = "lanterns.game.LanternsGame";

fn rules() -> Rules {
    let mut rules = Rules::new(TypeName::from(GAME));
    rules.actors = 2;
    rules
}

fn hello(id: &str) -> Hello {
    Hello::new(PeerId::from(id), 0)
}

fn xml(message: &Message) -> Frame {
    message.to_frame().unwrap()
}

fn define(id: &str) -> Message {
    Message::define(id, TypeName::from(GAME))
}

fn observation() -> Frame {
    let state = Element::parse("<State name=\"State\" />").unwrap();
    xml(&Message::observation("engine", state.into(), Dict::new()))
}

/// The word for what became of a message.
fn outcome(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Forward(_) => "forward",
        Verdict::Drop => "drop",
        Verdict::Show(_) => "show",
        Verdict::Refuse(refusal) | Verdict::End(refusal) => refusal.code,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    New,
    Defined,
    Actor,
    ActorAsked,
    Observer,
    Over,
}

fn come_to(gate: &mut Gate, id: &str, at: At) -> Visitor {
    let mut visitor = gate.enter(&hello(id), None).unwrap();
    let mut say = |gate: &mut Gate, message: Message| {
        let verdict = gate.from_client(&mut visitor, &xml(&message));
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    };
    let role = match at {
        At::Observer => Role::Observer,
        _ => Role::Actor,
    };
    if at != At::New {
        say(gate, define(id));
    }
    if !matches!(at, At::New | At::Defined) {
        say(gate, Message::register(id, id, 0, role));
    }
    if at == At::ActorAsked {
        assert!(gate.from_engine(&mut visitor, &observation()));
    }
    if at == At::Over {
        assert!(gate.from_engine(&mut visitor, &xml(&Message::end("engine"))));
    }
    visitor
}

#[test]
fn an_honest_interface_is_not_touched() {
    let mut gate = Gate::new(rules());
    let mut visitor = gate.enter(&hello("actor-漢"), None).unwrap();
    let id = "actor-漢";
    let plan = Dict::new().with("a", vec![1]).with("é<&>\"", Dict::new());
    let action = Action::new(4)
        .with("how", "züge & \"ruhig\" <so>\n灯")
        .with("until", Value::None)
        .with("step", (1, -1))
        .with("plan", plan)
        .with("then", Action::new(1).with("odds", vec![0.5]));
    let said = [
        define(id),
        Message::register(id, id, 0, Role::Actor),
        Message::action(id, action),
    ];
    for message in said {
        let frame = Frame::new(message.to_bytes().unwrap());
        assert_eq!(
            gate.from_client(&mut visitor, &frame),
            Verdict::Forward(frame.bytes().clone())
        );
        assert!(gate.from_engine(&mut visitor, &observation()) || visitor.role().is_none());
    }
    assert_eq!(visitor.role(), Some(Role::Actor));
    assert!(gate.from_engine(&mut visitor, &xml(&Message::end("engine"))));
    assert!(visitor.is_over());
}

#[test]
fn messages_in_cbor_go_on_in_xml() {
    let mut gate = Gate::new(rules());
    let mut visitor = gate.enter(&hello("a"), None).unwrap();
    let body = cbor::encode_message(&define("a"), None, &Limits::default()).unwrap();
    let verdict = gate.from_client(&mut visitor, &Frame::of(FrameKind::Cbor, body));
    assert_eq!(verdict, Verdict::Forward(define("a").to_bytes().unwrap()));
}

#[test]
fn nothing_goes_to_a_client_before_it_has_registered() {
    for at in [At::New, At::Defined] {
        let mut gate = Gate::new(rules());
        let mut visitor = come_to(&mut gate, "a", at);
        assert!(!gate.from_engine(&mut visitor, &observation()));
        assert!(!gate.from_engine(&mut visitor, &xml(&Message::end("engine"))));
    }
    let mut gate = Gate::new(rules());
    let mut visitor = come_to(&mut gate, "a", At::Observer);
    assert!(gate.from_engine(&mut visitor, &observation()));
}

#[test]
fn behind_end_nobody_comes_in_or_registers() {
    let mut gate = Gate::new(rules());
    let mut late = come_to(&mut gate, "late", At::Defined);
    let mut actor = come_to(&mut gate, "a", At::ActorAsked);
    assert!(gate.keeps(&"a".into()) && !gate.keeps(&"late".into()));
    assert!(gate.from_engine(&mut actor, &xml(&Message::end("engine"))));
    assert!(gate.is_over() && !gate.keeps(&"a".into()));
    let register = Message::register("late", "late", 0, Role::Observer);
    let verdict = gate.from_client(&mut late, &xml(&register));
    assert!(matches!(&verdict, Verdict::End(refusal) if refusal.code == "over"));
    assert_eq!(gate.enter(&hello("new"), None).unwrap_err().code, "over");
    // pymasep's interface says it behind END.
    let quit = xml(&Message::quit("a"));
    assert_eq!(gate.from_client(&mut actor, &quit), Verdict::Drop);
}

#[test]
fn an_engine_hears_of_an_observer_once_however_often_that_comes() {
    let mut gate = Gate::new(rules());
    let id = PeerId::from("o");
    let mut visitor = come_to(&mut gate, "o", At::Observer);
    let again = |gate: &mut Gate| {
        let mut visitor = gate.enter(&hello("o"), None).unwrap();
        let register = Message::register("o", "o", 0, Role::Observer);
        let said = [define("o"), register];
        let heard = said.map(|it| gate.from_client(&mut visitor, &xml(&it)));
        assert_eq!(visitor.role(), Some(Role::Observer));
        heard
    };
    // Until the engine has shown something it may not have read a DEFINE.
    let [first, second] = again(&mut gate);
    assert!(matches!(first, Verdict::Forward(_)), "{first:?}");
    assert_eq!(second, Verdict::Drop);
    let shown = observation();
    assert!(gate.from_engine(&mut visitor, &shown));
    assert_eq!(
        again(&mut gate),
        [Verdict::Drop, Verdict::Show(shown.clone())]
    );
    // An observation that it was sent while it was away counts.
    let newer = xml(&Message::observation("engine", Value::None, Dict::new()));
    assert!(gate.keeps(&id));
    gate.overhear(&id, &newer);
    assert_eq!(again(&mut gate), [Verdict::Drop, Verdict::Show(newer)]);
    // It may still become an actor.
    let mut visitor = gate.enter(&hello("o"), None).unwrap();
    let said = [define("o"), Message::register("o", "o", 0, Role::Actor)];
    let heard = said.map(|it| outcome(&gate.from_client(&mut visitor, &xml(&it))));
    assert_eq!(heard, ["drop", "forward"]);
}

#[test]
fn the_holders_of_one_token_do_not_take_the_places_of_others() {
    let mut rules = rules();
    rules.token_ids = 2;
    let mut gate = Gate::new(rules);
    let enter = |gate: &mut Gate, id: &str, token: Option<&str>| {
        let grant = token.map(|name| Grant::new(name.to_owned()));
        gate.enter(&hello(id), grant.as_ref())
    };
    let become_actor = |gate: &mut Gate, mut visitor: Visitor| {
        let id = visitor.id().clone();
        let said = [define(&id), Message::register(&*id, &*id, 0, Role::Actor)];
        said.map(|it| outcome(&gate.from_client(&mut visitor, &xml(&it))))[1]
    };
    for (id, expected) in [("a", "forward"), ("b", "full")] {
        // One that only looks, as a monitor does, takes nobody's id.
        for looks in [Some("lab"), Some("class"), None] {
            assert!(enter(&mut gate, id, looks).is_ok());
        }
        let visitor = enter(&mut gate, id, Some("lab")).unwrap();
        assert_eq!(become_actor(&mut gate, visitor), expected, "{id}");
    }
    let code = |entered: Result<Visitor, Refusal>| entered.unwrap_err().code;
    assert_eq!(code(enter(&mut gate, "c", Some("lab"))), "full");
    for other in [Some("class"), None] {
        assert_eq!(code(enter(&mut gate, "a", other)), "duplicate_id");
    }
    let visitor = enter(&mut gate, "c", Some("class")).unwrap();
    assert_eq!(become_actor(&mut gate, visitor), "forward");
    // Those without a token have the bounds of the engine alone.
    for id in ["x", "y", "z"] {
        assert!(enter(&mut gate, id, None).is_ok());
    }
}

#[test]
fn those_who_are_let_in_are_told_of_the_game_and_the_free_agents() {
    let mut gate = Gate::new(rules());
    let told = |gate: &Gate| {
        let mut welcome = Welcome::new("engine".into(), 0);
        gate.fill(&mut welcome);
        assert_eq!(welcome.game.as_deref(), Some(GAME));
        (welcome.free, welcome.seats)
    };
    assert_eq!(told(&gate), (Some(2), Some(2)));
    let mut actor = come_to(&mut gate, "a", At::Actor);
    assert_eq!(told(&gate), (Some(1), Some(2)));
    gate.from_engine(&mut actor, &xml(&Message::end("engine")));
    assert_eq!(told(&gate), (Some(0), Some(2)));
    // A token for another game is not told which one this is.
    let grant = Grant::new("lab").game("a.B");
    let mut named = hello("b");
    named.game = Some("a.B".into());
    let refused = gate.enter(&named, Some(&grant)).unwrap_err();
    assert_eq!(refused.code, "forbidden");
    assert!(!refused.text.contains(GAME));
}

#[test]
fn agents_are_for_the_life_of_the_engine() {
    let mut gate = Gate::new(rules());
    let register = |gate: &mut Gate, id: &str, role| {
        let mut visitor = come_to(gate, id, At::Defined);
        let message = Message::register(id, id, 0, role);
        gate.from_client(&mut visitor, &xml(&message))
    };
    for id in ["a", "b"] {
        assert_eq!(outcome(&register(&mut gate, id, Role::Actor)), "forward");
    }
    // All of them have gone meanwhile; the engine does not know.
    for (id, role, code) in [
        ("c", Role::Actor, "full"),
        ("a", Role::Actor, "gone"),
        ("b", Role::Observer, "gone"),
    ] {
        let verdict = register(&mut gate, id, role);
        assert!(matches!(verdict, Verdict::End(_)), "{verdict:?}");
        assert_eq!(outcome(&verdict), code);
    }
    for expected in ["forward", "drop", "drop"] {
        assert_eq!(outcome(&register(&mut gate, "d", Role::Observer)), expected);
    }
}

#[test]
fn ids_are_bounded_and_those_that_pymasep_cannot_read_do_not_come_in() {
    let mut rules = rules();
    rules.ids = 2;
    let mut gate = Gate::new(rules);
    for bad in ["<class 'os.abort'>", "a\rb", "a\0"] {
        assert_eq!(gate.enter(&hello(bad), None).unwrap_err().code, "bad_id");
    }
    for id in ["a", "b", "a", "b"] {
        assert!(gate.enter(&hello(id), None).is_ok());
    }
    assert_eq!(gate.enter(&hello("c"), None).unwrap_err().code, "full");
}

#[test]
fn what_hello_and_a_token_say_of_role_and_game_holds() {
    let enter = |role: Option<&str>, game: Option<&str>, grant: Option<Grant>| {
        let mut hello = hello("a");
        hello.role = role.map(Into::into);
        hello.game = game.map(Into::into);
        let mut gate = Gate::new(rules());
        gate.enter(&hello, grant.as_ref())
            .map(|visitor| (gate, visitor))
            .map_err(|refusal| refusal.code)
    };
    let watches = || Some(Grant::new("lab").role(Role::Observer).game(GAME));
    assert_eq!(enter(Some("king"), None, None).unwrap_err(), "unknown_role");
    assert_eq!(enter(None, Some("a.B"), None).unwrap_err(), "unknown_game");
    let other = Some(Grant::new("lab").game("a.B"));
    assert_eq!(enter(None, None, other).unwrap_err(), "forbidden");
    let acts = enter(Some("actor"), Some(GAME), watches());
    assert_eq!(acts.unwrap_err(), "other_role");
    for (said, grant) in [(Some("observer"), None), (None, watches())] {
        let (mut gate, mut visitor) = enter(said, None, grant).unwrap();
        let mut say = |message: &Message| gate.from_client(&mut visitor, &xml(message));
        assert_eq!(outcome(&say(&define("a"))), "forward");
        let as_actor = Message::register("a", "a", 0, Role::Actor);
        assert_eq!(outcome(&say(&as_actor)), "other_role");
    }
    let anything = Some(Grant::new("lab"));
    assert!(enter(Some("actor"), Some(GAME), anything).is_ok());
}

#[test]
fn quit_goes_through_where_the_rules_say_so_and_never_of_an_observer() {
    let mut rules = rules();
    rules.quits = Quits::Actors;
    let mut gate = Gate::new(rules);
    for (id, at, expected) in [
        ("a", At::Actor, "forward"),
        ("o", At::Observer, "quit_denied"),
    ] {
        let mut visitor = come_to(&mut gate, id, at);
        let verdict = gate.from_client(&mut visitor, &xml(&Message::quit(id)));
        assert_eq!(outcome(&verdict), expected);
    }
}

/// The verdict about an action of an actor that is asked.
fn act(rules: Rules, action: &str) -> Verdict {
    let mut gate = Gate::new(rules);
    let mut visitor = come_to(&mut gate, "a", At::ActorAsked);
    let frame = format!("<Message msg_type=\"action\" src_sub_app=\"a\">{action}</Message>");
    gate.from_client(&mut visitor, &Frame::new(frame))
}

fn with_parameter(value: &str) -> String {
    format!(
        "<dict><item key=\"action\"><Action type=\"1\"><ActionParameter name=\"p\">{value}</ActionParameter>\
         </Action></item></dict>"
    )
}

#[test]
fn no_action_goes_through_that_an_engine_does_not_survive() {
    let deep = format!(
        "{}<int>1</int>{}",
        "<list><item>".repeat(40),
        "</item></list>".repeat(40)
    );
    let deep_element = format!(
        "<list><item>{}{}</item></list>",
        "<a>".repeat(40),
        "</a>".repeat(40)
    );
    let overshadowed = "<Action type=\"2\"><ActionParameter name=\"q\"><float>0.5</float></ActionParameter>\
                        <ActionParameter name=\"q\"><int>1</int></ActionParameter></Action>";
    for value in [
        "<float>0.5</float>",
        "<bytes>b'x'</bytes>",
        "<type>&lt;class 'os.abort'&gt;</type>",
        "<str>&lt;class 'os.abort'&gt;</str>",
        "<list><item><str>&lt;class 'os.abort'&gt;</str></item></list>",
        "<Object name=\"o\" />",
        "<os.path.Thing />",
        "<set><item><list /></item></set>",
        "<set><item><tuple><item><dict /></item></tuple></item></set>",
        "<Action type=\"1\"><ActionParameter name=\"q\"><float>0.5</float></ActionParameter></Action>",
        "<str>a\u{1}b</str>",
        "<str>&#65535;</str>",
        "<list><item><Thing x=\"\u{1}\" /></item></list>",
        &deep,
        &deep_element,
    ] {
        let verdict = act(rules(), &with_parameter(value));
        assert!(
            matches!(verdict, Verdict::Refuse(_)),
            "{value}: {verdict:?}"
        );
    }
    for action in [
        "",
        "<dict />",
        "<dict><item key=\"action\"><int>1</int></item></dict>",
        "<dict><item key=\"action\"><Action /></item></dict>",
        "<dict><item key=\"action\"><Action type=\"1.5\" /></item></dict>",
        "<dict><item key=\"action\"><Action type=\"1\"><ActionParameter name=\"p\" /></Action></item></dict>",
        "<dict><item key=\"action\"><Action type=\"1\"><p><int>1</int></p></Action></item></dict>",
        "<list />",
    ] {
        let verdict = act(rules(), action);
        assert!(
            matches!(verdict, Verdict::Refuse(_)),
            "{action}: {verdict:?}"
        );
    }
    let Verdict::Forward(bytes) = act(rules(), &with_parameter(overshadowed)) else {
        panic!("the last of a name counts");
    };
    assert!(!bytes.windows(5).any(|it| it == b"float"), "{bytes:?}");
}

#[test]
fn types_of_actions_and_objects_are_bounded_as_the_rules_say() {
    let mut rules = rules();
    rules.actions = Some(1..=3);
    rules.elements.insert("Object".to_owned());
    let of_type = |number: &str| {
        format!("<dict><item key=\"action\"><Action type=\"{number}\" /></item></dict>")
    };
    for (number, expected) in [
        ("1", "forward"),
        ("3", "forward"),
        ("0", "bad_action"),
        ("4", "bad_action"),
        ("99999999999999999999", "bad_action"),
    ] {
        assert_eq!(
            outcome(&act(rules.clone(), &of_type(number))),
            expected,
            "{number}"
        );
    }
    let object = with_parameter("<Object name=\"o\" />");
    assert_eq!(outcome(&act(rules.clone(), &object)), "forward");
    let agent = with_parameter("<Agent name=\"o\" />");
    assert_eq!(outcome(&act(rules, &agent)), "bad_action");
}

#[test]
fn a_flood_of_actions_is_no_more_than_there_were_observations() {
    let mut gate = Gate::new(rules());
    let mut visitor = come_to(&mut gate, "a", At::Actor);
    for _ in 0..200 {
        gate.from_engine(&mut visitor, &observation());
    }
    let action = xml(&Message::action("a", Action::new(1)));
    let through =
        (0..200).filter(|_| matches!(gate.from_client(&mut visitor, &action), Verdict::Forward(_)));
    assert_eq!(through.count(), 64);
}
