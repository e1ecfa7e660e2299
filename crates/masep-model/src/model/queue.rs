//! The bounded queue, by each policy.

use std::sync::Arc;

use masep_proto::Limits;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::{insist, random};
use crate::queue::{PushError, Queue, Weigh};

/// Items that each sender sends, if it can.
const ITEMS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    sender: u8,
    number: u8,
}

impl Weigh for Item {
    fn weight(&self) -> usize {
        1 + usize::from(self.number)
    }
}

type Tested = Queue<Item>;
type Shared = Arc<Tested>;

/// Bounded by number, or by weight.
fn narrow() -> Shared {
    let (messages, bytes) = [(1, 100), (2, 100), (100, 3)][random(3)];
    let limits = Limits::default()
        .queue_messages(messages)
        .queue_bytes(bytes);
    Arc::new(Queue::new(&limits))
}

/// Sends until it is done or the queue closed. Gives the number of items that were taken, and of those dropped for them.
fn send(
    queue: &Shared,
    sender: u8,
    push: fn(&Tested, Item) -> Result<usize, PushError>,
) -> JoinHandle<(u8, usize)> {
    let queue = queue.clone();
    thread::spawn(move || {
        let mut dropped = 0;
        for number in 0..ITEMS {
            match push(&queue, Item { sender, number }) {
                Ok(replaced) => dropped += replaced,
                Err(PushError::Closed) => return (number, dropped),
                Err(PushError::Full(_)) => {
                    queue.close();
                    return (number, dropped);
                }
            }
        }
        (ITEMS, dropped)
    })
}

/// Receives until the queue is closed and empty.
fn receive(queue: &Shared, newest: bool) -> JoinHandle<Vec<Item>> {
    let queue = queue.clone();
    thread::spawn(move || {
        let mut items = Vec::new();
        loop {
            let next = if newest {
                insist(|| queue.pop_newest(|item: &Item| item.number == 1))
            } else {
                insist(|| queue.pop())
            };
            match next {
                Some(item) => items.push(item),
                None => return items,
            }
        }
    })
}

/// Checks that each sender's items came in order, and none twice. Gives their number.
fn check(received: &[Vec<Item>], taken: [u8; 2]) -> usize {
    for (sender, taken) in (0..).zip(taken) {
        let mut all: Vec<u8> = Vec::new();
        for items in received {
            let own = items.iter().filter(|item| item.sender == sender);
            let own: Vec<u8> = own.map(|item| item.number).collect();
            assert!(own.is_sorted(), "{received:?}");
            all.extend(own);
        }
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "twice");
        assert!(all.iter().all(|number| *number < taken), "never taken");
    }
    received.iter().map(Vec::len).sum()
}

/// Nothing is in it, and nothing comes in any more.
fn is_over(queue: &Shared) {
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    let late = Item {
        sender: 9,
        number: 9,
    };
    assert!(matches!(
        queue.try_push(&mut Some(late)),
        Err(PushError::Closed)
    ));
    assert!(block_on(queue.pop()).is_none());
}

/// Closes it when all was sent, or at any moment.
fn end(queue: &Shared, senders: [JoinHandle<(u8, usize)>; 2]) -> ([u8; 2], usize) {
    if random(2) == 0 {
        queue.close();
    }
    let [first, second] = senders.map(|sender| sender.join().unwrap());
    queue.close();
    ([first.0, second.0], first.1 + second.1)
}

fn push_insisting(queue: &Tested, item: Item) -> Result<usize, PushError> {
    insist(|| queue.push(item)).map(|()| 0)
}

pub(crate) fn waits() {
    let queue = narrow();
    let receivers = [receive(&queue, false), receive(&queue, false)];
    let senders = [0, 1].map(|sender| send(&queue, sender, push_insisting));
    let (taken, _) = end(&queue, senders);
    let received = receivers.map(|receiver| receiver.join().unwrap());
    let sum = taken.iter().map(|taken| usize::from(*taken)).sum();
    assert_eq!(check(&received, taken), sum);
    is_over(&queue);
}

pub(crate) fn newest_wins() {
    let queue = narrow();
    let newest = random(2) == 0;
    let receiver = receive(&queue, newest);
    let senders = [0, 1].map(|sender| send(&queue, sender, |queue, item| queue.push_newest(item)));
    let (taken, dropped) = end(&queue, senders);
    let received = [receiver.join().unwrap()];
    let came = check(&received, taken);
    let sum: usize = taken.iter().map(|taken| usize::from(*taken)).sum();
    if newest {
        // A receiver that wants the newest drops some itself.
        assert!(came + dropped <= sum);
    } else {
        assert_eq!(came + dropped, sum);
    }
    is_over(&queue);
}

pub(crate) fn disconnects() {
    let queue = narrow();
    let receiver = receive(&queue, false);
    let senders = [0, 1].map(|sender| {
        send(&queue, sender, |queue, item| {
            let mut slot = Some(item);
            let pushed = queue.try_push(&mut slot);
            assert_eq!(slot.is_some(), pushed.is_err(), "{pushed:?}");
            pushed.map(|()| 0)
        })
    });
    let (taken, _) = end(&queue, senders);
    let received = [receiver.join().unwrap()];
    let sum = taken.iter().map(|taken| usize::from(*taken)).sum();
    assert_eq!(check(&received, taken), sum);
    is_over(&queue);
}
