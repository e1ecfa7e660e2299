//! A server behind a load balancer that says where its clients come from.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use masep::{Address, Limits, ServerLimits};
use masep_proto::proxy_protocol::Origin;

use crate::shells::{Options, Peer, Server, Shell, accept, frame, of_each_shell};

of_each_shell! {
    a_client_has_the_address_that_the_balancer_says
    places_are_counted_by_the_address_that_the_balancer_says
    one_without_a_header_is_closed_and_holds_up_nobody
    a_header_is_expected_only_where_that_was_said
}

fn server(shell: Shell, limits: ServerLimits) -> Box<dyn Server> {
    let short = Limits::default().hello_time(Duration::from_millis(300));
    let options = Options::from(limits).limits(short);
    shell.serve(options.proxy_protocol(true))
}

fn from(source: &str) -> Origin {
    Origin::Client {
        source: source.parse().unwrap(),
        destination: "[2001:db8::2]:60443".parse().unwrap(),
    }
}

/// A connection of the balancer that begins with these bytes, and whose client says hello behind them.
fn comes(server: &dyn Server, header: &[u8], id: &str) -> Peer {
    let mut peer = Peer::connect(server.address());
    peer.write(&[header, &frame(id.as_bytes())].concat());
    peer
}

fn a_client_has_the_address_that_the_balancer_says(shell: Shell) {
    let server = server(shell, ServerLimits::default());
    let source = "[2001:db8::7]:56324";
    let own = |peer: &Peer| peer.stream.local_addr().unwrap();
    for (number, header) in [
        from(source).to_text(),
        from(source).to_binary(),
        Origin::Unknown.to_text(),
        Origin::Unknown.to_binary(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut peer = comes(&*server, &header, "agent");
        peer.expect(b"engine");
        let connection = accept(&*server);
        let expected: SocketAddr = match number {
            0 | 1 => source.parse().unwrap(),
            // Nothing is known of a client.
            _ => own(&peer),
        };
        assert_eq!(connection.address(), Address::Tcp(expected));
        connection.send("hi").unwrap();
        peer.expect(b"hi");
        connection.bye();
        peer.expect_bye();
    }
    // However it comes.
    let mut peer = Peer::connect(server.address());
    peer.stream.set_nodelay(true).unwrap();
    for byte in [from(source).to_binary(), frame(b"agent")].concat() {
        peer.write(&[byte]);
    }
    peer.expect(b"engine");
    let expected: SocketAddr = source.parse().unwrap();
    assert_eq!(accept(&*server).address(), Address::Tcp(expected));
}

fn places_are_counted_by_the_address_that_the_balancer_says(shell: Shell) {
    let limits = ServerLimits::default().connections_per_address(Some(1));
    let server = server(shell, limits);
    let one = from("[2001:db8:1::1]:1").to_binary();
    let other = from("[2001:db8:2::1]:1").to_binary();
    let mut first = comes(&*server, &one, "a");
    first.expect(b"engine");
    let mut second = comes(&*server, &one, "b");
    second.expect_refusal();
    let mut third = comes(&*server, &other, "c");
    third.expect(b"engine");
}

fn one_without_a_header_is_closed_and_holds_up_nobody(shell: Shell) {
    let server = server(shell, ServerLimits::default());
    let mut silent = Peer::connect(server.address());
    let mut plain = comes(&*server, b"", "agent");
    let mut broken = comes(&*server, b"PROXY TCP4 nowhere\r\n", "agent");
    let mut begun = Peer::connect(server.address());
    begun.write(b"PROXY TCP4 192.0.2.7");
    let mut good = comes(&*server, &from("[2001:db8::7]:1").to_text(), "good");
    good.expect(b"engine");
    for peer in [&mut plain, &mut broken, &mut silent, &mut begun] {
        assert_eq!(
            peer.rest(),
            b"",
            "not a word to one of whom nothing is known"
        );
    }
    assert_eq!(accept(&*server).peer(), "good");
    // Headers that are on their way end with the server.
    let _waiting = Peer::connect(server.address());
    server.stop_accepting();
}

fn a_header_is_expected_only_where_that_was_said(shell: Shell) {
    let server = shell.serve(Options::default());
    let mut peer = Peer::connect(server.address());
    let _ = peer.stream.write_all(&from("[2001:db8::7]:1").to_text());
    assert!(
        peer.rest().starts_with(&frame(b"engine")),
        "it is taken for a hello, and refused"
    );
}
