//! Handshakes of TLS that are begun by the thousand and stand still, at every point.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use masep::{Frame, Limits, ServerLimits};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::{alone, memory};
use crate::shells::authority::Authority;
use crate::shells::{
    Agent, Client, Echo, Network, Options, SOON, Shell, foreign, masep2, network_authority,
    of_each_shell, until,
};

of_each_shell! {
    handshakes_that_stand_still_by_the_thousand_have_their_places_and_no_more
}

const STRANGERS: usize = 2_000;
/// Those from which the strangers come, `127.0.0.1` among them.
const ADDRESSES: usize = 4;
/// The most bytes of the server's memory that one of them takes: a record that is never whole, and what a connection takes
/// itself.
const MOST_BYTES: usize = 24 * 1024;

/// The number of strangers for which there are descriptors: both ends are in this process.
fn strangers() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let allowed = usize::try_from(hard).unwrap_or(usize::MAX);
    // The rest is for all else that this process has open.
    let possible = allowed.saturating_sub(400) / 2;
    assert!(possible >= 100, "too few descriptors are allowed here");
    if possible < STRANGERS {
        // Not by a macro, whose words nobody sees of a test that passes.
        let mut out = std::io::stderr();
        let _ = writeln!(
            out,
            "only {possible} strangers: {hard} descriptors are allowed"
        );
    }
    STRANGERS.min(possible)
}

/// Connects from this local address.
fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream
}

/// The first bytes of a client, and so much of a first message that is never whole as a server keeps.
fn first_bytes(authority: &Authority) -> (Vec<u8>, Vec<u8>) {
    let whole = foreign::first_record(authority);
    let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xfd, 0xe8, 3, 3];
    endless.resize(16_000, 7);
    (whole, endless)
}

/// Begins a handshake, and lets it stand: before its first byte, within its first message, and where the server waits for
/// the answer to its own.
fn stand_still(mut stream: &TcpStream, way: usize, (whole, endless): &(Vec<u8>, Vec<u8>)) {
    let said = match way % 8 {
        0 => &whole[..0],
        1 => &whole[..5],
        2 => &whole[..whole.len() - 1],
        3 => &whole[..],
        _ => &endless[..],
    };
    // The server may have crowded it out.
    let _ = stream.write_all(said);
}

/// True if the server has not ended it.
fn is_held(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 4_096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn play(good: &dyn Client) {
    good.connection().send("still here").unwrap();
    let answer = good.connection().recv();
    assert_eq!(answer, Ok(Frame::new("still here")));
}

fn handshakes_that_stand_still_by_the_thousand_have_their_places_and_no_more(shell: Shell) {
    let _alone = alone();
    let strangers = strangers();
    // The share of an address is less than those that come from it, and all shares are more than the places.
    let places = strangers * 3 / 4;
    let share = strangers / ADDRESSES * 9 / 10;
    let limits = ServerLimits::default()
        .connections(places)
        .connections_per_address(Some(share));
    let options = Options::from(limits)
        .limits(Limits::default().hello_time(2 * SOON))
        .handler(Echo);
    let side = shell.over(Network::Tls);
    let server = side.serve(options);
    let address = server.address().tcp().unwrap();
    let good = side.join("good", &server);
    play(&*good);

    let first_bytes = first_bytes(network_authority());
    let before = memory();
    let mut held = Vec::new();
    for n in 0..strangers {
        let stream = connect_from([127, 0, 0, 1 + (n * ADDRESSES / strangers) as u8], address);
        stand_still(&stream, n, &first_bytes);
        held.push(stream);
        if n % 100 == 0 {
            play(&*good);
        }
    }
    // One that has come in stays, and one from elsewhere comes in where all places are taken: the oldest stranger goes.
    play(&*good);
    let stream = connect_from([127, 0, 0, 99], address);
    let mut late = Agent::in_tls(stream, network_authority(), &masep2::first_bytes("late"));
    late.say("me too");
    late.expect("me too");
    // Those that were refused are told, and have a while for it.
    let count = || held.iter().filter(|stream| is_held(stream)).count();
    until(|| count() < places);
    assert!(count() >= places - 64, "{} of {places}", count());
    let taken = memory().saturating_sub(before);
    assert!(
        taken < strangers * MOST_BYTES,
        "{} bytes each",
        taken / strangers
    );
    // For a figure in SECURITY.md.
    println!(
        "{shell:?}: {} bytes for each of {strangers}",
        taken / strangers
    );

    drop(held);
    until(|| server.registry().len() == 2);
    play(&*good);
    play(&*side.join("again", &server));
}
