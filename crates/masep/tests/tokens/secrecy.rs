//! No token in anything that is shown: logs at every level, errors, `{:?}`.

use std::io::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use masep::access::{ConnectionString, Grant};
use masep::{ConnectError, blocking};
use masep_proto::protocol2::preamble;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{House, bye, grants, guess, tokens};
use crate::shells::{Event, Events, Options, Says, Shell, next, next_rejected, of_each_shell};

of_each_shell! {
    nothing_that_is_shown_has_a_token_in_it
}

/// All that was logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn log() -> Log {
    static LOG: LazyLock<Log> = LazyLock::new(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    });
    LOG.clone()
}

fn nothing_that_is_shown_has_a_token_in_it(shell: Shell) {
    let log = log();
    let tokens = tokens([
        ("s3cret-good", Grant::new("good")),
        ("s3cret-narrow", Grant::new("narrow").id("b")),
    ]);
    let (handler, events) = Events::new();
    let options = Options::from(tokens.clone()).handler(handler);
    let house = House::new(shell, shell, options);
    let mut shown = format!("{tokens:?}");
    let mut show = |what: &dyn std::fmt::Debug| shown += &format!("\n{what:?}");

    let client = house.comes("a", Some("s3cret-good")).unwrap();
    let connected = next(&events);
    show(&connected);
    let Event::Connected(connection) = connected else {
        panic!("{connected:?}");
    };
    show(&(
        connection.hello(),
        connection.grant(),
        client.connection().welcome(),
    ));
    let failures: Vec<ConnectError> = [Some("s3cret-wrong"), Some("s3cret-narrow"), None]
        .into_iter()
        .map(|token| house.comes("a", token).map(drop).unwrap_err())
        .collect();
    for failure in &failures {
        let reason = next_rejected(&events);
        show(&(failure, failure.to_string(), &reason, reason.to_string()));
    }
    // One that is cut off in its token, and one whose hello is none.
    let mut broken = guess("s3cret-broken");
    let payload = preamble::CLIENT.len() + 8;
    broken[payload] = 0xff;
    let cut = guess("s3cret-cut");
    for bytes in [&cut[..cut.len() - 8], &broken] {
        house.stream().write_all(bytes).unwrap();
        show(&next_rejected(&events));
    }
    let says = Says::token("s3cret-unsent");
    let unsent = shell.connect("a", "masep://127.0.0.1:1", says);
    show(&unsent.map(drop).unwrap_err());
    let string: ConnectionString = "masep://127.0.0.1:1?token=s3cret-string".parse().unwrap();
    show(&string);
    show(&"masep://127.0.0.1:1/?token=s3cret".parse::<ConnectionString>());
    show(&blocking::Client::builder("a").token("s3cret-builder"));
    show(&masep::Client::builder("a").token("s3cret-builder"));

    client.connection().send("hi").unwrap();
    show(&next(&events));
    tokens.replace(grants([]));
    show(&bye(&*client));
    show(&next(&events));
    drop(house);
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    assert!(
        log.contains("refused") && log.contains("connected"),
        "{log}"
    );
    for (name, text) in [("log", &*log), ("errors and events", &shown)] {
        assert!(!text.contains("s3cret"), "{name}: {text}");
    }
}
