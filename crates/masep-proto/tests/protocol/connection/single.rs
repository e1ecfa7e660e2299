//! Frames that answer what has arrived: they are taken to be written as they are sent.

use masep_proto::connection::{Transmit, WhenFull};
use masep_proto::{Array, CloseReason, DType, Dict, Frame, Limits, Message, Pieces};

use super::pair::Pair;

/// Has the engine get a question, which it takes.
fn ask(pair: &mut Pair) {
    let now = pair.now;
    pair.agent.send(b"question", now).expect("room");
    pair.settle();
    assert_eq!(pair.engine.received.pop(), Some(Frame::from("question")));
}

/// Writes so many bytes of the answer at once, and the rest later, with another frame behind it. Gives what arrives.
fn write(pair: &mut Pair, transmit: Transmit, at_once: usize) -> Vec<Frame> {
    let now = pair.now;
    pair.engine.send(b"behind", now).expect("room");
    pair.put_in_part(transmit, at_once);
    pair.settle();
    assert_eq!(pair.engine.core.written(), 2);
    std::mem::take(&mut pair.agent.received)
}

#[test]
fn an_answer_arrives_in_front_of_the_next_frame_however_much_of_it_is_written_at_once() {
    for open in [Pair::open, Pair::open2] {
        for size in [0, 1, 256, 257, 5_000, 60_000] {
            for at_once in [0, 1, 3, 9, size / 2, size, usize::MAX] {
                let mut pair = open();
                ask(&mut pair);
                let now = pair.now;
                let answer = Frame::new(vec![7; size]);
                let mut sent = Some(answer.clone());
                let transmit = pair.engine.core.send_single(&mut sent, now);
                assert_eq!(sent, None);
                let mut other = Some(Frame::from("other"));
                let second = pair.engine.core.send_single(&mut other, now);
                assert!(second.is_none() && other.is_some(), "one is being written");
                let received = write(&mut pair, transmit.expect("nothing waits"), at_once);
                assert_eq!(received, [answer, Frame::from("behind")]);
            }
        }
    }
}

#[test]
fn an_answer_in_pieces_arrives_however_much_of_it_is_written_at_once() {
    let camera = Array::new(DType::UInt8, [30_000], vec![5; 30_000]).expect("an array");
    let message = Message::new("observation", Dict::new().with("camera", camera), "engine");
    for at_once in [0, 1, 8, 100, 20_000, usize::MAX] {
        let mut pair = Pair::open2();
        ask(&mut pair);
        let now = pair.now;
        let encoded = pair.engine.core.encoding().encode_pieces(&message).unwrap();
        let mut pieces: Option<Box<Pieces>> = encoded.ok().map(Box::new);
        let transmit = pair.engine.core.send_single_pieces(&mut pieces, now);
        assert_eq!(pieces, None);
        let received = write(&mut pair, transmit.expect("nothing waits"), at_once);
        let read = pair.agent.core.encoding().decode(received[0].clone());
        assert_eq!(read.as_ref(), Ok(&message));
        assert_eq!(received[1], Frame::from("behind"));
    }
}

#[test]
fn what_is_no_answer_is_left_to_be_sent_as_other_frames_are() {
    let limits = Limits::default().frame_bytes(100);
    let mut pair = Pair::open_with(&limits);
    ask(&mut pair);
    let now = pair.now;
    for frame in [Frame::BYE, Frame::new(vec![7; 101])] {
        let mut sent = Some(frame.clone());
        assert!(pair.engine.core.send_single(&mut sent, now).is_none());
        assert_eq!(sent, Some(frame));
    }
    // Behind one that nobody has waited for, others are to be expected.
    pair.engine.send(b"first", now).expect("room");
    pair.engine
        .core
        .send(&mut Some(Frame::from("second")), WhenFull::Wait, now)
        .expect("room");
    let mut third = Some(Frame::from("third"));
    assert!(pair.engine.core.send_single(&mut third, now).is_none());
    pair.settle();
    assert!(pair.engine.core.send_single(&mut third, now).is_none());
    ask(&mut pair);
    pair.engine.core.end(CloseReason::LocalBye, now);
    assert!(pair.engine.core.send_single(&mut third, now).is_none());
    assert_eq!(third, Some(Frame::from("third")));
}
