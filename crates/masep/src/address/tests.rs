use super::target::LONGEST_PATH;
use super::*;

#[test]
fn a_target_is_a_host_and_a_port_or_a_path() {
    for (text, scheme, shown) in [
        ("127.0.0.1:60000", "tcp", "127.0.0.1:60000"),
        ("localhost:0", "tcp", "localhost:0"),
        ("[::1]:60000", "tcp", "[::1]:60000"),
        ("[fe80::1%eth0]:1", "tcp", "[fe80::1%eth0]:1"),
        ("tcp://engine.example:65535", "tcp", "engine.example:65535"),
        ("pymasep://[::]:5", "pymasep", "[::]:5"),
        ("masep://[::]:5", "masep", "masep://[::]:5"),
        ("masep+unix:///run/x", "masep+unix", "masep+unix:///run/x"),
        ("masep+tls://[::]:5", "masep+tls", "masep+tls://[::]:5"),
        (
            "unix:///run/a b%20?.sock",
            "unix",
            "unix:///run/a b%20?.sock",
        ),
        ("pymasep+unix:///run/x", "pymasep+unix", "unix:///run/x"),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!((target.scheme(), &*target.to_string()), (scheme, shown));
    }
}

#[test]
fn what_is_wrong_with_an_address_is_said() {
    for (text, part) in [
        (
            "127.0.0.1",
            "expected HOST:PORT or unix:///PATH; there is no port",
        ),
        ("", "expected HOST:PORT or unix:///PATH"),
        (":60000", "there is no host"),
        ("::1:60000", "an IPv6 address stands in brackets"),
        ("[::1:60000", "\"[::1\" is no host"),
        ("[one]:60000", "\"[one]\" is no host"),
        ("user@host:1", "\"user@host\" is no host"),
        ("host:65536", "\"65536\" is no port"),
        ("host:", "\"\" is no port"),
        ("host:+1", "\"+1\" is no port"),
        ("tcp://host:1/path", "\"1/path\" is no port"),
        ("ftp://host:1", "unknown scheme \"ftp\""),
        ("tls://host:1", "masep+tls://HOST:PORT"),
        ("wss://host:1", "wss:// is not supported yet"),
        ("unix:run/x", "begins with a slash"),
        ("unix:/run/x", "unix:///run/game.sock"),
        ("unix://run/x", "begins with a slash"),
        ("unix:///run/\0x", "contains no NUL"),
        ("unix://", "begins with a slash"),
    ] {
        let error = text.parse::<Target>().unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn a_path_has_a_length_that_the_system_takes() {
    let path = |length: usize| format!("unix:///{}", "x".repeat(length - 1));
    assert!(path(LONGEST_PATH).parse::<Target>().is_ok());
    let error = path(LONGEST_PATH + 1).parse::<Target>().unwrap_err();
    let (allowed, actual) = (LONGEST_PATH, LONGEST_PATH + 1);
    let said = format!("at most {allowed} bytes here, this one has {actual}");
    assert!(error.to_string().contains(&said), "{error}");
    let by_path = Address::unix("x".repeat(LONGEST_PATH + 1)).into_target();
    assert!(by_path.unwrap_err().to_string().contains(&said));
    assert!(Address::unix("").into_target().is_err());
}

#[test]
fn an_address_reads_what_it_shows() {
    for text in ["127.0.0.1:1", "[::1]:60000", "unix:///run/game.sock"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    assert_eq!(Address::unix("").to_string(), "unix:");
    let error = "localhost:1".parse::<Address>().unwrap_err().to_string();
    assert!(error.contains("not a name"), "{error}");
    assert!(Address::unix("/x").to_socket_addrs().is_err());
}

#[test]
fn all_forms_of_a_target_mean_the_same() {
    let socket = SocketAddr::from(([127, 0, 0, 1], 5));
    let expected = [Address::Tcp(socket)];
    let literals = |target: Result<Target, InvalidAddress>| target.unwrap().literals().unwrap();
    assert_eq!(literals("127.0.0.1:5".into_target()), expected);
    assert_eq!(
        literals(String::from("127.0.0.1:5").into_target()),
        expected
    );
    assert_eq!(
        literals((&String::from("127.0.0.1:5")).into_target()),
        expected
    );
    assert_eq!(literals(("127.0.0.1", 5).into_target()), expected);
    assert_eq!(
        literals((String::from("127.0.0.1"), 5).into_target()),
        expected
    );
    assert_eq!(literals((socket.ip(), 5).into_target()), expected);
    assert_eq!(literals(socket.into_target()), expected);
    assert_eq!(literals((&socket).into_target()), expected);
    assert_eq!(literals([socket].into_target()), expected);
    assert_eq!(literals((&[socket]).into_target()), expected);
    assert_eq!(literals((&[socket][..]).into_target()), expected);
    assert_eq!(literals(vec![socket].into_target()), expected);
    assert_eq!(literals(Address::Tcp(socket).into_target()), expected);
    let bare = ("::1", 5).into_target().unwrap();
    assert_eq!(bare.to_string(), "[::1]:5");
    assert!(("a:b", 5).into_target().is_err());
    let named = ("localhost", 5).into_target().unwrap();
    assert_eq!(named.host_and_port(), Some(("localhost", 5)));
}
