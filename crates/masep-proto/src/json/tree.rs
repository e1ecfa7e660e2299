//! Elements as trees of JSON, in place of their XML.

use serde_json::{Map, Value as Json};

use super::error::{JsonError, JsonErrorKind};
use super::read::{array, text, under};
use crate::{Element, Node, QName, Value};

type Object = Map<String, Json>;

const TAG: &str = "$element";
/// An element that is deeper stays XML: readers of JSON take no more, and so deep is none of pymasep's.
pub(super) const MOST_LEVELS: usize = 64;

/// The keys of an element. Those of which there is nothing are left out, but the tag.
const KEYS: [&str; 5] = ["tag", "attributes", "text", "children", "tail"];

/// The [JSON form](crate::json) of values and messages with elements as trees: each `{"$xml": …}` becomes
/// `{"$element": {"tag": "State", "attributes": {"env_step": "1"}, "text": …, "children": […], "tail": …}}`, with
/// elements of the same form, without the tag, as children. Empty parts are left out. Names in namespaces are written
/// as `{uri}local`. Reading takes both forms. An element of more than 64 levels stays as it is.
pub fn with_trees(json: Json) -> Json {
    match json {
        Json::Array(items) => items.into_iter().map(with_trees).collect(),
        Json::Object(object) if object.contains_key("$xml") => {
            let json = Json::Object(object);
            match super::read::element(&json) {
                Ok(element) if levels(&element.to_node()) <= MOST_LEVELS => {
                    let mut tree = Object::new();
                    let mut node = element.to_node();
                    node.set_tail(element.tail().clone());
                    tree.insert(TAG.to_owned(), Json::Object(write(&node)));
                    tree.into()
                }
                _ => json,
            }
        }
        Json::Object(object) => {
            let entries = object.into_iter();
            Json::Object(entries.map(|(key, json)| (key, with_trees(json))).collect())
        }
        other => other,
    }
}

/// The number of levels, as far as it matters.
fn levels(node: &Node) -> usize {
    let mut level = vec![node];
    let mut levels = 0;
    while !level.is_empty() && levels <= MOST_LEVELS {
        levels += 1;
        level = level.iter().flat_map(|node| &node.children).collect();
    }
    levels
}

fn write(node: &Node) -> Object {
    let mut object = Object::new();
    object.insert("tag".to_owned(), node.name.to_string().into());
    let attributes = node.attributes();
    if attributes.len() > 0 {
        let attributes: Object = attributes
            .map(|(name, value)| (name.to_string(), value.to_string().into()))
            .collect();
        object.insert("attributes".to_owned(), attributes.into());
    }
    if !node.text.is_empty() {
        object.insert("text".to_owned(), node.text.to_string().into());
    }
    if !node.children.is_empty() {
        let children = node.children.iter().map(|child| write(child).into());
        object.insert("children".to_owned(), Json::Array(children.collect()));
    }
    if !node.tail().is_empty() {
        object.insert("tail".to_owned(), node.tail().to_string().into());
    }
    object
}

/// Reads what stands under `$element`.
pub(super) fn read(json: &Json) -> Result<Value, JsonError> {
    let mut node = node(json, 1)?;
    let tail = node.tail().clone();
    node.set_tail("");
    let element = node.to_element();
    let element: Element =
        element.map_err(|error| JsonError::from(JsonErrorKind::element(error)))?;
    Ok(Value::Element(if tail.is_empty() {
        element
    } else {
        element.with_tail(tail)
    }))
}

fn node(json: &Json, level: usize) -> Result<Node, JsonError> {
    let Json::Object(object) = json else {
        return Err(JsonErrorKind::unexpected("an element, an object with a tag", json).into());
    };
    if level > MOST_LEVELS {
        return Err(JsonErrorKind::unexpected("an element of at most 64 levels", json).into());
    }
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let (tag, key) = (TAG.to_owned(), key.clone());
        return Err(JsonErrorKind::BesideTag { tag, key }.into());
    }
    let mut node = Node::new(QName::new(under(object, "tag", text)?));
    if object.contains_key("attributes") {
        under(object, "attributes", |json| {
            let Json::Object(attributes) = json else {
                return Err(JsonErrorKind::unexpected("an object", json).into());
            };
            for (name, value) in attributes {
                let value = text(value).map_err(|error| error.under_key(name))?;
                node.set_attribute(name.as_str(), value);
            }
            Ok(())
        })?;
    }
    if object.contains_key("text") {
        node.text = under(object, "text", text)?;
    }
    if object.contains_key("children") {
        node.children = under(object, "children", |json| {
            let children = array(json)?.iter().enumerate();
            children
                .map(|(index, child)| {
                    self::node(child, level + 1).map_err(|error| error.at_index(index))
                })
                .collect()
        })?;
    }
    if object.contains_key("tail") {
        node.set_tail(under(object, "tail", text)?);
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn element(xml: &str) -> Value {
        Value::from(xml.parse::<Element>().unwrap())
    }

    #[test]
    fn an_element_is_a_tree_and_comes_back() {
        let value = element(r#"<State env_step="1" a="&lt;">t<b>x</b>y<c /></State>"#);
        let json = with_trees(value.to_json().unwrap());
        let expected = json!({"$element": {
            "tag": "State", "attributes": {"env_step": "1", "a": "<"}, "text": "t",
            "children": [{"tag": "b", "text": "x", "tail": "y"}, {"tag": "c"}]
        }});
        assert_eq!(json, expected);
        assert_eq!(Value::from_json(&json).unwrap(), value);
        let tail = "<a />".parse::<Element>().unwrap().with_tail("t");
        let list = Value::from(vec![Value::from(tail), element(r#"<a xmlns="u" />"#)]);
        let json = with_trees(list.to_json().unwrap());
        assert_eq!(json[0], json!({"$element": {"tag": "a", "tail": "t"}}));
        assert_eq!(json[1], json!({"$element": {"tag": "{u}a"}}));
        assert_eq!(Value::from_json(&json).unwrap(), list);
    }

    #[test]
    fn what_is_too_deep_stays_and_what_is_wrong_is_told() {
        let xml = |levels| "<a>".repeat(levels) + &"</a>".repeat(levels);
        let deepest = with_trees(element(&xml(64)).to_json().unwrap());
        assert!(deepest.get("$element").is_some());
        assert_eq!(Value::from_json(&deepest).unwrap(), element(&xml(64)));
        let deeper = element(&xml(65)).to_json().unwrap();
        assert_eq!(with_trees(deeper.clone()), deeper);
        for (json, message) in [
            (json!({"$element": 1}), "$element: expected"),
            (json!({"$element": {}}), "$element: the key"),
            (json!({"$element": {"tag": "a b"}}), "$element"),
            (json!({"$element": {"tag": "a", "name": ""}}), "$element"),
            (
                json!({"$element": {"tag": "a", "children": [{"tag": 1}]}}),
                "$element.children[0].tag",
            ),
        ] {
            let error = Value::from_json(&json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn all_that_is_written_is_read(texts in prop::collection::vec("[ -~]{0,8}", 4), levels in 1..8usize) {
            let mut node = Node::new("a").with_text(texts[0].as_str());
            for level in 0..levels {
                node = Node::new("b")
                    .with_attribute(format!("n{level}"), texts[1].as_str())
                    .with_child(node.with_tail(texts[2].as_str()))
                    .with_child(Node::new("c").with_tail(texts[3].as_str()));
            }
            let value = Value::from(node.to_element().unwrap());
            let json = with_trees(value.to_json().unwrap());
            prop_assert_eq!(Value::from_json(&json).unwrap(), value);
        }
    }
}
