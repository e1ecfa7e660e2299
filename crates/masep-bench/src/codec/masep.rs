//! The calls of a user of masep.

use anyhow::{Context, Result};
use bytes::Bytes;
use masep::{Action, Element, Limits, Message, Node, Value};
use masep_proto::cbor;

/// Elements stay what they are: slices of the frame.
pub(super) fn decode(body: &Bytes) -> Result<Message> {
    Ok(Message::from_bytes(body.clone())?)
}

/// The observation becomes a tree.
pub(super) fn decode_trees(body: &Bytes) -> Result<(Message, Node)> {
    let message = decode(body)?;
    let tree = element(&message, "observation")?.to_node();
    Ok((message, tree))
}

/// The action becomes an [`Action`].
pub(super) fn decode_action(body: &Bytes) -> Result<(Message, Action)> {
    let message = decode(body)?;
    let action = Action::try_from(element(&message, "action")?)?;
    Ok((message, action))
}

/// Out of a tree, with what else was in the message.
pub(super) fn encode_tree(message: &Message, tree: &Node) -> Result<Bytes> {
    let info = message.param("additional_information");
    let info = info.and_then(Value::as_dict).cloned().unwrap_or_default();
    let observation = Value::Element(tree.to_element()?);
    let message = Message::observation(message.src_sub_app.clone(), observation, info);
    Ok(message.to_bytes()?)
}

/// Out of an [`Action`].
pub(super) fn encode_action(message: &Message, action: &Action) -> Result<Bytes> {
    Ok(Message::action(message.src_sub_app.clone(), action).to_bytes()?)
}

/// Out of protocol 2's form.
pub(super) fn decode_cbor(body: &Bytes) -> Result<Message> {
    Ok(cbor::decode_message(body, &Limits::default())?.0)
}

/// In protocol 2's form.
pub(super) fn encode_cbor(message: &Message) -> Result<Bytes> {
    Ok(cbor::encode_message(message, None, &Limits::default())?)
}

fn element<'a>(message: &'a Message, param: &str) -> Result<&'a Element> {
    let value = message.param(param).and_then(Value::as_element);
    value.with_context(|| format!("no {param} in the message"))
}
