//! Cases 1 to 15, and how seats are found.

use masep_proto::access::Grant;
use masep_proto::{Element, Message, Role, TypeName};
use masep_table::{Code, Event, Hello, Kind, SeatState, TurnData, Verdict, View};

use crate::room::{Got, Room, actor, ms, settings};

#[test]
fn case_01_a_second_register_changes_nothing() {
    let mut room = Room::new(settings());
    let peer = room.pymasep("a");
    room.take_events();
    room.say(peer, &Message::register("a", "a", 0, Role::Actor));
    assert_eq!(room.take(peer), []);
    assert_eq!(room.take_events(), []);
    assert_eq!(
        (room.state("red"), room.state("blue")),
        (SeatState::Present, SeatState::Open)
    );
}

#[test]
fn case_02_the_role_does_not_change() {
    let mut room = Room::new(settings());
    let old = room.pymasep("a");
    room.say(old, &Message::register("a", "a", 0, Role::Observer));
    assert_eq!(room.take(old), [], "it cannot read a NOTICE");
    let (new, _) = room.player(actor("b"));
    room.say(new, &Message::register("b", "b", 0, Role::Observer));
    assert_eq!(room.take(new), [Got::Notice(Code::OtherRole, None)]);
    let watcher = room.observer("c");
    room.say(watcher, &Message::register("c", "c", 0, Role::Actor));
    assert_eq!(room.table.spectators(), 1);
    let ignored = |event: &&Event| {
        matches!(
            event,
            Event::Ignored {
                code: Code::OtherRole,
                ..
            }
        )
    };
    assert_eq!(room.events.iter().filter(ignored).count(), 3);
}

#[test]
fn case_03_register_needs_no_define() {
    let mut room = Room::new(settings());
    let peer = room.connect("a");
    room.say(peer, &Message::register("a", "a", 0, Role::Actor));
    assert_eq!(room.id_of("red"), Some("a".into()));
}

#[test]
fn case_04_another_game_is_not_played_here() {
    let mut room = Room::new(settings());
    let peer = room.connect("a");
    room.say(peer, &Message::define("a", TypeName::from("chess.Chess")));
    assert_eq!(room.take(peer), [Got::Closed(Code::UnknownGame)]);
    let hello = Hello {
        game: Some("chess.Chess".into()),
        ..actor("b")
    };
    assert_eq!(room.rejected(hello), Code::UnknownGame);
    assert_eq!(room.table.peers(), 0);
    // Also of somebody who has a seat.
    let peer = room.pymasep("c");
    room.say(peer, &Message::define("c", TypeName::from("chess.Chess")));
    assert_eq!(room.take(peer), [Got::Closed(Code::UnknownGame)]);
    assert_eq!(room.state("red"), SeatState::Open);
    // The host is told each time.
    let refused = room.events.iter().filter_map(|event| match event {
        Event::Rejected { id, code } => Some((id.as_str(), *code)),
        _ => None,
    });
    let expected = ["a", "b", "c"].map(|id| (id, Code::UnknownGame));
    assert_eq!(refused.collect::<Vec<_>>(), expected);
}

#[test]
fn case_05_register_names_the_id_of_the_hello() {
    let mut room = Room::new(settings());
    let peer = room.connect("a");
    room.say(peer, &Message::register("a", "b", 0, Role::Actor));
    assert_eq!(room.take(peer), [Got::Closed(Code::IdMismatch)]);
    assert_eq!(room.state("red"), SeatState::Open);
}

#[test]
fn case_06_an_actor_without_a_seat_does_not_become_a_spectator() {
    let mut room = Room::new(settings());
    room.pymasep("a");
    room.player(actor("b"));
    let third = room.pymasep("c");
    assert_eq!(room.take(third), [Got::Closed(Code::Full)]);
    assert_eq!(room.rejected(actor("d")), Code::Full);
    assert_eq!((room.table.spectators(), room.table.peers()), (0, 2));
}

#[test]
fn case_07_a_stranger_gets_an_away_seat_only_where_the_host_says_so() {
    for allowed in [false, true] {
        let mut room = Room::new(settings().strangers(allowed));
        let first = room.pymasep("a");
        let (second, _) = room.player(actor("b"));
        room.ask(&["red", "blue"]);
        room.closed(first);
        room.closed(second);
        let stranger = room.pymasep("c");
        if !allowed {
            assert_eq!(room.take(stranger), [Got::Closed(Code::Full)]);
            continue;
        }
        // The view names the player: the old one is not for this one.
        assert_eq!(room.take(stranger), []);
        assert_eq!(room.id_of("red"), Some("c".into()));
        let request = room.asked_views[0];
        room.table.set_view(
            request,
            View::new(Element::parse("<State />").unwrap()),
            room.now,
        );
        room.work();
        assert_eq!(room.take(stranger), [Got::Step(1)]);
        // The seat of a player that can prove it is kept.
        assert_eq!(room.rejected(actor("d")), Code::Full);
        // Nor does the first one get back what others have now.
        assert_eq!(room.rejected(actor("a")), Code::Full);
    }
}

#[test]
fn case_07_a_seat_that_is_kept_for_one_access_token_goes_to_no_stranger_with_another() {
    let mut room = Room::new(settings().strangers(true));
    let with = |id, name| Hello {
        grant: Some(Grant::new(name).into()),
        ..Hello::new(id)
    };
    let (first, _) = room.player(with("a", "ann"));
    room.register(first, "a", Role::Actor);
    room.pymasep("b");
    room.ask(&["red"]);
    room.closed(first);
    let (stranger, _) = room.player(with("c", "ben"));
    room.register(stranger, "c", Role::Actor);
    assert_eq!(room.take(stranger), [Got::Closed(Code::Full)]);
    let stranger = room.pymasep("d");
    assert_eq!(room.take(stranger), [Got::Closed(Code::Full)]);
    let (second, _) = room.player(with("e", "ann"));
    room.register(second, "e", Role::Actor);
    assert_eq!(room.id_of("red"), Some("e".into()));
}

#[test]
fn case_08_the_id_of_a_live_seat_is_no_proof() {
    let mut room = Room::new(settings());
    let first = room.pymasep("a");
    let second = room.pymasep("a");
    assert_eq!(room.take(second), [Got::Closed(Code::DuplicateId)]);
    assert_eq!(room.rejected(actor("a")), Code::DuplicateId);
    assert_eq!(room.take(first), []);

    let mut room = Room::new(settings().replaces_same_id(true));
    let first = room.pymasep("a");
    let second = room.pymasep("a");
    assert_eq!(room.take(first), [Got::Closed(Code::Replaced)]);
    room.ask(&["red"]);
    assert_eq!(room.take(second), [Got::Step(1)]);
    assert_eq!(
        room.rejected(actor("a")),
        Code::DuplicateId,
        "another kind of player"
    );
}

#[test]
fn case_09_the_resume_text_of_a_live_seat_replaces_at_once() {
    let mut room = Room::new(settings());
    let (first, welcome) = room.player(actor("a"));
    assert_eq!((welcome.seat.as_deref(), welcome.epoch), (Some("red"), 1));
    room.ask(&["red"]);
    room.take(first);
    let again = Hello {
        resume: welcome.resume,
        ..actor("a")
    };
    let (second, verdict) = room.hello(again.clone());
    let Verdict::Replace(welcome) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((welcome.seat.as_deref(), welcome.epoch), (Some("red"), 2));
    assert_eq!(room.take(first), [Got::Closed(Code::Replaced)]);
    assert_eq!(room.turns(second), [(Kind::Ask, 1)]);
    // Under another id the door has no older connection to end.
    let (third, verdict) = room.hello(Hello {
        id: "b".into(),
        ..again
    });
    assert!(matches!(verdict, Verdict::Admit(_)), "{verdict:?}");
    // Nothing that the older ones say or lose touches the newer.
    room.act(second, "a", 1, 5);
    room.closed(first);
    room.closed(second);
    assert_eq!(
        (room.state("red"), room.decided()),
        (SeatState::Present, vec![])
    );
    room.act(third, "b", 1, 6);
    assert_eq!(room.decided().len(), 1);
}

#[test]
fn case_10_a_resume_text_of_an_earlier_life_joins_afresh() {
    let mut room = Room::new(settings());
    let (_, welcome) = room.player(actor("a"));
    let mut room = Room::new(masep_table::Settings::new(
        "engine",
        "life-2",
        ["red", "blue"],
    ));
    let hello = Hello {
        resume: welcome.resume,
        ..actor("a")
    };
    let (peer, welcome) = room.player(hello);
    assert_eq!((welcome.instance.as_str(), welcome.epoch), ("life-2", 1));
    assert_eq!(room.take(peer), [Got::Notice(Code::EarlierLife, None)]);
}

#[test]
fn case_11_a_lost_welcome_can_be_had_again() {
    let mut room = Room::new(settings());
    let (first, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    room.closed(first);
    for epoch in 2..5 {
        let hello = Hello {
            resume: welcome.resume.clone(),
            ..actor("a")
        };
        let (peer, again) = room.player(hello);
        assert_eq!((again.resume, again.epoch), (welcome.resume.clone(), epoch));
        if epoch == 3 {
            // The loss is noticed only by the next try, at other times before.
            room.closed(peer);
        }
    }
}

#[test]
fn case_12_before_the_game_a_player_that_leaves_frees_its_seat() {
    let mut room = Room::new(settings());
    let (first, welcome) = room.player(actor("a"));
    room.closed(first);
    assert_eq!(room.state("red"), SeatState::Open);
    let quitter = room.pymasep("b");
    room.quit(quitter, "b");
    assert_eq!(room.state("red"), SeatState::Open);
    room.player(actor("c"));
    // The proof of a seat that was freed is none.
    let (late, again) = room.player(Hello {
        resume: welcome.resume,
        ..actor("a")
    });
    assert_eq!((again.seat.as_deref(), again.epoch), (Some("blue"), 1));
    assert_eq!(room.take(late), [Got::Notice(Code::UnknownResume, None)]);
    assert_eq!(room.take_events().last(), Some(&Event::Filled));
}

#[test]
fn case_13_of_two_for_one_seat_the_first_has_it() {
    let mut room = Room::new(settings());
    let blue = |id| Hello {
        seat: Some("blue".into()),
        ..actor(id)
    };
    let (_, welcome) = room.player(blue("a"));
    assert_eq!(welcome.seat.as_deref(), Some("blue"));
    assert_eq!(room.rejected(blue("b")), Code::SeatTaken);
    let unknown = Hello {
        seat: Some("green".into()),
        ..actor("b")
    };
    assert_eq!(room.rejected(unknown), Code::UnknownSeat);
    room.pymasep("b");
    assert_eq!(room.id_of("red"), Some("b".into()));
}

#[test]
fn case_14_nobody_joins_after_the_end() {
    let mut room = Room::new(settings());
    let player = room.pymasep("a");
    let silent = room.connect("b");
    room.ask(&["red"]);
    room.end();
    assert_eq!(room.take(silent), [Got::Closed(Code::Over)]);
    let late = room.pymasep("c");
    assert_eq!(room.take(late), [Got::Closed(Code::Over)]);
    assert_eq!(room.rejected(actor("d")), Code::Over);
    assert_eq!(room.rejected(Hello::new("e")), Code::Over);
    assert!(!room.table.is_over());
    room.closed(player);
    assert!(room.table.is_over());
    let late = room.connect("f");
    assert_eq!(room.take(late), [Got::Closed(Code::Over)]);
}

#[test]
fn case_14_those_who_come_after_the_end_do_not_put_it_off() {
    let mut room = Room::new(settings());
    room.pymasep("a");
    room.ask(&["red"]);
    room.end();
    for late in ["b", "c", "d", "e", "f"] {
        room.connect(late);
        room.pass(ms(900));
    }
    assert!(room.table.is_over());
    assert_eq!(room.take_events().last(), Some(&Event::Ended));
}

#[test]
fn case_15_a_newcomer_in_mid_turn_gets_a_view_of_its_own() {
    let mut room = Room::new(settings().strangers(true));
    let first = room.pymasep("a");
    room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.closed(first);
    let second = room.pymasep("c");
    let old_request = room.asked_views.pop().unwrap();
    room.closed(second);
    let third = room.pymasep("d");
    let request = room.asked_views.pop().unwrap();
    // The view for the one before is not for this one.
    room.table
        .set_view(old_request, crate::room::state(7), room.now);
    room.work();
    assert_eq!(room.take(third), []);
    room.table
        .set_view(request, crate::room::state(8), room.now);
    room.work();
    assert_eq!(room.take(third), [Got::Step(1)]);
    room.answer(third, "d", 4);
    assert_eq!(room.decided()[0].2, Some(4));
}

#[test]
fn a_resume_text_belongs_to_an_access_token() {
    let mut room = Room::new(settings());
    let ann = |resume| Hello {
        grant: Some(Grant::new("ann").into()),
        resume,
        ..actor("a")
    };
    let (_, welcome) = room.player(ann(None));
    let thief = Hello {
        grant: Some(Grant::new("eve").into()),
        ..ann(welcome.resume.clone())
    };
    assert_eq!(room.rejected(thief), Code::DuplicateId);
    assert_eq!(room.player(ann(welcome.resume)).1.epoch, 2);
}

#[test]
fn an_id_is_in_one_seat_at_most() {
    let mut room = Room::new(settings());
    let (_, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    let other = |id| Hello {
        resume: welcome.resume.clone(),
        ..actor(id)
    };
    assert_eq!(room.rejected(other("b")), Code::DuplicateId);
    assert_eq!(room.player(other("c")).1.epoch, 2);
}

#[test]
fn an_id_may_be_proof_enough() {
    let mut room = Room::new(settings().rejoins_by_id(true));
    let (first, _) = room.player(actor("a"));
    room.player(actor("b"));
    assert_eq!(
        room.rejected(actor("a")),
        Code::DuplicateId,
        "while it lives"
    );
    room.closed(first);
    let (_, welcome) = room.player(actor("a"));
    assert_eq!((welcome.seat.as_deref(), welcome.epoch), (Some("red"), 2));
}

#[test]
fn one_that_never_had_its_welcome_comes_back_by_its_id() {
    let mut room = Room::new(settings());
    let (first, _) = room.player(actor("a"));
    room.player(actor("b"));
    room.closed(first);
    // Nothing has come from it, so nobody has proved anything.
    let (second, welcome) = room.player(actor("a"));
    assert_eq!((welcome.seat.as_deref(), welcome.epoch), (Some("red"), 2));
    let turn = room.ask(&["red"]);
    room.act(second, "a", turn, 1);
    room.closed(second);
    assert_eq!(room.rejected(actor("a")), Code::DuplicateId);
    let resume = welcome.resume;
    let proved = Hello {
        resume,
        ..actor("a")
    };
    let (third, _) = room.player(proved);
    room.closed(third);
    assert_eq!(room.rejected(actor("a")), Code::DuplicateId);
}

#[test]
fn a_peer_of_protocol_2_without_a_role_follows_pymaseps_customs() {
    let mut room = Room::new(settings());
    let (peer, welcome) = room.player(Hello::new("a"));
    assert_eq!((welcome.seat, welcome.resume), (None, None));
    room.register(peer, "a", Role::Actor);
    assert_eq!(room.id_of("red"), Some("a".into()));
    room.ask(&["red"]);
    let got = room.take(peer);
    assert!(
        matches!(got[..], [Got::Turn(TurnData { number: 1, .. })]),
        "{got:?}"
    );
    room.answer(peer, "a", 3);
    assert_eq!(room.decided()[0].2, Some(3));
}

#[test]
fn connections_and_spectators_are_bounded() {
    let mut room = Room::new(settings().peers(3).spectators(1));
    room.observer("a");
    let second = room.observer("b");
    assert_eq!(room.take(second), [Got::Closed(Code::Full)]);
    let watcher = |id| Hello {
        role: Some(Role::Observer),
        ..Hello::new(id)
    };
    assert_eq!(room.rejected(watcher("c")), Code::Full);
    room.pymasep("d");
    let (_, welcome) = room.player(actor("e"));
    let fourth = room.connect("f");
    assert_eq!(room.take(fourth), [Got::Closed(Code::Full)]);
    assert_eq!(room.rejected(Hello::new("g")), Code::Full);
    // One that takes the place of its own older connection needs no other.
    room.player(Hello {
        resume: welcome.resume,
        ..actor("e")
    });
    assert_eq!(room.table.peers(), 3);
}

#[test]
fn a_welcome_tells_of_the_game_and_the_seats_that_are_left() {
    let mut room = Room::new(settings());
    let told = |room: &mut Room, hello: Hello| {
        let (peer, welcome) = room.player(hello);
        assert_eq!(welcome.game.as_deref(), Some("pursuit.PursuitGame"));
        (peer, (welcome.free, welcome.seats))
    };
    // One that asks for nothing takes nothing.
    assert_eq!(told(&mut room, Hello::new("looks")).1, (2, 2));
    let (first, seats) = told(&mut room, actor("a"));
    assert_eq!(seats, (1, 2), "without its own");
    assert_eq!(told(&mut room, actor("b")).1, (0, 2));
    let watches = Hello {
        role: Some(Role::Observer),
        ..Hello::new("watches")
    };
    assert_eq!(told(&mut room, watches).1, (0, 2));
    // The seat of one that is away is not free, and not taken again by one that comes back.
    room.ask(&["red"]);
    room.closed(first);
    assert_eq!(told(&mut room, Hello::new("looks again")).1, (0, 2));
    room.table.end(room.now);
    assert_eq!(room.table.free_seats(), 0);
}
