//! quick-xml alone: it goes over the events of a slice without a copy, and writes events, whose texts are
//! escaped already or are yet to be.

use std::hint::black_box;

use anyhow::Result;
use masep::{Message, Node};
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

/// Goes over all events; returns how many there are.
pub(super) fn read(body: &[u8]) -> Result<usize> {
    let mut reader = Reader::from_reader(body);
    let mut events = 0;
    loop {
        match black_box(reader.read_event()?) {
            Event::Eof => return Ok(events),
            _ => events += 1,
        }
    }
}

/// All events, to be written as they are.
pub(super) fn events(body: &[u8]) -> Result<Vec<Event<'_>>> {
    let mut reader = Reader::from_reader(body);
    let mut events = Vec::new();
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(events),
            event => events.push(event),
        }
    }
}

/// Writes them into memory that is large enough from the beginning.
pub(super) fn write_events(events: &[Event<'_>], bytes: usize) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::with_capacity(bytes));
    for event in events {
        writer.write_event(event.borrow())?;
    }
    Ok(writer.into_inner())
}

/// The tree of a message, to be written.
pub(super) fn tree(message: &Message) -> Result<Node> {
    Ok(message.to_element()?.to_node())
}

/// Writes a tree into memory that is large enough from the beginning: what is in it is escaped here. (Not
/// as much is as pymasep wants: characters that are not ASCII stay.)
pub(super) fn write_tree(tree: &Node, bytes: usize) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::with_capacity(bytes));
    write_node(&mut writer, tree)?;
    Ok(writer.into_inner())
}

fn write_node(writer: &mut Writer<Vec<u8>>, node: &Node) -> Result<()> {
    let name: &str = node.name.local();
    let attributes = node.attributes();
    let attributes = attributes.map(|(name, value)| (&**name.local(), &**value));
    let start = BytesStart::new(name).with_attributes(attributes);
    if node.text.is_empty() && node.children.is_empty() {
        return Ok(writer.write_event(Event::Empty(start))?);
    }
    writer.write_event(Event::Start(start))?;
    if !node.text.is_empty() {
        writer.write_event(Event::Text(BytesText::new(&node.text)))?;
    }
    for child in &node.children {
        write_node(writer, child)?;
    }
    Ok(writer.write_event(Event::End(BytesEnd::new(name)))?)
}
