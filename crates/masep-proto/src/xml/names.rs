//! The names that pymasep uses.

/// The same name as a constant, if pymasep's own classes write elements or attributes of that name.
/// Nobody has to count references to a constant, and names are half of the texts of a tree.
pub(super) fn known(name: &str) -> Option<&'static str> {
    macro_rules! known {
        ($($name:literal)*) => {
            match name {
                $($name => Some($name),)*
                _ => None,
            }
        };
    }
    known! {
        "State" "Object" "Agent" "ObjectState" "Characteristic" "Belief" "Action" "ActionParameter"
        "CircularHeadList" "data" "head_idx" "content"
        "item" "int" "str" "bool" "float" "list" "tuple" "set" "dict" "type" "bytes" "NoneType"
        "name" "nature" "state" "template" "env_step" "is_final" "control" "controller" "key"
    }
}
