//! Tokens in TLS, and the one text that has all that a client needs.

use masep::access::{ConnectionString, Digest, Grant, Grants, Tokens, generate_token};
use masep::player::End;
use masep::{ConnectErrorKind, Player, blocking};

use crate::authority::Authority;
use crate::shells::wait;

#[test]
fn a_connection_string_needs_no_certificate_file_and_no_matching_name() {
    let authority = Authority::new();
    let elsewhere = authority.server(&["engine.lan"]);
    let token = generate_token().unwrap();
    let mut grants = Grants::default();
    grants.add(Digest::of(&token), Grant::new("lab3")).unwrap();
    let tokens = Tokens::new(grants);
    let server = blocking::Server::builder("engine")
        .tls(elsewhere.tls())
        .tokens(tokens.clone())
        .bind("127.0.0.1:0")
        .unwrap();
    let address = format!("masep+tls://{}", server.local_address());
    let string = |ca| ConnectionString::new(&*address, token.clone(), Some(ca)).unwrap();
    let ours = string(Digest::from(authority.sha256()));
    let text = ours.reveal();
    assert!(text.starts_with(&format!("{address}?token=")), "{text}");
    let ours: ConnectionString = text.parse().unwrap();

    let client = blocking::Client::builder("a").credentials(&ours);
    let client = client.connect(ours.address()).unwrap();
    let connection = server.accept().unwrap();
    assert_eq!(connection.grant().unwrap().name, "lab3");
    let client2 = masep::Client::builder("b").credentials(&ours);
    drop(wait(client2.connect(ours.address())).unwrap());
    assert_eq!(server.accept().unwrap().peer().as_str(), "b");

    // Another server in the place of that one is told nothing.
    let other = string(Digest::from(Authority::new().sha256()));
    let error = blocking::Client::builder("c").credentials(&other);
    let error = error.connect(other.address()).map(drop).unwrap_err();
    assert!(matches!(error.kind, ConnectErrorKind::Tls(_)), "{error:?}");
    // A player tells this from a refusal, whatever words a server chooses for one.
    let player = Player::builder("c", "g.G").credentials(&other);
    let mut threads = player.clone().join_blocking(other.address()).unwrap();
    let mut tasks = player.join(other.address()).unwrap();
    assert!(threads.next_turn().is_none() && wait(tasks.next_turn()).is_none());
    assert!(matches!(threads.end(), Some(End::CannotConnect(_))));
    assert_eq!(threads.end(), tasks.end());
    for failure in [threads.into_failure(), tasks.into_failure()] {
        let kind = failure.map(|error| error.kind);
        assert!(matches!(kind, Some(ConnectErrorKind::Tls(_))), "{kind:?}");
    }

    // A player has the same way in, and one whose token was taken out is told so.
    tokens.replace(Grants::default());
    let end = client.connection().recv().unwrap_err();
    assert_eq!(end.words().map(|bye| &*bye.code), Some("revoked"));
    let player = Player::builder("d", "g.G").credentials(&ours);
    let mut player = player.join(ours.address()).unwrap();
    assert!(wait(player.next_turn()).is_none());
    let Some(End::Rejected(rejected)) = player.end() else {
        panic!("{:?}", player.end());
    };
    assert_eq!(&*rejected.code, "unauthorized");
}
