//! A table that asks for tokens: two players, a spectator, strangers.

use std::time::Duration;

use masep::access::{Grant, Subject, Tokens};
use masep::player::End;
use masep::table::{How, Move, Table, TableBuilder};
use masep::{Action, Element, Player, Role};

use super::{grants, tokens};
use crate::shells::directory::Directory;
use crate::shells::{self, Peer, Shell, frame, of_each_shell, wait};

of_each_shell! { a_table_takes_those_with_tokens_and_nobody_else }

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

/// One that comes with this token, and how it has ended: with how many views.
fn comes(
    address: &str,
    id: &str,
    token: Option<&str>,
    role: Role,
) -> impl Future<Output = (usize, End)> + Send + use<> {
    let mut player = Player::builder(id, GAME).role(role);
    if let Some(token) = token {
        player = player.token(token);
    }
    let mut player = player.join(address).unwrap();
    async move {
        let mut views = 0;
        while let Some(turn) = player.next_turn().await {
            views += 1;
            if turn.is_question() {
                player.act(Action::new(7)).await.unwrap();
            }
        }
        (views, player.end().unwrap().clone())
    }
}

fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> impl FnOnce() -> T {
    let task = shells::spawn(work);
    || wait(task).unwrap()
}

fn code(end: &End) -> &str {
    match end {
        End::Rejected(rejected) => &rejected.code,
        End::Ended(bye) => &bye.code,
        other => panic!("{other:?}"),
    }
}

fn a_table_takes_those_with_tokens_and_nobody_else(shell: Shell) {
    let directory = Directory::new();
    let tokens = tokens(["red", "blue", "eve"].map(grant));
    let address = &*directory.target("a");
    let table = shell.table_at(address, builder(tokens.clone())).unwrap();
    for (id, token, role, expected) in [
        ("a", None, Role::Actor, "unauthorized"),
        ("a", Some("green"), Role::Observer, "unauthorized"),
        ("a", Some("eve"), Role::Actor, "forbidden"),
        ("a", Some("red"), Role::Observer, "forbidden"),
    ] {
        let (views, end) = wait(comes(address, id, token, role));
        assert_eq!((views, code(&end)), (0, expected), "{token:?}");
    }
    // At the address of those with tokens, one of pymasep's protocol is nobody; it has an address of its own.
    let mut old = Peer::connect(table.pymasep_address());
    old.write(&frame(b"old"));
    old.expect(b"engine");

    let [red, blue] =
        ["red", "blue"].map(|seat| spawn(comes(address, seat, Some(seat), Role::Actor)));
    let eve = spawn(comes(address, "eve", Some("eve"), Role::Observer));
    table.filled();
    shells::until(|| table.spectators() == 1);
    let (views, end) = wait(comes(address, "other", Some("red"), Role::Actor));
    assert_eq!((views, code(&end)), (0, "full"), "its seat is taken");
    for tick in 0..5 {
        for its in table.ask_all(|_| state(tick)).unwrap() {
            assert_eq!(its.how(), How::Played);
        }
    }
    table.show(state(5)).unwrap();

    // One whose token is taken out is gone, and the other plays on.
    tokens.replace(grants(["red", "eve"].map(grant)));
    let (views, end) = blue();
    assert_eq!((views, code(&end)), (5, "revoked"));
    let hows: Vec<How> = table
        .ask_all(|_| state(6))
        .unwrap()
        .iter()
        .map(Move::how)
        .collect();
    assert!(matches!(hows[..], [How::Played, How::None(_)]), "{hows:?}");
    let (_, end) = wait(comes(address, "blue", Some("blue"), Role::Actor));
    assert_eq!(code(&end), "unauthorized", "also within or after the grace");

    assert_eq!(table.kick(&Subject::Token("eve".into())), 1);
    let (views, end) = eve();
    assert!(views > 0);
    assert_eq!(code(&end), "kicked");
    drop(old);
    table.end();
    let (views, end) = red();
    assert_eq!((views, end), (6, End::Finished));
}
