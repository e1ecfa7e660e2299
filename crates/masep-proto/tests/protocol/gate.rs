//! The engine behind a gate lives with any message of a client, and nobody speaks for another.

mod engine;
mod play;
mod roles;

use masep_proto::TypeName;
use masep_proto::gate::{Gate, Rules};
use masep_proto::protocol2::{Control, Welcome};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_engine_behind_a_gate_survives_whatever_clients_say(
        choices in prop::collection::vec(any::<u32>(), 1..2_000),
    ) {
        let mut choices = choices.into_iter();
        let mut choose = |bound: usize| choices.next().unwrap_or(0) as usize % bound.max(1);
        play::play(200, &mut choose);
    }
}

/// The model dies of what kills a pymasep engine, so that it shows something that it lives.
#[test]
fn the_engine_of_these_tests_dies_where_pymaseps_does() {
    let define = "<Message msg_type=\"define\" src_sub_app=\"a\"><dict><item key=\"game\">\
                  <type>&lt;class 'pkg.Game'&gt;</type></item></dict></Message>";
    let register = "<Message msg_type=\"register\" src_sub_app=\"a\"><dict><item key=\"id\"><str>a</str></item>\
                    <item key=\"queue_id\"><int>0</int></item><item key=\"role\"><str>Actor</str></item></dict></Message>";
    let act = |value: &str| {
        format!(
            "<Message msg_type=\"action\" src_sub_app=\"a\"><dict><item key=\"action\"><Action type=\"1\">\
             <ActionParameter name=\"p\">{value}</ActionParameter></Action></item></dict></Message>"
        )
    };
    let mut engine = engine::Engine::default();
    assert!(
        engine.read("a", register.as_bytes()).is_err(),
        "before DEFINE"
    );
    engine.read("a", define.as_bytes()).unwrap();
    engine.read("a", register.as_bytes()).unwrap();
    engine.read("a", act("<int>1</int>").as_bytes()).unwrap();
    for value in [
        "<float>1.5</float>",
        "<Object />",
        "<str>&lt;class 'a.b'&gt;</str>",
        "<str>\u{1}</str>",
        "",
    ] {
        assert!(engine.read("a", act(value).as_bytes()).is_err(), "{value}");
    }
    assert!(engine.read("a", b"").is_err());
}

#[test]
fn a_game_that_no_welcome_can_say_is_left_out_of_it() {
    for (game, told) in [("pkg.Game", Some("pkg.Game")), ("pkg.G\u{200b}", None)] {
        let mut welcome = Welcome::new("engine".into(), 65_536);
        Gate::new(Rules::new(TypeName::from(game))).fill(&mut welcome);
        assert_eq!(welcome.game.as_deref(), told);
        assert!(Control::Welcome(welcome.into()).encode().is_ok());
    }
}
