//! A table that asks for tokens: two players, a spectator, strangers.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use masep::access::{Grant, Subject, Tokens};
use masep::player::End;
use masep::table::{Code, Event, How, Move, Table, TableBuilder};
use masep::{Action, Element, Player, Role};

use super::{grants, tokens};
use crate::shells::directory::Directory;
use crate::shells::{Peer, SOON, Shell, of_each_shell, until};

of_each_shell! {
    a_table_takes_those_with_tokens_and_nobody_else
    a_token_for_fewer_seats_leaves_a_player_the_seat_that_it_has
}

const GAME: &str = "pursuit.PursuitGame";

fn grant(name: &'static str) -> (&'static str, Grant) {
    let grant = Grant::new(name).game(GAME);
    let grant = match name {
        "eve" => grant.role(Role::Observer),
        seat => grant.role(Role::Actor).seat(seat),
    };
    (name, grant)
}

fn builder(tokens: Tokens) -> TableBuilder {
    let table = Table::builder(GAME).seats(["red", "blue"]).tokens(tokens);
    let table = table.grace(Duration::from_millis(50));
    table.pymasep_listen("127.0.0.1:0").unwrap()
}

fn state(tick: i64) -> Element {
    Element::parse(format!(r#"<State env_step="0" tick="{tick}" />"#)).unwrap()
}

/// One that comes with this token: how many views it sees, and the code of its end.
fn comes(address: &str, id: &str, token: Option<&str>, role: Role) -> JoinHandle<(usize, String)> {
    let mut player = Player::builder(id, GAME).role(role);
    if let Some(token) = token {
        player = player.token(token);
    }
    let mut player = Shell::Async.player(player, address);
    thread::spawn(move || {
        let mut views = 0;
        while let Some(turn) = player.next_turn() {
            views += 1;
            if turn.is_question() {
                player.act(Action::new(7)).unwrap();
            }
        }
        let code = match player.end().unwrap() {
            End::Rejected(rejected) => rejected.code,
            End::Ended(bye) => bye.code,
            End::Finished => "finished".into(),
            other => panic!("{other:?}"),
        };
        (views, code.to_string())
    })
}

#[track_caller]
fn ends(came: JoinHandle<(usize, String)>, views: usize, code: &str) {
    assert_eq!(came.join().unwrap(), (views, code.to_owned()));
}

fn a_table_takes_those_with_tokens_and_nobody_else(shell: Shell) {
    let directory = Directory::new();
    let tokens = tokens(["red", "blue", "eve"].map(grant));
    let address = &*directory.target("a");
    let (tell, told) = mpsc::channel();
    let builder = builder(tokens.clone()).on_reject(move |_, reason| {
        let _ = tell.send(reason.as_str());
    });
    let table = shell.table_at(address, builder).unwrap();
    for (id, token, role, expected) in [
        ("a", None, Role::Actor, "unauthorized"),
        ("a", Some("green"), Role::Observer, "unauthorized"),
        ("a", Some("eve"), Role::Actor, "forbidden"),
        ("a", Some("red"), Role::Observer, "forbidden"),
    ] {
        ends(comes(address, id, token, role), 0, expected);
        let reason = told.recv_timeout(SOON).unwrap();
        // The table itself has refused the second of those that are forbidden something.
        assert!([expected, "denied"].contains(&reason), "{reason}");
    }
    // At the address of those with tokens, one of pymasep's protocol is nobody; it has an address of its own.
    let old = Peer::join(table.pymasep_address(), "old");

    let sits = |seat| comes(address, seat, Some(seat), Role::Actor);
    let (red, blue) = (sits("red"), sits("blue"));
    let eve = comes(address, "eve", Some("eve"), Role::Observer);
    table.filled();
    until(|| table.spectators() == 1);
    // Its seat is taken.
    ends(comes(address, "other", Some("red"), Role::Actor), 0, "full");
    let (id, code) = ("other".into(), Code::Full);
    assert!(table.events().contains(&Event::Rejected { id, code }));
    for tick in 0..5 {
        for its in table.ask_all(|_| state(tick)).unwrap() {
            assert_eq!(its.how(), How::Played);
        }
    }
    table.show(state(5)).unwrap();

    // One whose token is taken out is gone, and the other plays on.
    tokens.replace(grants(["red", "eve"].map(grant)));
    ends(blue, 5, "revoked");
    let moves = table.ask_all(|_| state(6)).unwrap();
    let hows: Vec<How> = moves.iter().map(Move::how).collect();
    assert!(matches!(hows[..], [How::Played, How::None(_)]), "{hows:?}");
    // Also within or after the grace.
    ends(sits("blue"), 0, "unauthorized");

    assert_eq!(table.kick(&Subject::Token("eve".into())), 1);
    let (views, code) = eve.join().unwrap();
    assert!(views > 0);
    assert_eq!(code, "kicked");
    drop(old);
    table.end();
    ends(red, 6, "finished");
}

fn a_token_for_fewer_seats_leaves_a_player_the_seat_that_it_has(shell: Shell) {
    let any = |seats: &[&'static str]| {
        let grant = seats
            .iter()
            .fold(Grant::new("any"), |it, seat| it.seat(*seat));
        ("any", grant)
    };
    let directory = Directory::new();
    let tokens = tokens([any(&[])]);
    let address = &*directory.target("a");
    let table = shell.table_at(address, builder(tokens.clone())).unwrap();
    // It names no seat, and gets the first.
    let first = comes(address, "first", Some("any"), Role::Actor);
    until(|| table.seats()[0].player().is_some());
    let eve = comes(address, "eve", Some("any"), Role::Observer);
    until(|| table.spectators() == 1);
    tokens.replace(grants([any(&["red"])]));
    let moves = table.ask_all(|_| state(1)).unwrap();
    assert_eq!(moves[0].how(), How::Played);
    assert_eq!(table.spectators(), 1);
    tokens.replace(grants([any(&["blue"])]));
    ends(first, 1, "revoked");
    table.end();
    assert_eq!(eve.join().unwrap().1, "finished");
}
