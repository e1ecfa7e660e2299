use std::sync::Mutex;

use masep_proto::connection::{Config, Connection as Core};
use masep_proto::{Element, Limits, Message, MessageType, Role};
use masep_table::{TurnTime, View};

use super::*;

/// Keeps what it was given.
#[derive(Clone)]
struct Kept {
    encoding: Encoding,
    given: Arc<Mutex<Vec<String>>>,
}

impl Kept {
    fn new() -> Self {
        let config = Arc::new(Config::new("engine", Limits::default()).unwrap());
        Self {
            encoding: Core::established(config, "ann".into(), Instant::now()).encoding(),
            given: Arc::default(),
        }
    }

    fn keep(&self, what: String) {
        self.given.lock().unwrap().push(what);
    }
}

impl Link for Kept {
    fn peer(&self) -> &PeerId {
        unreachable!("it has said HELLO")
    }

    fn encoding(&self) -> Encoding {
        self.encoding.clone()
    }

    fn send(&self, frame: Frame, _is_left: bool) -> Result<bool, SendError> {
        let message = self.encoding.decode(frame).unwrap();
        assert_eq!(message.msg_type, MessageType::Observation);
        self.keep(format!("{:?}", message.params));
        Ok(true)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn notice(&self, notice: Notice) {
        self.keep(notice.code.to_string());
    }

    fn bye(&self, bye: Bye) {
        self.keep(bye.code.to_string());
    }
}

/// A player is at the table with its verdict, and its connection is open a little later.
#[test]
fn what_a_seat_was_sent_before_its_connection_was_open_comes_in_front_of_the_end() {
    let now = Instant::now();
    let settings = Settings::new("engine", "life", ["red"]);
    let mut driver = Driver::<Kept>::new(settings).unwrap();
    let hello = Hello {
        role: Some(Role::Actor),
        ..Hello::new("ann")
    };
    let key = driver.hello(hello, ResumeSecret([0; 16]), now);
    assert!(matches!(
        driver.take_verdict(),
        Some((_, Verdict::Admit(_)))
    ));
    let seat = driver.table().seats().next().unwrap();
    let last = Element::parse(r#"<State name="the last" />"#).unwrap();
    let finals = vec![(seat, View::from(last))];
    driver.call(now, |table| table.finish(finals, now)).unwrap();
    driver.end_table(now);
    let link = Kept::new();
    assert!(!driver.opened(key, link.clone(), now));
    let given = link.given.lock().unwrap();
    assert_eq!(given.len(), 2, "{given:?}");
    assert!(
        given[0].contains("the last") && given[1] == "over",
        "{given:?}"
    );
}

#[test]
fn views_that_nobody_has_made_are_not_asked_for_without_end() {
    let now = Instant::now();
    let settings = Settings::new("engine", "life", ["red"]).strangers(true);
    let mut driver = Driver::<Kept>::new(settings).unwrap();
    let seat = driver.table().seats().next().unwrap();
    let come = |driver: &mut Driver<Kept>, number: u64| {
        let id = number.to_string();
        let register = Message::register(id.clone(), id.clone(), 0, Role::Actor);
        driver.call(now, |table| {
            table.handle_connected(PeerKey(number), id.into(), now);
            table.handle_message(PeerKey(number), &register, None, now);
        });
    };
    come(&mut driver, 0);
    for number in 0..10 {
        let state = Element::parse("<State />").unwrap();
        let views = vec![(seat, View::from(state))];
        let turn = driver.open(views, TurnTime::AsSet, now).unwrap();
        driver.call(now, |table| table.handle_closed(PeerKey(number), now));
        come(&mut driver, number + 1);
        let found = driver.view_requests.iter();
        assert!(found.map(|request| request.turn).eq([turn]));
        driver.call(now, |table| table.close(turn, now));
        driver.forget_turn(turn);
    }
}
