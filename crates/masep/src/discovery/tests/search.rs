//! Tests of a search: the servers that it finds, and the datagrams that it ignores.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::discovery::search::discover_on;

#[tokio::test]
async fn the_first_answer_can_end_the_search() {
    let network = Loopback::new();
    let _server = network.announce("0.0.0.0:60000");
    let options = SearchOptions::default()
        .timeout(2 * DEADLINE)
        .first_only(true);
    let report = tokio::time::timeout(DEADLINE, search_on(&network.lan, &options)).await;
    assert_eq!(report.unwrap().unwrap().found.len(), 1);
}

#[tokio::test]
async fn a_lost_question_is_asked_again() {
    let network = Loopback::new();
    let member = network.member();
    let server = std::thread::spawn(move || {
        let mut datagram = [0; 64];
        let (_, first) = member.recv_from(&mut datagram).unwrap();
        let (_, described) = member.recv_from(&mut datagram).unwrap();
        assert_eq!(first, described);
        assert!(datagram.starts_with(b"masep server?"));
        let (length, second) = member.recv_from(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], QUESTION);
        assert_eq!(first, second);
        member.send_to(b"127.0.0.1:60000", second).unwrap();
    });
    assert_eq!(addresses(&network.search().await), ["127.0.0.1:60000"]);
    server.join().unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_reported_and_does_no_harm() {
    let network = Loopback::new();
    let mut answers: Vec<(&str, Vec<u8>)> = [
        &b""[..],
        b"nonsense",
        b"10.0.0.4:port",
        b"10.0.0.4:55:66",
        b"\xff\xfe",
        &[b'1'; 9_000],
    ]
    .map(|garbage| ("127.0.0.1", garbage.to_vec()))
    .to_vec();
    answers.push(("127.0.0.1", b"0.0.0.0:5".to_vec()));
    answers.push(("127.0.0.1", b"127.0.0.1:60000".to_vec()));
    let report = network.search_among(answers).await;
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    let reasons: Vec<_> = report.ignored.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons[..6], [Ignored::NotAnAnswer; 6]);
    assert_eq!(reasons[6..], [Ignored::UnusableAddress]);
}

#[tokio::test]
async fn an_answer_of_pymasep_leads_to_its_sender() {
    let network = Loopback::new();
    // It names the asker.
    let answer = ("127.0.0.9", b"127.0.0.1:60000".to_vec());
    let report = network.search_among(vec![answer]).await;
    assert_eq!(addresses(&report), ["127.0.0.9:60000"]);
}

#[tokio::test]
async fn a_flood_of_answers_costs_bounded_memory() {
    let network = Loopback::new();
    let garbage = vec![("127.0.0.1", b"garbage".to_vec()); 100];
    assert_eq!(network.search_among(garbage).await.ignored.len(), 64);
}

#[tokio::test]
async fn a_flood_on_one_interface_does_not_hide_the_answers_on_another() {
    let mut network = Loopback::new();
    let quiet = Interface {
        address: Ipv4Addr::new(127, 0, 0, 9),
        ..loopback()
    };
    network.lan.interfaces = Arc::new(move || Ok(vec![loopback(), quiet.clone()]));
    let options = SearchOptions::default()
        .timeout(2 * DEADLINE)
        .first_only(true);
    let member = network.member();
    // In the same thread: the search reads nothing until all has been sent.
    let serve = async {
        let askers = [(), ()].map(|()| member.recv_from(&mut [0; 64]).unwrap().1);
        for _ in 0..100 {
            member.send_to(b"garbage", askers[0]).unwrap();
        }
        member.send_to(b"127.0.0.1:60000", askers[1]).unwrap();
    };
    let (report, ()) = tokio::join!(search_on(&network.lan, &options), serve);
    let report = report.unwrap();
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    assert!(report.ignored.len() < 3, "{report:?}");
}

#[tokio::test]
async fn a_flood_of_answers_does_not_prolong_the_search() {
    let network = Loopback::new();
    let member = network.member();
    let done = Arc::new(AtomicBool::new(false));
    let flooder = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let (_, asker) = member.recv_from(&mut [0; 64]).unwrap();
            while !done.load(Ordering::Relaxed) {
                // Once the search is over its socket is gone, which the system reports.
                let _ = member.send_to(b"garbage", asker);
            }
        }
    });
    let report = tokio::time::timeout(DEADLINE, network.search()).await;
    done.store(true, Ordering::Relaxed);
    flooder.join().unwrap();
    assert_eq!(report.unwrap().ignored.len(), 64);
}

#[tokio::test]
async fn an_interface_that_fails_does_not_hide_the_others() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| {
        let gone = Interface {
            name: "gone0".into(),
            index: u32::MAX,
            address: Ipv4Addr::new(203, 0, 113, 9),
        };
        Ok(vec![gone, loopback()])
    });
    let _server = network.announce("0.0.0.0:60000");
    let report = network.search_for(&["127.0.0.1:60000"]).await;
    let [gone, loopback] = &report.interfaces[..] else {
        panic!("{report:?}");
    };
    assert!(gone.outcome.is_err() && gone.name == "gone0" && gone.answers == 0);
    assert!(loopback.outcome.is_ok() && loopback.answers == 1);
}

#[tokio::test]
async fn a_search_uses_a_bounded_number_of_sockets() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| Ok(vec![loopback(); 66]));
    let options = SearchOptions::default().timeout(Duration::ZERO);
    let report = search_on(&network.lan, &options).await.unwrap();
    let asked = report
        .interfaces
        .iter()
        .filter(|probe| probe.outcome.is_ok());
    assert_eq!((asked.count(), report.interfaces.len()), (64, 66));
}

#[tokio::test]
async fn a_host_without_a_network_is_told_so_at_once() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| Ok(Vec::new()));
    let _server = network.announce("0.0.0.0:60000");
    let options = SearchOptions::default().timeout(2 * DEADLINE);
    let search = tokio::time::timeout(DEADLINE, search_on(&network.lan, &options));
    assert!(search.await.unwrap().unwrap().found.is_empty());
    let error = discover_on(&network.lan).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NetworkDown);
}
