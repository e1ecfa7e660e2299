//! Types that can be given to another task or thread.

use masep::{
    Client, Connection, Frame, Message, Registry, Server, SocketHandlerQueue, Value, blocking,
};

const fn can_be_shared<T: Clone + Send + Sync + 'static>() {}
const fn can_be_moved_and_borrowed<T: Send + Sync + 'static>() {}

#[test]
fn handles_go_to_any_task_or_thread() {
    can_be_shared::<Connection>();
    can_be_shared::<Registry>();
    can_be_shared::<SocketHandlerQueue>();
    can_be_shared::<blocking::Connection>();
    can_be_shared::<Frame>();
    can_be_shared::<Message>();
    can_be_shared::<Value>();
    can_be_moved_and_borrowed::<Server>();
    can_be_moved_and_borrowed::<Client>();
    can_be_moved_and_borrowed::<blocking::Server>();
    can_be_moved_and_borrowed::<blocking::Client>();
}
