//! The options of a TCP socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::time::Duration;

use masep_proto::Limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, TcpKeepalive};

use crate::SocketOptions;

/// Sets what the bounds and options ask of a TCP socket.
pub(super) fn set_options(
    stream: &impl AsFd,
    limits: &Limits,
    options: &SocketOptions,
) -> io::Result<()> {
    let socket = SockRef::from(stream);
    // One write per frame and no Nagle: nothing of ours ever waits for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    if let Some(keepalive_time) = options.keepalive_time {
        let (first, interval) = questions(keepalive_time, limits.write_time);
        let keepalive = TcpKeepalive::new().with_time(first);
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        let keepalive = keepalive.with_interval(interval).with_retries(QUESTIONS);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    withhold_acknowledgement(stream);
    // Bytes that are never acknowledged (a cable pulled) end the connection as those never taken. It
    // also decides when keep-alive gives up, whatever the number of its questions. The last of all, see `has_options`.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(user_timeout(limits)))?;
    Ok(())
}

/// The system's congestion control, where it is one that makes pauses, and [`begin_unpaced`] has replaced it.
#[cfg(target_os = "linux")]
static PACING: OnceLock<Vec<u8>> = OnceLock::new();
/// A congestion control that makes none. Every Linux has it, and every process may ask for it.
#[cfg(target_os = "linux")]
const UNPACED: &[u8] = b"reno";

/// Has the system send at once what connections of the loopback are given, that begin with this socket: it is to be
/// connected to this address, or to listen there.
///
/// Where the system's congestion control is BBR, a connection is paced at the rate that was measured, which on the loopback
/// is the rate at which the processes took turns: in half of all connections 1 MB there and back took two or three times as
/// long as in the others, for as long as they lived. There is no congestion on the loopback. A connection that has begun
/// with BBR keeps the pauses, whatever it is given later: a fan-out of 1 KiB had two thirds of the deliveries then.
pub(super) fn begin_unpaced(socket: &impl AsFd, address: SocketAddr) {
    #[cfg(target_os = "linux")]
    {
        let ip = address.ip().to_canonical();
        let socket = SockRef::from(socket);
        if (ip.is_loopback() || ip.is_unspecified())
            && let Ok(control) = socket.tcp_congestion()
            && control.starts_with(b"bbr")
        {
            let control = control.into_iter().take_while(|byte| *byte != 0);
            PACING.get_or_init(|| control.collect());
            // Without it all works, only slower.
            let _ = socket.set_tcp_congestion(UNPACED);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, address);
}

/// Gives a connection the system's congestion control, if it has begun without its pauses.
pub(super) fn send_paced(stream: &impl AsFd) {
    #[cfg(target_os = "linux")]
    if let Some(control) = PACING.get() {
        let socket = SockRef::from(stream);
        let is_unpaced = |control: Vec<u8>| control.starts_with(UNPACED);
        if socket.tcp_congestion().is_ok_and(is_unpaced) {
            let _ = socket.set_tcp_congestion(control);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// A connection has come from this address to a socket that listened, which others may come to.
pub(super) fn note_origin(stream: &impl AsFd, origin: IpAddr) {
    if !origin.to_canonical().is_loopback() {
        send_paced(stream);
    }
}

/// True if the stream has the options that [`set_options`] would set, because the socket that listened had all of them
/// before the stream began. Linux hands them on, which spares seven calls of the system for a connection.
pub(super) fn has_options(stream: &impl AsFd, limits: &Limits) -> bool {
    #[cfg(target_os = "linux")]
    {
        let set = SockRef::from(stream).tcp_user_timeout();
        set.is_ok_and(|set| {
            set.is_some_and(|set| set.as_millis() == user_timeout(limits).as_millis())
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (stream, limits);
        false
    }
}

#[cfg(target_os = "linux")]
fn user_timeout(limits: &Limits) -> Duration {
    limits.write_time.clamp(MILLISECOND, MOST_MILLISECONDS)
}

/// The bytes that the system takes of a stream before it can send them (`TCP_NOTSENT_LOWAT`). Bytes on their way to
/// the peer do not count. More wait here, where they are counted, and where the newest can win.
///
/// Without it a peer that reads nothing is sent 4.2 MB on the loopback before the socket has no room, with it
/// 0.3 MB; and where two processes share a processor, what they copy is no longer in its caches: frames of
/// 60 KiB take twice as long. Less is faster still there; but the system says that there is room when half of
/// it is left, and at 1 Gbit/s that half, 64 KiB, lasts half a millisecond. A link of 100 Mbit/s with 40 ms of
/// round trip carries as much as without it, one of 600 Mbit/s whose acknowledgements came in bursts a tenth
/// less, with 64 to 512 KiB alike.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// The range of times that the system takes for `TCP_USER_TIMEOUT`, where none would be for ever.
#[cfg(target_os = "linux")]
const MILLISECOND: Duration = Duration::from_millis(1);
#[cfg(target_os = "linux")]
const MOST_MILLISECONDS: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);
/// The range for keep-alive, which counts in seconds.
const SECOND: Duration = Duration::from_secs(1);
const MOST_SECONDS: Duration = Duration::from_secs(32_767);

/// Questions that keep-alive asks before it gives up, and the time between two of them at most.
const QUESTIONS: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(5);

/// The silence before keep-alive asks, and the time from question to question.
///
/// On Linux it gives up with the first question that finds the last sign of life `write_time` ago. So
/// that a lost packet or two are no reason, it begins early enough to have asked three times by then.
fn questions(keepalive_time: Duration, write_time: Duration) -> (Duration, Duration) {
    let first = keepalive_time
        .min(write_time / 2)
        .clamp(SECOND, MOST_SECONDS);
    let interval = (write_time.saturating_sub(first) / QUESTIONS).clamp(SECOND, INTERVAL);
    (first, interval)
}

/// Lets the first bytes that arrive wait for their acknowledgement (up to 40 ms) until they are read or
/// answered. A new connection would acknowledge them at once; then the body of a pymasep peer's hello
/// may be here before its header is read, and the peer is not known for what it is. Inherited by the
/// connections of a listener.
pub(super) fn withhold_acknowledgement(socket: &impl AsFd) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(socket).set_tcp_quickack(false);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Acknowledges what has arrived at once, and what arrives next, where the system has that.
pub(super) fn rearm_quickack(stream: &impl AsFd) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// Has the socket be writable when all that was written is sent. Returns false where the system has no such option.
pub(super) fn tell_when_sent(stream: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    return SockRef::from(stream).set_tcp_notsent_lowat(1).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        false
    }
}

/// [`WouldBlock`](io::ErrorKind::WouldBlock) if the system does not call the socket writable now.
pub(super) fn is_writable(stream: &impl AsFd) -> io::Result<()> {
    let mut asked = [PollFd::new(stream, PollFlags::OUT)];
    match poll(&mut asked, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => SockRef::from(stream).take_error()?.map_or(Ok(()), Err),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn keepalive_has_asked_often_enough_when_the_peer_is_given_up() {
        let seconds = Duration::from_secs;
        for (keepalive_time, write_time, first, interval) in [
            // The defaults.
            (seconds(15), seconds(30), seconds(15), seconds(5)),
            (seconds(15), seconds(60), seconds(15), seconds(5)),
            (seconds(15), seconds(12), seconds(6), seconds(2)),
            (seconds(60), seconds(30), seconds(15), seconds(5)),
            (seconds(1), seconds(30), seconds(1), seconds(5)),
            (seconds(15), seconds(4), seconds(2), seconds(1)),
            (Duration::ZERO, Duration::ZERO, seconds(1), seconds(1)),
            (Duration::MAX, Duration::MAX, MOST_SECONDS, INTERVAL),
        ] {
            let expected = (first, interval);
            assert_eq!(questions(keepalive_time, write_time), expected);
        }
    }

    #[cfg(target_os = "linux")]
    fn has_bbr() -> bool {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&probe).set_tcp_congestion(b"bbr").is_ok()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn connections_of_the_loopback_are_not_paced_but_those_to_peers_of_pymasep_and_of_elsewhere() {
        use crate::transport::{Socket, note_peer};

        if !has_bbr() {
            // Not println, which the test harness keeps to itself when a test passes.
            let why = "SKIPPED connections_of_the_loopback_are_not_paced: this system has no BBR";
            let mut stdout = io::stdout();
            return writeln!(stdout, "{why}").unwrap();
        }
        let begun = |local: &str| {
            let listener = std::net::TcpListener::bind(local).unwrap();
            let listening = SockRef::from(&listener);
            listening.set_tcp_congestion(b"bbr").unwrap();
            begin_unpaced(&listener, listener.local_addr().unwrap());
            let port = listener.local_addr().unwrap().port();
            let local = if local.starts_with("[") {
                "[::1]"
            } else {
                "127.0.0.1"
            };
            let client = std::net::TcpStream::connect(format!("{local}:{port}")).unwrap();
            (listener.accept().unwrap().0, client)
        };
        for local in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let (stream, _client) = begun(local);
            let (stream, address) = Socket::new(stream).unwrap();
            let control = || SockRef::from(&stream).tcp_congestion().unwrap();
            note_origin(&stream, address.tcp().unwrap().ip());
            note_peer(&stream, false);
            assert!(control().starts_with(UNPACED), "{local}");
            note_peer(&stream, true);
            assert!(control().starts_with(b"bbr"), "{local}");
        }
        let (stream, _client) = begun("0.0.0.0:0");
        note_origin(&stream, "192.0.2.1".parse().unwrap());
        let control = SockRef::from(&stream).tcp_congestion().unwrap();
        assert!(control.starts_with(b"bbr"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_takes_little_for_a_peer_that_does_not_read() {
        use std::io::Write;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_peer, _) = listener.accept().unwrap();
        set_options(&stream, &Limits::default(), &SocketOptions::default()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut taken = 0;
        let error = loop {
            match stream.write(&[7; 16 * 1024]) {
                Ok(written) => taken += written,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let with_what_the_peer_has_room_for = UNSENT_BYTES as usize + 512 * 1024;
        assert!(taken < with_what_the_peer_has_room_for, "{taken}");
    }

    #[test]
    fn whatever_the_bounds_are_the_system_takes_them() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for time in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_millis(1_500),
            Duration::from_secs(40_000),
            Duration::MAX,
        ] {
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let limits = Limits::default().write_time(time);
            let options = SocketOptions::default().keepalive_time(Some(time));
            set_options(&stream, &limits, &options).unwrap();
            #[cfg(target_os = "linux")]
            assert!(SockRef::from(&stream).tcp_user_timeout().unwrap().is_some());
        }
    }
}
