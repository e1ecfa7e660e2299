//! Items that are kept one by one.

use std::collections::VecDeque;

/// Emptied queues give their memory back when they hold room for more items than this.
const KEEP_CAPACITY: usize = 16;

/// An item that counts in a queue with a weight, in bytes.
pub(crate) trait Weigh {
    fn weight(&self) -> usize;
}

/// The items of a queue, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Items<T> {
    items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T: Weigh> Items<T> {
    /// The oldest one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight();
        if self.items.is_empty() && self.items.capacity() > KEEP_CAPACITY {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes in the item that there is.
    pub(crate) fn push(&mut self, item: &mut Option<T>) {
        if let Some(item) = item.take() {
            self.bytes += item.weight();
            self.items.push_back(item);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The weight of all of them.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use masep_proto::Frame;

    use super::*;

    #[test]
    fn memory_is_given_back_with_the_last_item() {
        let mut items = Items::default();
        for _ in 0..10_000 {
            items.push(&mut Some(Frame::new("x")));
        }
        assert_eq!((items.len(), items.bytes()), (10_000, 10_000));
        while items.pop().is_some() {}
        assert_eq!((items.len(), items.bytes()), (0, 0));
        assert!(items.items.capacity() <= KEEP_CAPACITY);
    }
}
