use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use masep_proto::Frame;

use super::*;

impl Weigh for Frame {
    fn weight(&self) -> usize {
        self.size()
    }
}

fn queue(messages: usize, bytes: usize) -> Queue<Frame> {
    Queue::new(
        &Limits::default()
            .queue_messages(messages)
            .queue_bytes(bytes),
    )
}

fn push(queue: &Queue<Frame>, text: &str) -> bool {
    queue
        .try_push(&mut Some(Frame::new(text.to_owned())))
        .is_ok()
}

fn pop(queue: &Queue<Frame>) -> Option<String> {
    queue.try_pop().map(text)
}

fn text(frame: Frame) -> String {
    String::from_utf8(frame.into_bytes().to_vec()).unwrap()
}

/// One poll, as a task would be polled that is then dropped.
fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[test]
fn it_is_bounded_in_messages_and_in_bytes() {
    let by_messages = queue(2, 1_000);
    assert!(push(&by_messages, "a") && push(&by_messages, "b"));
    assert!(!push(&by_messages, "c"));
    let by_bytes = queue(1_000, 10);
    assert!(push(&by_bytes, "12345") && push(&by_bytes, "67890"));
    assert!(!push(&by_bytes, "1"));
    assert_eq!(pop(&by_bytes).as_deref(), Some("12345"));
    assert!(push(&by_bytes, "1"));
}

#[test]
fn a_frame_over_the_limit_in_bytes_fits_into_an_empty_queue() {
    let queue = queue(10, 3);
    assert!(push(&queue, "much too long"));
    assert!(!push(&queue, "x"));
}

#[test]
fn the_newest_wins_over_the_oldest() {
    let queue = queue(2, 1_000);
    for text in ["a", "b", "c"] {
        assert!(queue.push_newest(Frame::new(text)).is_ok());
    }
    assert_eq!(pop(&queue).as_deref(), Some("b"));
    assert_eq!(pop(&queue).as_deref(), Some("c"));
}

#[test]
fn newest_skips_but_never_what_must_be_kept() {
    let queue = queue(10, 1_000);
    let newest = || {
        let taken = queue.pop_newest(|frame| frame.bytes() == "end");
        poll_once(pin!(taken)).flatten().map(text)
    };
    for text in ["1", "2", "3"] {
        push(&queue, text);
    }
    assert_eq!(newest().as_deref(), Some("3"));
    assert_eq!(newest(), None, "nothing waits");
    // pymasep skips an "end" that is the oldest of several.
    for text in ["end", "1", "2", "end", "3"] {
        push(&queue, text);
    }
    assert_eq!(newest().as_deref(), Some("end"));
    assert_eq!(
        newest().as_deref(),
        Some("end"),
        "what followed the first stayed"
    );
    assert_eq!(newest().as_deref(), Some("3"));
}

#[test]
fn a_pop_that_is_dropped_takes_nothing() {
    let queue = queue(10, 1_000);
    for _ in 0..3 {
        assert!(poll_once(pin!(queue.pop())).is_none());
    }
    push(&queue, "a");
    push(&queue, "b");
    assert_eq!(
        poll_once(pin!(queue.pop())).flatten().map(text).as_deref(),
        Some("a")
    );
    assert_eq!(pop(&queue).as_deref(), Some("b"));
}

#[test]
fn a_push_that_is_dropped_queues_nothing() {
    let queue = queue(1, 1_000);
    push(&queue, "a");
    assert!(poll_once(pin!(queue.push(Frame::new("b")))).is_none());
    assert_eq!(pop(&queue).as_deref(), Some("a"));
    assert_eq!(pop(&queue), None);
}

#[test]
fn a_dropped_pop_that_was_woken_passes_the_wake_up_on() {
    let queue = queue(10, 1_000);
    let mut second = Box::pin(queue.pop());
    {
        let mut first = Box::pin(queue.pop());
        assert!(poll_once(first.as_mut()).is_none());
        assert!(poll_once(second.as_mut()).is_none());
        push(&queue, "a");
        // `first` was notified and is dropped without being polled again.
    }
    assert!(matches!(poll_once(second.as_mut()), Some(Some(_))));
}

#[test]
fn several_poppers_share_what_several_pushes_brought() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let queue = Arc::new(queue(8, 1_000));
    runtime.block_on(async {
        let poppers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut taken = 0;
                    while queue.pop().await.is_some() {
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        let pushers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    for _ in 0..1_000 {
                        assert!(queue.push(Frame::new("x")).await.is_ok());
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.await.unwrap();
        }
        queue.close();
        let mut taken = 0;
        for popper in poppers {
            taken += popper.await.unwrap();
        }
        assert_eq!(taken, 8_000);
    });
}

#[test]
fn a_closed_queue_gives_what_it_has_and_then_its_end() {
    let queue = queue(1, 1_000);
    push(&queue, "a");
    let mut blocked = Box::pin(queue.push(Frame::new("b")));
    assert!(poll_once(blocked.as_mut()).is_none());
    queue.close();
    assert!(matches!(
        poll_once(blocked.as_mut()),
        Some(Err(PushError::Closed))
    ));
    assert!(!push(&queue, "c"));
    assert!(matches!(poll_once(pin!(queue.pop())), Some(Some(_))));
    for _ in 0..2 {
        assert!(matches!(poll_once(pin!(queue.pop())), Some(None)));
    }
}

#[tokio::test]
async fn who_pushes_without_pause_does_not_keep_the_others_out() {
    let queue = Arc::new(queue(4, 1_000));
    let pusher = |text: &'static str, times: usize| {
        let queue = queue.clone();
        async move {
            for _ in 0..times {
                assert!(queue.push(Frame::new(text)).await.is_ok());
            }
        }
    };
    let flood = tokio::spawn(pusher("flood", 100));
    let other = tokio::spawn(pusher("other", 1));
    let mut before = 0;
    while queue.pop().await.map(text).as_deref() != Some("other") {
        before += 1;
    }
    assert!(before <= 2 * 4, "after {before} of the flood");
    for _ in before..100 {
        queue.pop().await;
    }
    flood.await.unwrap();
    other.await.unwrap();
}
