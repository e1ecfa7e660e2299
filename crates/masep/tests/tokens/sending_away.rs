//! Peers that are sent away: by the end of a token, by kick and ban.

use std::time::{Duration, SystemTime};

use masep::access::{Grant, Subject};
use masep::{CloseReason, Role};

use super::{House, bye, grants, talk, tokens};
use crate::shells::{Options, Peer, Shell, accept, of_each_pair, of_each_shell};

of_each_pair! {
    a_token_that_is_taken_out_ends_its_connections
    a_grant_of_the_hosts_function_ends_its_connections_when_it_expires
    those_who_are_kicked_may_come_back_and_those_who_are_banned_may_not
}

of_each_shell! {
    a_token_that_allows_less_ends_those_who_left_that_open
    a_peer_that_takes_nothing_is_cut_off
    an_address_is_banned
}

fn a_token_that_is_taken_out_ends_its_connections(of_server: Shell, of_client: Shell) {
    let tokens = tokens([("one", Grant::new("one")), ("two", Grant::new("two"))]);
    let house = House::new(of_server, of_client, tokens.clone());
    let (one, at_server) = house.joins("a", "one");
    let (two, other) = house.joins("b", "two");
    tokens.replace(grants([
        ("two", Grant::new("two")),
        ("three", Grant::new("three")),
    ]));
    assert_eq!(bye(&*one), "revoked");
    let end = at_server.end();
    assert_eq!(end, CloseReason::Revoked);
    assert!(end.is_orderly());
    assert_eq!(house.refuses("a", Some("one")), "unauthorized");
    talk(&*two, &other);
    drop(house.joins("c", "three"));
}

fn a_grant_of_the_hosts_function_ends_its_connections_when_it_expires(
    of_server: Shell,
    of_client: Shell,
) {
    let options = Options::default().admit(|request| {
        let grant = Grant::new("host's");
        // Long enough to come in.
        let soon = SystemTime::now() + Duration::from_secs(3);
        let grant = match &**request.peer() {
            "a" => grant.expires(soon),
            _ => grant,
        };
        request.admit(grant);
    });
    let house = House::new(of_server, of_client, options);
    let (stays, its) = house.joins("b", "");
    let (ends, at_server) = house.joins("a", "");
    assert_eq!(bye(&*ends), "revoked");
    assert_eq!(at_server.end(), CloseReason::Revoked);
    talk(&*stays, &its);
}

fn those_who_are_kicked_may_come_back_and_those_who_are_banned_may_not(
    of_server: Shell,
    of_client: Shell,
) {
    let tokens = tokens([("one", Grant::new("one")), ("two", Grant::new("two"))]);
    let house = House::new(of_server, of_client, tokens);
    let (bystander, its) = house.joins("bystander", "two");
    for subject in [Subject::Id("a".into()), Subject::Token("one".into())] {
        let (client, at_server) = house.joins("a", "one");
        assert_eq!(house.server.kick(&subject), 1);
        assert_eq!(bye(&*client), "kicked");
        assert_eq!(at_server.end(), CloseReason::Kicked);

        let (client, at_server) = house.joins("a", "one");
        assert_eq!(house.server.ban(subject.clone()), 1);
        assert_eq!(bye(&*client), "kicked");
        assert_eq!(at_server.end(), CloseReason::Kicked);
        assert_eq!(house.refuses("a", Some("one")), "banned");
        assert_eq!(house.server.bans(), std::slice::from_ref(&subject));
        assert!(house.server.unban(subject.clone()));
        assert!(!house.server.unban(subject.clone()));
        assert_eq!(house.server.kick(&subject), 0);
    }
    talk(&*bystander, &its);
}

/// It might say by REGISTER, which the door does not read, what it may not be any more.
fn a_token_that_allows_less_ends_those_who_left_that_open(shell: Shell) {
    let both = Grant::new("one").role(Role::Actor).role(Role::Observer);
    let tokens = tokens([("one", both)]);
    let house = House::new(shell, shell, tokens.clone());
    let (client, at_server) = house.joins("a", "one");
    tokens.replace(grants([("one", Grant::new("one").role(Role::Observer))]));
    assert_eq!(bye(&*client), "narrowed");
    assert_eq!(at_server.end(), CloseReason::Narrowed);
    let (client, connection) = house.joins("a", "one");
    assert_eq!(connection.grant().unwrap().roles, [Role::Observer]);
    talk(&*client, &connection);
}

fn an_address_is_banned(shell: Shell) {
    let server = shell.serve(Options::default());
    let subject = || Subject::Address("127.0.0.1".parse().unwrap());
    let mut peers = ["a", "b"].map(|id| Peer::join(server.address(), id));
    let connections = [(); 2].map(|()| accept(&*server));
    assert_eq!(server.ban(subject()), 2);
    for (peer, connection) in peers.iter_mut().zip(connections) {
        peer.expect(b"BYE");
        assert_eq!(connection.end(), CloseReason::Kicked);
    }
    Peer::join(server.address(), "c").expect_bye();
    assert!(server.unban(subject()));
    let peer = Peer::join(server.address(), "d");
    drop((peer, accept(&*server)));
}

/// The frames that wait for it are dropped. It makes no difference if the server accepts others.
fn a_peer_that_takes_nothing_is_cut_off(shell: Shell) {
    for (reason, accepts) in [
        (CloseReason::Revoked, true),
        (CloseReason::Revoked, false),
        (CloseReason::Kicked, true),
        (CloseReason::Kicked, false),
    ] {
        let tokens = tokens([("one", Grant::new("one"))]);
        let house = House::new(shell, shell, tokens.clone());
        let mut silent = house.stream();
        std::io::Write::write_all(&mut silent, &super::guess("one")).unwrap();
        let connection = accept(&*house.server);
        crate::shells::fill(&*connection);
        if !accepts {
            house.server.stop_accepting();
        }
        match reason {
            CloseReason::Kicked => {
                assert_eq!(house.server.kick(&Subject::Id("agent".into())), 1);
            }
            _ => tokens.replace(grants([])),
        }
        assert_eq!(connection.closed(), reason);
        crate::shells::until(|| house.server.registry().len() == 0);
    }
}
