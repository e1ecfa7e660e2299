//! A pymasep engine as far as it can be killed by what it reads: a plain reading of the XML, apart from the gate's.

use std::collections::BTreeSet;

use masep_proto::Element;

/// The game that it can import.
pub(crate) const GAME: &str = "pkg.Game";
/// The agents of that.
pub(crate) const AGENTS: usize = 2;

/// The reason why it died.
pub(crate) type Died = String;

#[derive(Debug, Default)]
pub(crate) struct Engine {
    is_defined: bool,
    actors: BTreeSet<String>,
    agents: usize,
    observers: BTreeSet<String>,
}

impl Engine {
    pub(crate) const fn is_defined(&self) -> bool {
        self.is_defined
    }

    /// Reads what came on the connection of this id, at which it must be true to its sender.
    pub(crate) fn read(&mut self, id: &str, xml: &[u8]) -> Result<(), Died> {
        if xml
            .iter()
            .any(|byte| *byte < b' ' && !b"\t\n\r".contains(byte))
        {
            return Err("not well-formed (invalid token)".into());
        }
        let message = Element::decode(xml.to_vec().into(), &masep_proto::Limits::default());
        let message = message.map_err(|error| error.to_string())?;
        let attribute = |name: &str| message.attribute(name).ok_or(format!("KeyError: {name}"));
        let (kind, src) = (attribute("msg_type")?, attribute("src_sub_app")?);
        assert_eq!(&*src, id, "in another's name");
        let params = message.children().next();
        for param in message.children() {
            native(&param)?;
            if param.name() != "dict" {
                return Err("AssertionError".into());
            }
        }
        let param = |name: &str| item(params.as_ref()?, name);
        if !self.is_defined && &*kind != "define" {
            return Err("the first message is not DEFINE".into());
        }
        match &*kind {
            "define" => {
                let game = param("game").ok_or("TypeError")?;
                assert_eq!(game.text(), format!("<class '{GAME}'>"), "another game");
                self.is_defined = true;
            }
            "register" => {
                let text = |name| {
                    param(name)
                        .map(|it| it.text())
                        .ok_or(format!("KeyError: {name}"))
                };
                assert_eq!(&*text("id")?, id, "in another's name");
                text("queue_id")?;
                match &*text("role")? {
                    "Actor" => {
                        self.agents += 1;
                        if self.agents > AGENTS {
                            return Err("IndexError".into());
                        }
                        assert!(
                            self.actors.insert(id.into()),
                            "two agents of one id: the game hangs"
                        );
                    }
                    "Observer" => {
                        assert!(!self.actors.contains(id), "an agent without its interface");
                        self.observers.insert(id.into());
                    }
                    role => panic!("the role {role:?}"),
                }
            }
            "action" => {
                assert!(self.actors.contains(id), "not an actor's");
                act(&param("action").ok_or("KeyError: action")?)?;
            }
            "quit" => panic!("it ends the game for all"),
            other => panic!("{other:?} goes to no engine"),
        }
        Ok(())
    }
}

fn item(dict: &Element, key: &str) -> Option<Element> {
    let mut items = dict.children().filter(|it| it.name() == "item");
    let item = items.find(|it| it.attribute("key").as_deref() == Some(key))?;
    item.children().next()
}

fn is_native(name: &str) -> bool {
    ["int", "str", "list", "tuple", "set", "dict", "type", "bool"].contains(&name)
}

/// `native_type_from_xml`: whether it raises.
fn native(element: &Element) -> Result<(), Died> {
    let name = element.name();
    if !is_native(name) {
        return Ok(());
    }
    let text = element.text();
    let is_empty = text.is_empty() && element.children().next().is_none();
    match name {
        _ if is_empty => {}
        "list" | "tuple" | "set" | "dict" => {
            for item in element.children().filter(|it| it.name() == "item") {
                native(
                    &item
                        .children()
                        .next()
                        .ok_or("IndexError: child index out of range")?,
                )?;
                if name == "dict" && item.attribute("key").is_none() {
                    return Err("KeyError: key".into());
                }
            }
        }
        "type" if *text == format!("<class '{GAME}'>") => {}
        _ if text.starts_with("<class") => return Err(format!("imports {text}")),
        "int" => {
            let digits = text.strip_prefix('-').unwrap_or(&text);
            if digits.is_empty()
                || digits.len() > 4_300
                || !digits.bytes().all(|it| it.is_ascii_digit())
            {
                return Err(format!("ValueError: {text}"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// `Action.from_xml`: whether it raises.
fn act(action: &Element) -> Result<(), Died> {
    let kind = action.attribute("type").ok_or("KeyError: type")?;
    let digits = kind.strip_prefix('-').unwrap_or(&kind);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(format!("ValueError: {kind}"));
    }
    for parameter in action.children() {
        parameter.attribute("name").ok_or("KeyError: name")?;
        let value = parameter.children().next().ok_or("IndexError")?;
        match value.name() {
            "Action" => act(&value)?,
            "NoneType" => {}
            name if is_native(name) => native(&value)?,
            name => return Err(format!("imports {name}")),
        }
    }
    Ok(())
}
